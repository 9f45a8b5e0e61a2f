"""The occupancy grid that goes out: of one frame, or summed up over time in the odometry frame."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Transform
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from std_msgs.msg import Header

from fanet_ros.ground.accumulate import OccupancyAccumulator
from fanet_ros.ground.grid import UNSEEN
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.ground.messages import grid_message
from fanet_ros.ros.ground.transforms import TransformError, Transforms

_PATIENCE_S = 1.0  # without odometry: what was summed up is kept, and nothing goes out meanwhile
_ODOMETRY_HINT = "is odometry running, and odom_frame its frame?"


class FreeSpace:
    """Hands grids on as they are, or sums them up.

    Attributes:
        note: why the last grid is not what was asked for; empty if it is.
    """

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._accumulator: OccupancyAccumulator | None = None
        self._made_of: tuple[GroundSettings, str, str, float] | None = None
        self._last_s = -math.inf
        self._last_grid: OccupancyGrid | None = None
        self.note = ""

    def observe(
        self, occupancy: NDArray[np.int8], header: Header, settings: DrivableAreaParameters
    ) -> OccupancyGrid | None:
        """Return the grid to publish after one more frame; None where this frame adds none.

        Args:
            occupancy: of the frame, in the base frame, as GroundView.occupancy returns it.
            header: the mask's stamp and the base frame.
            settings: say whether to sum up, where and for how long.

        Raises:
            SettingError: the grid is too large to be summed up.
        """
        self.note = ""
        if settings.accumulate:
            grid = self._sum_up(occupancy, header, settings)
        else:
            self._accumulator = None
            grid = _single(occupancy, header, settings)
        self._last_grid = grid or self._last_grid
        return grid

    def forget(self) -> OccupancyGrid | None:
        """Return a grid of nothing but unseen cells in place of the last one; None where nothing went out before.

        The topic keeps its last message for whoever subscribes later, and Nav2's static layer keeps it for ever: what
        is no longer known must not stay there.
        """
        self._accumulator = None
        last, self._last_grid = self._last_grid, None
        if last is not None:
            last.data = array.array("b", [UNSEEN]) * len(last.data)
        return last

    def _sum_up(
        self, occupancy: NDArray[np.int8], header: Header, settings: DrivableAreaParameters
    ) -> OccupancyGrid | None:
        now_s = _seconds(header.stamp)
        try:
            base = self._transforms.lookup(settings.odom_frame, header.frame_id, header.stamp, hint=_ODOMETRY_HINT)
        except TransformError as error:
            if self._accumulator is not None and 0 <= now_s - self._last_s <= _PATIENCE_S:
                return None
            self._accumulator = None
            self.note = f"~/free_space is not accumulated: {error}"
            return _single(occupancy, header, settings)
        ground = settings.ground_settings()
        made_of = (ground, settings.odom_frame, header.frame_id, settings.memory_s)
        if self._accumulator is None or self._made_of != made_of:
            self._accumulator = OccupancyAccumulator(memory_s=settings.memory_s)
            self._made_of = made_of
        pose = (base.translation.x, base.translation.y, _yaw(base))
        summed, *corner = self._accumulator.update(occupancy, ground, pose, now_s)
        self._last_s = now_s
        in_odom = Header(stamp=header.stamp, frame_id=settings.odom_frame)
        origin = (*corner, base.translation.z + settings.ground_z)
        return grid_message(in_odom, summed, origin, settings.grid_resolution)


def _single(occupancy: NDArray[np.int8], header: Header, settings: DrivableAreaParameters) -> OccupancyGrid:
    origin = (settings.grid_x_min, settings.grid_y_min, settings.ground_z)
    return grid_message(header, occupancy, origin, settings.grid_resolution)


def _seconds(stamp: TimeMessage) -> float:
    return stamp.sec + stamp.nanosec / 1e9


def _yaw(transform: Transform) -> float:
    q = transform.rotation
    return math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
