"""A camera over flat ground with boxes on it, written from the equations, apart from fanet_ros.ground on purpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.camera_model import Calibration, RegionOfInterest
from fanet_ros.settings import Size

Floats = NDArray[np.float64]

ROAD, PAVEMENT, CAR = 3, 4, 8  # of camvid11
_FINE = 4  # masks are painted that many times larger: the border of a polygon is then true to a quarter of a pixel

LENSES: dict[str, tuple[str, tuple[float, ...], float]] = {  # distortion model, D, focal length at 640x360
    "pinhole": ("plumb_bob", (0.0,) * 5, 480.0),
    "plumb_bob": ("plumb_bob", (-0.32, 0.13, 0.0011, -0.0007, -0.024), 420.0),
    "rational": ("rational_polynomial", (2.9, 1.1, 0.0005, -0.0004, 0.08, 3.25, 2.0, 0.31), 430.0),
    "equidistant": ("equidistant", (-0.021, 0.006, -0.004, 0.0007), 260.0),
}


class Box(NamedTuple):
    """An upright box on the ground, or with no height a patch of it, metres in the base frame."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    height: float = 1.0
    label: int = CAR
    lift: float = 0.0  # how far its lower side is above the ground


@dataclass(frozen=True)
class TruthCamera:
    """Pose in the base frame (metres, radians, REP 103) and lens of a 640x360 camera."""

    lens: str = "pinhole"
    x: float = 0.0
    y: float = 0.0
    height: float = 1.5
    roll: float = 0.0
    pitch: float = 0.05
    yaw: float = 0.0
    roi: RegionOfInterest | None = None
    binning: int = 1
    mask_size: Size = Size(640, 360)
    size: Size = field(default=Size(640, 360), repr=False)

    @property
    def pose(self) -> tuple[float, float, float, float, float, float]:
        """What CameraPose.from_parameters takes."""
        return self.x, self.y, self.height, self.roll, self.pitch, self.yaw

    @property
    def calibration(self) -> Calibration:
        model, d, f = LENSES[self.lens]
        k = (f, 0.0, self.size.width / 2 + 3.0, 0.0, f * 1.01, self.size.height / 2 - 2.0, 0.0, 0.0, 1.0)
        p = (*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0)
        identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        return Calibration(*self.size, model, d, k, identity, p, self.binning, self.binning, self.roi)

    def optical(self, points: Floats) -> Floats:
        """Base frame (N, 3) -> optical frame (N, 3)."""
        turns = [
            cv2.Rodrigues(np.array(axis) * angle)[0]
            for axis, angle in (((0, 0, 1.0), self.yaw), ((0, 1.0, 0), self.pitch), ((1.0, 0, 0), self.roll))
        ]
        body = (points - (self.x, self.y, self.height)) @ (turns[0] @ turns[1] @ turns[2])
        return np.column_stack([-body[:, 1], -body[:, 2], body[:, 0]])

    def pixels(self, points: Floats, mask_size: Size | None = None) -> Floats:
        """Base frame (N, 3) -> mask pixels (N, 2), NaN behind the camera."""
        optical = self.optical(np.asarray(points, np.float64))
        behind = optical[:, 2] < 0.05
        optical[behind] = (0, 0, 1)
        k = np.array(self.calibration.k).reshape(3, 3)
        model, d, _ = LENSES[self.lens]
        if model == "equidistant":
            seen = cv2.fisheye.projectPoints(optical[:, None], np.zeros(3), np.zeros(3), k, np.array(d))[0][:, 0]
        else:
            seen = _brown(optical[:, :2] / optical[:, 2:], d) * (k[0, 0], k[1, 1]) + (k[0, 2], k[1, 2])
        seen[behind] = np.nan
        # what lies far outside the image may fold back into it
        angle = np.degrees(np.arctan2(np.hypot(optical[:, 0], optical[:, 1]), optical[:, 2]))
        seen[angle > 55] = np.nan
        roi = self.roi or RegionOfInterest(0, 0, *self.size)
        image = np.array([roi.width // self.binning, roi.height // self.binning])
        seen = (seen - (roi.x_offset, roi.y_offset)) / self.binning
        return seen * (np.array(mask_size or self.mask_size) - 1) / (image - 1)

    @property
    def pixel_angle(self) -> float:
        """What a column of the mask spans in its middle, radians."""
        image = (self.roi.width if self.roi else self.size.width) // self.binning
        return self.binning * (image - 1) / (self.mask_size.width - 1) / LENSES[self.lens][2]

    def footprint(self, ground: Floats) -> Floats:
        """How many metres outward one pixel of the mask covers at points of the ground (N, 2)."""
        foot = np.array([self.x, self.y])
        outward = ground - foot
        outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
        near, far = (self.pixels(_on_ground(ground + sign * 0.005 * outward)) for sign in (-1, 1))
        return 0.01 / np.linalg.norm(far - near, axis=1)

    def mask(self, boxes: Sequence[Box], background: int = ROAD) -> NDArray[np.uint8]:
        """Paint boxes in their order on the background, which is the sky, too."""
        fine = Size(*((side - 1) * _FINE + 1 for side in self.mask_size))
        picture = np.full((fine.height, fine.width), background, np.uint8)
        for box in boxes:
            for quads in _faces(box):
                corners = self.pixels(quads.reshape(-1, 3) + (0.0, 0.0, box.lift), fine).reshape(-1, 4, 2)
                usable = corners[~np.isnan(corners).any((1, 2)) & (np.abs(corners) < 20_000).all((1, 2))]
                for quad in np.round(usable).astype(np.int32):
                    cv2.fillConvexPoly(picture, quad, box.label)
        return np.ascontiguousarray(picture[::_FINE, ::_FINE])

    def contact(self, angles: Floats, boxes: Sequence[Box]) -> Floats:
        """Distance from the foot point to the first box at angles (N,) about it, inf where there is none."""
        directions = np.column_stack([np.cos(angles), np.sin(angles)])
        found = np.full(len(angles), np.inf)
        for box in boxes:
            with np.errstate(divide="ignore"):
                low = (np.array([box.x_min, box.y_min]) - (self.x, self.y)) / directions
                high = (np.array([box.x_max, box.y_max]) - (self.x, self.y)) / directions
            enter, leave = np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)
            found = np.where((enter <= leave) & (enter > 0), np.minimum(found, enter), found)
        return found


def angle_of(points: NDArray[np.floating], camera: TruthCamera) -> Floats:
    """Angles of points of the ground (N, 2 or more) about the camera's foot point."""
    return np.arctan2(points[:, 1] - camera.y, points[:, 0] - camera.x).astype(np.float64)


def _on_ground(points: Floats) -> Floats:
    return np.column_stack([points, np.zeros(len(points))])


def _brown(flat: Floats, d: Sequence[float]) -> Floats:
    """Brown and Conrady's polynomial with its rational extension, as OpenCV's documentation writes it."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*d, *(0.0,) * (8 - len(d)))
    x, y = flat.T
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return np.column_stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ]
    )


def _faces(box: Box) -> list[Floats]:
    """The top and the four sides as small quadrangles (N, 4, 3), so that a lens may bend them."""
    x, y, z = (
        np.linspace(low, high, max(8, math.ceil((high - low) / 0.2)) + 1)
        for low, high in (box[:2], box[2:4], (0.0, box.height))
    )
    faces = [_quads(x, y, lambda a, b: (a, b, box.height))]
    if box.height:
        faces += [_quads(x, z, lambda a, b, at=at: (a, at, b)) for at in box[2:4]]
        faces += [_quads(y, z, lambda a, b, at=at: (at, a, b)) for at in box[:2]]
    return faces


def _quads(first, second, place) -> Floats:
    return np.array(
        [
            [place(a, c), place(b, c), place(b, d), place(a, d)]
            for a, b in zip(first[:-1], first[1:], strict=True)
            for c, d in zip(second[:-1], second[1:], strict=True)
        ]
    )


def degrees(*values: float) -> tuple[float, ...]:
    """Radians of degrees."""
    return tuple(math.radians(value) for value in values)
