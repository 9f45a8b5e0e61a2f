"""The drivable-area node: masks and a calibration in, what a navigation stack plans with out. Plumbing only."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros import qos
from fanet_ros.ros.ground.diagnostics import GroundDiagnostics, GroundState, GroundStatistics
from fanet_ros.ros.ground.free_space import FreeSpace
from fanet_ros.ros.ground.messages import ids_from_image
from fanet_ros.ros.ground.model import GroundModel, NotReadyError
from fanet_ros.ros.ground.outputs import SEMANTIC_POINTS, GroundOutputs
from fanet_ros.ros.ground.semantic_points import SemanticPairs, WaitingMask
from fanet_ros.ros.ground.transforms import TransformError, Transforms
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.watchdog import explain_silence
from fanet_ros.settings import Size

_GEOMETRIC = frozenset({"free_space", "obstacle_scan", "obstacle_points", SEMANTIC_POINTS})
_IMAGE_TYPE = "sensor_msgs/msg/Image"
_FOLLOW_INTERVAL_S = 0.2
_REPORT_INTERVAL_S = 1.0


class DrivableAreaNode(Node):
    """Turns `mask` and `camera_info` into `~/drivable_mask`, `~/free_space`, `~/obstacle_scan`, `~/obstacle_points` and
    `~/semantic_points`.

    Masks are only subscribed to while somebody listens. What is not known (calibration, pose, classes) is told on
    /diagnostics and in the log, and nothing is published that would need it.
    """  # noqa: D205

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("drivable_area", **kwargs)
        RosLogHandler.install(self.get_logger())
        self._transforms = Transforms(self)
        self._parameter_server = ParameterServer(self, DrivableAreaParameters, on_change=self._listen_to_tf)
        self._listen_to_tf()
        self._model = GroundModel(self._transforms)
        self._free_space = FreeSpace(self._transforms)
        self._outputs = GroundOutputs(self)
        self._statistics = GroundStatistics()
        self._state = GroundState("waiting for the first mask")
        self._logged_fault = ""
        self._mask_subscription: Any = None
        self._confidence_subscription: Any = None
        self._pairs = SemanticPairs(lambda: bool(self.count_publishers(self.resolve_topic_name("confidence"))))
        full_name = f"{self.get_namespace()}/{self.get_name()}".lstrip("/")
        self._diagnostics = GroundDiagnostics(full_name)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        infos = self._listen(CameraInfo, "camera_info", self._model.set_camera_info, qos.sensor_data())
        labels = self._listen(LabelInfo, "label_info", self._model.set_label_info, qos.latched())
        self._beside_masks = {
            "camera_info": (infos, "sensor_msgs/msg/CameraInfo"),
            "label_info": (labels, "vision_msgs/msg/LabelInfo"),
        }
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulation that stands still must not stop these
        self.create_timer(_FOLLOW_INTERVAL_S, self._follow_listeners, clock=steady)
        self.create_timer(_REPORT_INTERVAL_S, self._publish_diagnostics, clock=steady)

    # masks ---------------------------------------------------------------------------------------------------------

    def _on_mask(self, message: Image) -> None:
        started = perf_counter()
        self._statistics.count_received()
        wanted = self._outputs.wanted()
        if not wanted:
            return
        try:
            self._work(message.header, ids_from_image(message), wanted, started)
        except UnusableImageError as error:
            self._refuse("mask", error)
        except FanetError as error:
            self._fail(error)
        except Exception as error:  # numbers that nobody thought of: told, and survived, like the others
            self._fail(FanetError(f"{type(error).__name__}: {error}"))

    def _work(self, header: Header, mask: NDArray[np.uint8], wanted: frozenset[str], started: float) -> None:
        if self._parameter_server.faults:
            raise FanetError("; ".join(self._parameter_server.faults))  # defaults in their place would be wrong data
        settings = self._parameter_server.values
        kinds = self._model.kinds(settings)
        if "drivable_mask" in wanted:
            self._outputs.publish_drivable_mask(mask, kinds, header)
        notes: list[str] = []
        waiting = None
        if wanted & _GEOMETRIC:
            projector = self._model.projector(header, Size(mask.shape[1], mask.shape[0]), settings)
            view = projector.view(mask, kinds)
            ground_header = Header(stamp=header.stamp, frame_id=settings.base_frame)
            self._outputs.publish_obstacles(wanted, view, ground_header)
            if "free_space" in wanted:
                grid = self._free_space.observe(view.occupancy(), ground_header, settings)
                if grid is not None:
                    self._outputs.publish_free_space(grid)
                notes += [self._free_space.note] if self._free_space.note else []
            notes += self._model.notes(header, mask)
            if SEMANTIC_POINTS in wanted:
                waiting = WaitingMask(header, ground_header, mask, self._model.cloud(projector), _since(started))
        self._succeed(notes)
        if waiting is None:
            self._statistics.count_processed(_since(started))
        else:
            self._pairs.add_mask(waiting)
            self._publish_semantic_points()

    def _on_confidence(self, message: Image) -> None:
        self._pairs.add_confidence(message)
        self._publish_semantic_points()

    def _publish_semantic_points(self) -> None:
        started = perf_counter()
        try:
            pair = self._pairs.take()
        except UnusableImageError as error:
            self._refuse("confidence", error)
            return
        if pair is not None:
            waiting, points = pair
            self._outputs.publish_semantic_points(points)
            self._statistics.count_processed(waiting.spent_ms + _since(started))

    def _refuse(self, what: str, error: UnusableImageError) -> None:
        self._statistics.count_refused(str(error))
        self.get_logger().error(f"{what} refused: {error}", throttle_duration_sec=1.0)

    def _succeed(self, notes: list[str]) -> None:
        self._state = GroundState(note="; ".join(notes))
        if self._logged_fault:
            self.get_logger().info("the ground is known again")
            self._logged_fault = ""

    def _fail(self, error: FanetError) -> None:
        fault = str(error)
        self._state = GroundState(fault, isinstance(error, NotReadyError) or getattr(error, "is_early", False))
        if isinstance(error, NotReadyError):
            subscription, message_type = self._beside_masks[error.topic]
            topic = subscription.topic_name
            why = explain_silence(self, topic, message_type, subscription.qos_profile)
            self._state.fault = f"{fault}, on {topic}: {why}"
        self._forget_free_space()
        without_numbers = re.sub(r"[\d.]+", "", fault)  # times in it differ from mask to mask
        if without_numbers != self._logged_fault:
            self._logged_fault = without_numbers
            text = f"nothing is published: {self._state.fault}"
            if self._state.is_waiting:  # one call for each: rclpy ties a place in the code to a severity
                self.get_logger().info(text)
            else:
                self.get_logger().error(text)

    def _forget_free_space(self) -> None:
        """Take back the last grid, which the topic would keep for all that subscribe later."""
        grid = self._free_space.forget()
        if grid is not None:
            self._outputs.publish_free_space(grid)

    # the rest --------------------------------------------------------------------------------------------------------

    def _follow_listeners(self) -> None:
        """Subscribe to what is needed now: whoever is not subscribed to computes nothing either."""
        wanted = self._outputs.wanted()
        if wanted and self._mask_subscription is None:
            self._statistics.begin()
            self._mask_subscription = self._listen(Image, "mask", self._on_mask, qos.newest())
        elif not wanted and self._mask_subscription is not None:
            self.destroy_subscription(self._mask_subscription)
            self._mask_subscription = None
        if "free_space" not in wanted:
            self._forget_free_space()
        if SEMANTIC_POINTS in wanted and self._confidence_subscription is None:
            self._confidence_subscription = self._listen(Image, "confidence", self._on_confidence, qos.newest())
        elif SEMANTIC_POINTS not in wanted and self._confidence_subscription is not None:
            self.destroy_subscription(self._confidence_subscription)
            self._confidence_subscription = None
            self._pairs.forget()

    def _listen_to_tf(self) -> None:
        """Begin early, where TF will be needed: what it has told before it was listened to comes a moment later."""
        settings = self._parameter_server.values
        if not settings.camera_height or settings.accumulate:
            try:
                self._transforms.listen()
            except TransformError:
                return  # told with the first mask

    def _publish_diagnostics(self) -> None:
        silence = self._silence()
        if silence:
            self._forget_free_space()
        self._state.facts = self._model.facts()
        report = self._diagnostics.report(
            self.get_clock().now(),
            self._state,
            self._statistics,
            self._pairs,
            wanted=self._outputs.wanted(),
            silence=silence,
            parameter_faults=self._parameter_server.faults,
        )
        self._diagnostics_publisher.publish(report)

    def _silence(self) -> str:
        seconds = self._statistics.silence_s()
        if self._mask_subscription is None or seconds <= self._parameter_server.values.input_timeout:
            return ""
        topic = self.resolve_topic_name("mask")
        profile = self._mask_subscription.qos_profile
        return f"no mask on {topic} for {seconds:.1f} s: {explain_silence(self, topic, _IMAGE_TYPE, profile)}"

    def _listen(self, message_type: type, topic: str, callback: Any, profile: Any) -> Any:
        with qos.explained(topic):
            return self.create_subscription(
                message_type, topic, callback, profile, qos_overriding_options=qos.overridable()
            )


def _since(started: float) -> float:
    """Return the milliseconds since a `perf_counter`."""
    return (perf_counter() - started) * 1e3


def main() -> None:
    """Run the node until it is told to stop."""
    run_node(DrivableAreaNode)


if __name__ == "__main__":
    main()
