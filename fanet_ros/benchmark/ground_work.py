"""The work of the ground level: every result of the ground projection, by our way and by the usual one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.benchmark.ground_reference import PlainProjection
from fanet_ros.benchmark.work import Work, wall, wall_of_each
from fanet_ros.ground.camera_calibration import calibration_of
from fanet_ros.ground.camera_model import CameraModel
from fanet_ros.ground.classes import kinds_of
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.semantic_cloud import SemanticCloud
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.measured.cloud import POINT_STEP, colours_of, fill_cloud
from fanet_ros.measured.projector import DepthCamera, MeasuredProjector
from fanet_ros.measured.settings import MeasuredSettings
from fanet_ros.measured.sight import registered_sight
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.depth_sensor import DepthSensor
from fanet_ros.sources.street.camera import LABEL_SET, StreetCamera

TABLES_FOR_CALIBRATION, TABLES_FOR_POSE = "tables, new calibration", "tables, new pose"
"""What is computed once: everything, and what depends on the pose alone."""

Mask = NDArray[np.uint8]

_OF_VIEW = ("drivable_mask", "occupancy", "scan", "obstacle_points")  # methods of both ways' views
_FRAMES, _RATE_HZ = 4, 2.0  # half a second of the drive between them
_CONFIDENCE = 200
_DISTORTION = (-0.3, 0.1, 0.001, -0.001, 0.0)  # of a common lens, for the time to build the tables


def ground(width: int, height: int) -> Work:
    """Film the street with its masks and build the tables.

    Returns:
        Runs by the name of each result, and by the same after "usual "; once: the building of the tables.
    """
    cv2.setNumThreads(1)
    size = Size(width, height)
    street = StreetCamera(width, height, rate_hz=_RATE_HZ, depth=True)
    masks = [np.ascontiguousarray(street.frame(index).labels) for index in range(_FRAMES)]
    filmed = street.pose(0)
    pose = CameraPose.from_parameters(0.0, 0.0, filmed.z, 0.0, filmed.pitch, 0.0)
    labels = load_label_set(LABEL_SET)
    kinds = kinds_of(labels, drivable="drivable", flat="walkable", obstacle="obstacle")
    confidence = np.full((height, width), _CONFIDENCE, np.uint8)

    projector = GroundProjector(CameraModel(calibration_of(street.intrinsics, ())), pose, size, GroundSettings())
    cloud = SemanticCloud(projector.points_in_range, labels.palette)
    plain = PlainProjection(street.intrinsics, pose, GroundSettings())
    ours = _results(lambda mask: projector.view(mask, kinds), lambda _, mask: cloud.fill(mask, confidence))
    usual = _results(
        lambda mask: plain.view(kinds[mask]), lambda view, mask: view.semantic_points(mask, confidence, labels.palette)
    )
    runs = {**ours, **{f"usual {name}": result for name, result in usual.items()}}
    runs |= _measured_results(street, pose, kinds, labels.palette, confidence)

    calibration = calibration_of(street.intrinsics, _DISTORTION)
    known = CameraModel(calibration)
    build = partial(GroundProjector, pose=pose, mask_size=size, settings=GroundSettings())
    return Work(
        runs={name: wall_of_each(result, masks) for name, result in runs.items()},
        once={
            TABLES_FOR_CALIBRATION: wall(lambda: build(CameraModel(calibration))),
            TABLES_FOR_POSE: wall(lambda: build(known)),
        },
    )


def _results(
    view_of: Callable[[Mask], Any], points_of: Callable[[Any, Mask], object]
) -> dict[str, Callable[[Mask], object]]:
    """Return what makes each result of a mask, and what makes all of them of one view."""

    def of_view(method: str, mask: Mask) -> None:
        getattr(view_of(mask), method)()

    def everything(mask: Mask) -> None:
        view = view_of(mask)
        for method in _OF_VIEW:
            getattr(view, method)()
        points_of(view, mask)

    return {
        **{method.replace("_", " "): partial(of_view, method) for method in _OF_VIEW},
        "semantic points": lambda mask: points_of(view_of(mask), mask),
        "all together": everything,
    }


def _measured_results(
    street: StreetCamera, pose: CameraPose, kinds: NDArray[np.uint8], palette: NDArray[np.uint8], confidence: Mask
) -> dict[str, Callable[[Mask], object]]:
    """Return what makes all results of a mask and a depth image of its pixels, by both ways."""
    height, width = confidence.shape
    size, settings, measured = Size(width, height), GroundSettings(), MeasuredSettings()
    model = CameraModel(calibration_of(street.intrinsics, ()))
    true = street.frame(0).depth
    assert true is not None
    depth = DepthSensor(focal=street.intrinsics.fx).measure_mm(true, 0)
    camera, projector = DepthCamera(model, size), MeasuredProjector(settings, measured)
    sight = registered_sight(model, size, model, size)
    colours, cloud = colours_of(palette), np.empty(height * width * POINT_STEP, np.uint8)

    def ours(mask: Mask) -> None:
        view = projector.view(camera.points(depth, pose, measured.depth_max), sight, mask, kinds)
        view.occupancy()
        view.scan()
        view.obstacle_points()
        view.obstacle_cloud()
        fill_cloud(view, mask, confidence, colours, cloud)

    plain = PlainProjection(street.intrinsics, pose, settings)
    metres = np.where(depth > 0, depth / 1000, np.nan)

    def usual(mask: Mask) -> None:
        view = plain.measured_view(kinds[mask], metres, measured.step_height)
        view.occupancy()
        view.scan()
        view.obstacle_points()
        view.semantic_points(mask, confidence, palette)

    name = "all with measured depth"
    return {name: ours, f"usual {name}": usual}
