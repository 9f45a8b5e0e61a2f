"""The segmentation node: a lifecycle node that turns camera messages into masks. Plumbing only."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.ros.diagnostics import Reporter, Status
from fanet_ros.ros.lifecycle import CorrectableNode
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node, stop_requested
from fanet_ros.ros.qos_overrides import check_overrides
from fanet_ros.ros.segmentation.camera_channel import CameraChannel, ReceivedFrame
from fanet_ros.ros.segmentation.diagnostics import Activity, CameraActivity, Diagnostics
from fanet_ros.ros.segmentation.pipeline import FramePipeline
from fanet_ros.ros.segmentation.worker import NewestItemsWorker
from fanet_ros.ros.topics import Outputs, latched
from fanet_ros.ros.watchdog import Watchdog
from fanet_ros.scheduling.latency_budget import LatencyBudget
from fanet_ros.segmenter import Segmenter

_KEPT_SIZES = 4  # input sizes, at each scale, for which the compiled network is kept: 60 MB each in int8, 150 in fp32


class SegmentationNode(CorrectableNode):
    """Turns `image` into `~/mask`, `~/overlay`, `~/color_mask`, `~/confidence`, `~/stats`, and tells `~/label_info`.

    The first three also come as `~/mask/compressed` and so on, for thin links.

    With the parameter `cameras` it does that for several: `NAME/image` becomes `~/NAME/mask` and so on. They share one
    model and one thread.

    Configure loads the model and warms it up, activate subscribes, deactivate stops, cleanup frees the device. A fault
    of the user's (a wrong parameter, missing weights, an unusable image) is reported and survived.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("segmentation", **kwargs)
        RosLogHandler.install(self.get_logger())
        self._segmenter: Segmenter | None = None
        self._label_info: Outputs | None = None
        self._channels: list[CameraChannel] = []
        self._pipeline: FramePipeline | None = None
        self._worker: NewestItemsWorker[ReceivedFrame] | None = None
        self._building = ""
        self._stopping = False
        self._parameter_server = ParameterServer(
            self,
            SegmentationParameters,
            is_configured=lambda: self._segmenter is not None,
            on_change=self._on_parameters_changed,
        )
        self._settings = self._parameter_server.values
        self._diagnostics = Diagnostics()
        self._watchdog = Watchdog(self)
        self._reporter = Reporter(self, self._statuses)

    def autostart(self) -> None:
        """Configure and activate, if the parameter `autostart` says so."""
        if self._settings.autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # lifecycle -------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights, start the backend, warm it up, and create the output topics."""
        return self.attempt("configure", self._configure, undo=self._free)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras."""
        super().on_activate(state)
        return self.attempt("activate", self._activate, undo=self._stop)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the frames in work finish."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the device and take the output topics off the graph."""
        self.fault = ""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from whatever state."""
        self.fault = ""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a failure inside a transition: stop and free everything, and be ready to be configured anew."""
        self.fault = f"a transition from '{state.label}' failed; everything was stopped and freed"
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker before the topics it publishes on go away."""
        self._stop()
        self._free()
        super().destroy_node()

    def _configure(self) -> None:
        self._parameter_server.check()
        settings = self._settings
        cameras, looks = settings.cameras or ("",), settings.looks()
        started = perf_counter()
        self._segmenter = Segmenter(
            settings.weights,
            labels=settings.labels,
            backend=settings.backend,
            device=settings.device,
            precision=settings.precision,
            input_size=settings.input_size,
            threads=settings.threads,
            progress=self._on_progress,
            scales=LatencyBudget(settings.latency_budget_ms).scales,
            kept_sizes=max(len(cameras), _KEPT_SIZES),  # cameras may differ in shape, and one may change it
            temporal_frames=settings.temporal_frames,
            looks=looks,
        )
        self._segmenter.warm_up(batch=len(cameras))
        self._building = ""
        label_set = self._segmenter.label_set
        for name, look in zip(cameras, looks, strict=True):
            memory = self._segmenter.new_memory()
            self._channels.append(CameraChannel(self, name, settings, label_set, memory, look))
        self._label_info = Outputs(self, {"label_info": (LabelInfo, latched())})
        check_overrides(
            self,
            publishers=[*self._label_info.topics, *(topic for c in self._channels for topic in c.outputs.topics)],
            subscriptions=[topic for channel in self._channels for topic in channel.inputs],
        )
        self._pipeline = FramePipeline(
            self._segmenter,
            self.get_clock(),
            settings,
            is_stopping=lambda: self._stopping or not self.context.ok(),  # without it the topics are gone
        )
        self.get_logger().info(f"configured in {perf_counter() - started:.1f} s: {self._segmenter.backend_info}")
        if len(cameras) > 1:
            self.get_logger().info(self._segmenter.batching_in_words)

    def _activate(self) -> None:
        assert self._pipeline is not None
        self._pipeline.reset()
        self._publish_label_info()
        worker = self._worker = NewestItemsWorker("fanet_inference", self._work, self._pipeline.choose_next_run)
        for channel in self._channels:
            channel.reset()
            channel.subscribe(lambda frame: worker.submit(frame.channel.name, frame))
        self.get_logger().info(f"active: segments {', '.join(channel.topic for channel in self._channels)}")

    # frames ----------------------------------------------------------------------------------------------------

    def _work(self, frames: list[ReceivedFrame]) -> None:
        assert self._pipeline is not None
        try:
            self._pipeline.process(frames, self._settings)
        finally:
            self._building = ""  # it is done, has failed, or was given up

    def _on_progress(self, text: str) -> None:
        """Tell how a build goes; it holds up the executor (at configure) or the frames (when their size changed)."""
        if self._stopping or stop_requested():
            raise FanetError("a build was given up because the node stops")
        self._building = text
        self.get_logger().info(text)
        if self._worker is None:  # the timer cannot fire meanwhile
            self._reporter.report()

    # the rest --------------------------------------------------------------------------------------------------

    def _on_parameters_changed(self) -> None:
        threshold = self._settings.confidence_threshold
        self._settings = self._parameter_server.values
        for channel in self._channels:
            channel.limit.max_rate_hz = self._settings.max_rate_hz
        if self._worker is not None and self._settings.confidence_threshold != threshold:
            self._publish_label_info()

    def _publish_label_info(self) -> None:
        """Tell all present and future subscribers the class names and the masks' confidence threshold."""
        assert self._segmenter is not None and self._label_info is not None
        threshold, stamp = self._settings.confidence_threshold, self.get_clock().now().to_msg()
        message = label_info_message(self._segmenter.label_set, threshold, stamp)
        self._label_info.publish("label_info", message)

    def _statuses(self) -> list[Status]:
        running = self._channels if self._worker is not None else []
        silences = self._watchdog.check(running, self._settings.input_timeout)
        cameras = tuple(
            CameraActivity(
                name=channel.name,
                statistics=channel.statistics,
                topic=channel.topic,
                publishers=self.count_publishers(channel.topic),
                silence=silences.get(channel.name, ""),
                wanted=bool(channel.outputs.wanted()),
                memory=channel.video.memory if self._settings.temporal_frames > 1 else None,
            )
            for channel in running
        )
        activity = Activity(
            state=self._state_machine.current_state[1],
            clock_stands_still=self.get_clock().now().nanoseconds == 0,
            backend=self._segmenter.backend_info if self._segmenter is not None else None,
            cameras=cameras,
            building=self._building,
            batching=self._segmenter.batching_in_words if self._segmenter is not None and len(cameras) > 1 else "",
            budget=self._pipeline.budget if self._pipeline is not None and running else None,
        )
        faults = self._parameter_server.faults or ((self.fault,) if self.fault else ())
        return self._diagnostics.report(faults, activity, self._settings)

    def _stop(self) -> None:
        for channel in self._channels:
            channel.unsubscribe()
        if self._worker is not None:
            self._stopping = True
            for frame in self._worker.stop():
                frame.channel.statistics.count_dropped()
            self._worker = None
            self._stopping = False  # or the next configure would give its build up
            self._attempt_each([channel.outputs.end_activation for channel in self._channels])
            self._attempt_each([channel.video.end for channel in self._channels])

    def _free(self) -> None:
        resources = [channel.destroy for channel in self._channels]
        if self._label_info is not None:
            resources.append(self._label_info.destroy)
        if self._segmenter is not None:
            resources.append(self._segmenter.close)
        self._channels = []
        self._label_info = self._segmenter = self._pipeline = None
        self._building = ""
        self._attempt_each(resources)

    def _attempt_each(self, steps: Sequence[Callable[[], object]]) -> None:
        for step in steps:
            try:
                step()
            except Exception as error:  # a lost device cannot be freed; the rest still is
                self.get_logger().debug(traceback.format_exc())
                self.get_logger().error(f"while freeing resources: {type(error).__name__}: {error}")


def main() -> None:
    """Run the node until it is told to stop."""
    run_node(SegmentationNode, after_start=SegmentationNode.autostart)


if __name__ == "__main__":
    main()
