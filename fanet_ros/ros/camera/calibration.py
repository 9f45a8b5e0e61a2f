"""What the camera node publishes as camera_info: only what is known, never a guess that nobody asked for."""

from __future__ import annotations

import math

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from fanet_ros.errors import SettingError
from fanet_ros.ground.camera_calibration import calibration_of, read_calibration
from fanet_ros.ground.camera_model import Calibration
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.settings import Size
from fanet_ros.sources import FrameSource, Intrinsics

_IDEAL = (0.0,) * 5  # plumb_bob


class KnownCalibration:
    """The calibration of a source: its own, that of a file, or one made of a field of view.

    Attributes:
        origin: where it comes from, in words; empty where nothing is known.
        is_estimate: whether it was made of a field of view.
    """

    def __init__(self, settings: CameraParameters, source: FrameSource) -> None:
        """Take over what the parameters or the source say.

        Raises:
            SettingError: they contradict each other, or the file is of images of another size.
            CalibrationError: the file cannot be used.
        """
        self._fov_deg = math.degrees(settings.horizontal_fov)
        self._calibration: Calibration | None = None
        self.origin = ""
        self.is_estimate = False
        given = [name for name in ("calibration", "horizontal_fov") if getattr(settings, name)]
        if source.intrinsics is not None and given:
            raise SettingError(f"{given[0]}: '{settings.source}' knows its own calibration; leave the parameter out")
        if len(given) > 1:
            raise SettingError("calibration, horizontal_fov: both are given, expected one of them")
        if source.intrinsics is not None:
            self.origin, self._calibration = "the source", calibration_of(source.intrinsics, _IDEAL)
        elif settings.calibration:
            self.origin, self._calibration = settings.calibration, read_calibration(settings.calibration)
            if self._calibration.image_size != source.size:
                raise SettingError(
                    f"calibration: {settings.calibration} is of images of {self._calibration.image_size}, but "
                    f"{settings.source} has images of {source.size}; calibrate the camera at this size"
                )
        elif settings.horizontal_fov:
            self.origin, self.is_estimate = f"horizontal_fov {settings.horizontal_fov:g}", True

    def of_size(self, size: Size) -> Calibration | None:
        """Return the calibration of images of that size; None where there is none."""
        if self.is_estimate and (self._calibration is None or self._calibration.image_size != size):
            self._calibration = calibration_of(Intrinsics.from_fov(*size, self._fov_deg), _IDEAL)
        known = self._calibration
        return known if known is not None and known.image_size == size else None


def camera_info_message(header: Header, camera: Calibration | Intrinsics) -> CameraInfo:
    """Return a calibration, or that of an ideal, undistorted camera, as a message (REP 104)."""
    known = calibration_of(camera, _IDEAL) if isinstance(camera, Intrinsics) else camera
    return CameraInfo(
        header=header,
        width=known.width,
        height=known.height,
        distortion_model=known.distortion_model,
        d=list(known.d),
        k=list(known.k),
        r=list(known.r),
        p=list(known.p),
    )
