"""The occupancy grid that goes out: of one frame, or summed up over time in the odometry frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from fanet_ros.ground.accumulate import OccupancyAccumulator
from fanet_ros.ground.parameters import DrivableAreaParameters
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.ros.transforms import TransformError, Transforms


@dataclass(frozen=True)
class FreeSpaceGrid:
    """One grid to publish.

    Attributes:
        occupancy: int8, (cells along y, cells along x): 0 free, 100 not drivable, -1 unseen.
        header: with the frame of the grid.
        origin: x and y of the corner of the first cell, metres.
        note: why it is not what was asked for; empty if it is.
    """

    occupancy: NDArray[np.int8]
    header: Header
    origin: tuple[float, float]
    note: str = ""


class FreeSpace:
    """Hands grids on as they are, or sums them up."""

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._accumulator: OccupancyAccumulator | None = None
        self._made_of: tuple[GroundSettings, str, str, float] | None = None

    def observe(self, occupancy: NDArray[np.int8], header: Header, settings: DrivableAreaParameters) -> FreeSpaceGrid:
        """Return the grid to publish after one more frame.

        Args:
            occupancy: of the frame, in the base frame, as GroundView.occupancy returns it.
            header: the mask's stamp and the base frame.
            settings: say whether to sum up, where and for how long.
        """
        ground = settings.ground_settings()
        single = FreeSpaceGrid(occupancy, header, (ground.grid_x_min, ground.grid_y_min))
        if not settings.accumulate:
            self._accumulator = None
            return single
        try:
            base = self._transforms.lookup(settings.odom_frame, header.frame_id, header.stamp)
        except TransformError as error:
            self._accumulator = None  # it would be somewhere else when TF comes back
            return FreeSpaceGrid(occupancy, header, single.origin, f"~/free_space is not accumulated: {error}")
        made_of = (ground, settings.odom_frame, header.frame_id, settings.memory_s)
        if self._accumulator is None or self._made_of != made_of:
            self._accumulator = OccupancyAccumulator(memory_s=settings.memory_s)
            self._made_of = made_of
        q = base.rotation
        yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
        stamp_s = header.stamp.sec + header.stamp.nanosec / 1e9
        pose = (base.translation.x, base.translation.y, yaw)
        summed, x, y = self._accumulator.update(occupancy, ground, pose, stamp_s)
        return FreeSpaceGrid(summed, Header(stamp=header.stamp, frame_id=settings.odom_frame), (x, y))
