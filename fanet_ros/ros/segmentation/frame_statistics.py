"""What happened to the frames of one camera in one activation: counts, latencies of late, and what was refused."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from dataclasses import dataclass
from statistics import median
from time import monotonic

from fanet_ros.reports.statistics import quantile

FAILED = "inference"
"""The kind of rejection that is the network's fault, and not the image's."""

WINDOW = 100
"""Number of frames over which latencies are summed up in diagnostics."""

AGE_WINDOW = 30
"""Number of frames over which the 95th percentile of the age is taken: few, so that it shows a change soon."""


_OLDEST_MS = 60e3  # on arrival: no camera and no network holds an image up for longer
_EARLIEST_MS = -100.0  # clocks of several hosts differ a little


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds one frame spent in each stage; `age` is from the camera's stamp to publication, NaN if unknown."""

    wait: float
    decode: float
    inference: float
    publish: float
    age: float

    @property
    def age_on_arrival(self) -> float:
        """From the camera's stamp until the image arrived in the node, milliseconds; NaN if unknown."""
        return self.age - self.wait - self.decode - self.inference - self.publish

    @property
    def latency(self) -> float:
        """The age; NaN also where the stamp is of another clock than the node's, so that it says nothing."""
        return self.age if _EARLIEST_MS <= self.age_on_arrival <= _OLDEST_MS else math.nan


STAGE_NAMES = tuple(StageTimes.__dataclass_fields__)


@dataclass(frozen=True)
class FrameCounts:
    """Every received frame is processed, dropped, skipped, rejected, or still waiting."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    skipped: int = 0
    rejected: int = 0


class FrameStatistics:
    """Counts frames from both threads of the node; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._rejections: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}  # the last one of each kind, the newest at the end
        self._last_arrival: float | None = None
        self._stages: deque[StageTimes] = deque(maxlen=WINDOW)

    def count_received(self) -> None:
        """Count a frame that arrived now."""
        with self._lock:
            self._counts["received"] += 1
            self._last_arrival = monotonic()

    def count_dropped(self) -> None:
        """Count a frame that was replaced by a newer one."""
        with self._lock:
            self._counts["dropped"] += 1

    def count_skipped(self) -> None:
        """Count a frame that nobody wanted to see segmented, or that was one too many for `max_rate_hz`."""
        with self._lock:
            self._counts["skipped"] += 1

    def count_rejected(self, kind: str, reason: str) -> None:
        """Count a frame that could not be used, by the kind of fault; of kind `FAILED` where it was the network's."""
        with self._lock:
            self._counts["rejected"] += 1
            self._rejections[kind] += 1
            self._reasons.pop(kind, None)
            self._reasons[kind] = reason

    def count_processed(self, stages: StageTimes) -> None:
        """Count a frame whose results were published."""
        with self._lock:
            self._counts["processed"] += 1
            self._stages.append(stages)

    @property
    def counts(self) -> FrameCounts:
        """The counts so far."""
        with self._lock:
            return FrameCounts(**self._counts)

    @property
    def rejections(self) -> tuple[dict[str, int], str]:
        """Rejected frames by kind, and the last reason in full."""
        with self._lock:
            return dict(self._rejections), next(reversed(self._reasons.values()), "")

    def last_reason(self, *, failed: bool) -> str:
        """Return why the network failed last, or why an image was unusable last, in full; empty where none was."""
        with self._lock:
            return next((why for kind, why in reversed(self._reasons.items()) if (kind == FAILED) == failed), "")

    def seconds_since_arrival(self) -> float | None:
        """Return the wall-clock seconds since the last frame arrived; None before the first."""
        with self._lock:
            return None if self._last_arrival is None else monotonic() - self._last_arrival

    def age_p95(self) -> float:
        """Return the 95th percentile of the latencies of the last frames, milliseconds; NaN where none is known."""
        with self._lock:
            ages = [times.latency for times in list(self._stages)[-AGE_WINDOW:] if not math.isnan(times.latency)]
        return quantile(ages, 0.95) if ages else math.nan

    def median_stages(self) -> StageTimes | None:
        """Return the medians over the last frames; None before the first."""
        with self._lock:
            stages = list(self._stages)
        if not stages:
            return None
        return StageTimes(*(_median([getattr(times, name) for times in stages]) for name in STAGE_NAMES))


def _median(values: list[float]) -> float:
    """Return the median of the known values; NaN where none is known."""
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan
