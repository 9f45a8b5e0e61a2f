"""Why a mask cannot be brought down to the ground."""

from fanet_ros.errors import FanetError


class CalibrationError(FanetError):
    """A camera calibration that is missing, malformed, or of an unknown lens model."""


class PoseError(FanetError):
    """A camera pose that is no pose: numbers that are not finite, or a quaternion of length zero."""


class NoGroundError(FanetError):
    """The camera sees no ground within range: says how it stands, and what it does see."""
