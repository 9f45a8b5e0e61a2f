"""The ground of the street: a road between kerbs with pavement on either side, as image, labels and depth.

All of it lies at height 0: the kerbs are painted, not steps.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.street.paint import noise
from fanet_ros.sources.street.raster import Canvas

ROAD_HALF_WIDTH = 5.8
"""From the middle of the road to its kerb, metres: a lane of 3.6 m and a parking strip of 2.2 m."""

PAVEMENT_EDGE = 9.2
"""From the middle of the road to the building line, metres."""

_HALF_WIDTH = 14.0  # of the painted strip: pavement goes on beyond the building line
_PERIOD = 48.0  # metres after which the ground's texture repeats; a multiple of the dashes' 6 m
_ACROSS = (40.0, 40.0, 30.0, 18.0, 8.0)  # texels per metre across the street, near to far
_ALONG = (48.0, 16.0, 5.0, 1.5, 0.35)  # texels per metre along the street, near to far
_FAR = 600.0  # beyond this the ground's last texels are stretched to the horizon, metres
_LANE_LINE = 3.6
_CORNERS = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)  # of the plane that the ground is


class Ground:
    """Paints the ground by inverse perspective, in bands that get coarser along the street with distance."""

    def __init__(self, rng: np.random.Generator) -> None:
        base = _paint(rng)
        reach = (12.0, 24.0, 40.0, 90.0, _FAR)
        self._bands = []
        for across, along, distance in zip(_ACROSS, _ALONG, reach, strict=True):
            size = (round(2 * _HALF_WIDTH * across), round(_PERIOD * along))
            tile = cv2.resize(base, size, interpolation=cv2.INTER_AREA)
            repeats = math.ceil((distance + _PERIOD) / _PERIOD)
            self._bands.append((np.tile(tile, (repeats, 1, 1)), across, size[1] / _PERIOD))

    def draw(self, canvas: Canvas, road: int, pavement: int) -> None:
        """Paint everything below the horizon, with the class ids of road and pavement."""
        view, height = canvas.view, canvas.view.intrinsics.height
        top = max(0, math.floor(view.horizon) + 1)
        if top >= height:
            return
        self._label(canvas, top, road, pavement)
        if canvas.surfaces is not None:
            canvas.surfaces.ids[top:] = canvas.surfaces.add([view.point(corner) for corner in _CORNERS])
        pose, k = view.pose, view.intrinsics
        # A texel of resolution r along the street is worth a pixel at the distance sqrt(f h / r).
        starts = [math.sqrt(k.fy * pose.z / (1.4 * along)) for along in _ALONG]
        rows = [max(top, min(height, round(view.ground_row(start)))) for start in starts]
        below = height
        for (texels, across, along), row in zip(self._bands, [*rows[1:], top], strict=True):
            if row < below:
                self._warp(canvas, texels, (across, along), row, below)
                below = row

    def _label(self, canvas: Canvas, top: int, road: int, pavement: int) -> None:
        view = canvas.view
        width, height = view.intrinsics.width, view.intrinsics.height
        labels = canvas.labels[top:]
        labels[:] = pavement
        # Both kerbs are straight lines in the image: find them at two distances, then column per row.
        rows = np.arange(top, height)
        edges = []
        for side in (ROAD_HALF_WIDTH, -ROAD_HALF_WIDTH):
            near, far = view.project(np.array([(view.pose.x + 6, side, 0.0), (view.pose.x + 60, side, 0.0)]))
            slope = (near[0] - far[0]) / (near[1] - far[1])
            edges.append((far[0] + (rows - far[1]) * slope)[:, None])
        columns = np.arange(width)
        np.copyto(labels, np.uint8(road), where=(columns >= edges[0]) & (columns <= edges[1]))

    def _warp(
        self,
        canvas: Canvas,
        texels: NDArray[np.uint8],
        per_metre: tuple[float, float],
        top: int,
        bottom: int,
    ) -> None:
        across, along = per_metre
        view, pose = canvas.view, canvas.view.pose
        start = math.floor(pose.x / _PERIOD) * _PERIOD
        # Texel (column, row) lies at y = _HALF_WIDTH - (column + 0.5) / across, x = start + (row + 0.5) / along.
        turn = pose.optical_from_map
        across_step, along_step = turn[:, 1] / -across, turn[:, 0] / along
        origin = turn @ (np.array([start, _HALF_WIDTH, 0.0]) - pose.position)
        to_space = np.column_stack((across_step, along_step, origin + 0.5 * (across_step + along_step)))
        to_image = view.matrix @ to_space
        to_image[1] -= top * to_image[2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (view.intrinsics.width, bottom - top)
        canvas.image[top:bottom] = cv2.warpPerspective(
            texels, np.linalg.inv(to_image), size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )


def _paint(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One period of ground seen from above, RGBA: rows along the street, columns from left to right."""
    across, along = round(2 * _HALF_WIDTH * _ACROSS[0]), round(_PERIOD * _ALONG[0])
    y = (_HALF_WIDTH - (np.arange(across) + 0.5) / _ACROSS[0]).astype(np.float32)[None, :]
    x = ((np.arange(along) + 0.5) / _ALONG[0]).astype(np.float32)[:, None]
    grain = noise(rng, along, across, [(1, 1), (2, 2), (5, 4)])
    stains = noise(rng, along, across, [(60, 30), (200, 60), (400, 25)])

    tracks = sum(np.exp(-(((np.abs(y) - centre) / 0.35) ** 2)) for centre in (0.95, 2.45))
    oil = np.exp(-(((np.abs(y) - 1.7) / 0.3) ** 2))
    asphalt = 92 + 5 * tracks - 5 * oil + 9 * grain + 4.5 * stains
    asphalt = np.where(np.abs(y) > 3.7, asphalt - 6, asphalt)  # the parking strips are older
    for _ in range(7):  # repairs in fresher, darker asphalt
        left, start = rng.uniform(-5.5, 4.0), rng.uniform(0, _PERIOD - 6)
        wide, long = rng.uniform(0.6, 1.6), rng.uniform(1.5, 6)
        patch = (y > left) & (y < left + wide) & (x > start) & (x < start + long)
        asphalt = np.where(patch, asphalt * 0.8, asphalt)
    for _ in range(5):  # manhole covers
        centre_y, centre_x = rng.uniform(-3, 3), rng.uniform(1, _PERIOD - 1)
        radius = np.hypot(y - centre_y, x - centre_x)
        asphalt = np.where(radius < 0.33, 58 + 14 * ((x * 12 % 1 > 0.5) ^ (y * 12 % 1 > 0.5)), asphalt)
    asphalt = np.where(np.abs(y) > ROAD_HALF_WIDTH - 0.28, asphalt * 0.78, asphalt)  # the gutter

    slabs = 118 + 7 * grain + 6 * stains + 9 * _slab_tone(rng, x, y)
    joint = (np.abs(x / 0.6 % 1 - 0.5) > 0.475) | (np.abs(y / 0.6 % 1 - 0.5) > 0.475)
    slabs = np.where(joint, slabs - 26, slabs)
    kerb_joint = np.abs(x / 0.9 % 1 - 0.5) > 0.485
    kerb = np.where(kerb_joint, 95, 158 + 8 * grain)
    kerb = np.where(np.abs(y) > ROAD_HALF_WIDTH + 0.22, 82, kerb)

    off_road = np.abs(y) >= ROAD_HALF_WIDTH
    on_kerb = off_road & (np.abs(y) < ROAD_HALF_WIDTH + 0.26)
    grey = np.where(on_kerb, kerb, np.where(off_road, slabs, asphalt))
    tint = np.where(off_road[..., None], (1.0, 0.96, 0.91), (0.96, 0.99, 1.03)).astype(np.float32)
    picture = grey[..., None].astype(np.float32) * tint

    worn = 1 - 0.22 * np.clip(noise(rng, along, across, [(3, 3), (9, 6)]), 0, 3)[..., None]
    dash = (np.abs(y) < 0.075) & (x % 6 < 2.6)
    parking = (np.abs(np.abs(y) - _LANE_LINE) < 0.05) & (x % 1.5 < 0.75)
    paint = (dash | parking)[..., None]
    picture = np.where(paint, np.array((222, 222, 216), np.float32) * worn, picture)
    return cv2.cvtColor(np.clip(picture, 0, 255).astype(np.uint8), cv2.COLOR_RGB2RGBA)


def _slab_tone(rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """A brightness of its own for every paving slab of 0.6 m."""
    rows, columns = (x / 0.6).astype(np.int64) % 80, ((y + _HALF_WIDTH) / 0.6).astype(np.int64)
    return rng.standard_normal((80, columns.max() + 1), np.float32)[rows, columns]
