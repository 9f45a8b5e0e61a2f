"""How a camera's frames fared from report to report, and whether enough masks were made of them."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from fanet_ros.ros.segmentation.frame_statistics import FAILED, FrameCounts, FrameStatistics

_WINDOW_S = 3.0  # over which rates are taken, or longer, until ...
_WINDOW_MASKS = 10  # ... so many masks are to be expected: of few one more or less would decide
_LEAST_MASKS = 3  # to be expected before a rate is judged
_TOLERANCE = 0.95  # of rates: a camera's timer and ours are not quite even
_MOST_REPORTS = 3600  # kept, however seldom masks are asked for


class Report(NamedTuple):
    """What had become of a camera's frames when a report was made."""

    time: float
    counts: FrameCounts
    failed: int = 0  # of the rejected: by the network, not for the image's sake


@dataclass
class FrameHistory:
    """A camera's reports of late, in one activation.

    Attributes:
        statistics: of the activation.
        now: what the present report is about, and ...
        last: ... the one before.
        kept: earlier ones, as far back as rates are taken.
        working_since: report from which on somebody subscribed, images could be worked on, and as many masks were
            expected as now; None while not so.
        min_rate_hz: of the masks, at the last report.
    """

    statistics: FrameStatistics
    now: Report = Report(0.0, FrameCounts())
    last: Report = Report(0.0, FrameCounts())
    kept: deque[Report] = field(default_factory=lambda: deque(maxlen=_MOST_REPORTS))
    working_since: Report | None = None
    min_rate_hz: float = 0.0

    def add(self, time: float, min_rate_hz: float) -> None:
        """Begin a report, and forget those that are too old for rates.

        Args:
            time: of the report, seconds.
            min_rate_hz: of the masks, as `too_few_masks` will be asked for.
        """
        if min_rate_hz != self.min_rate_hz:  # what was made so far does not count against another rate
            self.min_rate_hz, self.working_since = min_rate_hz, None
        window_s = max(_WINDOW_S, _WINDOW_MASKS / min_rate_hz if min_rate_hz else 0.0)
        if self.kept:
            self.last = self.now
        counts, (kinds, _) = self.statistics.counts, self.statistics.rejections
        self.now = Report(time, counts, kinds.get(FAILED, 0))
        while len(self.kept) > 1 and time - self.kept[1].time >= window_s:
            self.kept.popleft()
        self.kept.append(self.now)

    def note_work(self, *, is_idle: bool) -> None:
        """Note whether masks are to be expected from this report on."""
        self.working_since = None if is_idle else self.working_since or self.now

    @property
    def new(self) -> FrameCounts:
        """What became of frames since the last report; as rejected count images only."""
        before = asdict(self.last.counts)
        ends = {end: count - before[end] for end, count in asdict(self.now.counts).items()}
        return replace(FrameCounts(**ends), rejected=ends["rejected"] - self.failed)

    @property
    def failed(self) -> int:
        """On how many frames the network failed since the last report."""
        return self.now.failed - self.last.failed

    def rate(self, end: str) -> str:
        """Return how many frames a second came to that end over the window, in words."""
        first = self.kept[0]
        seconds = self.now.time - first.time
        count = getattr(self.now.counts, end) - getattr(first.counts, end)
        return f"{count / seconds:.1f}" if seconds > 0 else "unknown yet"

    def too_few_masks(self, min_rate_hz: float, expected_by: str = "min_rate_hz", longest_gap_s: float = 0.0) -> str:
        """Return that fewer masks than `min_rate_hz` were made while it worked; empty where that cannot be said.

        Args:
            min_rate_hz: masks a second that are expected at least.
            expected_by: in words, what sets that rate.
            longest_gap_s: seconds without a mask that are no fault, whatever the rate.
        """
        since = self.working_since
        if since is None:
            return ""
        working = [report for report in self.kept if report.time >= since.time]
        done = self.now.counts.processed
        stalled = next(report for report in working if report.counts.processed == done)
        seconds, images = self.now.time - stalled.time, self.now.counts.received - stalled.counts.received
        if images > 1 and seconds * min_rate_hz >= _TOLERANCE and seconds > longest_gap_s:
            return f"no mask of {images} images in {seconds:.1f} s, below {expected_by} ({min_rate_hz:g})"
        seconds, masks = self.now.time - working[0].time, done - working[0].counts.processed
        expected = _TOLERANCE * min_rate_hz * seconds
        if expected >= _TOLERANCE * _LEAST_MASKS and masks + 1 < expected:  # one may just have missed this report
            return f"{masks / seconds:.1f} masks per second, fewer than {expected_by} ({min_rate_hz:g})"
        return ""
