"""Where the camera is on the robot, as the drivable-area node takes it: by its parameters, or by TF."""

from __future__ import annotations

from time import monotonic
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from fanet_ros.errors import FanetError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ros.ground.transforms import Transforms, pose_of

_NAMES = ("camera_x", "camera_y", "camera_height", "camera_roll", "camera_pitch", "camera_yaw", "base_frame")
_ASK_EVERY_S = 2.0


class CameraPoses:
    """Asks a drivable-area node for its parameters now and then.

    Attributes:
        fault: why a pose asked for last is not known; empty where it is.
    """

    def __init__(self, node: Node, drivable_area: str, transforms: Transforms) -> None:
        self._transforms = transforms
        self._client = node.create_client(GetParameters, f"{drivable_area}/get_parameters")
        self._values: dict[str, Any] = {}
        self._asked = -_ASK_EVERY_S
        self.fault = ""

    def follow(self) -> None:
        """Ask, unless that was done a moment ago; the answer comes later."""
        now = monotonic()
        if now - self._asked >= _ASK_EVERY_S and self._client.service_is_ready():
            self._asked = now
            self._client.call_async(GetParameters.Request(names=_NAMES)).add_done_callback(self._take)

    def camera(self, frame_id: str, stamp: Time) -> CameraPose | None:
        """Return the pose of the camera in the base frame, by `camera_height` and so on or, where that is 0, by TF."""
        values = self._values
        if not values:
            return None
        if values["camera_height"]:
            return CameraPose.from_parameters(*(values[name] for name in _NAMES[:-1]))
        return self.of(frame_id, stamp)

    def of(self, frame_id: str, stamp: Time) -> CameraPose | None:
        """Return the pose of a frame in the base frame; None where it is that frame, or not known (see `fault`)."""
        base = self._values.get("base_frame", "")
        self.fault = ""
        if not base or frame_id == base:
            return None
        try:
            return pose_of(self._transforms.lookup(base, frame_id, stamp, hint="the view shows without it"))
        except FanetError as error:
            self.fault = str(error)
            return None

    def _take(self, future: Any) -> None:
        answer = future.result()
        if answer is not None and len(answer.values) == len(_NAMES):
            found = [parameter_value_to_python(value) for value in answer.values]
            if None not in found:
                self._values = dict(zip(_NAMES, found, strict=True))
