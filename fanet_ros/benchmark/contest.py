"""Contests: processes that do the same work in turns, so that what slows the machine for a while slows all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any

from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.plan import Plan
from fanet_ros.benchmark.process import Answer, JsonProcess, ProcessError
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results
from fanet_ros.reports.statistics import Turns

_STARTING_SHARE = 2 / 3  # of a contest's time that may go by until all have started; the rest is for turns


@dataclass
class Bench:
    """What every level works with.

    Attributes:
        plan: what to measure.
        results: to be added to.
        store: where frames are.
        progress: told what happens.
        environment: variables to change for the processes, None to remove.
        until: of the monotonic clock; nothing new is started after it.
    """

    plan: Plan
    results: Results
    store: FrameStore
    progress: ProgressLine
    environment: dict[str, str | None] = field(default_factory=dict)
    until: float = inf


@dataclass
class Entrant:
    """One process in a contest: what it said at its start, its times, or why it has none.

    Attributes:
        name: for the progress.
        process: that runs it.
        arguments: of its request `start`.
        facts: the answer to that.
        rss_mb: resident memory after its last turn, 10^6 bytes; None before the first.
        error: why it is out; empty while it is not.
    """

    name: str
    process: JsonProcess
    arguments: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    rss_mb: float | None = None
    error: str = ""
    _turns: defaultdict[str, Turns] = field(default_factory=lambda: defaultdict(Turns))

    def add(self, answer: Answer) -> None:
        """Record what the process measured in one turn."""
        for work, times in answer["times_ms"].items():
            self._turns[work].add(times)
        self.rss_mb = answer["rss_mb"]

    @property
    def works(self) -> list[str]:
        """What it has times of."""
        return [] if self.error else list(self._turns)

    def turns(self, work: str) -> Turns | None:
        """The times of some work; None without any, and of whoever is out."""
        return self._turns[work] if work in self.works else None

    @property
    def why_not(self) -> str | None:
        """Why there are no times; None if there are."""
        return self.error or (None if self._turns else "interrupted before its first turn")


class Contest(ExitStack):
    """Everybody starts, then takes turns; a context manager that ends the processes.

    In each round every entrant has one turn; the order is turned around from round to round, so that nobody always
    runs after the same one. Idle entrants sleep.
    """

    def __init__(self, bench: Bench, title: str) -> None:
        """Prepare a contest that may use all the time until `bench.until`."""
        super().__init__()
        self.bench = bench
        self.entrants: list[Entrant] = []
        self._title = title
        self._starts_until = bench.until
        if bench.until < inf:
            self._starts_until -= (1 - _STARTING_SHARE) * (bench.until - monotonic())

    def enter(self, name: str, environment: Mapping[str, str | None], **arguments: object) -> Entrant:
        """Start an entrant's process, which imports what it needs while others get ready.

        Args:
            name: for the progress.
            environment: variables to change in it, None to remove.
            arguments: of its request `start` (fanet_ros.benchmark.worker).
        """
        progress = self.bench.progress
        process = JsonProcess(
            "fanet_ros.benchmark.worker",
            environment={**self.bench.environment, **environment},
            notice=lambda text: progress.say(f"{name}: {text}"),
        )
        self.callback(process.close)
        self.entrants.append(Entrant(name, process, arguments))
        return self.entrants[-1]

    def start(self) -> None:
        """Let everybody get ready, one after the other."""
        for entrant in self.entrants:
            self.bench.progress.say(f"{self._title}: starting {entrant.name}")
            timeout_s = self.bench.plan.start_timeout_s
            answer = self._ask(entrant, "start", timeout_s, self._starts_until, arguments=entrant.arguments)
            entrant.facts = answer or {}

    def take_turns(self, least: int = 2) -> None:
        """Let everybody who has something to run take the plan's turns, of `least` runs, or as many as time allows."""
        plan, progress = self.bench.plan, self.bench.progress
        progress.begin(plan.rounds)
        for index in range(plan.rounds):
            if index and monotonic() > self.bench.until:
                break
            for entrant in self.entrants if index % 2 == 0 else self.entrants[::-1]:
                if entrant.error or not entrant.facts["turn_ms"]:
                    continue
                progress.say(f"{self._title}: round {index + 1} of {plan.rounds}, {entrant.name}")
                answer = self.ask(entrant, "run", repeats=plan.repeats(entrant.facts["turn_ms"], least))
                if answer is not None:
                    entrant.add(answer)
            progress.advance()

    def ask(self, entrant: Entrant, do: str, **arguments: object) -> Answer | None:
        """Ask an entrant; who is out of the contest, or is so now as it does not answer, has no answer."""
        return self._ask(entrant, do, self.bench.plan.run_timeout_s, inf, **arguments)

    def _ask(self, entrant: Entrant, do: str, timeout_s: float, until: float, **arguments: object) -> Answer | None:
        left_s = until - monotonic()
        if entrant.error:
            return None
        try:
            if left_s <= 0:
                raise ProcessError("no time was left")
            return entrant.process.ask(do, min(timeout_s, left_s), **arguments)
        except ProcessError as error:
            entrant.error = str(error)
            entrant.process.close()
            return None
