"""Pictures of people on foot and on bicycles, in several stages of a stride."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fanet_ros.sources.street.paint import Sheet, noise, shaded, speckle
from fanet_ros.sources.street.raster import Color, Texture

STAGES = 8
"""Pictures per stride or turn of the pedals."""

FIGURE_SIZE = (0.9, 1.85)
"""Width and height of a person's picture, metres."""

_RESOLUTION = 72.0
_COATS: tuple[Color, ...] = (
    (44, 48, 62),
    (96, 34, 36),
    (58, 66, 52),
    (36, 36, 38),
    (128, 120, 108),
    (60, 78, 108),
    (150, 118, 60),
)
_TROUSERS: tuple[Color, ...] = ((40, 42, 50), (54, 60, 78), (70, 64, 56), (30, 30, 32))
_SKIN: tuple[Color, ...] = ((206, 164, 140), (150, 108, 84), (96, 66, 52), (222, 184, 160))
_HAIR: tuple[Color, ...] = ((46, 36, 30), (92, 68, 46), (28, 26, 26), (140, 118, 84))


@dataclass(frozen=True)
class Figure:
    """A person seen from the front and from behind.

    Attributes:
        front: pictures of someone who comes nearer, one per stage.
        back: pictures of someone who goes away.
    """

    front: tuple[Texture, ...]
    back: tuple[Texture, ...]


@dataclass(frozen=True)
class _Outfit:
    coat: Color
    trousers: Color
    skin: Color
    hair: Color
    bag: bool
    skirt: bool
    bright: bool


def make_walker(rng: np.random.Generator) -> Figure:
    """Dress a pedestrian and draw the stages of a stride."""
    return _figure(rng, _walker)


def make_rider(rng: np.random.Generator) -> Figure:
    """Dress a bicyclist and draw the stages of a turn of the pedals."""
    return _figure(rng, _rider)


def _figure(rng: np.random.Generator, draw: Callable[[_Outfit, int, bool, int], Texture]) -> Figure:
    outfit = _dress(rng)
    seed = int(rng.integers(1 << 31))
    return Figure(*(tuple(draw(outfit, stage, front, seed) for stage in range(STAGES)) for front in (True, False)))


def _dress(rng: np.random.Generator) -> _Outfit:
    return _Outfit(
        shaded(_COATS[rng.integers(len(_COATS))], rng.uniform(0.8, 1.2)),
        _TROUSERS[rng.integers(len(_TROUSERS))],
        _SKIN[rng.integers(len(_SKIN))],
        _HAIR[rng.integers(len(_HAIR))],
        bool(rng.random() < 0.4),
        bool(rng.random() < 0.25),
        bool(rng.random() < 0.35),
    )


def _finish(sheet: Sheet, seed: int) -> Texture:
    cloth = noise(np.random.default_rng(seed), *sheet.rgba.shape[:2], [(3, 2), (8, 5)])
    speckle(sheet.rgba, cloth, 0.09)
    return sheet.texture()


def _leg(sheet: Sheet, hip: tuple[float, float], foot: tuple[float, float], outfit: _Outfit, light: float) -> None:
    knee = ((hip[0] + foot[0]) / 2 * 1.01, (hip[1] + foot[1]) / 2 + 0.02)
    sheet.line([hip, knee], 0.155, shaded(outfit.trousers, light))
    sheet.line([knee, foot], 0.115, shaded(outfit.trousers, light * 0.95))
    sheet.line([foot, (foot[0], foot[1] - 0.03)], 0.12, (26, 24, 24))


def _head(sheet: Sheet, x: float, z: float, outfit: _Outfit, front: bool, helmet: bool) -> None:
    sheet.line([(x, z - 0.17), (x, z - 0.06)], 0.09, shaded(outfit.skin, 0.8))
    sheet.ellipse(x, z, 0.092, 0.125, outfit.skin if front else outfit.hair)
    if helmet:
        sheet.ellipse(x, z + 0.06, 0.115, 0.085, (70, 74, 82))
    elif front:
        sheet.ellipse(x, z + 0.065, 0.1, 0.075, outfit.hair)
    if front:
        sheet.box(x - 0.05, z + 0.005, 0.03, 0.015, (50, 40, 36))
        sheet.box(x + 0.02, z + 0.005, 0.03, 0.015, (50, 40, 36))


def _walker(outfit: _Outfit, stage: int, front: bool, seed: int) -> Texture:
    swing = math.sin(2 * math.pi * stage / STAGES)
    bob = 0.015 * math.cos(4 * math.pi * stage / STAGES)
    sheet, x = Sheet(*FIGURE_SIZE, _RESOLUTION), 0.45
    dark = shaded(outfit.coat, 0.72)
    for side, lift in ((-1, max(0.0, swing)), (1, max(0.0, -swing))):
        foot = (x + side * (0.085 + 0.02 * lift), 0.05 + 0.16 * lift)
        _leg(sheet, (x + side * 0.08, 0.9 + bob), foot, outfit, 1.0 - 0.25 * lift)
    if outfit.skirt:
        sheet.polygon([(x - 0.2, 0.62), (x + 0.2, 0.62), (x + 0.16, 1.0), (x - 0.16, 1.0)], shaded(dark, 0.9))
    for side in (-1, 1):  # arms swing against the legs
        reach = 0.05 * side * swing
        hand = (x + side * 0.285, 0.84 + bob + reach)
        sheet.line([(x + side * 0.2, 1.4 + bob), (x + side * 0.265, 1.12 + bob), hand], 0.1, dark)
        sheet.ellipse(hand[0], hand[1] - 0.04, 0.04, 0.055, outfit.skin)
    body = [(-0.17, 0.84), (0.17, 0.84), (0.19, 1.15), (0.215, 1.42), (0.1, 1.5), (-0.1, 1.5), (-0.215, 1.42)]
    sheet.polygon([(x + dx, z + bob) for dx, z in [*body, (-0.19, 1.15)]], outfit.coat)
    if front:
        sheet.polygon([(x - 0.06, 1.49 + bob), (x + 0.06, 1.49 + bob), (x, 1.28 + bob)], (196, 190, 182))
        sheet.line([(x, 1.28 + bob), (x, 0.86 + bob)], 0.02, shaded(outfit.coat, 0.6))
    elif outfit.bag:
        sheet.box(x - 0.15, 1.02 + bob, 0.3, 0.4, shaded((70, 60, 84), 0.8))
        sheet.box(x - 0.12, 1.05 + bob, 0.24, 0.16, (44, 40, 54))
    _head(sheet, x, 1.66 + bob, outfit, front, helmet=False)
    return _finish(sheet, seed)


def _rider(outfit: _Outfit, stage: int, front: bool, seed: int) -> Texture:
    turn = 2 * math.pi * stage / STAGES
    sheet, x = Sheet(*FIGURE_SIZE, _RESOLUTION), 0.45
    coat = (206, 214, 62) if outfit.bright else outfit.coat
    tyre, frame = (24, 24, 26), (90, 36, 40)
    sheet.box(x - 0.03, 0.0, 0.06, 0.68, tyre)
    sheet.ellipse(x, 0.02, 0.03, 0.02, tyre)
    sheet.box(x - 0.015, 0.35, 0.03, 0.6, frame)
    sheet.line([(x - 0.28, 1.03), (x + 0.28, 1.03)], 0.035, (40, 40, 42))
    sheet.line([(x - 0.16, 0.31), (x + 0.16, 0.31)], 0.03, (60, 60, 62))
    for side in (-1, 1):
        pedal = 0.33 + 0.17 * math.sin(turn + (0 if side > 0 else math.pi))
        hip, foot = (x + side * 0.1, 0.96), (x + side * 0.13, pedal)
        knee = (x + side * 0.19, (hip[1] + pedal) / 2 + 0.06)
        tone = shaded(outfit.trousers, 1.0 if side > 0 else 0.85)
        sheet.line([hip, knee], 0.15, tone)
        sheet.line([knee, foot], 0.1, tone)
        sheet.line([foot, (foot[0], foot[1] - 0.04)], 0.1, (28, 26, 26))
    for side in (-1, 1):
        arm = [(x + side * 0.19, 1.4), (x + side * 0.3, 1.2), (x + side * 0.25, 1.04)]
        sheet.line(arm, 0.09, shaded(coat, 0.75))
        sheet.ellipse(x + side * 0.25, 1.03, 0.04, 0.04, outfit.skin)
    body = [(-0.15, 0.92), (0.15, 0.92), (0.2, 1.2), (0.21, 1.4), (0.1, 1.49), (-0.1, 1.49), (-0.21, 1.4)]
    sheet.polygon([(x + dx, z) for dx, z in [*body, (-0.2, 1.2)]], coat)
    if outfit.bright:
        sheet.box(x - 0.19, 1.14, 0.38, 0.06, (206, 206, 200))
    elif outfit.bag and not front:
        sheet.box(x - 0.16, 1.02, 0.32, 0.4, (52, 48, 62))
    if not front:
        sheet.box(x - 0.03, 0.72, 0.06, 0.05, (190, 30, 30))
        sheet.ellipse(x, 0.92, 0.13, 0.06, (30, 28, 30))
    else:
        sheet.ellipse(x, 0.95, 0.05, 0.05, (220, 220, 210))
    _head(sheet, x, 1.64, outfit, front, helmet=outfit.bright or outfit.bag)
    return _finish(sheet, seed)
