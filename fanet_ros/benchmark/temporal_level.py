"""Temporal level: what it costs that attention sees the frame before, too, contender by contender."""

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

TEMPORAL_FRAMES = 2  # the paper's


def run_temporal_level(
    plan: Plan, weights: Path, size: Size, store: FrameStore, results: Results, progress: ProgressLine
) -> None:
    """Measure every contender at one input size, from the first camera's frame to labels, and add the rows.

    The same frames are segmented in turns by two networks in one process, with and without a memory: their ratio holds
    where times do not.

    Args:
        plan: what to measure.
        weights: checkpoint.
        size: of the network's input.
        store: where frames are.
        results: to be added to, contender by contender.
        progress: told what happens.
    """
    progress.begin(len(plan.contenders) * plan.rounds)
    for contender in plan.contenders:
        row: Row = {
            "weights": weights.name,
            "backend": contender.backend,
            "device": contender.device,
            "precision": contender.precision,
            "height": size.height,
            "width": size.width,
            "camera_width": plan.cameras[0].width,
            "camera_height": plan.cameras[0].height,
            "encoding": "bgr8",
            "temporal_frames": TEMPORAL_FRAMES,
            **dict.fromkeys(("single_ms", "temporal_ms", "over_single", "over_single_p25", "over_single_p75")),
            "runs": 0,
            "error": None,
        }
        process = JsonProcess(
            "fanet_ros.benchmark.temporal_worker",
            notice=lambda text, contender=contender: progress.say(f"{contender}: {text}"),  # type: ignore[misc]
        )
        try:
            row.update(_measure(process, plan, contender, weights, size, store, progress))
        except ProcessError as error:
            row["error"] = str(error)
        finally:
            process.close()
        results.add("temporal", [row])


def _measure(
    process: JsonProcess,
    plan: Plan,
    contender: Contender,
    weights: Path,
    size: Size,
    store: FrameStore,
    progress: ProgressLine,
) -> Row:
    """Let one contender take all its turns; return the entries of its row that come from them."""
    progress.say(f"{weights.stem} {size}: starting {contender} with a memory")
    facts = process.ask(
        "start",
        plan.start_timeout_s,
        weights=str(weights),
        backend=contender.backend,
        device=contender.device,
        precision=contender.precision,
        threads=plan.threads,
        input_size=list(size),
        frames=str(store.ensure(plan.cameras[0])),
        temporal_frames=TEMPORAL_FRAMES,
    )
    repeats = plan.repeats(facts["turn_ms"])
    turns: dict[str, Turns] = defaultdict(Turns)
    for index in range(plan.rounds):
        progress.say(f"{weights.stem} {size}: round {index + 1} of {plan.rounds}, {contender} with a memory")
        for name, times in process.ask("run", plan.run_timeout_s, repeats=repeats)["times_ms"].items():
            turns[name].add(times)
        progress.advance()
    over = ratio(turns["temporal"], turns["single"])
    return {
        "device": facts["device"],
        "single_ms": round(Spread.of(turns["single"].times).median, 3),
        "temporal_ms": round(Spread.of(turns["temporal"].times).median, 3),
        "over_single": round(over.median, 4),
        "over_single_p25": round(over.p25, 4),
        "over_single_p75": round(over.p75, 4),
        "runs": len(turns["single"].times),
    }
