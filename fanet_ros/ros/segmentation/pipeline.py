"""Frames from messages to published masks: decode, segment, publish, count."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
from fanet_ros.ros.conversions import frame_from_image
from fanet_ros.ros.segmentation.camera_channel import CameraChannel, ReceivedFrame
from fanet_ros.ros.segmentation.frame_statistics import FAILED, StageTimes
from fanet_ros.scheduling.latency_budget import LatencyBudget
from fanet_ros.segmenter import Segmentation, Segmenter
from fanet_ros.settings import Size, read_size
from fanet_ros.video.camera_video import Shot
from fanet_ros.video.video_memory import VideoMemory

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """A decoded frame on its way through the pipeline, and what it has cost so far."""

    channel: CameraChannel
    message: Image | CompressedImage
    frame: NDArray[np.uint8]
    encoding: str
    seen: Size  # of what the network looks at, upright
    wanted: frozenset[str]
    memory: VideoMemory
    arrival: float
    decode_ms: float


@dataclass(frozen=True)
class _Run:
    """What the frames that were segmented together have in common."""

    scale: float
    started: float
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
        self._cameras = max(1, len(settings.cameras))
        self._shapes: dict[str, Size] = {}  # of what the network looks at in each camera's last image
        self.budget = LatencyBudget(settings.latency_budget_ms)

    def reset(self) -> None:
        """Go back to the full input size: a new activation begins."""
        self.budget = LatencyBudget(self.budget.budget_ms)
        self._shapes = {}

    def choose_next_run(self, waiting: Sequence[ReceivedFrame]) -> list[int]:
        """Return which of the waiting frames to take: the first, and with it as many as are faster together.

        Those are frames that the network sees at the same size. The first of several frames that run one after the
        other would only wait for the last.
        """
        shapes = [self._shapes.get(received.channel.name) for received in waiting]
        if shapes[0] is None:
            return [0]
        batch = self._segmenter.batch_for(shapes[0], self.budget.scale)
        wanted = self._segmenter.input_size_for(shapes[0])
        alike = [i for i, shape in enumerate(shapes) if shape and self._segmenter.input_size_for(shape) == wanted]
        return alike[:batch] if len(alike) >= batch else [0]

    def process(self, frames: Sequence[ReceivedFrame], settings: SegmentationParameters) -> None:
        """Segment one message of each of several cameras and publish what is subscribed to.

        A frame that cannot be used, or is lost to a fault of the backend (out of memory, device lost), is counted and
        logged by its camera's channel, and takes no other with it.
        """
        jobs = [job for received in frames if (job := self._decode(received, settings)) is not None]
        self._note_shapes(jobs)
        scale = self.budget.scale
        sizes = [self._segmenter.input_size_for(job.seen) for job in jobs]
        for size in dict.fromkeys(sizes):  # one, unless a camera's shape has just changed
            alike = [job for job, own in zip(jobs, sizes, strict=True) if own == size]
            together = len(alike) == self._segmenter.batch_for(alike[0].seen, scale)
            for run in [alike] if together else [[job] for job in alike]:
                started = perf_counter()
                results = self._segment(run, settings, scale)
                spent = _Run(scale, started, _since(started))
                for job, result in zip(run, results, strict=True):
                    self._publish(job, result, spent, settings)

    # the steps -------------------------------------------------------------------------------------------------------

    def _decode(self, received: ReceivedFrame, settings: SegmentationParameters) -> _Job | None:
        """Return the frame to segment; None if it cannot be used, or nobody wants to see it any more."""
        started = perf_counter()
        channel, message = received.channel, received.message
        with self._losing_at_most(channel):
            wanted = channel.outputs.wanted()
            if not wanted:
                channel.statistics.count_skipped()
                return None
            frame, encoding = frame_from_image(message)
            stamp, size = message.header.stamp, Size(frame.shape[1], frame.shape[0])
            seen = channel.look.seen_size(size)
            shot = Shot(stamp.sec * 10**9 + stamp.nanosec, size, received.calibration)
            memory = channel.video.begin(shot, settings.temporal_max_gap)
            return _Job(channel, message, frame, encoding, seen, wanted, memory, received.arrival, _since(started))
        return None

    def _note_shapes(self, jobs: Sequence[_Job]) -> None:
        """Have batches prepared for the cameras that show the same shape, once the images of all are known."""
        before = dict(self._shapes)
        self._shapes.update((job.channel.name, job.seen) for job in jobs)
        if self._cameras == 1 or self._shapes == before or len(self._shapes) < self._cameras:
            return
        alike: dict[Size, list[Size]] = {}  # by input size
        for shape in self._shapes.values():
            alike.setdefault(self._segmenter.input_size_for(shape), []).append(shape)
        for shapes in alike.values():
            try:
                if self._segmenter.measure_batch(shapes[0], len(shapes)):
                    _log.info("%s", self._segmenter.batching)
            except Exception as error:  # the frames are not lost for it
                if not self._is_stopping():
                    _log.warning("no batches could be prepared: %s: %s", type(error).__name__, error)
                    _log.debug("no batches", exc_info=True)

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
            _log.debug("%d frames together failed, each is tried alone", len(jobs), exc_info=True)
            # together they may be too much for the memory
            return [result for job in jobs for result in self._segment([job], settings, scale)]

    def _publish(
        self, job: _Job, result: Segmentation | Exception, run: _Run, settings: SegmentationParameters
    ) -> None:
        """Send out what is wanted of a result, and count the frame."""
        started = perf_counter()
        channel, header = job.channel, job.message.header
        with self._losing_at_most(channel):
            if isinstance(result, Exception):
                raise result
            channel.video.remember()
            channel.outputs.publish_images(job.wanted, header, job.frame, job.encoding, result, settings)
            wait_ms = (run.started - job.arrival) * 1e3 - job.decode_ms
            times = StageTimes(wait_ms, job.decode_ms, run.inference_ms, _since(started), self._age_ms(job.message))
            channel.statistics.count_processed(times)
            self.budget.add(channel.name, times.latency, times.wait + times.inference)
            if "stats" in job.wanted:
                channel.outputs.publish("stats", self._stats_message(job, result, run, times))

    @contextmanager
    def _losing_at_most(self, channel: CameraChannel) -> Iterator[None]:
        """Count a frame that ends in an exception, and tell why: the other cameras' and the next one may work."""
        try:
            yield
        except UnusableImageError as error:
            channel.reject(error.kind, f"image refused: {error}")
        except FrameError as error:
            channel.reject("size", f"image refused: {error}")
        except Exception as error:
            if self._is_stopping():
                channel.statistics.count_dropped()  # no fault: its build was given up, or the topics are gone
            else:
                _log.debug("a frame was lost", exc_info=True)
                channel.reject(FAILED, f"frame lost: {type(error).__name__}: {error}")

    # what goes along -------------------------------------------------------------------------------------------------

    def _age_ms(self, message: Image | CompressedImage) -> float:
        stamp = message.header.stamp
        if stamp.sec == 0 and stamp.nanosec == 0:
            return math.nan  # the driver sets no stamps
        # by hand, as a Time refuses the negative stamps that a broken driver can send
        return (self._clock.now().nanoseconds - stamp.sec * 10**9 - stamp.nanosec) / 1e6

    def _stats_message(self, job: _Job, result: Segmentation, run: _Run, times: StageTimes) -> SegmentationStats:
        statistics, info = job.channel.statistics, self._segmenter.backend_info
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
            batch=result.batch,
            age_p95_ms=statistics.age_p95(),
            class_shares=result.class_shares(len(self._segmenter.label_set)).tolist(),
            **{f"{stage}_ms": milliseconds for stage, milliseconds in asdict(times).items()},
            **{f"frames_{end}": count for end, count in asdict(statistics.counts).items()},
        )


def _request(job: _Job, settings: SegmentationParameters) -> FrameRequest:
    wanted = settings.output_size
    size = Size(job.frame.shape[1], job.frame.shape[0]) if wanted == "camera" else read_size(wanted)
    buffers = job.channel.outputs.label_buffers(job.wanted, size)
    look = job.channel.look
    return FrameRequest(job.frame, job.encoding, size, "confidence" in job.wanted, buffers, job.memory, look)


def _since(started: float) -> float:
    """Return the milliseconds since a `perf_counter`."""
    return (perf_counter() - started) * 1e3
