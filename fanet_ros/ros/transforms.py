"""Where frames are in each other, from TF; tf2_ros is missed only where TF is asked."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Transform
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from fanet_ros.errors import FanetError

_TOLERANCE_S = 0.1
"""A transform that is this much older or newer than the image still counts: TF comes a little after the images."""


class TransformError(FanetError):
    """TF does not tell where a frame is; says what was asked for and what to do."""


class Transforms:
    """The transforms that TF has told since this was made; listening begins with the first question."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None

    def lookup(self, target: str, source: str, stamp: TimeMessage) -> Transform:
        """Return the transform that takes points of `source` to `target` at a time.

        Where TF does not reach as far as `stamp` yet, the newest transform is taken, if it is static or within 0.1 s.

        Raises:
            TransformError: TF cannot tell.
        """
        tf2_ros = self._listen()
        try:
            return self._buffer.lookup_transform(target, source, Time.from_msg(stamp)).transform
        except (tf2_ros.TransformException, ValueError) as error:  # ValueError: a stamp that is no time
            reason = error
        try:
            newest = self._buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException:
            raise TransformError(
                f"TF does not tell where '{source}' is in '{target}': {reason}. Is the robot's URDF or a static "
                "transform published? Else give the camera's pose by parameters (camera_height, ...)"
            ) from None
        if self._is_near(newest.header.stamp, stamp):
            return newest.transform
        raise TransformError(f"TF of '{source}' in '{target}' and the image are of different times: {reason}")

    def _is_near(self, found: TimeMessage, wanted: TimeMessage) -> bool:
        if found.sec == 0 and found.nanosec == 0:
            return True  # static transforms hold at all times
        apart = abs((found.sec - wanted.sec) * 10**9 + found.nanosec - wanted.nanosec)
        return Duration(nanoseconds=apart) <= Duration(seconds=_TOLERANCE_S)

    def _listen(self) -> Any:
        try:
            import tf2_ros
        except ImportError as error:
            raise TransformError(
                f"TF cannot be used, because tf2_ros is not installed ({error}); install it, or give the camera's pose "
                "by parameters (camera_height, camera_pitch, ...)"
            ) from None
        if self._buffer is None:
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        return tf2_ros
