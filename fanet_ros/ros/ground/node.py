"""The drivable-area node: masks and a calibration in, what a navigation stack plans with out. Plumbing only."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError, FrameError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.ground.view import GroundView
from fanet_ros.measured.cloud import colours_of
from fanet_ros.measured.view import MeasuredView
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.diagnostics import Reporter, Status, every_steady
from fanet_ros.ros.ground.classes import GroundClasses, Meaning
from fanet_ros.ros.ground.diagnostics import FaultLog, GroundDiagnostics, GroundState, GroundStatistics, ground_status
from fanet_ros.ros.ground.errors import NotReadyError
from fanet_ros.ros.ground.measured import INPUTS, MeasuredGround
from fanet_ros.ros.ground.measured_messages import MeasuredCloudMessage
from fanet_ros.ros.ground.messages import SemanticCloudMessage, ids_from_image
from fanet_ros.ros.ground.model import GroundModel
from fanet_ros.ros.ground.outputs import GEOMETRIC, GroundOutputs
from fanet_ros.ros.ground.pending import PendingMask, PendingMasks
from fanet_ros.ros.ground.transforms import TransformError, Transforms
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.qos_overrides import check_overrides
from fanet_ros.ros.topics import LatchedInput, sensor_data, subscribe
from fanet_ros.ros.watchdog import explain_silence
from fanet_ros.settings import Size

_FOLLOW_INTERVAL_S = 0.2
_MASKS = {"raw": Image, "compressed": CompressedImage}  # by mask_transport


class DrivableAreaNode(Node):
    """Turns `mask` (or `mask/compressed`) and `camera_info` into `~/drivable_mask`, `~/free_space`, `~/obstacle_scan`,
    `~/obstacle_points` and `~/semantic_points`; with measured geometry also `depth` or `points`, into
    `~/obstacle_cloud` as well.

    Masks are only subscribed to while somebody listens. What is not known (calibration, pose, classes) is told on
    /diagnostics and in the log, and nothing is published that would need it.
    """  # noqa: D205

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("drivable_area", **kwargs)
        RosLogHandler.install(self.get_logger())
        self._transforms = Transforms(self)
        self._classes = GroundClasses()
        self._parameter_server = ParameterServer(
            self,
            DrivableAreaParameters,
            on_change=self._on_parameters,
            contradictions=lambda values: [*values.contradictions(), *self._classes.faults(values)],
        )
        self._on_parameters()
        self._model = GroundModel(self._transforms)
        geometry = self._parameter_server.values.geometry
        self._outputs = GroundOutputs(self, self._transforms, is_measured=geometry != "flat")
        check_overrides(
            self,
            publishers=self._outputs.topics,
            subscriptions=(
                "mask",
                self._topic_of("compressed"),
                "confidence",
                "camera_info",
                "label_info",
                *INPUTS.get(geometry, ()),
            ),
        )
        self._statistics = GroundStatistics()
        self._state: GroundState | None = None  # by the last mask; None where none has come lately
        self._waits_since: float | None = None  # by monotonic(), for what a mask cannot be used without
        self._faults = FaultLog(self.get_logger())
        self._inputs: dict[str, Subscription] = {}  # while somebody wants what is made of them
        self._beside_masks = {
            "camera_info": LatchedInput(self, CameraInfo, "camera_info", self._model.set_camera_info),
            "label_info": LatchedInput(self, LabelInfo, "label_info", self._classes.set_label_info),
        }
        self._measured: MeasuredGround | None = None
        if geometry != "flat":
            self._measured = MeasuredGround(self, self._transforms, geometry, self._use_pending)
            self._beside_masks |= self._measured.latched
        self._pending = PendingMasks()
        self._measured_cloud = MeasuredCloudMessage()
        self._diagnostics = GroundDiagnostics()
        Reporter(self, self._statuses)
        every_steady(self, _FOLLOW_INTERVAL_S, self._follow_listeners)

    # masks ---------------------------------------------------------------------------------------------------------

    def _on_mask(self, message: Image | CompressedImage) -> None:
        started = perf_counter()
        self._statistics.count_received(self._age_s(message.header))
        wanted = self._outputs.wanted()
        if not wanted:
            return
        with self._told():
            try:
                mask = ids_from_image(message)
            except UnusableImageError as error:
                self._refuse("mask", error)
                return
            self._work(message.header, mask, wanted, started)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell of what goes wrong, and survive it."""
        try:
            yield
        except FanetError as error:
            self._fail(error)
        except Exception as error:  # numbers that nobody thought of: told, and survived, like the others
            self.get_logger().debug(traceback.format_exc())
            self._fail(FanetError(f"{type(error).__name__}: {error}"))

    def _work(self, header: Header, mask: NDArray[np.uint8], wanted: frozenset[str], started: float) -> None:
        self._parameter_server.check()  # defaults in the place of faulty values would be wrong data
        settings = self._parameter_server.values
        meaning = self._classes.meaning(settings)
        if "drivable_mask" in wanted:  # it needs no ground, so it goes out without one
            self._outputs.publish_drivable_mask(header, mask, meaning.kinds)
        if not wanted & GEOMETRIC:
            self._succeed([], is_needed=False)
            self._statistics.count_processed(_since(started))
        elif self._measured is None:
            self._use_flat(header, mask, meaning, started)
        else:
            self._use_pending(PendingMask(header, mask, meaning, started))

    def _use_flat(self, header: Header, mask: NDArray[np.uint8], meaning: Meaning, started: float) -> None:
        """Publish what a mask alone tells, over flat ground."""
        projector = self._model.projector(header, Size(mask.shape[1], mask.shape[0]), self._parameter_server.values)
        assert self._model.pose is not None
        steadied = projector.steadied(mask, self._model.pose)
        view = projector.view(steadied, meaning.kinds)
        notes = self._model.notes(header, steadied, meaning.kinds)
        self._publish_view(PendingMask(header, mask, meaning, started), view, lambda: self._model.cloud(meaning), notes)

    def _use_pending(self, mask: PendingMask | None = None) -> None:
        """Publish what a mask and a measurement tell together; either may come first.

        Args:
            mask: that has come now; None where a measurement has, which the last mask may have waited for.
        """
        measured, settings = self._measured, self._parameter_server.values
        assert measured is not None
        for waited, message in self._pending.take(mask, lambda stamp: measured.find(stamp, settings)):
            with self._told():
                ready = replace(waited, started=perf_counter())  # waiting for a measurement is no work
                seen = self._model.seen_by(ready.header, ready.mask, settings)
                view = measured.view(message, seen, ready.meaning.kinds, settings)
                colours = colours_of(ready.meaning.palette)
                notes = [*self._model.notes(ready.header, ready.mask, ready.meaning.kinds), *measured.notes()]
                self._publish_view(ready, view, lambda: self._measured_cloud.of(view, colours), notes)  # noqa: B023
        if self._pending.is_late(settings.input_timeout):
            with self._told():
                raise FrameError(measured.why_unpaired(self._pending.newest, settings.sync_tolerance))

    def _publish_view(
        self,
        seen: PendingMask,
        view: GroundView | MeasuredView,
        cloud: Callable[[], SemanticCloudMessage | MeasuredCloudMessage],
        notes: list[str],
    ) -> None:
        note = self._outputs.publish_view(seen, view, cloud, self._parameter_server.values)
        self._succeed([*notes, note] if note else notes, is_needed=True)
        if "semantic_points" in self._outputs.wanted():
            self._publish_semantic_points()
        else:
            self._statistics.count_processed(_since(seen.started))

    def _on_confidence(self, message: Image) -> None:
        self._outputs.pairs.add_confidence(message)
        self._publish_semantic_points()

    def _publish_semantic_points(self) -> None:
        try:
            spent_ms = self._outputs.publish_semantic_points()
        except UnusableImageError as error:
            self._refuse("confidence", error)
            return
        if spent_ms is not None:
            self._statistics.count_processed(spent_ms)

    def _refuse(self, what: str, error: UnusableImageError) -> None:
        self._statistics.count_refused(str(error))
        self.get_logger().error(f"{what} refused: {error}", throttle_duration_sec=1.0)

    def _succeed(self, notes: list[str], *, is_needed: bool) -> None:
        self._state = GroundState(note="; ".join(notes), is_needed=is_needed)
        self._waits_since = None
        if notes:
            self._faults.tell(self._state.note, LoggingSeverity.WARN)
        else:
            self._faults.clear("masks arrive, and nothing is missing any more")

    def _fail(self, error: FanetError) -> None:
        fault = str(error)
        level = LoggingSeverity.INFO if getattr(error, "is_early", False) else LoggingSeverity.ERROR
        if isinstance(error, NotReadyError):
            now = monotonic()
            self._waits_since = self._waits_since or now
            is_late = now - self._waits_since > self._parameter_server.values.input_timeout
            level = LoggingSeverity.WARN if is_late else LoggingSeverity.INFO
            fault = f"{fault}, {self._why_silent(error.topic)}"
        self._state = GroundState(fault, is_waiting=level != LoggingSeverity.ERROR)
        self._outputs.forget_free_space()
        self._faults.tell(f"nothing is published: {fault}", level)

    def _why_silent(self, topic: str) -> str:
        """Return on which topic something comes that is still to come, and why it may not come."""
        live = self._beside_masks[topic].live
        return f"on {live.topic_name}: {explain_silence(self, live)}"

    # the rest --------------------------------------------------------------------------------------------------------

    def _follow_listeners(self) -> None:
        """Subscribe to the masks and confidences that are needed now, and to no others."""
        for beside in self._beside_masks.values():
            beside.follow()
        wanted = self._outputs.wanted()
        transport = self._parameter_server.values.mask_transport
        for name, message_type in _MASKS.items():
            is_wanted = bool(wanted) and name == transport
            self._follow(self._topic_of(name), message_type, self._on_mask, is_wanted=is_wanted)
        self._follow("confidence", Image, self._on_confidence, is_wanted="semantic_points" in wanted)
        if not wanted & GEOMETRIC:
            self._pending = PendingMasks()
        if not wanted:
            self._statistics.begin()
            self._state = None
        if "free_space" not in wanted:
            self._outputs.forget_free_space()
        if "semantic_points" not in wanted:
            self._outputs.pairs.forget()

    def _topic_of(self, transport: str) -> str:
        """Return the topic of the masks: remapped, and with what image_transport puts behind it."""
        return "mask" if transport == "raw" else f"{self.resolve_topic_name('mask')}/{transport}"

    def _follow(self, topic: str, message_type: type, take: Callable[[Any], None], *, is_wanted: bool) -> None:
        if is_wanted and topic not in self._inputs:
            self._inputs[topic] = subscribe(self, message_type, topic, take, sensor_data(depth=1))
        elif not is_wanted and topic in self._inputs:
            self.destroy_subscription(self._inputs.pop(topic))

    def _on_parameters(self) -> None:
        """Begin to listen to TF where it is needed now: what it has told before comes a moment later."""
        self._classes.forget()
        settings = self._parameter_server.values
        if not settings.camera_height or settings.accumulate:
            try:
                self._transforms.listen()
            except TransformError:
                return  # told with the first mask

    def _statuses(self) -> list[Status]:
        silence, wanted = self._silence(), self._outputs.wanted()
        settings = self._parameter_server.values
        missing = self._missing(wanted)
        if silence:
            self._outputs.forget_free_space()
            self._state = None
            self._faults.tell("; ".join((silence, *missing)), LoggingSeverity.WARN)
        state = self._state or GroundState("; ".join(("waiting for masks", *missing)))
        state.facts = self._model.facts()
        if self._measured is not None:
            state.facts |= self._measured.facts(self._pending.unpaired)
        faults = (*self._parameter_server.faults, *settings.contradictions())
        return [
            self._diagnostics.input_status(self._statistics, self._outputs.pairs, wanted, silence),
            ground_status(state, wanted, faults),
        ]

    def _missing(self, wanted: frozenset[str]) -> list[str]:
        """Return what masks could not be used without and has not come, and why."""
        is_missing = {
            "label_info": bool(wanted) and not self._classes.are_told,
            "camera_info": bool(wanted & GEOMETRIC) and not self._model.is_calibrated,
        }
        return [f"no {topic} {self._why_silent(topic)}" for topic, is_true in is_missing.items() if is_true]

    def _age_s(self, header: Header) -> float:
        now, stamp = self.get_clock().now().nanoseconds, header.stamp
        return (now - stamp.sec * 10**9 - stamp.nanosec) / 1e9

    def _silence(self) -> str:
        settings = self._parameter_server.values
        seconds, masks = self._statistics.silence_s(), self._inputs.get(self._topic_of(settings.mask_transport))
        if masks is None or seconds <= settings.input_timeout:
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
