"""The street as a depth camera and its mask show it, and what a robot should make of both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from street_truth import GroundGrid, footprints, free_cells, points_of

from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.classes import Kind
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.measured.projector import DepthCamera, MeasuredProjector, cloud_points
from fanet_ros.measured.settings import MeasuredSettings
from fanet_ros.measured.sight import projected_sight, registered_sight
from fanet_ros.measured.view import MeasuredView
from fanet_ros.settings import Size
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.depth_sensor import DepthSensor
from fanet_ros.sources.lidar import SpinningLidar
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View

SKY, ROAD, PAVEMENT = 0, 3, 4
REACH = 10.0

GROUND = GroundSettings(range_max=REACH, grid_x_max=REACH, grid_y_min=-8.0, grid_y_max=8.0)
MEASURED = MeasuredSettings(depth_max=REACH)


def kinds() -> NDArray[np.uint8]:
    """Road is free, pavement flat, all others but the sky stand; camvid11."""
    table = np.zeros(256, np.uint8)
    table[1:11] = Kind.OBSTACLE
    table[ROAD], table[PAVEMENT] = Kind.FREE, Kind.FLAT
    return table


def model_of(intrinsics: Intrinsics) -> CameraModel:
    """An ideal pinhole."""
    k = intrinsics
    camera = (k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0)
    projection = (k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CameraModel(
        Calibration(k.width, k.height, "plumb_bob", (0.0,) * 5, camera, (1.0, 0, 0, 0, 1, 0, 0, 0, 1), projection)
    )


def nominal_pose(camera: StreetCamera, index: int) -> CameraPose:
    """Where a robot believes its camera to be: it knows nothing of its nodding."""
    pose = camera.pose(index)
    return CameraPose.from_parameters(x=0, y=0, height=pose.z, roll=0, pitch=pose.pitch, yaw=0)


def forged(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask that calls everything but the sky road."""
    return np.where(labels == SKY, labels, ROAD).astype(np.uint8)


def measure(true_depth: NDArray[np.float32], focal: float, frame: int) -> NDArray[np.uint16]:
    """What a stereo camera makes of true depth, in millimetres."""
    return DepthSensor(focal=focal).measure_mm(true_depth, frame)


@dataclass(frozen=True)
class Checked:
    """One frame's grid against the truth: cells that are free and should not be, and cells that are known."""

    wrong: int
    known: int
    standing: int
    marked: int


@dataclass(frozen=True)
class Moment:
    """One frame of one street."""

    camera: StreetCamera
    index: int
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]

    @property
    def size(self) -> Size:
        return Size(*self.labels.shape[::-1])

    @property
    def pose(self) -> CameraPose:
        return nominal_pose(self.camera, self.index)


def moment(seed: int, nod_deg: float, size: tuple[int, int] = (320, 180)) -> Moment:
    """One frame of the street of a seed."""
    camera, index = StreetCamera(*size, seed=seed, depth=True, nod_deg=nod_deg), 30 + seed
    frame = camera.frame(index)
    assert frame.depth is not None and frame.labels is not None
    return Moment(camera, index, frame.labels, frame.depth)


def registered_view(at: Moment, mask: NDArray[np.uint8], told_up: float = 0.0) -> MeasuredView:
    """What a depth camera that is registered to the colour camera, and told to be higher, makes of a moment."""
    model, (x, y, z) = model_of(at.camera.intrinsics), at.pose.translation
    pose = replace(at.pose, translation=(x, y, z + told_up))
    depth_camera = DepthCamera(model, at.size)
    sensor = depth_camera.points(measure(at.depth, at.camera.intrinsics.fx, at.index), pose, REACH)
    sight = registered_sight(model, at.size, model, at.size)
    return MeasuredProjector(GROUND, MEASURED).view(sensor, sight, mask, kinds())


def aside_view(at: Moment, mask: NDArray[np.uint8], aside_m: float = 0.05) -> MeasuredView:
    """What a depth camera of another size, a little to the right, makes of a moment."""
    true = at.camera.pose(at.index, true=True).moved(aside_m, 0.0, 0.0)
    intrinsics = Intrinsics.from_fov(424, 240, 70.0)
    depth = at.camera.view(at.index, View(intrinsics, true)).depth()
    model, nominal = model_of(intrinsics), at.camera.pose(at.index)
    pose = CameraPose.from_parameters(x=0, y=-aside_m, height=nominal.z, roll=0, pitch=nominal.pitch, yaw=0)
    sensor = DepthCamera(model, Size(424, 240)).points(measure(depth, intrinsics.fx, at.index), pose, REACH)
    sight = projected_sight(sensor.points.reshape(-1, 3), model_of(at.camera.intrinsics), at.pose, at.size)
    return MeasuredProjector(GROUND, MEASURED).view(sensor, sight, mask, kinds())


def lidar_view(at: Moment, mask: NDArray[np.uint8]) -> MeasuredView:
    """What a lidar of 16 rings, 0.3 m above the camera and level, makes of a moment."""
    nominal = at.camera.pose(at.index)
    level = replace(nominal, z=nominal.z + 0.3, pitch=0.0)
    scan = SpinningLidar(at.camera, seed=at.index).scan(at.index, level)
    pose = CameraPose.from_transform((0.0, 0.0, level.z), (0.0, 0.0, 0.0, 1.0))
    sensor = cloud_points(scan.points, pose, REACH)
    sight = projected_sight(sensor.points.reshape(-1, 3), model_of(at.camera.intrinsics), at.pose, at.size)
    return MeasuredProjector(GROUND, MEASURED).view(sensor, sight, mask, kinds())


def check(at: Moment, occupancy: NDArray[np.int8]) -> Checked:
    """Compare a grid with what stands in the street."""
    camera, index = at.camera, at.index
    pose = camera.pose(index)
    grid = GroundGrid(GROUND.grid_x_min, GROUND.grid_y_min, *occupancy.shape[::-1], GROUND.grid_resolution)
    is_free = free_cells(footprints(camera, index), grid, pose)
    points = points_of(at.depth, camera.intrinsics, camera.pose(index, true=True)).reshape(-1, 3)
    stands = points[(points[:, 2] > 0.25) & (points[:, 2] < 1.8)]
    ahead = (stands - (pose.x, pose.y, 0)) @ np.array(
        [[np.cos(pose.yaw), -np.sin(pose.yaw)], [np.sin(pose.yaw), np.cos(pose.yaw)], [0, 0]]
    )
    ahead = ahead[np.hypot(*ahead.T) < REACH - 0.5]
    cells = np.floor((ahead - (GROUND.grid_x_min, GROUND.grid_y_min)) / GROUND.grid_resolution).astype(int)
    inside = ((cells >= 0) & (cells < occupancy.shape[::-1])).all(axis=1)
    counts = np.zeros(occupancy.shape, int)
    np.add.at(counts, (cells[inside, 1], cells[inside, 0]), 1)
    # noise and steps of disparity: 0.3 m at 10 m
    marked = cv2.dilate((occupancy == 100).astype(np.uint8), np.ones((7, 7))) > 0
    stand = counts >= 8
    return Checked(
        int(((occupancy == 0) & ~is_free).sum()),
        int((occupancy >= 0).sum()),
        int(stand.sum()),
        int((stand & marked).sum()),
    )


def summed(results: list[Checked]) -> Checked:
    """All of them together."""
    return Checked(*(sum(values) for values in zip(*(vars(result).values() for result in results), strict=True)))
