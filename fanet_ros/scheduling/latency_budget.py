"""Chooses the network's input size so that the age of frames keeps within a budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fanet_ros.errors import SettingError

_SETTLING = 3  # frames after a change that do not count: they waited for frames at the size before
_ROOM = 0.85  # share of the budget that a larger size must be expected to keep
_PATIENCE = 3  # windows in a row in which a larger size is expected to fit before it is tried
_FIRST_WAIT, _LONGEST_WAIT = 4, 128  # windows before a size that failed is tried again; doubled each time it fails
_PROVEN = 20  # windows after which a size that held has its failures forgotten
_IMPROVED = 0.7  # of the p95 after a failure: below that the load has gone, and there is nothing to wait for
_SHARE = 95  # percentile


@dataclass(frozen=True)
class Change:
    """A change of the input size, or the word that there is none left to make.

    Attributes:
        old: scale until now.
        new: scale from now on; equal to `old` where even the smallest size is too slow.
        reason: in words, with the numbers.
    """

    old: float
    new: float
    reason: str

    def __str__(self) -> str:
        step = f"stays at {self.new:g}" if self.new == self.old else f"goes from {self.old:g} to {self.new:g}"
        return f"the input scale {step}: {self.reason}"


@dataclass
class _Step:
    """What is known of one size.

    Attributes:
        area: of the network's input, as a share of the full one.
        growth: how much older frames are at this size than at the next smaller one.
        wait: windows for which it is not to be tried again.
        failures: how often it has failed without having proven itself.
        reference_ms: p95 at the next smaller size right after this one failed; NaN if unknown.
    """

    area: float
    growth: float = 1.0
    wait: int = 0
    failures: int = 0
    reference_ms: float = math.nan


class LatencyBudget:
    """Chooses the largest input size whose p95 of frame age stays within the budget, with hysteresis.

    Down at once: as soon as the p95 of a window of frames at the present size is over the budget, the next size is the
    largest that could keep it if all of the age shrank with the area. Up with patience: a size is tried when it has
    been expected to leave room for several windows; its age is estimated from the present one, in proportion to the
    area, or as the last change between the two has shown, if that is less. A size that fails again is left alone for
    twice as long, unless the load has visibly gone: so a constant load does not make it oscillate.

    Attributes:
        scale: of the input size's sides, to be used for the next frame.
        p95_ms: 95th percentile of the ages in the last window of frames at the present size; NaN before it is full.
    """

    def __init__(self, budget_ms: float, scales: Sequence[float], *, window: int = 30) -> None:
        """Start at the largest size.

        Args:
            budget_ms: that 95 % of the frames shall keep, above 0.
            scales: among which to choose, in (0, 1].
            window: frames of which the percentile is taken, at least 2. Not more than one change is made per window.

        Raises:
            SettingError: one of them is outside its range.
        """
        if not (math.isfinite(budget_ms) and budget_ms > 0):
            raise SettingError(f"budget_ms: received {budget_ms}, expected milliseconds above 0")
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise SettingError(f"scales: received {tuple(scales)}, expected numbers above 0 and up to 1")
        if window < 2:
            raise SettingError(f"window: received {window}, expected at least 2 frames")
        self._budget = budget_ms
        self._window = window
        self._scales = sorted(set(scales), reverse=True)
        self._steps = [_Step(scale**2) for scale in self._scales]
        for step, smaller in zip(self._steps, self._steps[1:], strict=False):
            step.growth = step.area / smaller.area
        self._index = 0
        self._said_too_slow = False
        self._before: tuple[int, float] | None = None  # size and p95 before the last change, until it is learned from
        self._begin()
        self._settling = 0

    @property
    def scale(self) -> float:
        """Of the input size's sides, for the next frame."""
        return self._scales[self._index]

    def add(self, age_ms: float) -> Change | None:
        """Record the age of a frame, at the present size, at publication.

        Args:
            age_ms: NaN (the camera sets no stamps) is ignored.

        Returns:
            What changed and why; or, once, that even the smallest size is too slow. Mostly None.
        """
        if not math.isfinite(age_ms):
            return None
        if self._settling:
            self._settling -= 1
            return None
        self._ages.append(age_ms)
        self._count += 1
        if self._count < self._window:
            return None
        self.p95_ms = float(np.percentile(self._ages, _SHARE))
        if self._before is not None:
            self._learn(*self._before)
            self._before = None
        if self.p95_ms > self._budget:
            return self._step_down()
        self._said_too_slow = False
        return self._consider_larger() if self._count % self._window == 0 else None

    def _begin(self) -> None:
        """Forget the ages at the size before."""
        self._ages: deque[float] = deque(maxlen=self._window)
        self._count = 0
        self._fitting = 0  # windows in a row in which the next larger size is expected to fit
        self._settling = _SETTLING
        self.p95_ms = math.nan

    def _learn(self, other: int, p95_ms: float) -> None:
        """See how much the last change has brought; noise and load may have had their part in it."""
        larger, smaller = sorted((other, self._index))
        if smaller != larger + 1 or self.p95_ms <= 0:
            return
        grown = p95_ms / self.p95_ms if other == larger else self.p95_ms / p95_ms
        by_area = self._steps[larger].area / self._steps[smaller].area
        self._steps[larger].growth = min(max(grown, math.sqrt(by_area)), by_area)

    def _step_down(self) -> Change | None:
        over = f"95 % of the frames were up to {self.p95_ms:.0f} ms old, the budget is {self._budget:g} ms"
        if self._index == len(self._scales) - 1:
            if self._said_too_slow:
                return None
            self._said_too_slow = True
            return Change(self.scale, self.scale, f"{over}, and there is no smaller size")
        failed = self._steps[self._index]
        if self._count >= _PROVEN * self._window:
            failed.failures = 0
        failed.wait = min(_FIRST_WAIT * 2**failed.failures, _LONGEST_WAIT)
        failed.failures += 1
        failed.reference_ms = math.nan
        new = self._index + 1
        while new < len(self._scales) - 1 and self.p95_ms * self._steps[new].area / failed.area > self._budget:
            new += 1
        return self._change(new, over)

    def _consider_larger(self) -> Change | None:
        """Once a window: try the next larger size if it has long been expected to fit."""
        for step in self._steps:
            step.wait = max(step.wait - 1, 0)
        if self._index == 0:
            return None
        larger = self._steps[self._index - 1]
        windows = self._count // self._window
        if larger.wait and windows <= _PATIENCE:
            larger.reference_ms = min(self.p95_ms, larger.reference_ms if windows > 1 else math.inf)
        expected = self.p95_ms * larger.growth
        if expected > _ROOM * self._budget:
            self._fitting = 0
            return None
        self._fitting += 1
        load_has_gone = self.p95_ms < _IMPROVED * larger.reference_ms  # False for NaN
        if self._fitting < _PATIENCE or (larger.wait and not load_has_gone):
            return None
        return self._change(
            self._index - 1,
            f"95 % of the frames were up to {self.p95_ms:.0f} ms old, about {expected:.0f} ms are expected, the budget "
            f"is {self._budget:g} ms",
        )

    def _change(self, new: int, reason: str) -> Change:
        old = self.scale
        self._before = (self._index, self.p95_ms)
        self._index = new
        self._begin()
        return Change(old, self.scale, reason)
