"""Pictures of trees and hedges, traffic signs and traffic lights."""

from __future__ import annotations

import cv2
import numpy as np

from fanet_ros.sources.street.paint import Sheet, noise, shaded, speckle
from fanet_ros.sources.street.raster import Color, Texture

SIGN_KINDS = 5
"""How many different pictures `make_sign` paints."""

# width and height of pictures, metres; a scene scales trees
_TREE_SIZE, _SIGN_SIZE, _LIGHT_SIZE = (6.0, 8.0), (0.8, 0.8), (0.42, 1.1)
_GREENS: tuple[Color, ...] = ((70, 92, 44), (86, 100, 50), (58, 80, 46), (98, 100, 48), (76, 88, 58))


def make_tree(rng: np.random.Generator) -> Texture:
    """Grow a tree with a crown of leaf clusters, lit from the upper left."""
    per_metre = 44.0
    sheet = Sheet(*_TREE_SIZE, per_metre)
    middle, fork = _TREE_SIZE[0] / 2, float(rng.uniform(2.3, 3.0))
    bark = shaded((84, 72, 58), rng.uniform(0.8, 1.15))
    foot, top = rng.uniform(0.15, 0.2), 0.1
    sheet.polygon(
        [(middle - foot, 0), (middle + foot, 0), (middle + top, fork + 0.6), (middle - top, fork + 0.6)], bark
    )
    sheet.polygon(
        [(middle, 0), (middle + foot, 0), (middle + top, fork + 0.6), (middle, fork + 0.6)], shaded(bark, 0.7)
    )
    crown = (_TREE_SIZE[1] + fork) / 2, (_TREE_SIZE[1] - fork) / 2 - 0.25
    for _ in range(9):
        angle, reach = rng.uniform(0.15, 0.85) * np.pi, rng.uniform(1.2, 3.4)
        tip = (middle + reach * float(np.cos(angle)) * 0.8, fork + reach * float(np.sin(angle)))
        sheet.line([(middle, fork - rng.uniform(0, 0.5)), tip], rng.uniform(0.06, 0.13), shaded(bark, 0.8))
    green = _GREENS[rng.integers(len(_GREENS))]
    clusters = []
    for _ in range(int(rng.integers(34, 48))):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        x, z = np.cos(angle) * reach, np.sin(angle) * reach
        clusters.append((z * 0.8 - x * 0.3 + rng.normal(0, 0.2), x, z))
    for light, x, z in sorted(clusters):  # dark clusters below and behind, light ones above and before
        at = (middle + x * 2.3, crown[0] + z * crown[1])
        spread = rng.uniform(0.45, 0.85)
        _leaves(rng, sheet, at, spread, shaded(green, 0.82 + 0.34 * light))
    return sheet.texture()


def _leaves(rng: np.random.Generator, sheet: Sheet, at: tuple[float, float], spread: float, green: Color) -> None:
    count = int(150 * spread)
    offsets = rng.normal(0, spread * 0.42, (count, 2))
    edges = rng.uniform(0.05, 0.11, count)
    lit = 0.9 + 0.35 * (offsets[:, 1] - offsets[:, 0] * 0.5) / spread + rng.normal(0, 0.12, count)
    x, z = (offsets + at).T
    corners = [(x - edges, z), (x, z - edges * 0.8), (x + edges, z), (x, z + edges * 0.8)]
    colors = np.clip(np.multiply.outer(lit, green), 0, 255).astype(int)
    sheet.polygons(np.array(corners).transpose(2, 0, 1), colors.tolist())


def make_hedge(rng: np.random.Generator) -> Texture:
    """Six metres of hedge, 2 m high, with an uneven top."""
    per_metre = 36.0
    green = shaded(_GREENS[rng.integers(len(_GREENS))], 0.85)
    sheet = Sheet(6.0, 2.0, per_metre, green)
    rows, columns = sheet.rgba.shape[:2]
    speckle(sheet.rgba, noise(rng, rows, columns, [(2, 2), (4, 4), (12, 14)]), 0.3)
    sheet.light(1.2, 0.55)
    rim = cv2.resize(rng.uniform(0, 8, (1, 60)).astype(np.float32), (columns, 1))[0]
    sheet.rgba[..., 3] = np.where(np.arange(rows)[:, None] < rim, 0, 255)
    return Texture(sheet.rgba)


def make_sign(kind: int) -> Texture:
    """Paint one of five road signs: speed limit, warning, no entry, one way, mandatory direction."""
    sheet, middle = Sheet(*_SIGN_SIZE, 96.0), _SIGN_SIZE[0] / 2
    red, white, black, blue = (186, 28, 34), (226, 226, 222), (24, 24, 26), (28, 66, 146)
    if kind == 0:
        sheet.ellipse(middle, middle, 0.38, 0.38, red)
        sheet.ellipse(middle, middle, 0.28, 0.28, white)
        sheet.line(
            [(0.25, 0.52), (0.36, 0.52), (0.36, 0.4), (0.28, 0.4), (0.36, 0.4), (0.36, 0.28), (0.25, 0.28)], 0.05, black
        )
        sheet.ring(0.5, 0.4, 0.09, 0.05, black)
    elif kind == 1:
        sheet.polygon([(0.02, 0.06), (0.78, 0.06), (0.4, 0.74)], red)
        sheet.polygon([(0.15, 0.14), (0.65, 0.14), (0.4, 0.58)], white)
        sheet.box(0.37, 0.28, 0.06, 0.2, black)
        sheet.box(0.37, 0.18, 0.06, 0.06, black)
    elif kind == 2:
        sheet.ellipse(middle, middle, 0.38, 0.38, red)
        sheet.box(0.14, 0.33, 0.52, 0.14, white)
    elif kind == 3:
        sheet.box(0.03, 0.2, 0.74, 0.44, blue)
        sheet.polygon(
            [(0.14, 0.36), (0.46, 0.36), (0.46, 0.26), (0.68, 0.42), (0.46, 0.58), (0.46, 0.48), (0.14, 0.48)], white
        )
    else:
        sheet.ellipse(middle, middle, 0.38, 0.38, blue)
        sheet.polygon(
            [(0.34, 0.14), (0.46, 0.14), (0.46, 0.42), (0.58, 0.42), (0.4, 0.66), (0.22, 0.42), (0.34, 0.42)], white
        )
    return sheet.texture()


def make_traffic_light(lit: int) -> Texture:
    """Paint a traffic light's head: 0 red, 1 amber, 2 green is on."""
    sheet = Sheet(*_LIGHT_SIZE, 72.0)
    sheet.box(0.03, 0.02, 0.36, 1.06, (30, 32, 32))
    sheet.box(0.05, 0.04, 0.32, 1.02, (18, 19, 20))
    lamps: tuple[tuple[float, Color], ...] = ((0.88, (236, 48, 40)), (0.55, (244, 170, 40)), (0.22, (60, 236, 150)))
    for index, (z, color) in enumerate(lamps):
        sheet.ellipse(0.21, z, 0.125, 0.125, color if index == lit else shaded(color, 0.2))
        sheet.box(0.08, z + 0.11, 0.26, 0.03, (12, 12, 12))
    return sheet.texture()
