"""Pictures of what a navigation stack gets: occupancy grid and scan from above; ahead is up, left is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.reports.render import BACKGROUND, titled_rows, write_text

Image = NDArray[np.uint8]

_FREE = (96, 168, 112)  # RGB
_UNSEEN = (64, 64, 64)
_OCCUPIED = (176, 48, 48)
_BEAM = (72, 104, 80)
_HIT = (255, 208, 64)
_LINE = (128, 128, 128)
_TEXT = (255, 255, 255)
_RING_M = 5.0


@dataclass(frozen=True)
class Plan:
    """The part of the ground that a picture shows.

    Attributes:
        x_min: rear edge in the base frame, metres.
        x_max: front edge.
        y_min: right edge.
        y_max: left edge.
        height: of the picture, pixels; its width follows.
    """

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    height: int

    @property
    def pixels_per_metre(self) -> float:
        """The scale of the picture."""
        return self.height / (self.x_max - self.x_min)

    @property
    def width(self) -> int:
        """Of the picture, pixels."""
        return max(1, round((self.y_max - self.y_min) * self.pixels_per_metre))

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Return the column and row of a point of the base frame, metres."""
        return round((self.y_max - y) * self.pixels_per_metre), round((self.x_max - x) * self.pixels_per_metre)


def draw_grid(occupancy: NDArray[np.int8], plan: Plan) -> Image:
    """Draw an occupancy grid that covers the plan, edge to edge.

    Args:
        occupancy: int8, (cells along y, cells along x), as in nav_msgs/OccupancyGrid: -1 unseen, 0 free to 100
            occupied.
        plan: what to draw.

    Returns:
        uint8 rgb8, (plan.height, plan.width, 3).
    """
    share = np.clip(occupancy, 0, 100).astype(np.float32)[..., None] / 100
    colors = (1 - share) * np.array(_FREE, np.float32) + share * np.array(_OCCUPIED, np.float32)
    colors[occupancy < 0] = _UNSEEN
    upright = np.ascontiguousarray(colors.transpose(1, 0, 2)[::-1, ::-1]).astype(np.uint8)  # rows: far to near
    picture = cv2.resize(upright, (plan.width, plan.height), interpolation=cv2.INTER_NEAREST)
    return _with_rings(np.asarray(picture, np.uint8), plan)


def draw_scan(
    ranges: NDArray[np.float32], angle_min: float, angle_increment: float, range_max: float, plan: Plan
) -> Image:
    """Draw a laser scan: hits as dots, and what is free up to them; beams of which nothing is known are left out.

    Args:
        ranges: float32, (beams,), metres; inf where it is free up to range_max, NaN where nothing is known.
        angle_min: of the first beam, radians, counted from ahead to the left.
        angle_increment: from beam to beam, radians.
        range_max: metres.
        plan: what to draw.

    Returns:
        uint8 rgb8, (plan.height, plan.width, 3).
    """
    picture = np.full((plan.height, plan.width, 3), BACKGROUND, np.uint8)
    angles = angle_min + angle_increment * np.arange(len(ranges))
    origin = plan.pixel(0.0, 0.0)
    ends = []
    for angle, distance in zip(angles.tolist(), ranges.tolist(), strict=True):
        if np.isnan(distance):
            continue
        reach = min(distance, range_max)
        end = plan.pixel(reach * np.cos(angle), reach * np.sin(angle))
        cv2.line(picture, origin, end, _BEAM, 1, cv2.LINE_AA)
        if np.isfinite(distance):
            ends.append(end)
    for end in ends:  # over all beams
        cv2.circle(picture, end, 2, _HIT, cv2.FILLED, cv2.LINE_AA)
    return _with_rings(picture, plan)


def navigation_sheet(rows: Sequence[Mapping[str, Image]], height: int) -> Image:
    """Lay out moments below each other, the pictures of each side by side under their titles.

    Args:
        rows: uint8 rgb8 pictures by title for each moment, one or more; all with the titles and sizes of the first.
        height: of one row, pixels.

    Returns:
        uint8 rgb8.
    """
    titles = tuple(rows[0])
    return titled_rows(titles, [[_fit(row[title], height) for title in titles] for row in rows])


def _fit(picture: Image, height: int) -> Image:
    size = (max(1, round(picture.shape[1] * height / picture.shape[0])), height)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _with_rings(picture: Image, plan: Plan) -> Image:
    """Add circles around the robot every 5 m, and the robot."""
    origin = plan.pixel(0.0, 0.0)
    distance = _RING_M
    while distance < max(plan.x_max, -plan.x_min, plan.y_max, -plan.y_min) + 1e-6:
        cv2.circle(picture, origin, round(distance * plan.pixels_per_metre), _LINE, 1, cv2.LINE_AA)
        column, row = plan.pixel(distance, 0.0)
        write_text(picture, f"{distance:g} m", (column + 4, row + 14))
        distance += _RING_M
    cv2.circle(picture, origin, 5, _TEXT, cv2.FILLED, cv2.LINE_AA)
    return picture
