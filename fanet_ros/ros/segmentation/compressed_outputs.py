"""Masks and pictures for thin links: painted and encoded on threads of their own, so that the raw topics never wait."""

from __future__ import annotations

import array
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from fanet_ros.frames.image_encoding import jpeg_of, png_of
from fanet_ros.model.labels import LabelSet
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.reports.render import Painter
from fanet_ros.ros.segmentation.worker import NewestItemsWorker

MASK, OVERLAY, COLOR_MASK = (f"{name}/compressed" for name in ("mask", "overlay", "color_mask"))
_PICTURES = frozenset({OVERLAY, COLOR_MASK})
COMPRESSED = frozenset({MASK, *_PICTURES})
"""Topics as image_transport names them."""

_Encoded = tuple[str, NDArray[np.uint8]]  # format as in the message, and the file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """A segmented frame of which a compressed image is to be made; nobody else writes to its arrays.

    Attributes:
        header: of the camera image.
        frame: the camera image, and ...
        encoding: ... its encoding.
        labels: uint8 (H, W).
        settings: of the node.
        wanted: names of the topics, of COMPRESSED.
    """

    header: Header
    frame: NDArray[np.uint8]
    encoding: str
    labels: NDArray[np.uint8]
    settings: SegmentationParameters
    wanted: frozenset[str]


class CompressedOutputs:
    """Encodes one camera's masks and pictures, the newest of each; while it encodes one, older ones are left out.

    Masks have a thread of their own: a robot drives by them, and whoever looks at pictures must not hold them up.
    """

    def __init__(self, label_set: LabelSet, publish: Callable[[str, CompressedImage], None], camera: str) -> None:
        """Prepare the work; threads start with the first frame.

        Args:
            label_set: with the classes' colours.
            publish: a message on the topic of that name; called on the threads.
            camera: its name, for names of threads.
        """
        self._painter = Painter(label_set)  # of the pictures' thread alone
        self._publish = publish
        self._camera = camera
        self._workers: dict[str, NewestItemsWorker[Seen]] = {}
        self._failing: set[str] = set()

    def submit(self, seen: Seen) -> None:
        """Have a frame encoded, without waiting; called by one thread."""
        for kind, topics in (("masks", frozenset({MASK})), ("pictures", _PICTURES)):
            if seen.wanted & topics:
                if kind not in self._workers:
                    work = self._encode_mask if kind == "masks" else self._encode_pictures
                    name = f"fanet_{kind}_{self._camera}".rstrip("_")
                    self._workers[kind] = NewestItemsWorker(name, work)
                self._workers[kind].submit("", seen)

    def stop(self) -> None:
        """Finish what is being encoded, forget what waits, and end the threads; nothing is published afterwards."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.stop()

    def _encode_mask(self, items: list[Seen]) -> None:
        for seen in items:
            self._send(MASK, seen, self._mask)

    def _encode_pictures(self, items: list[Seen]) -> None:
        for seen in items:
            if OVERLAY in seen.wanted:
                self._send(OVERLAY, seen, self._overlay)
            if COLOR_MASK in seen.wanted:
                self._send(COLOR_MASK, seen, self._color_mask)

    @staticmethod
    def _mask(seen: Seen) -> _Encoded:
        # as image_transport's plugin writes it: nothing is named at the end where nothing was converted
        return "mono8; png compressed ", png_of(seen.labels)

    def _overlay(self, seen: Seen) -> _Encoded:
        alpha = seen.settings.overlay_alpha
        picture, encoding = self._painter.overlay(seen.frame, seen.encoding, seen.labels, alpha)
        return _jpeg_format(encoding), jpeg_of(picture, encoding, seen.settings.jpeg_quality)

    def _color_mask(self, seen: Seen) -> _Encoded:
        picture = self._painter.color_mask(seen.labels, "bgr8")  # as JPEG wants it; the raw topic is rgb8
        return _jpeg_format("rgb8"), jpeg_of(picture, "bgr8", seen.settings.jpeg_quality)

    def _send(self, topic: str, seen: Seen, make: Callable[[Seen], _Encoded]) -> None:
        try:
            words, data = make(seen)
            message = CompressedImage(header=seen.header, format=words, data=array.array("B", data.tobytes()))
            self._publish(topic, message)
            self._failing.discard(topic)
        except Exception as error:  # of memory, most likely: the next frame may fit, and the raw topics are served
            _log.debug("a frame could not be compressed", exc_info=True)
            if topic not in self._failing:
                _log.error("nothing is published on %s: %s: %s", topic, type(error).__name__, error)
            self._failing.add(topic)


def _jpeg_format(encoding: str) -> str:
    """Return what image_transport's plugin writes: of which encoding, and of which it was encoded."""
    return f"{encoding}; jpeg compressed bgr8"
