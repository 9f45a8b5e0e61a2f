"""What the node says of itself on /diagnostics: is there input, does the network keep up, is anything wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus

from fanet_ros.backends import BackendInfo
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.diagnostics import Status
from fanet_ros.ros.segmentation.frame_statistics import FrameCounts, FrameStatistics
from fanet_ros.scheduling.latency_budget import LatencyBudget
from fanet_ros.video.video_memory import VideoMemory

_FUTURE_MS = -100.0  # clocks of several hosts differ a little


@dataclass(frozen=True)
class CameraActivity:
    """What one camera of an active node does at the moment of a report.

    Attributes:
        name: of the camera; empty for the one of a node without the parameter `cameras`.
        statistics: of the running activation.
        topic: the camera's.
        publishers: number of publishers on that topic.
        silence: where no image comes: on which topic, for how long and why; else empty.
        wanted: whether somebody subscribes to any output.
        memory: of its frames; None where each is seen by itself.
    """

    name: str
    statistics: FrameStatistics
    topic: str
    publishers: int
    silence: str
    wanted: bool
    memory: VideoMemory | None = None


@dataclass(frozen=True)
class Activity:
    """What the node does at the moment of a report.

    Attributes:
        state: of its lifecycle.
        clock_stands_still: whether the node's clock is at 0: simulated time without a /clock.
        backend: what runs the network; None while unconfigured.
        cameras: of the running activation; none while inactive.
        building: what is being built before the network can run, and for how long; empty while nothing is.
        batching: how frames that wait together are run; empty where there is one camera.
        budget: of latency, in the running activation; None while inactive.
    """

    state: str
    clock_stands_still: bool
    backend: BackendInfo | None
    cameras: tuple[CameraActivity, ...] = ()
    building: str = ""
    batching: str = ""
    budget: LatencyBudget | None = None


class _Period(NamedTuple):
    """The frames between two reports: counts at its end and start, and its length (0 where it is unknown)."""

    statistics: FrameStatistics
    counts: FrameCounts
    last: FrameCounts
    seconds: float


class Diagnostics:
    """Builds statuses from what happened since the last ones."""

    def __init__(self, steady_clock: Callable[[], float] = monotonic) -> None:
        """Prepare the first report; its rates are by `steady_clock`, seconds, as simulated time would distort them."""
        self._steady_clock = steady_clock
        self._last: dict[str, tuple[FrameStatistics, FrameCounts]] = {}  # by camera
        self._last_time = 0.0

    def report(self, faults: tuple[str, ...], activity: Activity, settings: SegmentationParameters) -> list[Status]:
        """Return the state of the node, and the input and inference of each camera.

        Args:
            faults: why the node is not configured or active, if it should be.
            activity: of the node.
            settings: with the limits of rate, latency and input timeout.
        """
        statuses = [_node_status(faults, activity)]
        steady_now = self._steady_clock()
        seen: dict[str, tuple[FrameStatistics, FrameCounts]] = {}
        for camera in activity.cameras:
            counts = camera.statistics.counts
            statistics, last = self._last.get(camera.name, (None, FrameCounts()))
            if statistics is camera.statistics:
                period = _Period(statistics, counts, last, steady_now - self._last_time)
            else:  # the node was activated anew, and counts from zero
                period = _Period(camera.statistics, counts, FrameCounts(), 0.0)
            statuses += [_input_status(period, camera), _inference_status(period, camera, settings)]
            seen[camera.name] = (camera.statistics, counts)
        self._last, self._last_time = seen, steady_now
        return statuses


def _node_status(faults: tuple[str, ...], activity: Activity) -> Status:
    values: dict[str, object] = {}
    if activity.backend is not None:
        values = {
            "backend": activity.backend.name,
            "device": activity.backend.device,
            "precision": activity.backend.precision,
            "chosen because": activity.backend.reason,
        }
    if activity.batching:
        values["batching"] = activity.batching
    budget = activity.budget
    if budget is not None and budget.budget_ms:
        values |= {
            "latency budget (ms)": f"{budget.budget_ms:g}",
            "age p95 of the worst camera (ms)": f"{budget.p95_ms:.1f}",
            "input scale": f"{budget.scale:g}",
        }
    level, message = DiagnosticStatus.OK, activity.state
    if faults:
        level, message = DiagnosticStatus.ERROR, "; ".join(faults)
    elif activity.clock_stands_still:
        level = DiagnosticStatus.WARN
        message = f"{activity.state}, but use_sim_time is set and nothing publishes /clock"
    elif activity.building:
        level, message = DiagnosticStatus.WARN, f"{activity.state}, {activity.building}"
    elif budget is not None and budget.is_missed:
        level = DiagnosticStatus.WARN
        message = (
            f"{activity.state}, but the latency budget is missed at the smallest input size: p95 of the age is "
            f"{budget.p95_ms:.0f} ms, above latency_budget_ms ({budget.budget_ms:g})"
        )
    return Status("node", level, message, values)


def _input_status(period: _Period, camera: CameraActivity) -> Status:
    statistics, counts, last, seconds = period
    kinds, reason = statistics.rejections
    level, message = DiagnosticStatus.OK, "images arrive"
    if camera.silence:
        level, message = DiagnosticStatus.ERROR, camera.silence
    elif counts.received == 0:
        message = f"waiting for the first image on {camera.topic}"
    elif counts.rejected > last.rejected:
        level = DiagnosticStatus.WARN
        message = f"{counts.rejected - last.rejected} unusable images: {reason}"
    values = {
        "topic": camera.topic,
        "publishers": camera.publishers,
        "rate (Hz)": _rate(counts.received - last.received, seconds),
        "received": counts.received,
        "dropped": counts.dropped,
        "skipped": counts.skipped,
        "rejected": counts.rejected,
        **{f"rejected: {kind}": count for kind, count in kinds.items()},
    }
    if reason:
        values["last rejection"] = reason
    return Status(_part(camera, "input"), level, message, values)


def _inference_status(period: _Period, camera: CameraActivity, settings: SegmentationParameters) -> Status:
    statistics, counts, last, seconds = period
    stages = statistics.median_stages()
    processed = counts.processed - last.processed
    level, message = DiagnosticStatus.OK, "keeps up"
    if not camera.wanted:
        message = "idle: nobody subscribes"
    elif counts.received == last.received:
        message = "idle: no input"
    elif seconds > 0 and (processed + 1) / seconds < settings.min_rate_hz:  # one may just have missed this report
        level = DiagnosticStatus.WARN
        message = f"{processed / seconds:.1f} masks per second, fewer than min_rate_hz ({settings.min_rate_hz:g})"
    elif stages is not None and stages.age > settings.max_latency_ms:
        level = DiagnosticStatus.WARN
        message = f"median age {stages.age:.0f} ms, above max_latency_ms ({settings.max_latency_ms:g})"
    elif stages is not None and stages.age < _FUTURE_MS:
        level = DiagnosticStatus.WARN
        message = "stamps lie in the future: camera and node use different clocks (use_sim_time?)"
    elif stages is not None and math.isnan(stages.age):
        level = DiagnosticStatus.WARN
        message = "images carry no stamp: latency is unknown and consumers cannot match masks to them"
    values: dict[str, object] = {"rate (Hz)": _rate(processed, seconds), "processed": counts.processed}
    if stages is not None:
        values |= {f"{name} median (ms)": f"{value:.1f}" for name, value in asdict(stages).items()}
        values["age p95 (ms)"] = f"{statistics.age_p95():.1f}"
    if camera.memory is not None:
        values |= {"frames in memory": camera.memory.frames, "memory resets": camera.memory.resets}
        if camera.memory.last_reset:
            values["last memory reset"] = camera.memory.last_reset
    return Status(_part(camera, "inference"), level, message, values)


def _part(camera: CameraActivity, part: str) -> str:
    return f"{camera.name}: {part}" if camera.name else part


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.1f}" if seconds > 0 else "unknown yet"
