"""One run: every level of the plan, one after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from fanet_ros.benchmark.batch_level import run_batch_level
from fanet_ros.benchmark.contest import Contest
from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.ground_level import run_ground_level
from fanet_ros.benchmark.node_level import run_node_level
from fanet_ros.benchmark.plan import Plan
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.temporal_level import run_temporal_level
from fanet_ros.errors import WeightsError


def run_plan(plan: Plan, results: Results, console: Console) -> bool:
    """Measure what the plan says and add it to the results.

    Args:
        plan: what to measure.
        results: to be added to, and saved, level by level.
        console: for the progress.

    Returns:
        Whether it ran to its end; False after Ctrl-C, with all processes ended and what was measured in the results.

    Raises:
        FanetError: nothing can be measured at all (missing weights), or the results cannot be saved.
    """
    for weights in plan.weights:
        if not weights.is_file():
            raise WeightsError(f"{weights}: no such weights file; check the path")
    try:
        with tempfile.TemporaryDirectory(prefix="fanet_benchmark_") as folder, ProgressLine(console) as progress:
            store = FrameStore(Path(folder))
            for weights in plan.weights:
                if set(plan.levels) & {"network", "frame"}:
                    for size in plan.sizes:
                        Contest(plan, weights, size, store, progress).run(results)
                if "temporal" in plan.levels:
                    for size in plan.sizes:
                        run_temporal_level(plan, weights, size, store, results, progress)
                if "node" in plan.levels:
                    run_node_level(plan, weights, store, results, progress)
                if "batch" in plan.levels:
                    run_batch_level(plan, weights, store, results, progress)
            if "ground" in plan.levels:
                run_ground_level(plan, results, progress)
    except KeyboardInterrupt:
        return False
    return True
