"""Painting textures: noise, and a sheet of paper measured in metres."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.street.raster import Color, Texture

_SHIFT = 4


def noise(
    rng: np.random.Generator, height: int, width: int, cells: Sequence[tuple[float, float]]
) -> NDArray[np.float32]:
    """Sum of smooth random fields, float32 (H, W), zero mean, about unit variance.

    Args:
        rng: where the randomness comes from.
        height: rows.
        width: columns.
        cells: the grain of each field as (rows, columns) of one random cell, in pixels.
    """
    total = np.zeros((height, width), np.float32)
    for rows, columns in cells:
        grid = rng.standard_normal((max(2, round(height / rows)), max(2, round(width / columns))), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return total / np.sqrt(len(cells)).astype(np.float32)


def speckle(picture: NDArray[np.uint8], field: NDArray[np.float32], strength: float) -> None:
    """Vary the brightness of the colour channels in place by `strength` times a field of unit variance."""
    factor = 1 + strength * field[..., None]
    picture[..., :3] = np.clip(picture[..., :3] * factor, 0, 255).astype(np.uint8)


def shaded(color: Sequence[float], factor: float) -> Color:
    """An RGB colour made lighter or darker."""
    red, green, blue = (int(min(255.0, max(0.0, channel * factor))) for channel in color)
    return red, green, blue


class Sheet:
    """Paper for a texture: x to the right and z upwards in metres, from the bottom left corner.

    Attributes:
        rgba: uint8 (H, W, 4); transparent unless a ground colour was given.
    """

    def __init__(self, width: float, height: float, per_metre: float, ground: Color | None = None) -> None:
        rows, columns = round(height * per_metre), round(width * per_metre)
        self.rgba = np.zeros((rows, columns, 4), np.uint8)
        if ground is not None:
            self.rgba[:] = (*ground, 255)
        self._scale = per_metre
        self._height = height

    def polygon(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        """Fill a polygon of any shape."""
        self.polygons(np.array([points]), [color])

    def polygons(self, corners: NDArray[np.float64], colors: Sequence[Color]) -> None:
        """Fill polygons of equally many corners, (N, corners, 2), one after the other."""
        for polygon, color in zip(self._fixed(corners), colors, strict=True):
            cv2.fillPoly(self.rgba, [polygon], (*color, 255), cv2.LINE_8, _SHIFT)

    def box(self, left: float, bottom: float, width: float, height: float, color: Color) -> None:
        """Fill an upright rectangle."""
        right, top = left + width, bottom + height
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def line(self, points: Sequence[tuple[float, float]], thickness: float, color: Color) -> None:
        """Draw a line of a thickness in metres through points, with round ends."""
        pixels = max(1, round(thickness * self._scale))
        cv2.polylines(self.rgba, [self._fixed(np.array(points))], False, (*color, 255), pixels, cv2.LINE_8, _SHIFT)

    def ellipse(self, x: float, z: float, radius_x: float, radius_z: float, color: Color) -> None:
        """Fill an ellipse about (x, z)."""
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.column_stack((x + radius_x * np.cos(angles), z + radius_z * np.sin(angles)))
        self.polygons(ring[None], [color])

    def ring(self, x: float, z: float, radius: float, thickness: float, color: Color) -> None:
        """Draw a circle's outline."""
        angles = np.linspace(0, 2 * np.pi, 25)
        rim = np.column_stack((x + radius * np.cos(angles), z + radius * np.sin(angles)))
        self.line([(float(u), float(v)) for u, v in rim], thickness, color)

    def light(self, top: float, bottom: float) -> None:
        """Multiply the colours by a factor that runs from the top edge to the bottom edge."""
        ramp = np.linspace(top, bottom, self.rgba.shape[0], dtype=np.float32)[:, None, None]
        self.rgba[..., :3] = np.clip(self.rgba[..., :3] * ramp, 0, 255).astype(np.uint8)

    def texture(self, light: float = 1.0) -> Texture:
        """Return what was painted, with the colours multiplied by `light`."""
        picture = self.rgba.copy()
        picture[..., :3] = np.clip(picture[..., :3] * light, 0, 255).astype(np.uint8)
        return Texture(picture)

    def _fixed(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        upright = points * (1, -1) + (0, self._height)
        return np.rint((upright * self._scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
