"""Where frames are in each other, from TF; tf2_ros is missed only where TF is asked."""

from __future__ import annotations

from time import monotonic
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import Transform
from rclpy.node import Node
from rclpy.time import Time

from fanet_ros.errors import FanetError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.untrusted.text import printable

_TOLERANCE_S = 0.1
"""A transform that is this much older or newer than the image still counts: TF comes a little after the images."""

OTHER_CLOCK_S = 60.0
"""Times that are farther apart than this are of different clocks: no camera and no odometry is so late."""

_START_S = 3.0
"""Seconds after which TF's publishers should have been found."""

_MOST_OF_REASON = 500
"""Characters of what TF says, which names frames."""

OTHER_CLOCK_HINT = (
    "is a recording played without --clock or use_sim_time, or does the camera's driver stamp with a clock of its own?"
)
"""What to ask where stamps are of another clock."""


class TransformError(FanetError):
    """TF does not tell where a frame is; says what was asked for and what to do.

    Attributes:
        is_early: whether TF has only been listened to for a moment, so that it may still come.
    """

    def __init__(self, message: str, *, is_early: bool = False) -> None:
        super().__init__(message)
        self.is_early = is_early


class Transforms:
    """The transforms that TF has told since it was first listened to."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        self._listens_since = 0.0

    def listen(self) -> Any:
        """Begin to listen, if that has not happened, and return the module tf2_ros.

        Raises:
            TransformError: it is not installed.
        """
        try:
            import tf2_ros
        except ImportError as error:
            raise TransformError(
                f"TF cannot be used, because tf2_ros is not installed ({error}); install it, or give the camera's pose "
                "by parameters (camera_height, camera_pitch, ...) and leave accumulate off"
            ) from None
        if self._buffer is None:
            self._buffer = tf2_ros.Buffer(node=self._node)  # with the node's clock it notices a time that jumps back
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
            self._listens_since = monotonic()
        return tf2_ros

    def lookup(self, target: str, source: str, stamp: TimeMessage, *, hint: str) -> Transform:
        """Return the transform that takes points of `source` to `target` at a time.

        Where TF does not reach as far as `stamp` yet, the newest transform is taken, if it is static or within 0.1 s.

        Args:
            target: frame.
            source: frame.
            stamp: time.
            hint: what to do where TF does not know one of them.

        Raises:
            TransformError: TF cannot tell.
        """
        tf2_ros = self.listen()
        try:
            return self._buffer.lookup_transform(target, source, Time.from_msg(stamp)).transform
        except (tf2_ros.TransformException, ValueError) as error:  # ValueError: a stamp that is no time
            words = printable(str(error).rstrip(". "), _MOST_OF_REASON)
        is_early = monotonic() - self._listens_since < _START_S
        try:
            newest = self._buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException:
            raise TransformError(
                f"TF does not tell where '{printable(source)}' is in '{target}': {words}; {hint}", is_early=is_early
            ) from None
        apart_s = _apart_s(newest.header.stamp, stamp)
        if apart_s <= _TOLERANCE_S:
            return newest.transform
        if apart_s > OTHER_CLOCK_S:
            raise TransformError(
                f"TF of '{source}' in '{target}' and the image have stamps of different clocks: {OTHER_CLOCK_HINT}"
            )
        raise TransformError(
            f"TF of '{printable(source)}' in '{target}' and the image are of different times: {words}",
            is_early=is_early,
        )


def pose_of(transform: Transform) -> CameraPose:
    """Return the pose that a transform base <- sensor states.

    Raises:
        PoseError: its numbers are none of a pose.
    """
    t, q = transform.translation, transform.rotation
    return CameraPose.from_transform((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def _apart_s(found: TimeMessage, wanted: TimeMessage) -> float:
    if found.sec == 0 and found.nanosec == 0:
        return 0.0  # static transforms hold at all times
    return abs((found.sec - wanted.sec) * 10**9 + found.nanosec - wanted.nanosec) / 1e9
