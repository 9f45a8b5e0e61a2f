"""Collects what the drivable-area node publishes in a demo, beside the overlays of the same stamps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import LaserScan

from fanet_ros.reports.birds_eye import Plan, draw_grid, draw_scan, navigation_sheet
from fanet_ros.reports.report import write_image
from fanet_ros.ros import qos

Stamp = tuple[int, int]

_PATIENCE = 30  # stamps that may be incomplete at once
_MOMENTS = 3
_ROW_HEIGHT = 360


@dataclass
class _Moment:
    """What belongs to one stamp."""

    overlay: NDArray[np.uint8] | None = None
    grid: OccupancyGrid | None = None
    scan: LaserScan | None = None

    @property
    def is_complete(self) -> bool:
        return self.overlay is not None and self.grid is not None and self.scan is not None


class NavigationRecorder:
    """Keeps a few complete moments, evenly spread over the run, and draws them at its end."""

    def __init__(self, node: Node, drivable_area: str) -> None:
        """Subscribe.

        Args:
            node: that listens.
            drivable_area: name of the drivable-area node.
        """
        self._open: dict[Stamp, _Moment] = {}
        self._kept: list[_Moment] = []
        self._interval = 1
        self.grids_seen = 0
        node.create_subscription(OccupancyGrid, f"{drivable_area}/free_space", self._on_grid, qos.latched())
        node.create_subscription(LaserScan, f"{drivable_area}/obstacle_scan", self._on_scan, qos.sensor_data())

    def add_overlay(self, stamp: Stamp, overlay: NDArray[np.uint8]) -> None:
        """Take a camera image with its classes, uint8 rgb8 (H, W, 3); it is copied."""
        moment = self._of(stamp)
        moment.overlay = overlay.copy()
        self._close(stamp, moment)

    def write(self, path: Path) -> bool:
        """Write the picture; returns whether there was anything to draw."""
        if not self._kept:
            return False
        last = len(self._kept) - 1
        chosen = sorted({round(last * part / (_MOMENTS - 1)) for part in range(_MOMENTS)})
        write_image(path, navigation_sheet([_draw(self._kept[index]) for index in chosen], _ROW_HEIGHT))
        return True

    def _on_grid(self, message: OccupancyGrid) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        moment = self._of(stamp)
        moment.grid = message
        self._close(stamp, moment)

    def _on_scan(self, message: LaserScan) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        moment = self._of(stamp)
        moment.scan = message
        self._close(stamp, moment)

    def _of(self, stamp: Stamp) -> _Moment:
        while len(self._open) >= _PATIENCE:
            del self._open[min(self._open)]
        return self._open.setdefault(stamp, _Moment())

    def _close(self, stamp: Stamp, moment: _Moment) -> None:
        if not moment.is_complete:
            return
        del self._open[stamp]
        if self.grids_seen % self._interval == 0:
            self._kept.append(moment)
            if len(self._kept) > 4 * _MOMENTS:
                self._kept = self._kept[::2]
                self._interval *= 2
        self.grids_seen += 1


def _draw(moment: _Moment) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    grid, scan = moment.grid, moment.scan
    assert moment.overlay is not None and grid is not None and scan is not None
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
    return moment.overlay, draw_grid(occupancy, plan), draw_scan(ranges, scan.angle_min, scan.angle_increment, plan)
