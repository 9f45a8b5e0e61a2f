"""Collects what the drivable-area node publishes in a demo, beside the overlays of the same stamps."""

from __future__ import annotations

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

    def __init__(self, node: Node, drivable_area: str) -> None:
        """Subscribe.

        Args:
            node: that listens.
            drivable_area: name of the drivable-area node.
        """
        self._moments = ByStamp(("overlay", "grid", "scan"))
        self._kept: list[dict[str, Any]] = []
        self._interval = 1
        self.grids_seen = 0
        node.create_subscription(
            OccupancyGrid, f"{drivable_area}/free_space", lambda m: self._add(stamp_of(m), "grid", m), latched()
        )
        node.create_subscription(
            LaserScan, f"{drivable_area}/obstacle_scan", lambda m: self._add(stamp_of(m), "scan", m), sensor_data()
        )

    def add_overlay(self, stamp: Stamp, overlay: NDArray[np.uint8]) -> None:
        """Take a camera image with its classes, uint8 rgb8 (H, W, 3); it is copied."""
        self._add(stamp, "overlay", overlay.copy())

    def write(self, path: Path) -> None:
        """Write the picture, if there is anything to draw."""
        if self._kept:
            last = len(self._kept) - 1
            chosen = sorted({round(last * part / (_MOMENTS - 1)) for part in range(_MOMENTS)})
            write_image(path, navigation_sheet([_draw(**self._kept[index]) for index in chosen], _ROW_HEIGHT))

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
    overlay: NDArray[np.uint8], grid: OccupancyGrid, scan: LaserScan
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    info, origin = grid.info, grid.info.origin.position
    occupancy = np.frombuffer(grid.data, np.int8).reshape(info.height, info.width)
    plan = Plan(
        x_min=origin.x,
        x_max=origin.x + info.width * info.resolution,
        y_min=origin.y,
        y_max=origin.y + info.height * info.resolution,
        height=_ROW_HEIGHT,
    )
    ranges = np.array(scan.ranges, np.float32)
    return overlay, draw_grid(occupancy, plan), draw_scan(ranges, scan.angle_min, scan.angle_increment, plan)
