"""Ground level: what each result of the ground projection costs a frame, against the usual way in the same run."""

from __future__ import annotations

from collections import defaultdict

from fanet_ros.benchmark.plan import Plan
from fanet_ros.benchmark.process import JsonProcess, ProcessError
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results, Row
from fanet_ros.reports.statistics import Spread, Turns, ratio
from fanet_ros.settings import Size

MASK_SIZE = Size(640, 360)

_USUAL = "usual "  # before the name of a result in the worker's times
_MIN_REPEATS = 10


def run_ground_level(plan: Plan, results: Results, progress: ProgressLine) -> None:
    """Measure every result by both ways, in turns in one process with one thread, and add a row for each."""
    progress.begin(plan.rounds)
    turns: defaultdict[str, Turns] = defaultdict(Turns)
    process = JsonProcess("fanet_ros.benchmark.ground_worker", notice=progress.say)
    try:
        progress.say(f"ground, mask {MASK_SIZE}: building the tables")
        facts = process.ask("start", plan.start_timeout_s, width=MASK_SIZE.width, height=MASK_SIZE.height)
        repeats = plan.repeats(facts["turn_ms"], _MIN_REPEATS)
        for index in range(plan.rounds):
            progress.say(f"ground, mask {MASK_SIZE}: round {index + 1} of {plan.rounds}")
            for name, times in process.ask("run", plan.run_timeout_s, repeats=repeats)["times_ms"].items():
                turns[name].add(times)
            progress.advance()
    except ProcessError as error:
        results.add("ground", [{"error": str(error)}])
        return
    finally:
        process.close()
    results.add("ground", [_row(name, turns) for name in turns if not name.startswith(_USUAL)])


def _row(name: str, turns: dict[str, Turns]) -> Row:
    spread = Spread.of(turns[name].times)
    usual = turns.get(_USUAL + name)
    speedup = None if usual is None else ratio(usual, turns[name])
    return {
        "result": name,
        "mask_width": MASK_SIZE.width,
        "mask_height": MASK_SIZE.height,
        "median_ms": round(spread.median, 4),
        "p25_ms": round(spread.p25, 4),
        "p75_ms": round(spread.p75, 4),
        "runs": spread.count,
        "usual_ms": None if usual is None else round(Spread.of(usual.times).median, 4),
        "speedup": speedup and round(speedup.median, 2),
        "speedup_p25": speedup and round(speedup.p25, 2),
        "speedup_p75": speedup and round(speedup.p75, 2),
        "error": None,
    }
