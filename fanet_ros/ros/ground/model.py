"""What the drivable-area node knows of camera, ground and classes; kept until one of them changes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError, LabelSetError
from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.classes import Kind, kinds_of
from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.model.labels import LabelSet, load_label_set, shipped_label_sets
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.ground.messages import SemanticCloudMessage, calibration_from
from fanet_ros.ros.ground.transforms import TransformError, Transforms
from fanet_ros.settings import Size
from fanet_ros.untrusted.text import printable

_POSE_TOLERANCE_RAD = 0.0005  # at 1.5 m height and 20 m ahead this moves the ground by 0.13 m
_POSE_TOLERANCE_M = 0.002
_BLIND_SHARE = 0.9
_MOST_OF_CLASSES = 400  # characters
_POSE_HINT = (
    "is the robot's URDF or a static transform published? Else give the camera's pose by parameters "
    "(camera_height and so on)"
)


class NotReadyError(FanetError):
    """Something that is still to come: no fault yet, but nothing can be computed without it.

    Attributes:
        topic: on which it comes, as the node names it.
    """

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"waiting for {topic}, {why}")
        self.topic = topic


class GroundModel:
    """Makes the projector and the classes' kinds that fit a mask, and makes them anew only when they must be."""

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._calibration: Calibration | None = None
        self._camera_frame = ""  # of the last calibration
        self._label_info: LabelInfo | None = None
        self._camera = lru_cache(maxsize=1)(CameraModel)
        self._label_set: LabelSet | None = None
        self._kinds = np.empty(0, np.uint8)
        self._kinds_of: tuple[str, ...] = ()
        self._projector: GroundProjector | None = None
        self._projector_of: tuple[object, ...] = ()
        self._cloud: SemanticCloudMessage | None = None
        self._tables_built = 0

    def set_camera_info(self, message: CameraInfo) -> None:
        """Take over a calibration; what was computed from an equal one stays."""
        self._calibration, self._camera_frame = calibration_from(message), message.header.frame_id

    def set_label_info(self, message: LabelInfo) -> None:
        """Take over which class ids there are."""
        self._label_info = message
        self._label_set = None

    def kinds(self, settings: DrivableAreaParameters) -> NDArray[np.uint8]:
        """Return what each label means for driving, uint8 (256,), see ground.classes.

        Raises:
            NotReadyError: no label_info yet.
            LabelSetError: no label set fits, or it lacks a group.
        """
        groups = settings.drivable_group, settings.flat_group, settings.obstacle_group
        if self._label_set is None or self._kinds_of != (settings.labels, *groups):
            label_set = _find_label_set(settings.labels, self._label_info)
            drivable, flat, obstacle = groups
            self._kinds = kinds_of(label_set, drivable=drivable, flat=flat, obstacle=obstacle)
            self._label_set, self._kinds_of = label_set, (settings.labels, *groups)
            self._cloud = None  # its colours
        return self._kinds

    def projector(self, header: Header, mask_size: Size, settings: DrivableAreaParameters) -> GroundProjector:
        """Return the projector for masks of that size, taken with that header.

        Raises:
            NotReadyError: no camera_info yet.
            CalibrationError: the calibration cannot be used.
            TransformError: TF does not tell where the camera is.
            NoGroundError: the camera sees no ground.
            SettingError: parameters contradict each other.
        """
        if self._calibration is None:
            raise NotReadyError("camera_info", "the camera's calibration")
        ground = settings.ground_settings()
        pose = self._find_pose(header, settings)
        needed = (self._calibration, settings.rectified, mask_size, ground)
        known = self._projector if self._projector_of == needed else None
        if known is None or not known.pose.is_close(pose, _POSE_TOLERANCE_RAD, _POSE_TOLERANCE_M):
            self._projector = self._cloud = known = None  # frees memory before it takes some
            camera = self._camera(self._calibration, rectified=settings.rectified)
            try:
                self._projector = known = GroundProjector(camera, pose, mask_size, ground)
            except NoGroundError as error:
                if settings.camera_height > 0:
                    raise
                frame = header.frame_id or self._camera_frame
                raise NoGroundError(
                    f"{error}; or is '{printable(frame)}' no optical frame (z forward, REP 103)?"
                ) from None
            self._projector_of = needed
            self._tables_built += 1
        return known

    def cloud(self) -> SemanticCloudMessage:
        """Return the cloud message for the last `projector` and `kinds`."""
        if self._cloud is None:
            assert self._projector is not None and self._label_set is not None
            self._cloud = SemanticCloudMessage(self._projector.points_in_range, self._label_set.palette)
        return self._cloud

    def facts(self) -> dict[str, str]:
        """Return what camera and ground were last found to be, for people who calibrate; empty before that."""
        if self._projector is None or self._calibration is None:
            return {}
        pose = self._projector.pose
        x, y, z = pose.translation
        return {
            "camera position (m)": f"{x:.3f} {y:.3f} {z:.3f}",
            "camera pitch (deg)": f"{math.degrees(pose.pitch):.2f}",
            "ground seen from (m)": f"{self._projector.blind_range:.2f}",
            "mask size": str(self._projector.mask_size),
            "image size by calibration": str(self._calibration.image_size),
            "tables built": str(self._tables_built),
        }

    def notes(self, mask_header: Header, mask: NDArray[np.uint8]) -> list[str]:
        """Return what looks wrong with the input that `projector` was made for, though it can be computed with.

        Args:
            mask_header: of the mask.
            mask: uint8 (H, W), class ids.
        """
        notes = []
        if self._camera_frame and mask_header.frame_id and self._camera_frame != mask_header.frame_id:
            notes.append(
                f"camera_info is of frame '{printable(self._camera_frame)}', but the masks are of "
                f"'{printable(mask_header.frame_id)}': is it another camera's?"
            )
        assert self._projector is not None
        share = self._projector.share_in_range(mask, self._kinds == Kind.UNKNOWN)
        if share > _BLIND_SHARE:
            notes.append(
                f"{share:.0%} of the ground in sight is unlabelled: scan and grid say next to nothing (is "
                "confidence_threshold too high, or the camera blind?)"
            )
        return notes

    def _find_pose(self, header: Header, settings: DrivableAreaParameters) -> CameraPose:
        if settings.camera_height > 0:
            return CameraPose.from_parameters(
                x=settings.camera_x,
                y=settings.camera_y,
                height=settings.camera_height,
                roll=settings.camera_roll,
                pitch=settings.camera_pitch,
                yaw=settings.camera_yaw,
            )
        frame = header.frame_id or self._camera_frame
        if not frame:
            raise TransformError(
                "masks and camera_info carry no frame_id, so TF cannot be asked where the camera is; set the camera "
                "driver's frame_id, or give the pose by parameters (camera_height, ...)"
            )
        found = self._transforms.lookup(settings.base_frame, frame, header.stamp, hint=_POSE_HINT)
        t, q = found.translation, found.rotation
        return CameraPose.from_transform((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _find_label_set(name: str, info: LabelInfo | None) -> LabelSet:
    if info is None:
        raise NotReadyError("label_info", "which says what the masks' class ids mean")
    told = {c.class_id: c.class_name for c in info.class_map}
    classes = printable(", ".join(told.values()), _MOST_OF_CLASSES)
    if name:
        label_set = load_label_set(name)
        if told != dict(enumerate(label_set.names)):
            raise LabelSetError(
                f"the masks have the classes {classes}, but label set '{label_set.name}' has "
                f"{', '.join(label_set.names)}; give both nodes the same labels"
            )
        return label_set
    for shipped in shipped_label_sets():
        label_set = load_label_set(shipped)
        if told == dict(enumerate(label_set.names)):
            return label_set
    raise LabelSetError(
        f"no shipped label set has the masks' classes ({classes}); set the parameter labels to the "
        "YAML file that the segmentation node uses"
    )
