"""The drivable-area node: masks and a calibration in, what a navigation stack plans with out. Plumbing only."""

from __future__ import annotations

from dataclasses import dataclass
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
from fanet_ros.ground.parameters import DrivableAreaParameters
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import UnusableImageError, frame_from_image
from fanet_ros.ros.free_space import FreeSpace
from fanet_ros.ros.ground_diagnostics import GroundDiagnostics, GroundState, GroundStatistics
from fanet_ros.ros.ground_messages import SemanticCloudMessage
from fanet_ros.ros.ground_model import GroundModel, NotReadyError
from fanet_ros.ros.ground_outputs import SEMANTIC_POINTS, GroundOutputs
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.transforms import Transforms
from fanet_ros.ros.watchdog import explain_silence
from fanet_ros.settings import Size

_GEOMETRIC = frozenset({"free_space", "obstacle_scan", "obstacle_points", SEMANTIC_POINTS})
_IMAGE_TYPE = "sensor_msgs/msg/Image"
_FOLLOW_INTERVAL_S = 0.2
_REPORT_INTERVAL_S = 1.0


@dataclass(frozen=True)
class _Pending:
    """A mask whose semantic points wait for its confidence."""

    header: Header  # of the mask
    ground_header: Header
    mask: NDArray[np.uint8]
    cloud: SemanticCloudMessage
    spent_ms: float


class DrivableAreaNode(Node):
    """Turns `mask` and `camera_info` into `~/drivable_mask`, `~/free_space`, `~/obstacle_scan`, `~/obstacle_points` and
    `~/semantic_points`.

    Masks are only subscribed to while somebody listens. What is not known (calibration, pose, classes) is told on
    /diagnostics and in the log, and nothing is published that would need it.
    """  # noqa: D205

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("drivable_area", **kwargs)
        RosLogHandler.install(self.get_logger())
        self._parameter_server = ParameterServer(self, DrivableAreaParameters)
        self._transforms = Transforms(self)
        self._model = GroundModel(self._transforms)
        self._free_space = FreeSpace(self._transforms)
        self._outputs = GroundOutputs(self)
        self._statistics = GroundStatistics()
        self._state = GroundState("waiting for the first mask")
        self._logged_fault = ""
        self._mask_subscription: Any = None
        self._confidence_subscription: Any = None
        self._pending: _Pending | None = None
        self._confidence: Image | None = None
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
            mask = _mask_from(message)
        except UnusableImageError as error:
            self._statistics.count_refused(str(error))
            self.get_logger().error(f"mask refused: {error}", throttle_duration_sec=1.0)
            return
        try:
            self._work(message.header, mask, wanted, started)
        except FanetError as error:
            self._fail(error)

    def _work(self, header: Header, mask: NDArray[np.uint8], wanted: frozenset[str], started: float) -> None:
        if self._parameter_server.faults:
            raise FanetError("; ".join(self._parameter_server.faults))  # defaults in their place would be wrong data
        settings = self._parameter_server.values
        kinds = self._model.kinds(settings)
        if "drivable_mask" in wanted:
            self._outputs.publish_drivable_mask(mask, kinds, header)
        if not wanted & _GEOMETRIC:
            self._statistics.count_processed((perf_counter() - started) * 1e3)
            return
        projector = self._model.projector(header, Size(mask.shape[1], mask.shape[0]), settings)
        view = projector.view(mask, kinds)
        ground_header = Header(stamp=header.stamp, frame_id=settings.base_frame)
        self._outputs.publish_obstacles(wanted, view, ground_header)
        note = ""
        if "free_space" in wanted:
            free_space = self._free_space.observe(view.occupancy(), ground_header, settings)
            self._outputs.publish_free_space(free_space, settings)
            note = free_space.note
        self._succeed(note)
        spent_ms = (perf_counter() - started) * 1e3
        if SEMANTIC_POINTS in wanted:
            cloud = self._model.cloud(projector)
            self._pending = _Pending(header, ground_header, mask, cloud, spent_ms)
            self._publish_semantic_points()
        else:
            self._statistics.count_processed(spent_ms)

    def _on_confidence(self, message: Image) -> None:
        self._confidence = message
        self._publish_semantic_points()

    def _publish_semantic_points(self) -> None:
        """Publish the points of the mask that waits, if its confidence is there or there will be none."""
        pending, message = self._pending, self._confidence
        if pending is None:
            return
        started = perf_counter()
        confidence = None
        if self.count_publishers(self.resolve_topic_name("confidence")):
            if message is None or message.header.stamp != pending.header.stamp:
                return  # it comes after its mask; a newer mask takes the place of one whose confidence was lost
            try:
                confidence = _mask_from(message)
                if confidence.shape != pending.mask.shape:
                    raise UnusableImageError(
                        "size",
                        f"confidence of {confidence.shape[::-1]} pixels for a mask of {pending.mask.shape[::-1]}",
                    )
            except UnusableImageError as error:
                self._statistics.count_refused(str(error))
                self._pending = None
                return
        else:
            self._statistics.without_confidence += 1
        self._pending = None
        self._outputs.publish_semantic_points(pending.cloud, pending.ground_header, pending.mask, confidence)
        self._statistics.count_processed(pending.spent_ms + (perf_counter() - started) * 1e3)

    def _succeed(self, note: str) -> None:
        self._state = GroundState(note=note, facts=self._model.facts())
        if self._logged_fault:
            self.get_logger().info("the ground is known again")
            self._logged_fault = ""

    def _fail(self, error: FanetError) -> None:
        fault, is_waiting = str(error), isinstance(error, NotReadyError)
        self._state = GroundState(fault, is_waiting, facts=self._model.facts())
        if isinstance(error, NotReadyError):
            subscription, message_type = self._beside_masks[error.topic]
            topic = subscription.topic_name
            why = explain_silence(self, topic, message_type, subscription.qos_profile)
            self._state.fault = f"{fault}, on {topic}: {why}"
        if fault != self._logged_fault:
            self._logged_fault = fault
            log = self.get_logger().info if is_waiting else self.get_logger().error
            log(f"nothing is published: {self._state.fault}")

    # the rest --------------------------------------------------------------------------------------------------------

    def _follow_listeners(self) -> None:
        """Subscribe to what is needed now: whoever is not subscribed to computes nothing either."""
        wanted = self._outputs.wanted()
        if wanted and self._mask_subscription is None:
            self._statistics.begin()
            self._mask_subscription = self._listen(Image, "mask", self._on_mask, qos.newest())
        elif not wanted and self._mask_subscription is not None:
            self.destroy_subscription(self._mask_subscription)
            self._mask_subscription = self._pending = None
        if SEMANTIC_POINTS in wanted and self._confidence_subscription is None:
            self._confidence_subscription = self._listen(Image, "confidence", self._on_confidence, qos.newest())
        elif SEMANTIC_POINTS not in wanted and self._confidence_subscription is not None:
            self.destroy_subscription(self._confidence_subscription)
            self._confidence_subscription = self._confidence = self._pending = None

    def _publish_diagnostics(self) -> None:
        report = self._diagnostics.report(
            self.get_clock().now(),
            self._state,
            self._statistics,
            wanted=self._outputs.wanted(),
            silence=self._silence(),
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


def _mask_from(message: Image) -> NDArray[np.uint8]:
    """Return the ids of a mono8 image, uint8 (H, W), contiguous.

    Raises:
        UnusableImageError: it is no such image.
    """
    if message.encoding not in ("mono8", "8UC1"):
        raise UnusableImageError(
            "encoding", f"encoding '{message.encoding}', expected mono8: class ids, as the segmentation node's ~/mask"
        )
    message.encoding = "mono8"
    frame, _ = frame_from_image(message)
    return np.ascontiguousarray(frame[..., 0])


def main() -> None:
    """Run the node until it is told to stop."""
    run_node(DrivableAreaNode)


if __name__ == "__main__":
    main()
