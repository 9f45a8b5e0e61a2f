"""The output topics of one camera: who listens, and how a segmentation becomes messages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.labels import LabelSet
from fanet_ros.msg import SegmentationStats
from fanet_ros.reports.render import Painter
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import ImageMessageWriter, label_info_message
from fanet_ros.segmenter import Segmentation
from fanet_ros.settings import Size

_IMAGES = ("mask", "overlay", "color_mask", "confidence")


class Outputs:
    """Publishers for one camera of a configured node; images go out only where somebody subscribes."""

    def __init__(self, node: LifecycleNode, label_set: LabelSet, camera: str = "") -> None:
        """Create the topics.

        Args:
            node: that publishes.
            label_set: with the classes' colours.
            camera: part of the topics' names, ~/CAMERA/mask and so on; empty for ~/mask and so on.

        Raises:
            SettingError: an override of a topic's QoS cannot be used.
        """
        self._node = node
        self._prefix = f"~/{camera}/" if camera else "~/"
        self._painter = Painter(label_set)
        self._writers = {name: ImageMessageWriter() for name in _IMAGES}
        self._publishers: dict[str, LifecyclePublisher] = {}
        try:
            for name in _IMAGES:
                self._create(Image, name)
            self._create(SegmentationStats, "stats")
        except Exception:
            self.destroy()
            raise

    def wanted(self) -> frozenset[str]:
        """Return the names of the topics that somebody subscribes to now."""
        return frozenset(name for name, publisher in self._publishers.items() if publisher.get_subscription_count())

    def label_buffers(self, wanted: frozenset[str], size: Size) -> LabelBuffers:
        """Return the memory of the next mask and, where it is in `wanted`, confidence message, to segment into."""
        shape = (size.height, size.width)
        confidence = self._writers["confidence"].pixels(shape) if "confidence" in wanted else None
        return LabelBuffers(self._writers["mask"].pixels(shape), confidence)

    def publish_images(
        self,
        wanted: frozenset[str],
        header: Header,
        frame: NDArray[np.uint8],
        encoding: str,
        result: Segmentation,
        overlay_alpha: float,
    ) -> None:
        """Publish the images in `wanted`, the mask first because it is what a robot acts on.

        Args:
            wanted: topic names.
            header: of the camera image; goes out untouched.
            frame: the camera image and ...
            encoding: ... its encoding, for the overlay.
            result: of segmenting it.
            overlay_alpha: opacity of the class colours in [0, 1].
        """
        labels = result.labels
        canvas = (*frame.shape[:2], 3)
        makers: dict[str, Callable[[], tuple[NDArray[np.uint8] | None, str]]] = {
            "mask": lambda: (labels, "mono8"),
            "confidence": lambda: (result.confidence, "mono8"),
            "overlay": lambda: self._painter.overlay(
                frame, encoding, labels, overlay_alpha, self._writers["overlay"].pixels(canvas)
            ),
            "color_mask": lambda: (
                self._painter.color_mask(labels, "rgb8", self._writers["color_mask"].pixels((*labels.shape, 3))),
                "rgb8",
            ),
        }
        for name, make in makers.items():
            if name in wanted:
                pixels, pixel_encoding = make()
                if pixels is not None:
                    self._publishers[name].publish(self._writers[name].write(header, pixels, pixel_encoding))

    def publish_stats(self, stats: SegmentationStats) -> None:
        """Publish what the frame cost."""
        self._publishers["stats"].publish(stats)

    def destroy(self) -> None:
        """Take the topics off the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def _create(self, message_type: type, name: str) -> None:
        self._publishers[name] = create_publisher(self._node, message_type, self._prefix + name, qos.sensor_data())


class LabelInfoOutput:
    """The latched topic with the class names, one for all cameras."""

    def __init__(self, node: LifecycleNode, label_set: LabelSet) -> None:
        self._node = node
        self._label_set = label_set
        self._publisher = create_publisher(node, LabelInfo, "~/label_info", qos.latched())

    def publish(self, threshold: float) -> None:
        """Publish the class names, and the masks' confidence threshold, for all present and future subscribers."""
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(label_info_message(self._label_set, threshold, stamp))

    def destroy(self) -> None:
        """Take the topic off the graph."""
        self._node.destroy_lifecycle_publisher(self._publisher)


def create_publisher(node: LifecycleNode, message_type: type, topic: str, profile: QoSProfile) -> LifecyclePublisher:
    """Create a publisher whose QoS users may override.

    Raises:
        SettingError: the override cannot be used.
    """
    with qos.explained(topic):
        return node.create_lifecycle_publisher(message_type, topic, profile, qos_overriding_options=qos.overridable())
