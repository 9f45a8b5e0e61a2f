"""What an entrant of a contest does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import Any, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")

Run = Callable[[], float]
"""Does something once and returns how long it took, in ms."""


@dataclass
class Work:
    """Ready to be run.

    Attributes:
        facts: about what does it, for JSON.
        runs: by name, to be measured in turns.
        once: by name, too slow for more than one run in a turn.
        answers: what it comes to, to be compared with what others come to.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    once: dict[str, Run] = field(default_factory=dict)
    answers: dict[str, NDArray[Any]] = field(default_factory=dict)


def wall(do: Callable[[], object]) -> Run:
    """Time something by the wall clock."""

    def run() -> float:
        started = perf_counter()
        do()
        return (perf_counter() - started) * 1e3

    return run


def wall_of_each(do: Callable[[T], object], things: Iterable[T]) -> Run:
    """Time what is done with the next of the things at each call."""
    following = cycle(things)
    return wall(lambda: do(next(following)))
