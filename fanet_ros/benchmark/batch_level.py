"""Batch level: frames of several cameras that wait together, one after the other against one batch, per backend."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.plan import Contender, Plan
from fanet_ros.benchmark.process import JsonProcess, ProcessError
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results, Row
from fanet_ros.reports.statistics import Spread, Turns, ratio
from fanet_ros.settings import Size

WAITING = (1, 2, 3)
"""Numbers of frames that wait together."""


def run_batch_level(plan: Plan, weights: Path, store: FrameStore, results: Results, progress: ProgressLine) -> None:
    """Measure every contender at every input size, from frame to labels, and add a row for each number of frames.

    Both ways of a contender run in one process, in turns, so that what slows the machine for a while slows both.
    """
    progress.begin(len(plan.sizes) * len(plan.contenders))
    for size in plan.sizes:
        for contender in plan.contenders:
            progress.say(f"batch, {weights.stem} {size}: {contender}")
            results.add("batch", _measure(plan, weights, size, contender, store, progress))
            progress.advance()


def _measure(
    plan: Plan, weights: Path, size: Size, contender: Contender, store: FrameStore, progress: ProgressLine
) -> list[Row]:
    camera = plan.cameras[0]
    row = {
        "weights": weights.name,
        "backend": contender.backend,
        "device": contender.device,
        "precision": contender.precision,
        "width": size.width,
        "height": size.height,
        "camera_width": camera.width,
        "camera_height": camera.height,
        "error": None,
    }
    process = JsonProcess("fanet_ros.benchmark.batch_worker", notice=lambda text: progress.say(f"{contender}: {text}"))
    turns: defaultdict[str, Turns] = defaultdict(Turns)
    try:
        facts = process.ask(
            "start",
            plan.start_timeout_s,
            weights=str(weights),
            backend=contender.backend,
            device=contender.device,
            precision=contender.precision,
            threads=plan.threads,
            frames=str(store.ensure(camera)),
            input_size=list(size),
            waiting=list(WAITING),
        )
        row["device"] = facts["device"]
        repeats = plan.repeats(facts["turn_ms"])
        for _ in range(plan.rounds):
            for name, times in process.ask("run", plan.run_timeout_s, repeats=repeats)["times_ms"].items():
                turns[name].add(times)
    except ProcessError as error:
        return [{**row, "error": str(error)}]
    finally:
        process.close()
    return [{**row, "waiting": count, **_figures(turns, count)} for count in WAITING]


def _figures(turns: dict[str, Turns], count: int) -> Row:
    """Frames per second of both ways, from medians, and the gain with the quartiles of the turns' gains."""
    single = turns[f"{count} one by one"]
    figures: Row = {
        "one_by_one_ms": round(_median(single), 3),
        "one_by_one_fps": round(count / _median(single) * 1e3, 2),
        "batched_ms": None,
        "batched_fps": None,
        "gain": None,
        "gain_p25": None,
        "gain_p75": None,
        "runs": len(single.times),
    }
    if count > 1:
        batched = turns[f"{count} batched"]
        gain = ratio(single, batched)
        figures |= {
            "batched_ms": round(_median(batched), 3),
            "batched_fps": round(count / _median(batched) * 1e3, 2),
            "gain": round(gain.median, 3),
            "gain_p25": round(gain.p25, 3),
            "gain_p75": round(gain.p75, 3),
        }
    return figures


def _median(turns: Turns) -> float:
    return Spread.of(turns.times).median
