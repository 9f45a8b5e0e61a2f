"""One frame from message to published masks: decode, segment, publish, count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

from rclpy.clock import Clock
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.errors import FrameError
from fanet_ros.msg import SegmentationStats
from fanet_ros.parameters import SegmentationParameters
from fanet_ros.ros.conversions import UnusableImageError, frame_from_compressed_image, frame_from_image
from fanet_ros.ros.frame_statistics import FrameStatistics, StageTimes
from fanet_ros.ros.outputs import Outputs
from fanet_ros.segmenter import Segmentation, Segmenter
from fanet_ros.settings import Size, read_size


@dataclass(frozen=True)
class ReceivedFrame:
    """A camera message and when it came in (`perf_counter` seconds)."""

    message: Image | CompressedImage
    arrival: float


class FramePipeline:
    """Works on one frame at a time, on the worker's thread."""

    def __init__(self, segmenter: Segmenter, outputs: Outputs, clock: Clock) -> None:
        self._segmenter = segmenter
        self._outputs = outputs
        self._clock = clock
        self._statistics = FrameStatistics()

    @property
    def statistics(self) -> FrameStatistics:
        """What happened to the frames since `reset`."""
        return self._statistics

    def reset(self) -> None:
        """Count from zero: a new activation begins."""
        self._statistics = FrameStatistics()

    def process(self, received: ReceivedFrame, settings: SegmentationParameters) -> SegmentationStats | None:
        """Segment one message and publish the images that are subscribed to.

        Returns:
            What the frame cost, if somebody subscribes to that.

        Raises:
            UnusableImageError: the message is no usable image. It is not counted here.
            Exception: whatever the backend raises (out of memory, device lost).
        """
        started = perf_counter()
        wanted = self._outputs.wanted()
        if not wanted:
            self._statistics.count_skipped()
            return None
        message = received.message
        if isinstance(message, CompressedImage):
            frame, encoding = frame_from_compressed_image(message)
        else:
            frame, encoding = frame_from_image(message)
        decoded = perf_counter()
        size = output_size(settings) or Size(frame.shape[1], frame.shape[0])
        try:
            result = self._segmenter.segment(
                frame,
                encoding,
                output_size=size,
                confidence="confidence" in wanted,
                confidence_threshold=settings.confidence_threshold,
                out=self._outputs.label_buffers(wanted, size),
            )
        except FrameError as error:
            raise UnusableImageError("size", str(error)) from None
        inferred = perf_counter()
        self._outputs.publish_images(wanted, message.header, frame, encoding, result, settings.overlay_alpha)
        published = perf_counter()

        times = StageTimes(
            wait=(started - received.arrival) * 1e3,
            decode=(decoded - started) * 1e3,
            inference=(inferred - decoded) * 1e3,
            publish=(published - inferred) * 1e3,
            age=self._age_ms(message),
        )
        self._statistics.count_processed(times)
        return self._stats_message(message, result, times) if "stats" in wanted else None

    def _age_ms(self, message: Image | CompressedImage) -> float:
        stamp = message.header.stamp
        if stamp.sec == 0 and stamp.nanosec == 0:
            return math.nan  # the driver sets no stamps
        # by hand, as a Time refuses the negative stamps that a broken driver can send
        return (self._clock.now().nanoseconds - stamp.sec * 10**9 - stamp.nanosec) / 1e6

    def _stats_message(
        self, message: Image | CompressedImage, result: Segmentation, times: StageTimes
    ) -> SegmentationStats:
        counts = self._statistics.counts
        info = self._segmenter.backend_info
        return SegmentationStats(
            header=message.header,
            backend=info.name,
            device=info.device,
            precision=info.precision,
            reason=info.reason,
            input_width=result.input_size.width,
            input_height=result.input_size.height,
            wait_ms=times.wait,
            decode_ms=times.decode,
            inference_ms=times.inference,
            publish_ms=times.publish,
            age_ms=times.age,
            frames_received=counts.received,
            frames_processed=counts.processed,
            frames_dropped=counts.dropped,
            frames_skipped=counts.skipped,
            frames_rejected=counts.rejected,
            class_shares=result.class_shares(len(self._segmenter.label_set)).tolist(),
        )


def output_size(settings: SegmentationParameters) -> Size | None:
    """Return the size asked for the masks; None for the camera image's own."""
    return None if settings.output_size == "camera" else read_size(settings.output_size)
