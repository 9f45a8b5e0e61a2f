"""Network and frame level: all contenders for one input size, measured in turns against the reference."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.plan import REFERENCE, Contender, Plan
from fanet_ros.benchmark.process import JsonProcess, ProcessError
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results, Row
from fanet_ros.reports.statistics import Spread, Turns, ratio
from fanet_ros.settings import Size

_NETWORK = "network"


class _Entrant:
    """A contender in this contest: its process, its times, or why it has none."""

    def __init__(self, contender: Contender, process: JsonProcess) -> None:
        self.contender = contender
        self.process = process
        self.facts: dict[str, Any] = {}
        self.repeats = 0
        self.turns: dict[str, Turns] = defaultdict(Turns)
        self.rss_mb: float | None = None
        self.error = ""

    @property
    def is_out(self) -> bool:
        return bool(self.error)


class Contest:
    """One checkpoint at one input size.

    In each round every contender has one turn; the order is turned around from round to round, so that nobody always
    runs after the same one. Idle contenders sleep.
    """

    def __init__(self, plan: Plan, weights: Path, size: Size, store: FrameStore, progress: ProgressLine) -> None:
        self._plan = plan
        self._weights = weights
        self._size = size
        self._store = store
        self._progress = progress
        self._entrants: list[_Entrant] = []
        self._cameras = plan.cameras if "frame" in plan.levels else ()

    def run(self, results: Results) -> None:
        """Measure and add the rows to the results, also when interrupted."""
        with ExitStack() as stack:
            try:
                contenders = (Contender(REFERENCE, "fp32", self._plan.device), *self._plan.contenders)
                for contender in contenders:
                    self._entrants.append(self._enter(contender, stack))
                for entrant in self._entrants:
                    self._start(entrant)
                if "peak_gflops" not in results.data["machine"] and not self._entrants[0].is_out:
                    self._measure_peaks(results)
                self._progress.begin(self._plan.rounds)
                for index in range(self._plan.rounds):
                    self._round(index)
            finally:
                if _NETWORK in self._plan.levels:
                    results.add("network", [self._network_row(entrant) for entrant in self._entrants])
                results.add(
                    "frame", [self._frame_row(entrant, size) for size in self._cameras for entrant in self._entrants]
                )

    def _enter(self, contender: Contender, stack: ExitStack) -> _Entrant:
        """Start the process, which imports what all need while others load their networks."""
        # Threads that wait actively make eager torch faster while it is alone, and the reference shall be at its best;
        # the backends choose for themselves what is good for a robot.
        process = JsonProcess(
            "fanet_ros.benchmark.worker",
            environment={"OMP_WAIT_POLICY": None} if contender.is_reference else None,
            notice=lambda text: self._progress.say(f"{contender}: {text}"),
        )
        stack.callback(process.close)
        return _Entrant(contender, process)

    def _start(self, entrant: _Entrant) -> None:
        contender = entrant.contender
        self._progress.say(f"{self._weights.stem} {self._size}: starting {contender}")
        try:
            entrant.facts = entrant.process.ask(
                "start",
                self._plan.start_timeout_s,
                weights=str(self._weights),
                backend=contender.backend,
                device=contender.device,
                precision=contender.precision,
                threads=self._plan.threads,
                image=str(self._store.ensure(self._size)),
                cameras={str(camera): str(self._store.ensure(camera)) for camera in self._cameras},
            )
        except ProcessError as error:
            self._give_up(entrant, error)
            return
        entrant.repeats = self._plan.repeats(entrant.facts["turn_ms"])

    def _measure_peaks(self, results: Results) -> None:
        self._progress.say("measuring the peaks of the machine")
        try:
            results.data["machine"].update(self._entrants[0].process.ask("peaks", self._plan.run_timeout_s))
        except ProcessError as error:
            self._give_up(self._entrants[0], error)

    def _round(self, index: int) -> None:
        for entrant in self._entrants if index % 2 == 0 else self._entrants[::-1]:
            if entrant.is_out:
                continue
            self._progress.say(
                f"{self._weights.stem} {self._size}: round {index + 1} of {self._plan.rounds}, {entrant.contender}"
            )
            try:
                answer = entrant.process.ask("run", self._plan.run_timeout_s, repeats=entrant.repeats)
            except ProcessError as error:
                self._give_up(entrant, error)
                continue
            for work, times in answer["times_ms"].items():
                entrant.turns[work].add(times)
            entrant.rss_mb = answer["rss_mb"]
        self._progress.advance()

    def _give_up(self, entrant: _Entrant, error: ProcessError) -> None:
        entrant.error = str(error)
        entrant.process.close()

    # rows ------------------------------------------------------------------------------------------------------------

    @property
    def _reference(self) -> _Entrant:
        return self._entrants[0]

    def _network_row(self, entrant: _Entrant) -> Row:
        gflop = self._reference.facts.get("gflop")
        times = _times(entrant, _NETWORK)
        median_ms = times["median_ms"]
        return {
            **self._heading(entrant),
            **times,
            **self._speedup(entrant, _NETWORK),
            "gflop_per_image": gflop and round(gflop, 3),
            "gflop_per_s": round(gflop / median_ms * 1e3, 1) if gflop and median_ms else None,
            "agreement_with_reference": self._agreement(entrant),
            "rss_mb": None if entrant.rss_mb is None else round(entrant.rss_mb, 1),
            "error": entrant.error or (None if entrant.turns else "interrupted before its first turn"),
        }

    def _frame_row(self, entrant: _Entrant, camera: Size) -> Row:
        over = _ratio(entrant, str(camera), entrant, _NETWORK)
        network = _times(entrant, _NETWORK)["median_ms"]
        return {
            **self._heading(entrant),
            "camera_width": camera.width,
            "camera_height": camera.height,
            "encoding": "bgr8",
            **_times(entrant, str(camera)),
            "network_ms": network,
            "over_network": over and round(over.median, 3),
            "over_network_p25": over and round(over.p25, 3),
            "over_network_p75": over and round(over.p75, 3),
            **self._speedup(entrant, str(camera)),
            "error": entrant.error or (None if entrant.turns else "interrupted before its first turn"),
        }

    def _heading(self, entrant: _Entrant) -> Row:
        return {
            "model": self._reference.facts.get("model", self._weights.stem),
            "weights": self._weights.name,
            "backend": entrant.contender.backend,
            "device": entrant.facts.get("device", entrant.contender.device),
            "precision": entrant.contender.precision,
            "height": self._size.height,
            "width": self._size.width,
        }

    def _speedup(self, entrant: _Entrant, work: str) -> Row:
        speedup = _ratio(self._reference, work, entrant, work)
        return {
            "speedup_vs_reference": speedup and round(speedup.median, 3),
            "speedup_p25": speedup and round(speedup.p25, 3),
            "speedup_p75": speedup and round(speedup.p75, 3),
        }

    def _agreement(self, entrant: _Entrant) -> float | None:
        """The share of the logits' pixels at which the contender decides as the reference does."""
        expected, received = (bytes.fromhex(e.facts.get("decisions", "")) for e in (self._reference, entrant))
        if not expected or len(expected) != len(received):
            return None
        return round(sum(a == b for a, b in zip(expected, received, strict=True)) / len(expected), 5)


def _times(entrant: _Entrant, work: str) -> Row:
    turns = entrant.turns.get(work)
    if entrant.is_out or not turns:
        return {"median_ms": None, "p25_ms": None, "p75_ms": None, "min_ms": None, "runs": 0, "rounds": 0}
    spread = Spread.of(turns.times)
    return {
        "median_ms": round(spread.median, 3),
        "p25_ms": round(spread.p25, 3),
        "p75_ms": round(spread.p75, 3),
        "min_ms": round(min(turns.times), 3),
        "runs": spread.count,
        "rounds": len(turns),
    }


def _ratio(above: _Entrant, above_work: str, below: _Entrant, below_work: str) -> Spread | None:
    turns = above.turns.get(above_work), below.turns.get(below_work)
    if above.is_out or below.is_out or not turns[0] or not turns[1]:
        return None
    return ratio(turns[0], turns[1])
