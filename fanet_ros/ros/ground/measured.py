"""Measured geometry beside the masks: what belongs together, where it was measured, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.pose import CameraPose
from fanet_ros.measured.pairing import Match, Recent
from fanet_ros.measured.plausible import FrozenWatch, check_units
from fanet_ros.measured.projector import DepthCamera, MeasuredProjector, Sensor, cloud_points
from fanet_ros.measured.sight import Sight, projected_sight, registered_sight
from fanet_ros.measured.view import MeasuredView
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.ground.errors import NotReadyError
from fanet_ros.ros.ground.measured_messages import depth_from_image, points_from_cloud
from fanet_ros.ros.ground.messages import calibration_from
from fanet_ros.ros.ground.transforms import TransformError, Transforms, pose_of
from fanet_ros.ros.topics import LatchedInput, sensor_data, subscribe
from fanet_ros.ros.watchdog import explain_silence
from fanet_ros.settings import Size

INPUTS = {"depth": ("depth", "depth/camera_info"), "cloud": ("points",)}
"""Topics that are subscribed to, by geometry."""

_MUCH_STANDS = 0.3  # of what the mask calls ground
_HINT = "is the transform between the colour camera and the depth sensor published?"

Measurement = Image | PointCloud2


@dataclass(frozen=True)
class MaskOnCamera:
    """A mask and the camera it was seen by.

    Attributes:
        header: of the mask.
        frame: of the camera, as the mask or camera_info names it.
        mask: uint8 (H, W), class ids.
        camera: its model.
        pose: of its optical frame in the base frame.
    """

    header: Header
    frame: str
    mask: NDArray[np.uint8]
    camera: CameraModel
    pose: CameraPose

    @property
    def size(self) -> Size:
        """Of the mask."""
        return Size(self.mask.shape[1], self.mask.shape[0])


class MeasuredGround:
    """Subscribes to depth images or clouds, keeps the last of them, and judges them with the masks.

    Attributes:
        geometry: "depth" or "cloud".
        topic: on which measurements come, as the node names it.
        input: the subscription to it.
        latched: those to calibrations, by name.
        received: messages.
    """

    def __init__(self, node: Node, transforms: Transforms, geometry: str, on_measured: Any) -> None:
        """Subscribe.

        Args:
            node: that subscribes.
            transforms: TF.
            geometry: "depth" or "cloud".
            on_measured: called after each message, without arguments: a mask may have waited for it.

        Raises:
            SettingError: the override of a topic's QoS cannot be used.
        """
        self.geometry = geometry
        self._node, self._transforms, self._on_measured = node, transforms, on_measured
        self._recent: Recent[Measurement] = Recent()
        self._calibration: Calibration | None = None
        self._info_frame = ""  # of that calibration
        self._frozen = FrozenWatch(INPUTS[geometry][0])
        self._camera = lru_cache(maxsize=1)(CameraModel)
        self._depth_camera = lru_cache(maxsize=1)(DepthCamera)
        self._projector: MeasuredProjector | None = None
        self._projector_of: Hashable = None
        self._sight: Sight | None = None
        self._sight_of: tuple[Any, ...] = ()
        self._offset_s = float("nan")
        self._last: MeasuredView | None = None
        self.received = 0
        self.topic, *beside = INPUTS[geometry]
        kind = Image if geometry == "depth" else PointCloud2
        self.input = subscribe(node, kind, self.topic, self._on_message, sensor_data())
        self.latched = {name: LatchedInput(node, CameraInfo, name, self._on_camera_info) for name in beside}

    def find(self, stamp: Time, settings: DrivableAreaParameters) -> Match[Measurement]:
        """Return the measurement that belongs to a mask of that stamp, or what is known of it."""
        match = self._recent.nearest(_seconds(stamp), settings.sync_tolerance)
        self._offset_s = match.offset_s
        return match

    def view(
        self, message: Measurement, seen: MaskOnCamera, kinds: NDArray[np.uint8], settings: DrivableAreaParameters
    ) -> MeasuredView:
        """Judge one measurement with its mask.

        Args:
            message: from `find`.
            seen: the mask.
            kinds: uint8 (256,), see ground.classes.
            settings: of the node.

        Raises:
            NotReadyError: no depth/camera_info yet.
            FrameError: the measurement is malformed, in the wrong unit, or frozen.
            CalibrationError: depth/camera_info cannot be used.
            TransformError: TF does not tell where it was measured.
            SettingError: parameters contradict each other.
        """
        projector = self._projector_for(settings)
        pose = self._sensor_pose(message.header, seen, settings)
        if isinstance(message, Image):
            sensor, sight = self._from_depth(message, pose, seen, settings)
        else:
            sensor, sight = self._from_cloud(message, pose, seen, settings)
        self._last = projector.view(sensor, sight, seen.mask, kinds)
        return self._last

    def notes(self) -> list[str]:
        """Return what looks wrong with the last view, though something can be told."""
        view, finder = self._last, None if self._projector is None else self._projector.finder
        if view is None or finder is None:
            return []
        notes = []
        if not view.is_trusted and not math.isnan(finder.share):
            notes.append(
                f"only {finder.share:.0%} of the points that the mask calls ground lie on one plane near where the "
                "ground should be: nothing is free (is the pose of the sensor right, and are depth and mask of cameras "
                "that look the same way?)"
            )
        elif (standing := view.standing_ground()) > _MUCH_STANDS:
            notes.append(
                f"{standing:.0%} of the points that the mask calls ground stand higher than step_height, and are "
                "obstacles: does the network know this place, do camera and sensor look the same way, and is TF right "
                "between them?"
            )
        if not view.is_any_measured:
            notes.append(
                f"no {self.topic} measurement within depth_max: nothing is free (is the sensor blind, or depth_max too "
                "small?)"
            )
        elif not view.is_any_free and not view.is_any_seen:
            notes.append(
                "no measured point lies in the mask's sight: nothing is free (do camera and sensor look the same way, "
                "and is TF between them right?)"
            )
        return notes

    def facts(self, unpaired: int) -> dict[str, str]:
        """Return what was found last, for people who set the sensor up; `unpaired` masks found no measurement."""
        facts = {
            f"{self.topic} received": str(self.received),
            "masks without measurement": str(unpaired),
            f"mask to {self.topic} (s)": f"{self._offset_s:.3f}",
        }
        if self._last is not None:
            a, b, c = self._last.surface.plane
            facts["ground found"] = f"z = {a:.3f} x + {b:.3f} y + {c:.3f}"
            facts |= {f"points: {name}": f"{share:.1%}" for name, share in self._last.shares().items()}
        return facts

    def why_unpaired(self, mask_stamp: Time, tolerance_s: float) -> str:
        """Return what masks and measurements have of each other in time, for diagnostics."""
        now = self._node.get_clock().now().nanoseconds / 1e9
        newest = self._recent.newest_s
        mask_age = now - _seconds(mask_stamp)
        if newest is None:
            return (
                f"masks come (the newest is {mask_age:.2f} s old), but nothing on {self.input.topic_name}: "
                f"{explain_silence(self._node, self.input)}"
            )
        return (
            f"no {self.topic} within sync_tolerance ({tolerance_s:g} s) of the masks: the newest mask is "
            f"{mask_age:.2f} s old, the newest {self.topic} {now - newest:.2f} s; does the sensor still measure, and "
            "are both stamped by one clock?"
        )

    # -- one measurement -------------------------------------------------------------------------------------------

    def _from_depth(
        self, message: Image, pose: CameraPose, seen: MaskOnCamera, settings: DrivableAreaParameters
    ) -> tuple[Sensor, Sight]:
        if self._calibration is None:
            raise NotReadyError("depth/camera_info", "the depth camera's calibration")
        depth = depth_from_image(message)
        check_units(depth)
        self._frozen.check(depth, seen.mask, _seconds(message.header.stamp))
        is_registered = pose is seen.pose
        model = self._camera(self._calibration, rectified=settings.rectified and is_registered)
        camera = self._depth_camera(model, Size(message.width, message.height))
        sensor = camera.points(depth, pose, settings.depth_max)
        if not is_registered:
            return sensor, projected_sight(sensor.points.reshape(-1, 3), seen.camera, seen.pose, seen.size)
        key = (camera, seen.camera, seen.size)
        if self._sight is None or self._sight_of != key:
            self._sight = registered_sight(model, camera.size, seen.camera, seen.size)
            self._sight_of = key
        return sensor, self._sight

    def _from_cloud(
        self, message: PointCloud2, pose: CameraPose, seen: MaskOnCamera, settings: DrivableAreaParameters
    ) -> tuple[Sensor, Sight]:
        points = points_from_cloud(message)
        self._frozen.check(points, seen.mask, _seconds(message.header.stamp))
        sensor = cloud_points(points, pose, settings.depth_max)
        return sensor, projected_sight(sensor.points.reshape(-1, 3), seen.camera, seen.pose, seen.size)

    def _projector_for(self, settings: DrivableAreaParameters) -> MeasuredProjector:
        needed = (settings.ground_settings(), settings.measured_settings())
        if self._projector is None or self._projector_of != needed:
            self._projector = None  # frees memory before it takes some
            self._projector, self._projector_of = MeasuredProjector(*needed), needed
        return self._projector

    def _sensor_pose(self, header: Header, seen: MaskOnCamera, settings: DrivableAreaParameters) -> CameraPose:
        """Where the sensor was: the mask's own pose, object and all, where both are of one frame."""
        frame = header.frame_id or self._info_frame
        if not frame and (seen.frame or self.geometry == "cloud"):
            raise TransformError(
                f"{self.topic} carries no frame_id, so it is not known where it was measured: set the sensor driver's "
                "frame_id"
            )
        if frame == seen.frame:
            return seen.pose
        if settings.camera_height > 0:  # then TF need not know the base frame
            found = self._transforms.lookup(seen.frame, frame, header.stamp, hint=_HINT)
            return seen.pose.after(pose_of(found))
        return pose_of(self._transforms.lookup(settings.base_frame, frame, header.stamp, hint=_HINT))

    def _on_message(self, message: Measurement) -> None:
        self.received += 1
        self._recent.add(_seconds(message.header.stamp), message, len(message.data))
        self._on_measured()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._calibration, self._info_frame = calibration_from(message), message.header.frame_id


def _seconds(stamp: Time) -> float:
    return stamp.sec + stamp.nanosec / 1e9
