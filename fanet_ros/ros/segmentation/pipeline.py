"""Frames from messages to published masks: decode, segment, publish, count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import FrameError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.msg import SegmentationStats
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.conversions import frame_from_compressed_image, frame_from_image
from fanet_ros.ros.segmentation.camera_channel import CameraChannel, ReceivedFrame
from fanet_ros.ros.segmentation.frame_statistics import StageTimes
from fanet_ros.scheduling.latency_budget import LatencyBudget
from fanet_ros.segmenter import Segmentation, Segmenter
from fanet_ros.settings import Size, read_size
from fanet_ros.video.camera_video import Shot
from fanet_ros.video.video_memory import VideoMemory


@dataclass(frozen=True)
class _Job:
    """A decoded frame on its way through the pipeline, and what it has cost so far."""

    channel: CameraChannel
    message: Image | CompressedImage
    frame: NDArray[np.uint8]
    encoding: str
    wanted: frozenset[str]
    memory: VideoMemory
    wait_ms: float
    decode_ms: float


@dataclass(frozen=True)
class _Run:
    """What the frames that were segmented together have in common."""

    frames: int
    scale: float
    inference_ms: float


class FramePipeline:
    """Works on the frames of one run at a time, on the worker's thread.

    Attributes:
        budget: of latency, which chooses the input scale since `reset`.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        clock: Clock,
        settings: SegmentationParameters,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start with the full input size.

        Args:
            segmenter: prepared for the scales of the settings' latency budget.
            clock: of the node, for the frames' age.
            settings: of the node when it was configured.
            is_stopping: whether the node is being stopped: a frame lost by then is nobody's fault.
        """
        self._segmenter = segmenter
        self._clock = clock
        self._is_stopping = is_stopping
        self.budget = LatencyBudget(settings.latency_budget_ms)

    def reset(self) -> None:
        """Go back to the full input size: a new activation begins."""
        self.budget = LatencyBudget(self.budget.budget_ms)

    def frames_of_next_run(self, waiting: int) -> int:
        """Return how many of the waiting frames to take: one, unless as many wait as are faster together.

        The first of several frames that run one after the other would only wait for the last.
        """
        batch = self._segmenter.batching.batch_at(self.budget.scale)
        return batch if waiting >= batch else 1

    def process(self, frames: Sequence[ReceivedFrame], settings: SegmentationParameters) -> None:
        """Segment one message of each of several cameras and publish what is subscribed to.

        A frame that cannot be used, or is lost to a fault of the backend (out of memory, device lost), is counted and
        logged by its camera's channel, and takes no other with it.
        """
        jobs = []
        for received in frames:
            try:
                if (job := self._decode(received, settings)) is not None:
                    jobs.append(job)
            except Exception as error:  # as below: the other cameras' frames, and the next of this one, may work
                self._lose(received.channel, error)
        if not jobs:
            return
        scale = self.budget.scale
        started = perf_counter()
        results = self._segment(jobs, settings, scale)
        run = _Run(len(jobs), scale, (perf_counter() - started) * 1e3)
        for job, result in zip(jobs, results, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
                job.channel.video.remember()
                self._publish(job, result, run, settings)
            except Exception as error:
                self._lose(job.channel, error)

    def _decode(self, received: ReceivedFrame, settings: SegmentationParameters) -> _Job | None:
        """Return the frame to segment; None if nobody wants to see it any more."""
        started = perf_counter()
        channel, message = received.channel, received.message
        wanted = channel.outputs.wanted()
        if not wanted:
            channel.statistics.count_skipped()
            return None
        if isinstance(message, CompressedImage):
            frame, encoding = frame_from_compressed_image(message)
        else:
            frame, encoding = frame_from_image(message)
        stamp, size = message.header.stamp, Size(frame.shape[1], frame.shape[0])
        shot = Shot(stamp.sec * 10**9 + stamp.nanosec, size, received.calibration)
        memory = channel.video.begin(shot, settings.temporal_max_gap)
        wait_ms, decode_ms = (started - received.arrival) * 1e3, (perf_counter() - started) * 1e3
        return _Job(channel, message, frame, encoding, wanted, memory, wait_ms, decode_ms)

    def _segment(
        self, jobs: Sequence[_Job], settings: SegmentationParameters, scale: float
    ) -> list[Segmentation | Exception]:
        """Return the result of each job, or why there is none."""
        try:
            requests = [_request(job, settings) for job in jobs]
            threshold = settings.confidence_threshold
            return [*self._segmenter.segment_batch(requests, confidence_threshold=threshold, scale=scale)]
        except Exception as error:
            if len(jobs) == 1 or self._is_stopping():
                return [error] * len(jobs)
            # together they may be too much for the memory
            return [result for job in jobs for result in self._segment([job], settings, scale)]

    def _publish(self, job: _Job, result: Segmentation, run: _Run, settings: SegmentationParameters) -> None:
        started = perf_counter()
        channel, header = job.channel, job.message.header
        channel.outputs.publish_images(job.wanted, header, job.frame, job.encoding, result, settings.overlay_alpha)
        times = StageTimes(
            wait=job.wait_ms,
            decode=job.decode_ms,
            inference=run.inference_ms,
            publish=(perf_counter() - started) * 1e3,
            age=self._age_ms(job.message),
        )
        channel.statistics.count_processed(times)
        self.budget.add(channel.name, times.age, times.wait + times.inference)
        if "stats" in job.wanted:
            channel.outputs.publish_stats(self._stats_message(job, result, run, times))

    def _lose(self, channel: CameraChannel, error: Exception) -> None:
        """Count a frame that has no result, and tell why; the next one may work."""
        if isinstance(error, UnusableImageError):
            channel.reject(error.kind, f"image refused: {error}")
        elif isinstance(error, FrameError):
            channel.reject("size", f"image refused: {error}")
        elif self._is_stopping():
            channel.statistics.count_dropped()  # no fault: its build was given up, or the topics are gone
        else:
            channel.reject("inference", f"frame lost: {type(error).__name__}: {error}")

    def _age_ms(self, message: Image | CompressedImage) -> float:
        stamp = message.header.stamp
        if stamp.sec == 0 and stamp.nanosec == 0:
            return math.nan  # the driver sets no stamps
        # by hand, as a Time refuses the negative stamps that a broken driver can send
        return (self._clock.now().nanoseconds - stamp.sec * 10**9 - stamp.nanosec) / 1e6

    def _stats_message(self, job: _Job, result: Segmentation, run: _Run, times: StageTimes) -> SegmentationStats:
        counts = job.channel.statistics.counts
        info = self._segmenter.backend_info
        return SegmentationStats(
            header=job.message.header,
            camera=job.channel.name,
            backend=info.name,
            device=info.device,
            precision=info.precision,
            reason=info.reason,
            input_width=result.input_size.width,
            input_height=result.input_size.height,
            input_scale=run.scale,
            temporal_frames=job.memory.looked_back + 1,
            batch=run.frames,
            wait_ms=times.wait,
            decode_ms=times.decode,
            inference_ms=times.inference,
            publish_ms=times.publish,
            age_ms=times.age,
            age_p95_ms=job.channel.statistics.age_p95(),
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


def _request(job: _Job, settings: SegmentationParameters) -> FrameRequest:
    size = output_size(settings) or Size(job.frame.shape[1], job.frame.shape[0])
    buffers = job.channel.outputs.label_buffers(job.wanted, size)
    return FrameRequest(job.frame, job.encoding, size, "confidence" in job.wanted, buffers, job.memory)
