"""Flat ground, a ramp and boxes, seen by a ray caster: depth and labels that owe nothing to the street's painter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from street_truth import Footprint, GroundGrid, free_cells, map_from_optical

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.geometry import CameraPose

Floats = NDArray[np.float64]

SKY, BUILDING, ROAD, CAR = 0, 1, 3, 8  # of camvid11


@dataclass(frozen=True)
class Block:
    """A box that stays upright on a ramp, metres in the map frame.

    `bottom` and `top` are heights above the ground at its middle.

    Attributes:
        label: class id of its pixels.
    """

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    bottom: float = 0.0
    top: float = 1.0
    label: int = BUILDING


def car(x: float, y: float, length: float = 4.2, width: float = 1.8, height: float = 1.5) -> list[Block]:
    """A car with its middle at (x, y): a body 0.24 m above the ground on four tyres. One can look below it."""
    half_length, half_width = length / 2, width / 2
    body = Block(x - half_length, x + half_length, y - half_width, y + half_width, 0.24, height, CAR)
    tyres = [
        Block(at - 0.3, at + 0.3, min(side, inner), max(side, inner), 0.0, 0.6, CAR)
        for at in (x - half_length + 0.8, x + half_length - 0.8)
        for side, inner in ((y - half_width, y - half_width + 0.22), (y + half_width, y + half_width - 0.22))
    ]
    return [body, *tyres]


@dataclass(frozen=True)
class RampScene:
    """Ground at height 0 up to `ramp_at`, and from there on rising by `slope` metres per metre along x.

    Attributes:
        blocks: what stands on it.
        slope: 0.05 is a ramp of 5 %; negative descends.
        ramp_at: where the ramp begins, metres along x.
    """

    blocks: tuple[Block, ...] = ()
    slope: float = 0.0
    ramp_at: float = math.inf

    def ground(self, x: Floats | float) -> Floats:
        """Height of the ground, metres."""
        return self.slope * np.maximum(np.asarray(x) - self.ramp_at, 0.0) if self.slope else np.zeros(np.shape(x))

    def render(self, intrinsics: Intrinsics, pose: CameraPose) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Depth, float32 (H, W), metres along the optical axis, inf in the sky, and labels, from any pose."""
        k = intrinsics
        u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
        optical = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=-1)
        rays = optical @ map_from_optical(pose).T  # of depth 1: what is `t` rays away has the depth t
        eye = np.array([pose.x, pose.y, pose.z])
        depth = self._ground_depth(eye, rays)
        labels = np.where(np.isfinite(depth), ROAD, SKY).astype(np.uint8)
        for block in self.blocks:
            low, high = self._corners(block)
            at = entered(eye, rays, low, high)
            nearer = at < depth
            depth[nearer], labels[nearer] = at[nearer], block.label
        return depth.astype(np.float32), labels

    def footprints(self) -> list[Footprint]:
        """Where nobody can drive; of a car all that is below its body, too."""
        return [
            Footprint(block.x_min, block.x_max, block.y_min, block.y_max, float(self._corners(block)[1][2]))
            for block in self.blocks
            if block.top > 0.15
        ]

    def free(self, grid: GroundGrid, pose: CameraPose) -> NDArray[np.bool_]:
        """Which cells are truly free, bool (rows, columns)."""
        return free_cells(self.footprints(), grid, pose)

    def _corners(self, block: Block) -> tuple[Floats, Floats]:
        base = float(self.ground((block.x_min + block.x_max) / 2))
        # on a slope the lower edge would hover on one side: what stands on the ground reaches into it
        sunk = abs(self.slope) * (block.x_max - block.x_min) if block.bottom == 0 else 0.0
        low = np.array([block.x_min, block.y_min, base + block.bottom - sunk])
        return low, np.array([block.x_max, block.y_max, base + block.top])

    def _ground_depth(self, eye: Floats, rays: Floats) -> Floats:
        """Depth of the ground: the first of its two planes that a ray meets on that plane's side of `ramp_at`."""
        depth = np.full(rays.shape[:2], np.inf)
        planes = [(0.0, 0.0, -math.inf, self.ramp_at if self.slope else math.inf)]
        if self.slope:
            planes.append((self.slope, -self.slope * self.ramp_at, self.ramp_at, math.inf))
        for slope, height, x_min, x_max in planes:
            with np.errstate(divide="ignore", invalid="ignore"):
                t = (slope * eye[0] + height - eye[2]) / (rays[..., 2] - slope * rays[..., 0])
                x = eye[0] + t * rays[..., 0]
            on_plane = (t > 0) & (x >= x_min) & (x <= x_max)
            depth = np.where(on_plane & (t < depth), t, depth)
        return depth


def entered(eye: Floats, rays: Floats, low: Floats, high: Floats) -> Floats:
    """How many rays away a box between two corners is entered, float64 (H, W); inf where it is missed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (low - eye) / rays, (high - eye) / rays
    enter, leave = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)
