"""Chooses the network's input size so that the age of frames keeps within a budget."""

from __future__ import annotations

import logging
import math
from collections import deque

from fanet_ros.reports.statistics import quantile

BUDGET_SCALES = (1.0, 0.8, 0.64, 0.5)
"""Of the full input size's sides; each step saves about a third of the network's work."""

_WINDOW = 30  # frames of which the percentile is taken
_SETTLING = 3  # frames after a change that do not count: they waited for frames at the size before
_ROOM = 0.85  # share of the budget that a larger size must be expected to keep
# Frames from a step down to the next step up. After a burst the size comes back soon; where the last step up was taken
# back, it is tried again so seldom that less than 3 % of all frames are late for it.
_QUIET_AFTER_BURST = 10 * _WINDOW
_QUIET = 40 * _WINDOW
_FORGET_AFTER = 30  # frames of other cameras; one that has sent nothing for so long is not waited for

_log = logging.getLogger(__name__)


class LatencyBudget:
    """Finds the largest input size at which 95 % of the worst camera's masks are no older than the budget.

    Down at once: when the 95th percentile over a window of frames at the present size is above the budget, to the
    largest size that is expected to keep it. Up by one size: when that is expected to leave room, a quiet time after
    the last step down, which is four times as long where that took a step up back. Expected is that the network's part
    of the age is in proportion to its input's area.

    Used by the thread that publishes; the attributes may be read by any.

    Attributes:
        budget_ms: as given.
        scales: of the input size's sides, which must be prepared; only 1 without a budget.
        p95_ms: 95th percentile of the age over the last window at the present size; NaN before it is full.
    """

    def __init__(self, budget_ms: float) -> None:
        """Start at the full size; 0 ms for no budget, so that it stays there."""
        self.budget_ms = budget_ms
        self.scales = BUDGET_SCALES if budget_ms else BUDGET_SCALES[:1]
        self._index = 0
        self._since_down = self._since_up = _QUIET  # judged frames
        self._quiet = _QUIET
        self._said_too_slow = False
        self._frames = 0
        self._last_of: dict[str, int] = {}  # number of each camera's last frame
        self._round: dict[str, tuple[float, float]] = {}  # each camera's last frame since one was judged
        self._begin()
        self._settling = 0

    @property
    def scale(self) -> float:
        """Of the input size's sides, for the next frame."""
        return self.scales[self._index]

    @property
    def is_missed(self) -> bool:
        """Whether even the smallest size is too slow."""
        return self._index == len(self.scales) - 1 and self.p95_ms > self.budget_ms

    def add(self, camera: str, age_ms: float, network_ms: float) -> None:
        """Take a published frame into account; a change is logged.

        The oldest among the cameras' last frames is judged, once each camera has sent another: so a camera with few
        frames weighs as much as one with many.

        Args:
            camera: its name.
            age_ms: of its frame; NaN (no stamp) is ignored.
            network_ms: the part of it in which the frame waited for the network or was in it.
        """
        if not self.budget_ms or math.isnan(age_ms):
            return
        self._frames += 1
        self._last_of[camera] = self._frames
        self._round[camera] = (age_ms, network_ms)
        present = {name for name, number in self._last_of.items() if self._frames - number < _FORGET_AFTER}
        if present <= self._round.keys():
            self._judge(*max(self._round.values()))
            self._round.clear()

    def _begin(self) -> None:
        """Forget what was measured at the size before."""
        self._ages: deque[float] = deque(maxlen=_WINDOW)
        self._network: deque[float] = deque(maxlen=_WINDOW)
        self._settling = _SETTLING
        self.p95_ms = math.nan

    def _judge(self, age_ms: float, network_ms: float) -> None:
        self._since_down += 1
        self._since_up += 1
        if self._settling:
            self._settling -= 1
            return
        self._ages.append(age_ms)
        self._network.append(network_ms)
        if len(self._ages) < _WINDOW:
            return
        self.p95_ms = quantile(list(self._ages), 0.95)
        if self.p95_ms > self.budget_ms:
            self._step_down()
        else:
            self._said_too_slow = False
            self._consider_larger()

    def _expected(self, index: int) -> float:
        """The 95th percentile of the age to be expected at another size."""
        growth = (self.scales[index] / self.scale) ** 2
        return self.p95_ms + (growth - 1) * quantile(list(self._network), 0.95)

    def _step_down(self) -> None:
        smallest = len(self.scales) - 1
        if self._index == smallest:
            if not self._said_too_slow:
                self._said_too_slow = True
                _log.info("the input scale stays at %g: %s, and there is no smaller size", self.scale, self._reason())
            return
        self._since_down = 0
        self._quiet = _QUIET if self._since_up < _QUIET else _QUIET_AFTER_BURST
        fitting = (i for i in range(self._index + 1, smallest) if self._expected(i) <= self.budget_ms)
        self._change(next(fitting, smallest), self._reason())

    def _consider_larger(self) -> None:
        if self._index == 0 or self._since_down < self._quiet:
            return
        expected = self._expected(self._index - 1)
        if expected <= _ROOM * self.budget_ms:
            self._since_up = 0
            self._change(self._index - 1, self._reason(f"about {expected:.0f} ms are expected, "))

    def _reason(self, expectation: str = "") -> str:
        return (
            f"95 % of the frames were up to {self.p95_ms:.0f} ms old, {expectation}the budget is {self.budget_ms:g} ms"
        )

    def _change(self, index: int, reason: str) -> None:
        _log.info("the input scale goes from %g to %g: %s", self.scale, self.scales[index], reason)
        self._index = index
        self._begin()
