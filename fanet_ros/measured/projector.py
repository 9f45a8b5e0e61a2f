"""From masks and measured points to the ground: what frames have in common, made once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.measured.kernels import Floats, depth_points, judge_points
from fanet_ros.measured.raster import RasterTable
from fanet_ros.measured.settings import MeasuredSettings, reach_of
from fanet_ros.measured.sight import Sight
from fanet_ros.measured.surface import SurfaceFinder
from fanet_ros.measured.view import MeasuredView
from fanet_ros.settings import Size

_GAP = 0.05
"""Metres a metre of range over which ground between two neighbouring points counts as seen."""


@dataclass(frozen=True)
class Sensor:
    """Points of one moment, and how they lie.

    Attributes:
        points: float32 (rows, columns, 3) in the base frame, NaN for none.
        position: float32 (3,), where they were measured from.
        order: int32 (rows * columns,), from high to low as the sensor sees them; None where the rows are so.
        is_dense: whether neighbours in the array are neighbours in sight.
    """

    points: Floats
    position: Floats
    order: NDArray[np.int32] | None
    is_dense: bool


class DepthCamera:
    """Depth images of one camera and size -> points."""

    def __init__(self, model: CameraModel, size: Size) -> None:
        """Look up where its pixels look.

        Raises:
            CalibrationError: a side is less than 2 pixels, or more than MAX_SIDE.
        """
        self.model, self.size = model, size
        directions = model.rays(size)
        with np.errstate(invalid="ignore", divide="ignore"):
            rays = directions[..., :2] / directions[..., 2:]
            rays[~(directions[..., 2] > 0.05)] = np.nan  # seen from the side, a depth along the axis tells nothing
        self._rays: Floats = np.ascontiguousarray(rays, np.float32)
        self._points = np.empty((size.height, size.width, 3), np.float32)
        rows = self._rays[..., 1]
        self._row_span = np.nanmin(rows, initial=np.inf), np.nanmax(rows, initial=-np.inf)
        self._order: NDArray[np.int32] | None = None
        self._order_of: Floats = np.empty(0, np.float32)

    def points(self, depth: NDArray[np.uint16] | Floats, pose: CameraPose, depth_max: float) -> Sensor:
        """Return where the pixels see something; valid until the next call.

        Args:
            depth: (h, w) of the size, uint16 in millimetres or float32 in metres (REP 118): along the optical axis;
                0, NaN, infinity and what is beyond `depth_max` are none.
            pose: of the camera's optical frame in the base frame.
            depth_max: metres.

        Raises:
            FrameError: another size or type.
        """
        expected = self.size.height, self.size.width
        if depth.shape != expected or (depth.dtype != np.uint16 and depth.dtype != np.float32):
            raise FrameError(
                f"depth: received {depth.dtype} of shape {depth.shape}, expected uint16 or float32 of shape {expected}"
            )
        rotation = np.ascontiguousarray(pose.base_from_optical, np.float32)
        position = pose.position.astype(np.float32)
        depth = depth if depth.flags.c_contiguous else depth.copy()
        depth_points(depth, self._rays, rotation, position, depth_max, self._points)
        return Sensor(self._points, position, self._order_at(rotation[2]), is_dense=True)

    def _order_at(self, up: Floats) -> NDArray[np.int32] | None:
        """Pixels from high to low; None where rows are so: not on its side, nor where its nadir is seen.

        Args:
            up: (3,), the base frame's z axis in the optical frame.
        """
        first, last = self._row_span
        if up[1] < up[2] * first and up[1] < up[2] * last:  # plumb lines run down all rows
            return None
        if not np.array_equal(self._order_of, up):
            lengths = np.sqrt((self._rays * self._rays).sum(axis=-1) + 1)
            self._order, self._order_of = _from_high_to_low(((self._rays @ up[:2] + up[2]) / lengths).reshape(-1)), up
        return self._order


def cloud_points(cloud: Floats, pose: CameraPose, depth_max: float) -> Sensor:
    """Return the points of a lidar or stereo camera in the base frame.

    Args:
        cloud: float32 (N, 3) in the sensor's frame, NaN for none.
        pose: of that frame in the base frame; no optical one is needed.
        depth_max: metres from the sensor.
    """
    position = pose.position.astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        squares = (cloud * cloud).sum(axis=1)
        # a point at the sensor itself is how drivers write that there was no echo
        is_point = (squares > 1e-6) & (squares <= depth_max**2)
    points = cloud[is_point] @ pose.base_from_optical.T.astype(np.float32)
    sines = points[:, 2] / np.sqrt(squares[is_point])
    points += position
    return Sensor(np.ascontiguousarray(points)[None], position, _from_high_to_low(sines), is_dense=False)


def _from_high_to_low(sines: Floats) -> NDArray[np.int32]:
    """Order points by the sines of their elevation, (N,); in steps of 16 bits, which are sorted ten times as fast."""
    return np.argsort(np.nan_to_num((1 - sines) * 32767).astype(np.uint16), kind="stable").astype(np.int32)


class MeasuredProjector:
    """Everything that depends on settings alone, and the memory of the ground from frame to frame."""

    def __init__(self, ground: GroundSettings, measured: MeasuredSettings) -> None:
        """Build the tables.

        Raises:
            SettingError: they would be too large.
        """
        self.ground, self.measured = ground, measured
        self._table = RasterTable(ground, measured)
        squares = np.square([ground.range_min, reach_of(ground, measured)])
        self._limits = np.array([measured.step_height, measured.clearance, *squares, _GAP], np.float32)
        self._finder: SurfaceFinder | None = None
        self._above = np.empty(0, np.float32)
        self._sources = np.empty(0, np.uint8)

    def view(self, sensor: Sensor, sight: Sight, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> MeasuredView:
        """Return one frame's results; what the view before returned is overwritten.

        Args:
            sensor: what was measured.
            sight: which pixels of the mask see which points.
            mask: uint8 (H, W), class ids.
            kinds: uint8 (256,), see ground.classes.
        """
        rows, columns = sensor.points.shape[:2]
        count = rows * columns
        points, labels = sensor.points.reshape(-1, 3), sight.labels(mask)
        kind_of_point: NDArray[np.uint8] = (
            cv2.LUT(labels, kinds).reshape(-1) if count else labels
        )  # none in an empty cloud
        finder = self._find_with(sensor.position[:2])
        surface = finder.find(points, kind_of_point)
        if self._above.size != count:
            self._above, self._sources = np.empty(count, np.float32), np.empty(count, np.uint8)
        raster = self._table.raster
        raster.clear()
        judge_points(
            *(sensor.points, kind_of_point.reshape(rows, columns), sensor.order, surface, self._limits, raster),
            *(self._above, self._sources),
            is_dense=sensor.is_dense,
        )
        return MeasuredView(
            *(points, labels, kind_of_point, self._above, self._sources, sight, surface, finder.is_trusted, raster),
            *(self._table, self.measured.min_points if sensor.is_dense else 1),
        )

    @property
    def finder(self) -> SurfaceFinder | None:
        """What finds the ground; None before the first frame."""
        return self._finder

    def _find_with(self, foot: Floats) -> SurfaceFinder:
        if self._finder is None or np.abs(self._finder.foot - foot).max() > 0.05:
            reach = reach_of(self.ground, self.measured) + float(np.hypot(*foot))
            self._finder = SurfaceFinder(foot, self.ground.ground_z, reach, self.measured.max_slope)
        return self._finder
