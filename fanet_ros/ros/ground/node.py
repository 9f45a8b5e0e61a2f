"""The drivable-area node: masks and a calibration in, what a navigation stack plans with out. Plumbing only."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.ground.classes import drivable_mask
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.diagnostics import Reporter, Status, every_steady
from fanet_ros.ros.ground.diagnostics import GroundDiagnostics, GroundState, GroundStatistics, ground_status
from fanet_ros.ros.ground.free_space import FreeSpace
from fanet_ros.ros.ground.messages import ids_from_image, points_message, scan_message
from fanet_ros.ros.ground.model import GroundModel, NotReadyError
from fanet_ros.ros.ground.semantic_points import SemanticPairs, WaitingMask
from fanet_ros.ros.ground.transforms import TransformError, Transforms
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.topics import Outputs, latched, sensor_data, subscribe
from fanet_ros.ros.watchdog import explain_silence
from fanet_ros.settings import Size

_GEOMETRIC = frozenset({"free_space", "obstacle_scan", "obstacle_points", "semantic_points"})
_FOLLOW_INTERVAL_S = 0.2


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
        self._mask_writer = ImageMessageWriter()
        self._outputs = Outputs(
            self,
            {
                "drivable_mask": (Image, sensor_data()),
                "free_space": (OccupancyGrid, latched()),
                "obstacle_scan": (LaserScan, sensor_data()),
                "obstacle_points": (PointCloud2, sensor_data()),
                "semantic_points": (PointCloud2, sensor_data()),
            },
        )
        self._statistics = GroundStatistics()
        self._state = GroundState("waiting for the first mask")
        self._logged_fault = ""
        self._pairs = SemanticPairs(lambda: bool(self.count_publishers(self.resolve_topic_name("confidence"))))
        self._inputs: dict[str, Subscription] = {}  # while somebody wants what is made of them
        self._beside_masks = {
            "camera_info": subscribe(self, CameraInfo, "camera_info", self._model.set_camera_info, sensor_data()),
            "label_info": subscribe(self, LabelInfo, "label_info", self._model.set_label_info, latched()),
        }
        self._diagnostics = GroundDiagnostics()
        Reporter(self, self._statuses)
        every_steady(self, _FOLLOW_INTERVAL_S, self._follow_listeners)

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
        self._parameter_server.check()  # defaults in the place of faulty values would be wrong data
        settings = self._parameter_server.values
        kinds = self._model.kinds(settings)
        if "drivable_mask" in wanted:  # it needs no ground, so it goes out without one
            pixels = drivable_mask(mask, kinds, self._mask_writer.pixels(mask.shape))
            self._outputs.publish("drivable_mask", self._mask_writer.write(header, pixels, "mono8"))
        notes: list[str] = []
        waiting = None
        if wanted & _GEOMETRIC:
            projector = self._model.projector(header, Size(mask.shape[1], mask.shape[0]), settings)
            view = projector.view(mask, kinds)
            ground_header = Header(stamp=header.stamp, frame_id=settings.base_frame)
            if "obstacle_scan" in wanted:
                self._outputs.publish("obstacle_scan", scan_message(ground_header, view.scan()))
            if "obstacle_points" in wanted:
                self._outputs.publish("obstacle_points", points_message(ground_header, view.obstacle_points()))
            if "free_space" in wanted:
                grid = self._free_space.observe(view.occupancy(), ground_header, settings)
                if grid is not None:
                    self._outputs.publish("free_space", grid)
                notes += [self._free_space.note] if self._free_space.note else []
            notes += self._model.notes(header, mask)
            if "semantic_points" in wanted:
                waiting = WaitingMask(header, ground_header, mask, self._model.cloud(), _since(started))
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
            self._outputs.publish("semantic_points", points)
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
            subscription = self._beside_masks[error.topic]
            why = explain_silence(self, subscription)
            self._state.fault = f"{fault}, on {subscription.topic_name}: {why}"
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
            self._outputs.publish("free_space", grid)

    # the rest --------------------------------------------------------------------------------------------------------

    def _follow_listeners(self) -> None:
        """Subscribe to what is needed now: whoever is not subscribed to computes nothing either."""
        wanted = self._outputs.wanted()
        self._follow("mask", self._on_mask, is_wanted=bool(wanted))
        self._follow("confidence", self._on_confidence, is_wanted="semantic_points" in wanted)
        if not wanted:
            self._statistics.begin()
        if "free_space" not in wanted:
            self._forget_free_space()
        if "semantic_points" not in wanted:
            self._pairs.forget()

    def _follow(self, topic: str, take: Callable[[Image], None], *, is_wanted: bool) -> None:
        if is_wanted and topic not in self._inputs:
            self._inputs[topic] = subscribe(self, Image, topic, take, sensor_data(depth=1))
        elif not is_wanted and topic in self._inputs:
            self.destroy_subscription(self._inputs.pop(topic))

    def _listen_to_tf(self) -> None:
        """Begin early, where TF will be needed: what it has told before it was listened to comes a moment later."""
        settings = self._parameter_server.values
        if not settings.camera_height or settings.accumulate:
            try:
                self._transforms.listen()
            except TransformError:
                return  # told with the first mask

    def _statuses(self) -> list[Status]:
        silence, wanted = self._silence(), self._outputs.wanted()
        if silence:
            self._forget_free_space()
        self._state.facts = self._model.facts()
        return [
            self._diagnostics.input_status(self._statistics, self._pairs, wanted, silence),
            ground_status(self._state, wanted, self._parameter_server.faults),
        ]

    def _silence(self) -> str:
        seconds, masks = self._statistics.silence_s(), self._inputs.get("mask")
        if masks is None or seconds <= self._parameter_server.values.input_timeout:
            return ""
        return f"no mask on {masks.topic_name} for {seconds:.1f} s: {explain_silence(self, masks)}"


def _since(started: float) -> float:
    """Return the milliseconds since a `perf_counter`."""
    return (perf_counter() - started) * 1e3


def main() -> None:
    """Run the node until it is told to stop."""
    run_node(DrivableAreaNode)


if __name__ == "__main__":
    main()
