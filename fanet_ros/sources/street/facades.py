"""Textures of what lines the street: house fronts, end walls, roofs, fences, hedges and a distant skyline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.street.paint import Sheet, noise, shaded, speckle
from fanet_ros.sources.street.raster import Color, Texture

_WALLS: tuple[Color, ...] = (
    (134, 84, 64),  # red brick
    (152, 132, 102),  # yellow stock brick
    (118, 94, 78),  # brown brick
    (176, 164, 142),  # limestone
    (205, 200, 188),  # render
    (136, 134, 130),  # concrete
    (160, 116, 92),
)
_SHOP_SIGNS: tuple[Color, ...] = ((36, 46, 66), (120, 30, 34), (34, 70, 52), (40, 40, 42), (176, 170, 150))
_RESOLUTION = 30.0  # texels per metre
FLOOR = 3.1
"""Height of a storey, metres."""


FACADES = 15
"""How many different houses there are; a variant v has the design v % FACADES."""


def facade_height(variant: int) -> float:
    """Height to the eaves of the design of a variant, metres: two to four storeys and a cornice."""
    return (2 + variant % FACADES % 3) * FLOOR + 0.7


@dataclass(frozen=True)
class Facade:
    """What is seen of a house: front and end wall, each on the left and on the right side of the street, and roof."""

    fronts: tuple[Texture, Texture]
    ends: tuple[Texture, Texture]
    roof: Color


def make_facade(rng: np.random.Generator, variant: int, light: tuple[float, float]) -> Facade:
    """Design the house of a variant; `light` brightens the left and the right side of the street."""
    width, height = float(rng.uniform(10, 13)), facade_height(variant)
    floors = int(height / FLOOR)
    wall = shaded(_WALLS[rng.integers(len(_WALLS))], rng.uniform(0.85, 1.05))
    brick = sum(wall) < 380
    sheet = Sheet(width, height, _RESOLUTION, wall)
    _masonry(rng, sheet.rgba, brick)
    trim = shaded((212, 206, 194), rng.uniform(0.75, 1.0)) if rng.random() < 0.7 else shaded(wall, 0.6)
    shop = rng.random() < 0.5
    columns = max(2, int(width / rng.uniform(2.0, 2.8)))
    pitch = width / columns
    glazed = rng.uniform(1.0, min(1.5, pitch - 0.6))
    for floor in range(1 if shop else 0, floors):
        for column in range(columns):
            door = floor == 0 and column == columns // 2
            left, bottom = (column + 0.5) * pitch - glazed / 2, floor * FLOOR + 0.9
            if door:
                _door(rng, sheet, left, trim)
            else:
                _window(rng, sheet, (left, bottom, glazed, 1.65), trim, bars=brick)
    if shop:
        _shop(rng, sheet, width)
    else:
        sheet.box(0, 0, width, 0.5, shaded(wall, 0.66))
    sheet.box(0, height - 0.35, width, 0.35, trim)
    sheet.box(0, height - 0.5, width, 0.15, shaded(wall, 0.5))
    for edge in (0.0, width - 0.1):  # a rain pipe where two houses meet
        sheet.box(edge, 0, 0.1, height, shaded(wall, 0.45))
    sheet.light(1.05, 0.86)
    end = Sheet(7.0, height, 16.0, wall)
    _masonry(rng, end.rgba, brick)
    for floor in range(1, floors):
        if rng.random() < 0.6:
            _window(rng, end, (rng.uniform(1.0, 4.8), floor * FLOOR + 0.9, 0.9, 1.4), trim, bars=False)
    return Facade(
        (sheet.texture(light[0]), sheet.texture(light[1])),
        (end.texture(0.72), end.texture(0.78)),
        shaded((84, 82, 86) if rng.random() < 0.6 else (124, 80, 64), rng.uniform(0.8, 1.1)),
    )


def _masonry(rng: np.random.Generator, rgba: NDArray[np.uint8], brick: bool) -> None:
    rows, columns = rgba.shape[:2]
    cells = [(2, 6), (2, 6), (40, 60)] if brick else [(1, 1), (30, 40), (120, 20)]
    speckle(rgba, noise(rng, rows, columns, cells), 0.11 if brick else 0.05)
    if brick:
        rgba[::3, :, :3] = (rgba[::3, :, :3] * 0.92).astype(np.uint8)


def _window(
    rng: np.random.Generator,
    sheet: Sheet,
    box: tuple[float, float, float, float],
    trim: Color,
    bars: bool,
) -> None:
    left, bottom, width, height = box
    sheet.box(left - 0.14, bottom - 0.16, width + 0.28, 0.16, trim)
    sheet.box(left - 0.1, bottom + height, width + 0.2, 0.22, shaded(trim, 0.92))
    frame = (222, 220, 214) if bars or rng.random() < 0.5 else (58, 56, 54)
    sheet.box(left, bottom, width, height, frame)
    glass = shaded((44, 52, 60), rng.uniform(0.6, 1.25))
    sheet.box(left + 0.08, bottom + 0.08, width - 0.16, height - 0.16, glass)
    sky = shaded((128, 142, 156), rng.uniform(0.5, 1.0))  # the reflected sky
    sheet.polygon(
        [
            (left + 0.08, bottom + height * rng.uniform(0.45, 0.75)),
            (left + 0.08, bottom + height - 0.08),
            (left + width - 0.08, bottom + height - 0.08),
            (left + width - 0.08, bottom + height * rng.uniform(0.45, 0.85)),
        ],
        sky,
    )
    if rng.random() < 0.3:  # curtains
        cloth = shaded((196, 184, 164), rng.uniform(0.5, 0.9))
        sheet.box(left + 0.08, bottom + 0.08, width * 0.2, height - 0.16, cloth)
        sheet.box(left + width * 0.8 - 0.08, bottom + 0.08, width * 0.2, height - 0.16, cloth)
    sheet.box(left, bottom + height / 2 - 0.035, width, 0.07, frame)
    if bars:
        sheet.box(left + width / 2 - 0.03, bottom, 0.06, height, frame)
    sheet.box(left + 0.06, bottom + height - 0.14, width - 0.12, 0.08, (30, 30, 32))  # shadow of the reveal


def _door(rng: np.random.Generator, sheet: Sheet, left: float, trim: Color) -> None:
    leaf = shaded(_SHOP_SIGNS[rng.integers(4)], 1.3)
    sheet.box(left - 0.15, 0, 1.4, 2.6, trim)
    sheet.box(left, 0.12, 1.1, 2.3, leaf)
    sheet.box(left + 0.2, 1.3, 0.7, 0.8, shaded(leaf, 0.5))
    sheet.box(left - 0.25, 0, 1.6, 0.14, (150, 146, 140))


def _shop(rng: np.random.Generator, sheet: Sheet, width: float) -> None:
    sign = _SHOP_SIGNS[rng.integers(len(_SHOP_SIGNS))]
    sheet.box(0, 0, width, FLOOR + 0.35, shaded(sign, 0.75))
    sheet.box(0.2, FLOOR - 0.45, width - 0.4, 0.65, sign)
    sheet.box(0.1, FLOOR + 0.2, width - 0.2, 0.12, shaded(sign, 1.7))
    letters, at = (shaded((230, 222, 196), 1.0) if sum(sign) < 400 else (50, 46, 44)), rng.uniform(0.8, 2.0)
    while at < width - 1.4:  # words of upright strokes: read as lettering from any distance
        for _ in range(rng.integers(3, 8)):
            sheet.box(at, FLOOR - 0.3, rng.uniform(0.08, 0.18), rng.uniform(0.24, 0.36), letters)
            at += rng.uniform(0.22, 0.3)
        at += 0.35
    at = 0.35
    while at < width - 1.3:
        pane = float(min(rng.uniform(1.6, 2.6), width - 0.35 - at))
        sheet.box(at, 0.5, pane, FLOOR - 1.15, shaded((34, 36, 38), rng.uniform(0.8, 1.3)))
        for _ in range(5):  # goods on display
            size = rng.uniform(0.15, 0.5)
            tone = shaded(rng.uniform(40, 190, 3).tolist(), rng.uniform(0.3, 0.8))
            sheet.box(at + rng.uniform(0, pane - size), 0.55 + rng.uniform(0, 0.9), size, size, tone)
        sheet.polygon([(at, 2.1), (at, FLOOR - 0.65), (at + pane, FLOOR - 0.65), (at + pane, 2.4)], (74, 82, 90))
        at += pane + 0.18


def make_fence(rng: np.random.Generator, iron: bool) -> Texture:
    """Six metres of garden fence, 1.7 m high: wooden boards, or iron railings one can see through."""
    if not iron:
        sheet = Sheet(6.0, 1.7, 48.0, (112, 88, 64))
        for board in range(40):
            tone = shaded((116, 92, 68), rng.uniform(0.72, 1.08))
            sheet.box(board * 0.15, 0, 0.135, 1.7, tone)
            sheet.box(board * 0.15 + 0.135, 0, 0.015, 1.7, (40, 32, 26))
        for post in range(4):
            sheet.box(post * 2.0, 0, 0.12, 1.7, (86, 68, 52))
        sheet.box(0, 0, 6.0, 0.14, (74, 62, 52))
        speckle(sheet.rgba, noise(rng, *sheet.rgba.shape[:2], [(20, 1), (8, 2)]), 0.1)
        return sheet.texture()
    sheet = Sheet(6.0, 1.7, 48.0)
    paint = (38, 42, 42)
    for bar in range(48):
        sheet.box(bar * 0.125, 0, 0.055, 1.6, paint)
    for post in range(3):
        sheet.box(post * 2.0, 0, 0.12, 1.7, shaded(paint, 0.8))
    sheet.box(0, 1.4, 6.0, 0.08, paint)
    sheet.box(0, 0.2, 6.0, 0.08, paint)
    sheet.box(0, 0, 6.0, 0.2, (112, 104, 94))
    return sheet.texture()


def make_skyline(rng: np.random.Generator, trees: bool) -> Texture:
    """Four hundred metres of what closes the view far off, 16 m high: tree crowns, or roofs and chimneys."""
    sheet = Sheet(400.0, 16.0, 4.0)
    at = 0.0
    while at < 400:
        step = float(rng.uniform(6, 16))
        if trees:
            green = shaded((104, 118, 92), rng.uniform(0.8, 1.15))
            height = rng.uniform(6, 12)
            sheet.ellipse(at, height * 0.45, step * 0.8, height * 0.55, green)
            sheet.box(at - step * 0.7, 0, step * 1.4, height * 0.5, shaded(green, 0.8))
        else:
            height, tone = rng.uniform(5, 13), shaded((146, 138, 130), rng.uniform(0.75, 1.1))
            sheet.box(at, 0, step, height, tone)
            peak = height + rng.uniform(1, 3)
            slate = shaded((112, 110, 114), rng.uniform(0.8, 1.1))
            sheet.polygon([(at, height), (at + step / 2, peak), (at + step, height)], slate)
            for row in range(int(height / FLOOR)):
                for column in range(int(step / 2.4)):
                    sheet.box(at + 0.8 + column * 2.4, row * FLOOR + 1, 1.1, 1.4, (84, 88, 94))
        at += step
    speckle(sheet.rgba, noise(rng, *sheet.rgba.shape[:2], [(2, 2), (5, 5)]), 0.12 if trees else 0.04)
    return sheet.texture()
