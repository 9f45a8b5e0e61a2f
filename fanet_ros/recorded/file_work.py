"""One file of a recording, from its messages to the messages of the results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import InferenceError
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.recorded.images import frame_of
from fanet_ros.recorded.messages import (
    COMPRESSED_IMAGE,
    IMAGE,
    LABEL_INFO,
    jpeg_message,
    label_info_message,
    mask_message,
    read_message,
)
from fanet_ros.recorded.output import OutputFile, reliable_qos
from fanet_ros.recorded.storage import Message, StorageFile
from fanet_ros.recorded.survey import IMAGE_TYPES
from fanet_ros.recorded.topics import Choice
from fanet_ros.reports.render import Painter
from fanet_ros.reports.report import RunReport
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size
from fanet_ros.video.camera_video import CameraVideo, Shot

_JPEG_QUALITY = 90
_MAX_GAP_S = SegmentationParameters().temporal_max_gap


@dataclass
class Refusals:
    """Images that could not be used: how many of each topic and kind, and why the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, reason: str, count: int = 1) -> None:
        """Count images; `what` is topic and kind."""
        self.counts[what] = self.counts.get(what, 0) + count
        self.reasons.setdefault(what, reason)

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(self.counts.values())

    def as_list(self) -> list[str]:
        """Return one sentence for each topic and kind."""
        return [f"{count} of {what}, first: {self.reasons[what]}" for what, count in self.counts.items()]


class FileWork:
    """Segments the images of one file after another; memory stays the same however long they are."""

    def __init__(
        self,
        segmenter: Segmenter,
        report: RunReport,
        choice: Choice,
        *,
        overlay_alpha: float,
        confidence_threshold: float,
        keep_originals: bool,
    ) -> None:
        """Prepare the work.

        Args:
            segmenter: of all images.
            report: told of every image.
            choice: of topics.
            overlay_alpha: opacity of the class colours in [0, 1].
            confidence_threshold: in [0, 1]; pixels with a lower confidence become 255.
            keep_originals: whether the recorded messages are copied, too.
        """
        self._segmenter = segmenter
        self._report = report
        self._choice = choice
        self._alpha = overlay_alpha
        self._threshold = confidence_threshold
        self._keep_originals = keep_originals
        self._painter = Painter(segmenter.label_set)
        self._resizer = FrameResizer()
        self._videos: dict[str, CameraVideo] = {}  # of the topics in the present file

    def run(self, source: StorageFile, target: OutputFile, done: Callable[[], None]) -> tuple[int, Refusals]:
        """Segment one file.

        Args:
            source: the recorded file.
            target: takes the recorded messages, if they are to be copied, and the results.
            done: told after every image, used or refused.

        Returns:
            How many images were segmented, and which were refused.

        Raises:
            SourceError: the file is damaged.
            SettingError: the results cannot be written.
            BackendError: the network cannot be built for the size of an image.
        """
        prefixes = self._choice.prefixes
        # begun anew with every file, so that work that goes on after an interruption writes what it would have written
        self._videos = {topic: CameraVideo(self._segmenter.new_memory()) for topic in prefixes}
        masks = {t: target.add_topic(f"{p}/mask", IMAGE, reliable_qos()) for t, p in prefixes.items()}
        overlays = {
            t: target.add_topic(f"{p}/overlay/compressed", COMPRESSED_IMAGE, reliable_qos())
            for t, p in prefixes.items()
        }
        label_info = target.add_topic(f"{self._choice.root}/label_info", LABEL_INFO, reliable_qos(latched=True))
        segmented, refusals = 0, Refusals()
        for message, milliseconds in self._messages(source):
            if self._keep_originals:
                target.copy(message)
            topic = message.channel.topic
            if topic not in prefixes or message.channel.type_name not in IMAGE_TYPES:
                continue
            try:
                header, frame, encoding, labels, stages = self._segment(message)
            except UnusableImageError as error:
                refusals.add(f"{topic}: {error.kind}", str(error))
            except InferenceError as error:
                refusals.add(f"{topic}: inference", str(error))
            else:
                started = perf_counter()
                if not segmented:  # before the first mask, because consumers wait for it
                    names = label_info_message(header, self._segmenter.label_set, self._threshold)
                    target.write(label_info, message, names)
                target.write(masks[topic], message, mask_message(header, labels))
                target.write(overlays[topic], message, jpeg_message(header, self._picture(frame, encoding, labels)))
                segmented += 1
                stages = {"read": milliseconds} | stages | {"write": (perf_counter() - started) * 1e3}
                for stage, duration in stages.items():
                    self._report.add_latency(stage, duration)
            done()
        return segmented, refusals

    def _messages(self, source: StorageFile) -> Iterator[tuple[Message, float]]:
        """Yield the messages that are needed, and how many milliseconds reading each took."""
        topics: Collection[str] | None = None if self._keep_originals else tuple(self._choice.prefixes)
        started = perf_counter()
        for message in source.messages(topics):
            yield message, (perf_counter() - started) * 1e3
            started = perf_counter()

    def _segment(self, message: Message) -> tuple[Any, NDArray[np.uint8], str, NDArray[np.uint8], dict[str, float]]:
        """Return header, frame, its encoding, labels, and milliseconds per stage."""
        started = perf_counter()
        try:
            image = read_message(message.data, message.channel.type_name)
        except Exception as error:  # rosbags raises its own, struct's and UnicodeDecodeError, by what is wrong
            raise UnusableImageError(
                "message", f"{len(message.data)} bytes are no {message.channel.type_name}: {error}"
            ) from None
        frame, encoding = frame_of(image, message.channel.type_name)
        decoded = perf_counter()
        stamp, size = image.header.stamp, Size(frame.shape[1], frame.shape[0])
        video = self._videos[message.channel.topic]
        memory = video.begin(Shot(stamp.sec * 10**9 + stamp.nanosec, size), _MAX_GAP_S)
        result = self._segmenter.segment(frame, encoding, confidence_threshold=self._threshold, memory=memory)
        video.remember()
        stages = {"decode": (decoded - started) * 1e3, "inference": (perf_counter() - decoded) * 1e3}
        return image.header, frame, encoding, result.labels, stages

    def _picture(self, frame: NDArray[np.uint8], encoding: str, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Tell the report of a frame, and return its overlay as JPEG, uint8 (bytes,)."""
        camera = self._resizer.to_network_input(frame, encoding, Size(frame.shape[1], frame.shape[0]))
        overlay, _ = self._painter.overlay(camera, "rgb8", labels, self._alpha)
        self._report.add_frame(camera, self._painter.color_mask(labels), overlay, labels)
        _, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        return np.asarray(jpeg, np.uint8).reshape(-1)
