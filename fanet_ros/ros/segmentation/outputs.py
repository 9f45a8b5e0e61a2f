"""The output topics of one camera: how a segmentation becomes messages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.labels import LabelSet
from fanet_ros.msg import SegmentationStats
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.reports.render import Painter
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.segmentation.compressed_outputs import COMPRESSED, CompressedOutputs, Seen
from fanet_ros.ros.topics import Outputs, sensor_data
from fanet_ros.segmenter import Segmentation
from fanet_ros.settings import Size

_IMAGES = ("mask", "overlay", "color_mask", "confidence")


class CameraOutputs(Outputs):
    """Images and statistics of one camera of a configured node."""

    def __init__(self, node: LifecycleNode, label_set: LabelSet, camera: str = "") -> None:
        """Create the topics.

        Args:
            node: that publishes.
            label_set: with the classes' colours.
            camera: part of the topics' names, ~/CAMERA/mask and so on; empty for ~/mask and so on.

        Raises:
            SettingError: an override of a topic's QoS cannot be used.
        """
        self._painter = Painter(label_set)
        self._writers = {name: ImageMessageWriter() for name in _IMAGES}
        topics = {
            **dict.fromkeys(_IMAGES, Image),
            **dict.fromkeys(COMPRESSED, CompressedImage),
            "stats": SegmentationStats,
        }
        profiles = {name: (message_type, sensor_data()) for name, message_type in topics.items()}
        self._compressed = CompressedOutputs(label_set, self.publish, camera)
        super().__init__(node, profiles, f"~/{camera}/" if camera else "~/")

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
        settings: SegmentationParameters,
    ) -> None:
        """Publish the images in `wanted`, the mask first because it is what a robot acts on; compressed ones follow.

        Args:
            wanted: topic names.
            header: of the camera image; goes out untouched.
            frame: the camera image and ...
            encoding: ... its encoding, for the overlay.
            result: of segmenting it.
            settings: of the node.
        """
        labels = result.labels
        canvas = (*frame.shape[:2], 3)
        makers: dict[str, Callable[[], tuple[NDArray[np.uint8] | None, str]]] = {
            "mask": lambda: (labels, "mono8"),
            "confidence": lambda: (result.confidence, "mono8"),
            "overlay": lambda: self._painter.overlay(
                frame, encoding, labels, settings.overlay_alpha, self._writers["overlay"].pixels(canvas)
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
                    self.publish(name, self._writers[name].write(header, pixels, pixel_encoding))
        if compressed := wanted & COMPRESSED:
            kept = labels.copy()  # they lie in the message that the next frame is written to
            self._compressed.submit(Seen(header, frame, encoding, kept, settings, compressed))

    def end_activation(self) -> None:
        """End the work on compressed images: nothing more of this activation is published."""
        self._compressed.stop()

    def destroy(self) -> None:
        """Take the topics off the graph."""
        self._compressed.stop()
        super().destroy()
