"""Collects what the drivable-area nodes publish in a demo, beside the overlays of the same stamps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import LaserScan

from fanet_ros.reports.birds_eye import Plan, draw_grid, draw_scan, navigation_sheet
from fanet_ros.reports.report import write_image
from fanet_ros.ros.demo.stamps import ByStamp, Stamp, stamp_of
from fanet_ros.ros.topics import latched, sensor_data

_MOMENTS = 3
_ROW_HEIGHT = 360


class NavigationRecorder:
    """Keeps a few complete moments, evenly spread over the run, and draws them at its end.

    Attributes:
        grids_seen: complete moments.
    """

    def __init__(self, node: Node, flat: str, measured: str) -> None:
        """Subscribe.

        Args:
            node: that listens.
            flat: name of the drivable-area node that takes the ground as flat.
            measured: name of the one that measures depth.
        """
        self._moments = ByStamp(("overlay", "flat_grid", "measured_grid", "scan"))
        self._kept: list[dict[str, Any]] = []
        self._interval = 1
        self.grids_seen = 0
        for name, kind, topic, profile in (
            ("flat_grid", OccupancyGrid, f"{flat}/free_space", latched()),
            ("measured_grid", OccupancyGrid, f"{measured}/free_space", latched()),
            ("scan", LaserScan, f"{measured}/obstacle_scan", sensor_data()),
        ):
            node.create_subscription(kind, topic, partial(self._take, name), profile)

    def add_overlay(self, stamp: Stamp, overlay: NDArray[np.uint8]) -> None:
        """Take a camera image with its classes, uint8 rgb8 (H, W, 3); it is copied."""
        self._add(stamp, "overlay", overlay.copy())

    def write(self, path: Path) -> None:
        """Write the picture, if there is anything to draw."""
        if self._kept:
            last = len(self._kept) - 1
            chosen = sorted({round(last * part / (_MOMENTS - 1)) for part in range(_MOMENTS)})
            write_image(path, navigation_sheet([_draw(**self._kept[index]) for index in chosen], _ROW_HEIGHT))

    def _take(self, name: str, message: OccupancyGrid | LaserScan) -> None:
        self._add(stamp_of(message), name, message)

    def _add(self, stamp: Stamp, name: str, part: Any) -> None:
        moment = self._moments.add(stamp, name, part)
        if moment is None:
            return
        if self.grids_seen % self._interval == 0:
            self._kept.append(moment)
            if len(self._kept) > 4 * _MOMENTS:
                self._kept = self._kept[::2]
                self._interval *= 2
        self.grids_seen += 1


def _draw(
    overlay: NDArray[np.uint8], flat_grid: OccupancyGrid, measured_grid: OccupancyGrid, scan: LaserScan
) -> dict[str, NDArray[np.uint8]]:
    ranges, reach = np.array(scan.ranges, np.float32), scan.range_max
    plan = _plan(flat_grid)  # for all, so that what is side by side can be compared
    return {
        "camera with classes": overlay,
        "free space, flat ground": draw_grid(_occupancy(flat_grid), plan),
        "free space, measured depth": draw_grid(_occupancy(measured_grid), plan),
        "obstacle scan, measured depth": draw_scan(ranges, scan.angle_min, scan.angle_increment, reach, plan),
    }


def _plan(grid: OccupancyGrid) -> Plan:
    info, origin = grid.info, grid.info.origin.position
    return Plan(
        x_min=origin.x,
        x_max=origin.x + info.width * info.resolution,
        y_min=origin.y,
        y_max=origin.y + info.height * info.resolution,
        height=_ROW_HEIGHT,
    )


def _occupancy(grid: OccupancyGrid) -> NDArray[np.int8]:
    return np.frombuffer(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
