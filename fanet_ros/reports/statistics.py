"""Times to medians, spreads and ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie, interpolated linearly between neighbours.

    Args:
        values: at least one, in any order.
        share: in [0, 1].
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles around it.

    Attributes:
        median: of all values.
        p25: a quarter of the values lie below it.
        p75: three quarters do.
        count: number of values.
    """

    median: float
    p25: float
    p75: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(median(values), quantile(values, 0.25), quantile(values, 0.75), len(values))


class Turns:
    """The times of one thing that was measured again and again in turns with others."""

    def __init__(self) -> None:
        self._turns: list[list[float]] = []

    def add(self, times: Sequence[float]) -> None:
        """Record the times of one turn, in the order of the turns."""
        self._turns.append(list(times))

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def times(self) -> list[float]:
        """Every single time."""
        return [time for turn in self._turns for time in turn]

    @property
    def medians(self) -> list[float]:
        """The median of every turn."""
        return [median(turn) for turn in self._turns]


def ratio(above: Turns, below: Turns) -> Spread:
    """Return `above` over `below`: the ratio of their medians, with the quartiles of the ratios turn by turn.

    What slows the whole machine for a while slows both of a turn, so their ratio holds where the times do not.

    Args:
        above: at least one turn.
        below: at least one turn; what the one has more than the other counts only in the medians.
    """
    by_turn = [a / b for a, b in zip(above.medians, below.medians, strict=False)]
    spread = Spread.of(by_turn)
    return Spread(median(above.times) / median(below.times), spread.p25, spread.p75, spread.count)
