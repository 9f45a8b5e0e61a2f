"""What the node says of itself on /diagnostics: is there input, does the network keep up, is anything wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus

from fanet_ros.backends import BackendInfo
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.diagnostics import Status
from fanet_ros.ros.segmentation.frame_history import FrameHistory
from fanet_ros.ros.segmentation.frame_statistics import FAILED, FrameStatistics, StageTimes
from fanet_ros.scheduling.latency_budget import LatencyBudget
from fanet_ros.video.video_memory import VideoMemory

_SHARE_OF_LIMIT = 0.8  # of max_rate_hz: its frames come as the camera's do, and their masks take a while
_LONGEST_GAP = 1.6  # in even gaps at max_rate_hz, between frames that pass: of a camera of twice that rate up to 1.5


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


class Diagnostics:
    """Builds statuses from what happened since the last ones."""

    def __init__(self, steady_clock: Callable[[], float] = monotonic) -> None:
        """Prepare the first report; its rates are by `steady_clock`, seconds, as simulated time would distort them."""
        self._steady_clock = steady_clock
        self._histories: dict[str, FrameHistory] = {}  # by camera

    def report(self, faults: tuple[str, ...], activity: Activity, settings: SegmentationParameters) -> list[Status]:
        """Return the state of the node, and the input and inference of each camera.

        Args:
            faults: why the node is not configured or active, if it should be.
            activity: of the node.
            settings: with the limits of rate, latency and input timeout.
        """
        statuses = [_node_status(faults, activity)]
        now = self._steady_clock()
        histories: dict[str, FrameHistory] = {}
        for camera in activity.cameras:
            history = self._histories.get(camera.name)
            if history is None or history.statistics is not camera.statistics:  # activated anew, and counts from zero
                history = FrameHistory(camera.statistics)
            history.add(now, _least_rate_hz(settings))
            idle = _idleness(history, camera, activity.building)
            statuses += [_input_status(history, camera), _inference_status(history, camera, idle, settings)]
            history.note_work(is_idle=bool(idle))
            histories[camera.name] = history
        self._histories = histories
        return statuses


def _idleness(history: FrameHistory, camera: CameraActivity, building: str) -> str:
    """Return why no masks are to be expected at the moment; empty where they are."""
    new = history.new
    if not camera.wanted:
        return "idle: nobody subscribes"
    if camera.silence or history.now.counts.received == 0:
        return "idle: no input"
    tried = new.received - new.skipped
    if new.rejected and not new.processed and not new.dropped and not history.failed and new.rejected >= tried:
        return "idle: no usable image"
    return f"waits: {building}" if building else ""


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


def _input_status(history: FrameHistory, camera: CameraActivity) -> Status:
    counts, new = history.now.counts, history.new
    kinds = {kind: count for kind, count in history.statistics.rejections[0].items() if kind != FAILED}
    reason = history.statistics.last_reason(failed=False)
    level, message = DiagnosticStatus.OK, "images arrive"
    if camera.silence:
        level, message = DiagnosticStatus.ERROR, camera.silence
    elif counts.received == 0:
        message = f"waiting for the first image on {camera.topic}"
    elif new.rejected:
        level, message = DiagnosticStatus.WARN, f"{new.rejected} unusable images: {reason}"
    values = {
        "topic": camera.topic,
        "publishers": camera.publishers,
        "rate (Hz)": history.rate("received"),
        "received": counts.received,
        "dropped": counts.dropped,
        "skipped": counts.skipped,
        "rejected": counts.rejected - history.now.failed,
        **{f"rejected: {kind}": count for kind, count in kinds.items()},
    }
    if reason:
        values["last rejection"] = reason
    return Status(_part(camera, "input"), level, message, values)


def _inference_status(
    history: FrameHistory, camera: CameraActivity, idle: str, settings: SegmentationParameters
) -> Status:
    counts, new, failed = history.now.counts, history.new, history.failed
    reason = history.statistics.last_reason(failed=True)
    stages = history.statistics.median_stages()
    level, message = DiagnosticStatus.OK, "keeps up"
    if failed:
        level = DiagnosticStatus.WARN if new.processed else DiagnosticStatus.ERROR
        message = f"the network failed on {failed} frames: {reason}"
    elif idle:
        message = idle
    elif too_few := _too_few_masks(history, settings):
        level, message = DiagnosticStatus.WARN, too_few
    elif stages is None:
        message = "waiting for the first mask"
    elif fault := _fault_of_age(stages, settings.max_latency_ms):
        level, message = DiagnosticStatus.WARN, fault
    elif not new.processed:
        message = "waiting for the next mask" if new.received else "waiting for the next image"
    values: dict[str, object] = {"rate (Hz)": history.rate("processed"), "processed": counts.processed}
    if history.now.failed:
        values |= {"failed": history.now.failed, "last failure": reason}
    if stages is not None:
        shown = asdict(replace(stages, age=stages.latency))
        values |= {f"{name} median (ms)": _milliseconds(value) for name, value in shown.items()}
        values["age p95 (ms)"] = _milliseconds(history.statistics.age_p95())
    if camera.memory is not None:
        values |= {"frames in memory": camera.memory.frames, "memory resets": camera.memory.resets}
        if camera.memory.last_reset:
            values["last memory reset"] = camera.memory.last_reset
    return Status(_part(camera, "inference"), level, message, values)


def _least_rate_hz(settings: SegmentationParameters) -> float:
    """Return how many masks a second are to be expected at least: fewer where `max_rate_hz` lets fewer frames pass."""
    if not settings.max_rate_hz:
        return settings.min_rate_hz
    return min(settings.min_rate_hz, _SHARE_OF_LIMIT * settings.max_rate_hz)


def _too_few_masks(history: FrameHistory, settings: SegmentationParameters) -> str:
    least_hz = _least_rate_hz(settings)
    words = "min_rate_hz" if least_hz == settings.min_rate_hz else f"{_SHARE_OF_LIMIT:.0%} of max_rate_hz"
    longest_gap_s = _LONGEST_GAP / settings.max_rate_hz if settings.max_rate_hz else 0.0
    return history.too_few_masks(least_hz, words, longest_gap_s)


def _fault_of_age(stages: StageTimes, max_latency_ms: float) -> str:
    """Return what is wrong with the median age of frames; empty where nothing is."""
    if math.isnan(stages.age):
        return "images carry no stamp: latency is unknown and consumers cannot match masks to them"
    if math.isnan(stages.latency):
        when = (
            "lie in the future" if stages.age_on_arrival < 0 else f"are {_span(stages.age_on_arrival)} old on arrival"
        )
        return (
            f"stamps {when}: camera and node use different clocks, so latency is unknown (play bags with --clock and "
            "set use_sim_time; else fix the driver's stamps)"
        )
    if stages.latency > max_latency_ms:
        return f"median age {stages.latency:.0f} ms, above max_latency_ms ({max_latency_ms:g})"
    return ""


def _span(milliseconds: float) -> str:
    """Return a long time in words."""
    seconds = milliseconds / 1e3
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _milliseconds(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1f}"


def _part(camera: CameraActivity, part: str) -> str:
    return f"{camera.name}: {part}" if camera.name else part
