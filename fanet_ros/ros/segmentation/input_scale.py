"""The size at which the network sees the images, chosen for all cameras of a node by the age of their masks."""

from __future__ import annotations

import logging
import math

from fanet_ros.scheduling.latency_budget import LatencyBudget

BUDGET_SCALES = (1.0, 0.8, 0.64, 0.5)
"""Of the full input size's sides; each step saves about a third of the network's work."""

_FORGET_AFTER = 30  # frames of other cameras; one that has sent nothing for so long is not waited for

_log = logging.getLogger(__name__)


class InputScale:
    """Keeps the worst camera within the latency budget; without a budget the scale is always 1.

    Used by the thread that publishes; the properties may be read by any.
    """

    def __init__(self, budget_ms: float) -> None:
        """Start at the full size.

        Args:
            budget_ms: age that 95 % of the frames are to keep; 0 for no budget.
        """
        self.budget_ms = budget_ms
        self._budget = LatencyBudget(budget_ms, BUDGET_SCALES) if budget_ms else None
        self._frames = 0
        self._seen: dict[str, int] = {}  # number of each camera's last frame
        self._round: dict[str, float] = {}  # age of each camera's last frame since the budget was told something

    @staticmethod
    def scales(budget_ms: float) -> tuple[float, ...]:
        """Return the scales that must be prepared for a budget."""
        return BUDGET_SCALES if budget_ms else (1.0,)

    @property
    def value(self) -> float:
        """The scale for the next frame."""
        return self._budget.scale if self._budget else 1.0

    @property
    def p95_ms(self) -> float:
        """The 95th percentile of the worst camera's age; NaN while it is unknown."""
        return self._budget.p95_ms if self._budget else math.nan

    @property
    def too_slow(self) -> bool:
        """Whether the budget is missed even at the smallest size."""
        return self.value == BUDGET_SCALES[-1] and self.p95_ms > self.budget_ms

    def add(self, camera: str, age_ms: float) -> None:
        """Take the age of a published frame into account; a change is logged.

        The budget is told of the oldest among the cameras' last frames, once each camera has sent another: so a camera
        with few frames weighs as much as one with many.

        Args:
            camera: its name.
            age_ms: of its frame; NaN (no stamp) is ignored.
        """
        if self._budget is None or math.isnan(age_ms):
            return
        self._frames += 1
        self._seen[camera] = self._frames
        self._round[camera] = age_ms
        present = {name for name, number in self._seen.items() if self._frames - number < _FORGET_AFTER}
        if present <= self._round.keys():
            change = self._budget.add(max(self._round.values()))
            self._round.clear()
            if change is not None:
                _log.info("%s", change)
