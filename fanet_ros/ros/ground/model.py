"""What the drivable-area node knows of camera, ground and classes; kept until one of them changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
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

_POSE_TOLERANCE_RAD = 0.0005  # at 1.5 m height and 20 m ahead this moves the ground by 0.13 m
_POSE_TOLERANCE_M = 0.002
_BLIND_SHARE = 0.9
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


@dataclass(frozen=True)
class _Inputs:
    """What a projector was made of, its pose left out."""

    calibration: Calibration
    rectified: bool
    mask_size: Size
    settings: object


class GroundModel:
    """Makes the projector and the classes' kinds that fit a mask, and makes them anew only when they must be."""

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._camera_info: CameraInfo | None = None
        self._label_info: LabelInfo | None = None
        self._label_set: LabelSet | None = None
        self._kinds: NDArray[np.uint8] | None = None
        self._kinds_of: tuple[str, ...] = ()
        self._camera: CameraModel | None = None
        self._camera_of: tuple[Calibration, bool] | None = None
        self._projector: GroundProjector | None = None
        self._projector_of: _Inputs | None = None
        self._pose: CameraPose | None = None
        self._cloud: SemanticCloudMessage | None = None
        self._on_ground: NDArray[np.uint8] | None = None  # 255 where a pixel shows ground in range
        self.tables_built = 0

    def set_camera_info(self, message: CameraInfo) -> None:
        """Take over a calibration; what was computed from an equal one stays."""
        self._camera_info = message

    def set_label_info(self, message: LabelInfo) -> None:
        """Take over which class ids there are."""
        self._label_info = message
        self._label_set = None

    @property
    def camera_frame(self) -> str:
        """The frame of the last calibration; empty before it."""
        return self._camera_info.header.frame_id if self._camera_info is not None else ""

    def kinds(self, settings: DrivableAreaParameters) -> NDArray[np.uint8]:
        """Return what each label means for driving, uint8 (256,), see ground.classes.

        Raises:
            NotReadyError: no label_info yet.
            LabelSetError: no label set fits, or it lacks a group.
        """
        wanted = (settings.labels, settings.drivable_group, settings.flat_group, settings.obstacle_group)
        if self._kinds is None or self._label_set is None or self._kinds_of != wanted:
            self._label_set = _find_label_set(settings.labels, self._label_info)
            self._kinds = kinds_of(
                self._label_set,
                drivable=settings.drivable_group,
                flat=settings.flat_group,
                obstacle=settings.obstacle_group,
            )
            self._kinds_of = wanted
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
        if self._camera_info is None:
            raise NotReadyError("camera_info", "the camera's calibration")
        calibration = self._calibration()
        ground = settings.ground_settings()
        pose = self._find_pose(header, settings)
        inputs = _Inputs(calibration, settings.rectified, mask_size, ground)
        unmoved = self._pose is not None and self._pose.is_close(pose, _POSE_TOLERANCE_RAD, _POSE_TOLERANCE_M)
        if self._projector is None or self._projector_of != inputs or not unmoved:
            self._projector = self._cloud = None
            if self._camera is None or self._camera_of != (calibration, settings.rectified):
                self._camera = CameraModel(calibration, rectified=settings.rectified)
                self._camera_of = (calibration, settings.rectified)
            try:
                self._projector = GroundProjector(self._camera, pose, mask_size, ground)
            except NoGroundError as error:
                if settings.camera_height > 0:
                    raise
                frame = header.frame_id or self.camera_frame
                raise NoGroundError(f"{error}; or is '{frame}' no optical frame (z forward, REP 103)?") from None
            self._projector_of, self._pose = inputs, pose
            self._on_ground = np.isfinite(self._projector.points_in_range[..., 2]) * np.uint8(255)
            self.tables_built += 1
        return self._projector

    def facts(self) -> dict[str, str]:
        """Return what camera and ground were last found to be, for people who calibrate; empty before that."""
        if self._projector is None or self._pose is None:
            return {}
        x, y, z = self._pose.translation
        return {
            "camera position (m)": f"{x:.3f} {y:.3f} {z:.3f}",
            "camera pitch (deg)": f"{math.degrees(self._pose.pitch):.2f}",
            "ground seen from (m)": f"{self._projector.blind_range:.2f}",
            "mask size": str(self._projector.mask_size),
            "image size by calibration": str(self._calibration().image_size),
            "tables built": str(self.tables_built),
        }

    def notes(self, mask_header: Header, mask: NDArray[np.uint8]) -> list[str]:
        """Return what looks wrong with the input that `projector` was made for, though it can be computed with.

        Args:
            mask_header: of the mask.
            mask: uint8 (H, W), class ids.
        """
        notes = []
        if self.camera_frame and mask_header.frame_id and self.camera_frame != mask_header.frame_id:
            notes.append(
                f"camera_info is of frame '{self.camera_frame}', but the masks are of '{mask_header.frame_id}': is it "
                "another camera's?"
            )
        assert self._on_ground is not None and self._kinds is not None
        unknown = cv2.LUT(mask, (self._kinds == Kind.UNKNOWN) * np.uint8(255))
        share = cv2.countNonZero(cv2.bitwise_and(unknown, self._on_ground)) / cv2.countNonZero(self._on_ground)
        if share > _BLIND_SHARE:
            notes.append(
                f"{share:.0%} of the ground in sight is unlabelled: scan and grid say next to nothing (is "
                "confidence_threshold too high, or the camera blind?)"
            )
        return notes

    def cloud(self, projector: GroundProjector) -> SemanticCloudMessage:
        """Return the cloud message of the projector that was asked for last, after `kinds`."""
        if self._cloud is None:
            assert self._label_set is not None
            self._cloud = SemanticCloudMessage(projector.points_in_range, self._label_set.palette)
        return self._cloud

    def _calibration(self) -> Calibration:
        assert self._camera_info is not None
        return calibration_from(self._camera_info)

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
        frame = header.frame_id or self.camera_frame
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
    if name:
        label_set = load_label_set(name)
        if told != dict(enumerate(label_set.names)):
            raise LabelSetError(
                f"the masks have the classes {', '.join(told.values())}, but label set '{label_set.name}' has "
                f"{', '.join(label_set.names)}; give both nodes the same labels"
            )
        return label_set
    for shipped in shipped_label_sets():
        label_set = load_label_set(shipped)
        if told == dict(enumerate(label_set.names)):
            return label_set
    raise LabelSetError(
        f"no shipped label set has the masks' classes ({', '.join(told.values())}); set the parameter labels to the "
        "YAML file that the segmentation node uses"
    )
