"""One file of a recording, from its messages to the messages of the results."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.records import Message
from numpy.typing import NDArray

from fanet_ros.errors import FrameError, InferenceError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.recorded.frames import FramePainter, Stopwatch, timed
from fanet_ros.recorded.messages import (
    COMPRESSED_IMAGE,
    IMAGE,
    LABEL_INFO,
    frame_of,
    image_type,
    jpeg_message,
    label_info_message,
    mask_message,
    read_image,
)
from fanet_ros.recorded.output import LATCHED, RELIABLE, OutputFile
from fanet_ros.recorded.segment_files import FileSegmentation
from fanet_ros.recorded.storage import StorageFile
from fanet_ros.recorded.topics import Choice
from fanet_ros.reports.report import RunReport
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size
from fanet_ros.untrusted.text import printable
from fanet_ros.video.camera_video import CameraVideo, Shot

_JPEG_QUALITY = 90
_MAX_GAP_S = SegmentationParameters().temporal_max_gap


class Refusals(dict[str, tuple[int, str]]):
    """Images that could not be used: topic and kind -> how many, and why the first of them."""

    def add(self, what: str, reason: str, count: int = 1) -> None:
        """Count images."""
        before, first = self.get(what, (0, reason))
        self[what] = (before + count, first)

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(count for count, _ in self.values())

    def as_list(self) -> list[str]:
        """Return one sentence for each topic and kind."""
        return [f"{count} of {what}, first: {reason}" for what, (count, reason) in self.items()]


class _Image(NamedTuple):
    header: Any
    frame: NDArray[np.uint8]
    encoding: str
    labels: NDArray[np.uint8]


class FileWork:
    """Segments the images of one file after another; memory stays the same however long they are."""

    def __init__(self, segmenter: Segmenter, report: RunReport, choice: Choice, settings: FileSegmentation) -> None:
        """Prepare the work; the report is told of every image of the chosen topics."""
        self._segmenter = segmenter
        self._report = report
        self._choice = choice
        self._threshold = settings.confidence_threshold
        self._look = settings.look
        self._keep_originals = not settings.only_results
        self._painter = FramePainter(report, segmenter.label_set, settings.overlay_alpha)

    def run(self, source: StorageFile, target: OutputFile, done: Callable[[], None]) -> None:
        """Segment one file.

        Args:
            source: the recorded file.
            target: takes the recorded messages, if they are to be copied, the messages that result, and as `results`
                how many images were `segmented`, their `label_counts`, and the `refusals`.
            done: told after every image, used or refused.

        Raises:
            SourceError: the file is damaged.
            OSError: the results cannot be written.
            BackendError: the network cannot be built for the size of an image.
        """
        if self._keep_originals:
            target.add_copies(source.contents)
        prefixes = self._choice.prefixes
        masks = {t: target.add_topic(f"{p}/mask", IMAGE, RELIABLE) for t, p in prefixes.items()}
        overlays = {
            t: target.add_topic(f"{p}/overlay/compressed", COMPRESSED_IMAGE, RELIABLE) for t, p in prefixes.items()
        }
        label_info = target.add_topic(f"{self._choice.root}/label_info", LABEL_INFO, LATCHED)
        # begun anew with every file, so that work that goes on after an interruption writes what it would have written
        videos = {topic: CameraVideo(self._segmenter.new_memory()) for topic in prefixes}
        wanted: Collection[str] | None = None if self._keep_originals else tuple(prefixes)
        segmented, refusals, before = 0, Refusals(), self._report.label_counts
        for (schema, channel, message), watch in timed(source.messages(wanted)):
            topic, image = channel.topic, None
            type_name = image_type(schema, channel) if schema and topic in prefixes else ""
            if type_name:
                try:
                    image = self._segment(message, type_name, videos[topic], watch)
                except (FrameError, InferenceError) as error:
                    kind = "size" if isinstance(error, FrameError) else "inference"
                    kind = error.kind if isinstance(error, UnusableImageError) else kind
                    refusals.add(f"{printable(topic)}: {kind}", str(error))
            if self._keep_originals:
                target.copy(message)
                watch.skip()
            if image:
                if not segmented:  # before the first mask, because consumers wait for it
                    names = label_info_message(image.header, self._segmenter.label_set, self._threshold)
                    target.write(label_info, message, names)
                target.write(masks[topic], message, mask_message(image.header, image.labels))
                target.write(overlays[topic], message, self._overlay_message(image))
                segmented += 1
                watch.lap("write")
                watch.tell(self._report)
            if type_name:
                done()
        label_counts = (self._report.label_counts - before).tolist()
        target.results = {"segmented": segmented, "refusals": refusals, "label_counts": label_counts}

    def _segment(self, message: Message, type_name: str, video: CameraVideo, watch: Stopwatch) -> _Image:
        image = read_image(message.data, type_name)
        frame, encoding = frame_of(image, type_name)
        watch.lap("decode")
        stamp, size = image.header.stamp, Size(frame.shape[1], frame.shape[0])
        memory = video.begin(Shot(stamp.sec * 10**9 + stamp.nanosec, size), _MAX_GAP_S)
        result = self._segmenter.segment(
            frame, encoding, confidence_threshold=self._threshold, memory=memory, look=self._look
        )
        video.remember()
        watch.lap("inference")
        return _Image(image.header, frame, encoding, result.labels)

    def _overlay_message(self, image: _Image) -> bytes:
        overlay = self._painter.overlay(image.frame, image.encoding, image.labels)
        bgr = cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return jpeg_message(image.header, np.asarray(jpeg, np.uint8).reshape(-1))
