"""What the drivable-area node knows of camera and ground; kept until one of them changes."""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.classes import Kind
from fanet_ros.ground.errors import NoGroundError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.ground.classes import Meaning
from fanet_ros.ros.ground.errors import NotReadyError
from fanet_ros.ros.ground.measured import MaskOnCamera
from fanet_ros.ros.ground.messages import SemanticCloudMessage, calibration_from
from fanet_ros.ros.ground.transforms import TransformError, Transforms, pose_of
from fanet_ros.settings import Size
from fanet_ros.untrusted.text import printable

_BLIND_SHARE = 0.9
_MANY_CHANGES, _CHANGES_WITHIN_S = 5, 10.0  # of the calibration: while a camera is set up there are one or two
_POSE_HINT = (
    "is the robot's URDF or a static transform published? Else give the camera's pose by parameters "
    "(camera_height and so on)"
)


class GroundModel:
    """Makes the projector that fits a mask, and makes it anew only when it must be.

    Attributes:
        pose: of the camera when the last mask was taken; None before the first.
    """

    def __init__(self, transforms: Transforms) -> None:
        self._transforms = transforms
        self._calibration: Calibration | None = None
        self._camera_frame = ""  # of the last calibration
        self._changed_at: deque[float] = deque(maxlen=_MANY_CHANGES)  # by monotonic(), the last few calibrations
        self._camera = lru_cache(maxsize=1)(CameraModel)
        self._projector: GroundProjector | None = None
        self._projector_of: tuple[object, ...] = ()
        self._cloud: SemanticCloudMessage | None = None
        self._cloud_of: tuple[Meaning | None, CameraPose | None] = (None, None)
        self._tables_built = 0
        self.pose: CameraPose | None = None

    def set_camera_info(self, message: CameraInfo) -> None:
        """Take over a calibration; what was computed from an equal one stays."""
        calibration = calibration_from(message)
        self._camera_frame = message.header.frame_id
        if calibration != self._calibration:
            self._calibration = calibration
            self._changed_at.append(monotonic())

    @property
    def is_calibrated(self) -> bool:
        """Whether camera_info has come, whatever it says."""
        return self._calibration is not None

    def seen_by(self, header: Header, mask: NDArray[np.uint8], settings: DrivableAreaParameters) -> MaskOnCamera:
        """Return a mask with the camera that saw it, where the ground need not be flat.

        Raises:
            NotReadyError: no camera_info yet.
            CalibrationError: the calibration cannot be used.
            TransformError: TF does not tell where the camera is.
        """
        if self._calibration is None:
            raise NotReadyError("camera_info", "the camera's calibration")
        self.pose = self._find_pose(header, settings)
        camera = self._camera(self._calibration, rectified=settings.rectified)
        return MaskOnCamera(header, header.frame_id or self._camera_frame, mask, camera, self.pose)

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
        if known is None or not known.can_take(pose):
            # TF moves the camera: from now on masks are moved, too, and the tables stay
            is_moving = known is not None and settings.camera_height == 0
            camera = self._camera(self._calibration, rectified=settings.rectified)  # a bad one costs no tables
            self._projector = self._cloud = known = None  # frees memory before it takes some
            try:
                self._projector = known = self._build(camera, pose, mask_size, ground, is_moving)
            except NoGroundError as error:
                if settings.camera_height > 0:
                    raise
                frame = header.frame_id or self._camera_frame
                raise NoGroundError(
                    f"{error}; or is '{printable(frame)}' no optical frame (z forward, REP 103)?"
                ) from None
            self._projector_of = needed
            self._tables_built += 1
        self.pose = pose
        return known

    @staticmethod
    def _build(
        camera: CameraModel, pose: CameraPose, size: Size, ground: GroundSettings, is_moving: bool
    ) -> GroundProjector:
        if is_moving:
            try:
                return GroundProjector(camera, pose, size, ground, is_moving=True)
            except NoGroundError:
                pass  # all that is seen lies in the border that a moving camera leaves out: tables for this pose alone
        return GroundProjector(camera, pose, size, ground)

    def cloud(self, meaning: Meaning) -> SemanticCloudMessage:
        """Return the cloud message for the last `projector`, in the colours of the classes."""
        assert self._projector is not None and self.pose is not None
        if self._cloud is None or self._cloud_of[0] is not meaning or self._cloud_of[1] != self.pose:
            points = self._projector.points_from(self.pose)
            self._cloud, self._cloud_of = SemanticCloudMessage(points, meaning.palette), (meaning, self.pose)
        return self._cloud

    def facts(self) -> dict[str, str]:
        """Return what camera and ground were last found to be, for people who calibrate; empty before that."""
        if self.pose is None or self._calibration is None:
            return {}
        x, y, z = self.pose.translation
        facts = {
            "camera position (m)": f"{x:.3f} {y:.3f} {z:.3f}",
            "camera pitch (deg)": f"{math.degrees(self.pose.pitch):.2f}",
        }
        if self._projector is None:
            return facts
        return facts | {
            "ground seen from (m)": f"{self._projector.blind_range:.2f}",
            "mask size": str(self._projector.mask_size),
            "image size by calibration": str(self._calibration.image_size),
            "tables built": str(self._tables_built),
        }

    def notes(self, mask_header: Header, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> list[str]:
        """Return what looks wrong with the input that `projector` was made for, though it can be computed with.

        Args:
            mask_header: of the mask.
            mask: uint8 (H, W), class ids.
            kinds: uint8 (256,), of each class id.
        """
        notes = []
        if len(self._changed_at) == _MANY_CHANGES and monotonic() - self._changed_at[0] < _CHANGES_WITHIN_S:
            notes.append(
                f"camera_info has said something else {_MANY_CHANGES} times within {_CHANGES_WITHIN_S:g} s, and each "
                "time all tables are built anew: do two drivers publish it?"
            )
        if self._camera_frame and mask_header.frame_id and self._camera_frame != mask_header.frame_id:
            notes.append(
                f"camera_info is of frame '{printable(self._camera_frame)}', but the masks are of "
                f"'{printable(mask_header.frame_id)}': is it another camera's?"
            )
        if self._projector is None:
            return notes
        share = self._projector.share_in_range(mask, kinds == Kind.UNKNOWN)
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
        return pose_of(self._transforms.lookup(settings.base_frame, frame, header.stamp, hint=_POSE_HINT))
