"""One camera of the node: its subscriptions, its output topics, its memory, and what became of its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fanet_ros.frames.look import AS_IT_COMES, Look
from fanet_ros.model.labels import LabelSet
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.segmentation.frame_statistics import FrameStatistics
from fanet_ros.ros.segmentation.outputs import CameraOutputs
from fanet_ros.ros.topics import sensor_data, subscribe
from fanet_ros.scheduling.rate_limit import RateLimit
from fanet_ros.video.camera_video import CameraVideo
from fanet_ros.video.video_memory import VideoMemory

_LOG_INTERVAL_S = 1.0  # between two reports of the same kind of bad image


@dataclass(frozen=True)
class ReceivedFrame:
    """A camera message, where it came from, when it came in (`perf_counter` seconds), and the calibration then."""

    channel: CameraChannel
    message: Image | CompressedImage
    arrival: float
    calibration: bytes | None = None


class CameraChannel:
    """A camera of a configured node; it subscribes while the node is active.

    Attributes:
        name: in the parameter `cameras`; empty for the one camera of a node without it.
        input_name: of the camera's topic before remapping, without the transport.
        topic: full name of the camera's topic.
        message_type: of that topic.
        outputs: the topics for this camera's results.
        statistics: of this camera's frames since the activation.
        limit: on how many frames a second are worked on.
        look: how the network looks at them.
        video: what is remembered of its frames.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        settings: SegmentationParameters,
        label_set: LabelSet,
        memory: VideoMemory,
        look: Look = AS_IT_COMES,
    ) -> None:
        """Create the output topics.

        Args:
            node: that owns the topics.
            name: of the camera; empty for the only one.
            settings: of the node.
            label_set: of the masks.
            memory: of the segmenter, for this camera alone.
            look: how the network looks at its images.

        Raises:
            SettingError: an override of a topic's QoS cannot be used.
        """
        self._node = node
        self._subscriptions: list[Subscription] = []
        self._activated_at = 0.0
        self._last_logged: dict[str, float] = {}
        self.name = name
        self.look = look
        self.input_name = f"{name}/image" if name else "image"
        self.topic = node.resolve_topic_name(self.input_name)
        self.message_type: type[Image] | type[CompressedImage] = Image
        if settings.image_transport == "compressed":
            self.topic = node.resolve_topic_name(f"{self.topic}/compressed")
            self.message_type = CompressedImage
        self._calibration: tuple[str, bytes] | None = None  # frame_id and content of the last camera_info
        self.statistics = FrameStatistics()
        self.limit = RateLimit(settings.max_rate_hz)
        self.video = CameraVideo(memory)
        self._remembers = settings.temporal_frames > 1
        self.outputs = CameraOutputs(node, label_set, name)

    @property
    def subscription(self) -> Subscription:
        """To the images, of an active node."""
        return self._subscriptions[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the topics that it subscribes to."""
        return (self.topic, self._info_topic()) if self._remembers else (self.topic,)

    def reset(self) -> None:
        """Count from zero: a new activation begins."""
        self.statistics = FrameStatistics()
        self.limit.reset()  # its next due time may be far off
        self._activated_at = monotonic()
        self._last_logged.clear()

    def subscribe(self, submit: Callable[[ReceivedFrame], bool]) -> None:
        """Take images in and pass on those that somebody wants to see segmented, as many as the limit allows.

        Args:
            submit: given each frame; returns whether it has replaced an older one that still waited.

        Raises:
            SettingError: an override of the topic's QoS cannot be used.
        """

        def on_image(message: Image | CompressedImage) -> None:
            self.statistics.count_received()
            if not self.outputs.wanted() or not self.limit.lets_pass(monotonic()):
                self.statistics.count_skipped()
            elif submit(ReceivedFrame(self, message, perf_counter(), self._calibration_of(message.header.frame_id))):
                self.statistics.count_dropped()

        self._subscriptions = [subscribe(self._node, self.message_type, self.topic, on_image, sensor_data())]
        if self._remembers:  # a lens that zooms or a sensor that crops shows the same scene elsewhere
            self._subscriptions.append(
                subscribe(self._node, CameraInfo, self._info_topic(), self._on_camera_info, sensor_data(depth=1))
            )

    def unsubscribe(self) -> None:
        """Take no more images in."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _info_topic(self) -> str:
        """Return the topic of the camera's calibration: remapped, or beside the image, where drivers publish it."""
        name = f"{self.name}/camera_info" if self.name else "camera_info"
        resolved = self._node.resolve_topic_name(name)
        namespace = self._node.get_namespace().rstrip("/")
        if resolved != f"{namespace}/{name}":
            return resolved
        return f"{self.topic.removesuffix('/compressed').rpartition('/')[0]}/camera_info"

    def _on_camera_info(self, message: CameraInfo) -> None:
        roi = message.roi
        whole = (message.width, message.height, message.binning_x, message.binning_y, message.distortion_model)
        region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        numbers = np.concatenate([message.d, message.k, message.r, message.p])  # NaN equals itself as bytes
        self._calibration = message.header.frame_id, repr((whole, region)).encode() + numbers.tobytes()

    def _calibration_of(self, frame_id: str) -> bytes | None:
        """Return the last calibration, if it is one of this camera and not of another on the same topic."""
        known = self._calibration
        return known[1] if known is not None and known[0] in ("", frame_id) else None

    def seconds_silent(self) -> float:
        """Return for how long no image has come, since the activation at most."""
        silence = self.statistics.seconds_since_arrival()
        return monotonic() - self._activated_at if silence is None else silence

    def reject(self, kind: str, reason: str) -> None:
        """Count a frame that could not be used, and log why, but not for every frame.

        Args:
            kind: of fault, for the counters.
            reason: in words.
        """
        self.statistics.count_rejected(kind, reason)
        now = monotonic()
        if now - self._last_logged.get(kind, -_LOG_INTERVAL_S) >= _LOG_INTERVAL_S:
            self._last_logged[kind] = now
            self._node.get_logger().error(f"{self.name}: {reason}" if self.name else reason)

    def destroy(self) -> None:
        """Take all topics off the graph."""
        self.unsubscribe()
        self.outputs.destroy()
