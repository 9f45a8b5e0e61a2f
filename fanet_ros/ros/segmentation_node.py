"""The segmentation node: a lifecycle node that turns camera messages into masks. Plumbing only."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.errors import FanetError
from fanet_ros.parameters import SegmentationParameters
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import UnusableImageError
from fanet_ros.ros.diagnostics import Activity, Diagnostics
from fanet_ros.ros.outputs import Outputs
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.pipeline import FramePipeline, ReceivedFrame
from fanet_ros.ros.process import RosLogHandler, run_node, stop_requested
from fanet_ros.ros.worker import NewestItemWorker
from fanet_ros.segmenter import Segmenter

_REPORT_INTERVAL_S = 1.0


class SegmentationNode(LifecycleNode):
    """Turns `image` into `~/mask`, `~/overlay`, `~/color_mask`, `~/confidence`, `~/label_info`, `~/stats`.

    Configure loads the model and warms it up, activate subscribes, deactivate stops, cleanup frees the device. A fault
    of the user's (a wrong parameter, missing weights, an unusable image) is reported and survived.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("segmentation", **kwargs)
        RosLogHandler.install(self.get_logger())
        self._segmenter: Segmenter | None = None
        self._outputs: Outputs | None = None
        self._pipeline: FramePipeline | None = None
        self._worker: NewestItemWorker[ReceivedFrame] | None = None
        self._subscription: Any = None
        self._activated_at = 0.0
        self._fault = ""
        self._building = ""
        self._stopping = False
        self._last_logged: dict[str, float] = {}
        self._silence_logged = False
        self._parameter_server = ParameterServer(
            self,
            SegmentationParameters,
            is_configured=lambda: self._segmenter is not None,
            on_change=self._on_parameters_changed,
        )
        self._settings = self._parameter_server.values
        full_name = f"{self.get_namespace()}/{self.get_name()}".lstrip("/")
        self._diagnostics = Diagnostics(full_name)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # on a clock that always runs: a simulation that stands still must not silence the diagnostics
        self.create_timer(_REPORT_INTERVAL_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._survive_impossible_transitions()

    def autostart(self) -> None:
        """Configure and activate, if the parameter `autostart` says so."""
        if self._settings.autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # lifecycle -------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, start the backend, warm it up, and create the output topics."""
        return self._attempt("configure", self._configure, undo=self._free)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        super().on_activate(state)
        return self._attempt("activate", self._activate, undo=self._stop)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the frame in work finish."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the device and take the output topics off the graph."""
        self._fault = ""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from whatever state."""
        self._fault = ""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a failure inside a transition: stop and free everything, and be ready to be configured anew."""
        self._fault = f"a transition from '{state.label}' failed; everything was stopped and freed"
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker before the topics it publishes on go away."""
        self._stop()
        self._free()
        super().destroy_node()

    def _configure(self) -> None:
        if self._parameter_server.faults:
            raise FanetError("; ".join(self._parameter_server.faults))
        settings = self._settings
        started = perf_counter()
        self._segmenter = Segmenter(
            settings.weights or DEFAULT_WEIGHTS,
            labels=settings.labels,
            backend=settings.backend,
            device=settings.device,
            precision=settings.precision,
            input_size=settings.input_size,
            threads=settings.threads,
            progress=self._on_progress,
        )
        self._segmenter.warm_up()
        self._building = ""
        self._outputs = Outputs(self, self._segmenter.label_set)
        self._pipeline = FramePipeline(self._segmenter, self._outputs, self.get_clock())
        self.get_logger().info(f"configured in {perf_counter() - started:.1f} s: {self._segmenter.backend_info}")

    def _activate(self) -> None:
        assert self._pipeline is not None and self._outputs is not None
        self._pipeline.reset()
        self._activated_at = monotonic()
        self._outputs.publish_label_info(self._settings.confidence_threshold)
        self._worker = NewestItemWorker("fanet_inference", self._work)
        with qos.explained(self._input_topic):
            self._subscription = self.create_subscription(
                CompressedImage if self._settings.image_transport == "compressed" else Image,
                self._input_topic,
                self._on_image,
                qos.sensor_data(),
                qos_overriding_options=qos.overridable(),
            )
        self.get_logger().info(f"active: segments {self._input_topic}")

    def _attempt(self, what: str, act: Callable[[], None], undo: Callable[[], None]) -> TransitionCallbackReturn:
        """Do what a transition asks for; if it fails, say why, undo it, and stay in the state before."""
        self._fault = self._building = ""
        try:
            act()
        except Exception as error:  # a traceback helps nobody here, a node that lives on to be corrected does
            reason = str(error) if isinstance(error, FanetError) else f"{type(error).__name__}: {error}"
            self._fault = f"cannot {what}: {reason}"
            self.get_logger().error(
                f"{self._fault}. The node waits to be corrected (ros2 param set) and told again "
                f"(ros2 lifecycle set {self.get_fully_qualified_name()} {what})"
            )
            undo()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    # frames ----------------------------------------------------------------------------------------------------

    @property
    def _input_topic(self) -> str:
        topic = self.resolve_topic_name("image")
        if self._settings.image_transport == "compressed":
            topic = self.resolve_topic_name(f"{topic}/compressed")
        return topic

    def _on_image(self, message: Image | CompressedImage) -> None:
        if self._pipeline is None or self._worker is None or self._outputs is None:
            return
        statistics = self._pipeline.statistics
        statistics.count_received()
        if not self._outputs.wanted():
            statistics.count_skipped()
        elif self._worker.submit(ReceivedFrame(message, perf_counter())):
            statistics.count_dropped()

    def _work(self, received: ReceivedFrame) -> None:
        assert self._pipeline is not None and self._outputs is not None
        try:
            stats = self._pipeline.process(received, self._settings)
        except UnusableImageError as error:
            self._reject(error.kind, f"image refused: {error}")
            return
        except Exception as error:  # out of memory, a lost device: the next frame may work, and the robot sees why not
            if self._stopping:
                self._pipeline.statistics.count_dropped()  # no fault: its build was given up
            elif self.context.ok():  # else the process ends, and with it the topics
                self._reject("inference", f"frame lost: {type(error).__name__}: {error}")
            return
        finally:
            self._building = ""  # it is done, has failed, or was given up
        if stats is not None and self.context.ok():
            self._outputs.publish_stats(stats)

    def _reject(self, kind: str, reason: str) -> None:
        assert self._pipeline is not None
        self._pipeline.statistics.count_rejected(kind, reason)
        now = monotonic()
        if now - self._last_logged.get(kind, -1.0) >= 1.0:
            self._last_logged[kind] = now
            self.get_logger().error(reason)

    def _on_progress(self, text: str) -> None:
        """Tell how a build goes; it holds up the executor (at configure) or the frames (when their size changed)."""
        if self._stopping or stop_requested():
            raise FanetError("a build was given up because the node stops")
        self._building = text
        self.get_logger().info(text)
        if self._worker is None:  # the timer cannot fire meanwhile
            self._publish_diagnostics()

    # the rest --------------------------------------------------------------------------------------------------

    def _on_parameters_changed(self) -> None:
        threshold = self._settings.confidence_threshold
        self._settings = self._parameter_server.values
        if self._worker is not None and self._outputs is not None and self._settings.confidence_threshold != threshold:
            self._outputs.publish_label_info(self._settings.confidence_threshold)

    def _publish_diagnostics(self) -> None:
        is_active = self._worker is not None
        now = self.get_clock().now()
        activity = Activity(
            state=self._state_machine.current_state[1],
            clock_stands_still=now.nanoseconds == 0,
            statistics=self._pipeline.statistics if is_active and self._pipeline is not None else None,
            backend=self._segmenter.backend_info if self._segmenter is not None else None,
            topic=self._input_topic,
            publishers=self.count_publishers(self._input_topic),
            seconds_active=monotonic() - self._activated_at,
            wanted=self._outputs is not None and bool(self._outputs.wanted()),
            building=self._building,
        )
        faults = self._parameter_server.faults or ((self._fault,) if self._fault else ())
        report = self._diagnostics.report(now, faults, activity, self._settings)
        self._diagnostics_publisher.publish(report)
        self._log_silence(report)

    def _log_silence(self, report: DiagnosticArray) -> None:
        """Tell once on the console that no image comes: the first thing that a wrong topic name shows."""
        silent = [s for s in report.status if s.name.endswith(": input") and s.level == DiagnosticStatus.ERROR]
        if silent and not self._silence_logged:
            self.get_logger().warning(silent[0].message)
        self._silence_logged = bool(silent)

    def _stop(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            self._stopping = True
            if self._worker.stop() and self._pipeline is not None:
                self._pipeline.statistics.count_dropped()
            self._worker = None
            self._stopping = False  # or the next configure would give its build up

    def _free(self) -> None:
        outputs, segmenter = self._outputs, self._segmenter
        self._outputs = self._segmenter = self._pipeline = None
        for resource in (outputs and outputs.destroy, segmenter and segmenter.close):
            try:
                if resource:
                    resource()
            except Exception as error:  # a lost device cannot be freed; the rest still is
                self.get_logger().error(f"while freeing resources: {type(error).__name__}: {error}")

    def _survive_impossible_transitions(self) -> None:
        """Answer a transition that the state does not allow with "no"; rclpy's own service would end the process."""
        service = self._service_change_state
        answer = service.callback

        def answer_or_refuse(request: Any, response: Any) -> Any:
            try:
                return answer(request, response)
            except RuntimeError as error:  # rclpy's RCLError, which has no public name
                self.get_logger().warning(f"transition refused: {error}")
                response.success = False
                return response

        service.callback = answer_or_refuse


def main() -> None:
    """Run the node until it is told to stop."""
    run_node(SegmentationNode, after_start=SegmentationNode.autostart)


if __name__ == "__main__":
    main()
