"""Cars and vans as simple solids: a painted side, front and back on a body whose other faces are flat colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanet_ros.sources.street.paint import Sheet, noise, shaded, speckle
from fanet_ros.sources.street.raster import Canvas, Color, Texture

_RESOLUTION = 80.0
_PAINTS: tuple[Color, ...] = (
    (36, 38, 42),
    (142, 146, 150),
    (176, 178, 176),
    (112, 26, 30),
    (38, 56, 96),
    (92, 98, 104),
    (206, 204, 198),
    (42, 66, 56),
    (66, 92, 122),
    (128, 92, 44),
)
_PLAIN = 60.0  # beyond this many metres bonnets and roofs are thinner than a pixel
_GLASS: Color = (40, 46, 52)


VEHICLES = 30
"""How many different vehicles are painted; a variant v has the picture, and so the painted size, of v % VEHICLES."""

_Profile = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Shape:
    """A side view in metres: points are (distance from the tail, height)."""

    length: float
    width: float
    waist: float  # height of the window sills
    roof: _Profile  # over the top, tail to nose
    screens: tuple[int, int]  # which segments of `roof` are the rear window and the windscreen
    windows: tuple[_Profile, ...]
    wheels: tuple[float, float]
    wheel_radius: float


_HATCHBACK = _Shape(
    4.0, 1.72, 0.92,
    ((0.0, 0.92), (0.42, 1.4), (0.75, 1.46), (1.9, 1.47), (2.9, 0.98), (3.85, 0.78), (4.0, 0.6)), (0, 3),
    (((0.5, 0.95), (0.68, 1.33), (1.0, 1.38), (1.0, 0.95)), ((1.08, 0.95), (1.08, 1.38), (1.85, 1.39), (2.58, 0.97))),
    (0.72, 3.22), 0.31,
)  # fmt: skip
_SALOON = _Shape(
    4.6, 1.78, 0.92,
    ((0.0, 0.9), (0.8, 0.98), (1.4, 1.4), (1.8, 1.44), (2.5, 1.43), (3.3, 0.96), (4.4, 0.78), (4.6, 0.58)), (1, 4),
    (((1.0, 0.96), (1.45, 1.33), (1.95, 1.36), (1.95, 0.96)), ((2.03, 0.96), (2.03, 1.36), (2.45, 1.35), (3.05, 0.97))),
    (0.9, 3.72), 0.32,
)  # fmt: skip
_ESTATE = _Shape(
    4.5, 1.8, 1.02,
    ((0.0, 1.0), (0.22, 1.58), (0.6, 1.66), (2.3, 1.66), (3.2, 1.08), (4.3, 0.86), (4.5, 0.62)), (0, 3),
    (((0.36, 1.06), (0.48, 1.5), (1.15, 1.56), (1.15, 1.06)), ((1.23, 1.06), (1.23, 1.56), (2.2, 1.56), (2.9, 1.08))),
    (0.85, 3.62), 0.35,
)  # fmt: skip
_VAN = _Shape(
    5.2, 1.98, 1.2,
    ((0.0, 1.2), (0.06, 2.25), (0.3, 2.32), (3.8, 2.32), (4.5, 1.3), (5.1, 1.1), (5.2, 0.7)), (0, 3),
    (((3.25, 1.22), (3.25, 1.95), (3.75, 1.95), (4.25, 1.26)),),
    (0.95, 4.25), 0.36,
)  # fmt: skip
_SHAPES = (_HATCHBACK, _SALOON, _ESTATE, _HATCHBACK, _VAN, _SALOON, _HATCHBACK, _ESTATE, _SALOON, _HATCHBACK, _SALOON)


def vehicle_size(variant: int) -> tuple[float, float, float]:
    """Length, width and height of the vehicle of a variant, metres."""
    shape = _SHAPES[variant % len(_SHAPES)]
    return shape.length, shape.width, max(z for _, z in shape.roof)


class Vehicle:
    """One car: its shape, its paint and the pictures on its faces."""

    def __init__(self, rng: np.random.Generator, variant: int) -> None:
        self._shape = _SHAPES[variant % len(_SHAPES)]
        self._paint = shaded(_PAINTS[variant % len(_PAINTS)], float(rng.uniform(0.9, 1.1)))
        self._length, self._width, self._height = vehicle_size(variant)
        side = _side(rng, self._shape, self._paint)
        self._sides = (side.texture(), _mirrored(side))
        self._ends = (_bumper(self._shape, self._paint), _grille(self._shape, self._paint))
        self._screens = (_screen(self._shape, self._paint, 0.62), _screen(self._shape, self._paint, 0.85))

    def draw(self, canvas: Canvas, x: float, y: float, oncoming: bool, class_id: int) -> None:
        """Draw the faces that can be seen; (x, y) is the middle of the car on the ground, metres."""
        eye, half = canvas.view.pose, self._width / 2
        near, far = x - self._length / 2, x + self._length / 2
        strips = list(zip(self._shape.roof[:-1], self._shape.roof[1:], strict=True))
        order = range(len(strips)) if oncoming else range(len(strips) - 1, -1, -1)
        for index in order:  # far to near
            (s0, z0), (s1, z1) = strips[index]
            if oncoming:
                (s0, z0), (s1, z1) = (self._length - s1, z1), (self._length - s0, z0)
            rise = (z1 - z0) / (s1 - s0)
            if eye.z <= z0 + (eye.x - near - s0) * rise:
                continue  # the eye is below the plane of this face
            if index in self._shape.screens:
                screen = self._screens[self._shape.screens.index(index)]
                if rise > 0:
                    start = (near + s0, y + half, z0)
                    canvas.plane(start, (0.0, -self._width, 0.0), (s1 - s0, 0.0, z1 - z0), screen, class_id)
                continue
            if near - eye.x > _PLAIN:
                continue
            x0, x1, left, right = near + s0, near + s1, y + half, y - half
            corners = [(x0, left, z0), (x0, right, z0), (x1, right, z1), (x1, left, z1)]
            canvas.polygon(corners, shaded(self._paint, 1.2), class_id)
        if near > eye.x:
            face = self._ends[oncoming]
            size = (0.0, -self._width, 0.0), (0.0, 0.0, face.height / _RESOLUTION)
            canvas.plane((near, y + half, 0.0), *size, face, class_id)
        if far > eye.x and abs(y - eye.y) > half:
            flank = y - half if y > eye.y else y + half
            size = (self._length, 0.0, 0.0), (0.0, 0.0, self._height)
            canvas.plane((near, flank, 0.0), *size, self._sides[oncoming], class_id)


def _side(rng: np.random.Generator, shape: _Shape, paint: Color) -> Sheet:
    """The car from its right side: the nose points to the right."""
    sheet = Sheet(shape.length, max(z for _, z in shape.roof), _RESOLUTION)
    sill = 0.24
    outline = [(0.0, sill), *shape.roof, (shape.length, sill)]
    sheet.polygon(outline, paint)
    sheet.polygon(
        [(0.04, sill), (0.02, 0.5), (shape.length - 0.02, 0.5), (shape.length - 0.03, sill)], shaded(paint, 0.68)
    )
    sheet.box(0.1, shape.waist - 0.16, shape.length - 0.5, 0.07, shaded(paint, 1.28))
    for window in shape.windows:
        sheet.polygon(window, _GLASS)
        bottom = window[0][1]
        top = [(s, z) for s, z in window if z > bottom + 0.1]
        sheet.polygon([*top, (top[-1][0] + 0.12, bottom + 0.2), (top[0][0] - 0.05, bottom + 0.25)], (96, 106, 116))
    for s in (w[-1][0] - 0.02 for w in shape.windows[:1]):  # door seams and handles
        sheet.box(s, sill + 0.08, 0.02, shape.waist - sill, shaded(paint, 0.55))
        sheet.box(s - 0.3, shape.waist - 0.14, 0.16, 0.035, shaded(paint, 0.5))
    seam = shape.windows[-1][-1][0] - 0.1
    sheet.box(seam, sill + 0.08, 0.02, shape.waist - sill - 0.05, shaded(paint, 0.55))
    sheet.box(0.02, shape.waist - 0.28, 0.14, 0.2, (150, 24, 24))
    sheet.polygon(
        [
            (shape.length - 0.42, 0.66),
            (shape.length - 0.1, 0.6),
            (shape.length - 0.14, 0.72),
            (shape.length - 0.4, 0.79),
        ],
        (206, 208, 206),
    )
    if shape is _VAN:  # the panels of its load bay
        for seam in (1.7, 3.0):
            sheet.box(seam, 0.4, 0.025, 1.8, shaded(paint, 0.6))
        sheet.box(0.4, 1.3, 2.5, 0.03, shaded(paint, 0.7))
    for wheel in shape.wheels:
        radius = shape.wheel_radius
        sheet.ellipse(wheel, radius + 0.02, radius + 0.07, radius + 0.07, (22, 22, 24))
        sheet.ellipse(wheel, radius, radius, radius, (30, 30, 32))
        sheet.ellipse(wheel, radius, radius * 0.66, radius * 0.66, (136, 138, 140))
        for spoke in range(5):
            angle = 2 * np.pi * spoke / 5
            tip = (wheel + 0.55 * radius * float(np.cos(angle)), radius + 0.55 * radius * float(np.sin(angle)))
            sheet.line([(wheel, radius), tip], 0.05, (64, 66, 68))
    speckle(sheet.rgba, noise(rng, *sheet.rgba.shape[:2], [(40, 60)]), 0.05)
    return sheet


def _mirrored(sheet: Sheet) -> Texture:
    return Texture(np.ascontiguousarray(sheet.rgba[:, ::-1]))


def _lower(shape: _Shape, paint: Color, height: float) -> Sheet:
    """The vertical end of a body, up to `height`, with its tyres."""
    sheet, width = Sheet(shape.width, height, _RESOLUTION), shape.width
    for side in (0.06, width - 0.28):
        sheet.box(side, 0.0, 0.22, 0.4, (22, 22, 24))
    sheet.polygon([(0.0, 0.24), (width, 0.24), (width, height), (0.0, height)], paint)
    sheet.box(0.0, 0.24, width, 0.24, shaded(paint, 0.62))
    return sheet


def _bumper(shape: _Shape, paint: Color) -> Texture:
    """The car from behind, below the rear window."""
    top, width = shape.roof[0][1], shape.width
    sheet = _lower(shape, paint, top)
    for side in (0.05, width - 0.25):
        sheet.box(side, top - 0.34, 0.2, 0.3, (158, 22, 24))
        sheet.box(side, top - 0.14, 0.2, 0.07, (216, 120, 50))
    sheet.box(0.1, 0.48, width - 0.2, 0.02, shaded(paint, 0.5))
    sheet.box(width / 2 - 0.26, 0.54, 0.52, 0.12, (206, 184, 70))
    sheet.box(width / 2 - 0.2, 0.58, 0.4, 0.04, (60, 56, 44))
    sheet.box(0.05, top - 0.05, width - 0.1, 0.05, shaded(paint, 1.25))
    return sheet.texture()


def _grille(shape: _Shape, paint: Color) -> Texture:
    """The car from the front, below the bonnet."""
    top, width = shape.roof[-2][1], shape.width
    sheet = _lower(shape, paint, top)
    sheet.box(width / 2 - 0.42, 0.48, 0.84, top - 0.6, (26, 27, 30))
    for side in (0.1, width - 0.46):
        sheet.box(side, top - 0.24, 0.36, 0.18, (64, 66, 68))
        sheet.ellipse(side + 0.18, top - 0.15, 0.15, 0.08, (232, 232, 222))
    sheet.box(width / 2 - 0.26, 0.32, 0.52, 0.11, (226, 226, 220))
    sheet.box(width / 2 - 0.2, 0.355, 0.4, 0.04, (50, 50, 50))
    return sheet.texture()


def _screen(shape: _Shape, paint: Color, bright: float) -> Texture:
    """A cabin's end: rear window or windscreen between its pillars, narrower at the roof."""
    width, lean = shape.width, 0.05 if shape.width > 1.9 else 0.17
    sheet = Sheet(width, 0.6, _RESOLUTION, paint)
    lower, upper = 0.12, lean + 0.1
    sheet.polygon([(lower, 0.04), (width - lower, 0.04), (width - upper, 0.55), (upper, 0.55)], _GLASS)
    sky = shaded((124, 138, 150), bright)
    sheet.polygon([(0.3, 0.28), (width - 0.25, 0.36), (width - upper, 0.55), (upper, 0.55)], sky)
    if width < 1.9:
        for seat in (width * 0.32, width * 0.68):  # head rests
            sheet.ellipse(seat, 0.13, 0.1, 0.1, shaded(_GLASS, 0.7))
    return sheet.texture()
