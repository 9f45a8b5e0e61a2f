"""One run: every level of the plan, one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic

from rich.console import Console

from fanet_ros.backends import backend_class
from fanet_ros.backends.foreign import describe_network
from fanet_ros.benchmark.contest import Bench
from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.levels import run_batch, run_ground, run_stills, run_video
from fanet_ros.benchmark.node_level import run_node_level
from fanet_ros.benchmark.parity import random_weights, run_gpu_tests
from fanet_ros.benchmark.plan import Plan
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.soak_level import run_soak_level
from fanet_ros.errors import WeightsError
from fanet_ros.files import looked_for

_LEAST_TEST_S, _TEST_GRACE_S = 20.0, 30.0  # for the tests, however late it is


def run_plan(plan: Plan, results: Results, console: Console) -> bool:
    """Measure what the plan says and add it to the results.

    Args:
        plan: what to measure.
        results: to be added to, and saved, level by level.
        console: for the progress.

    Returns:
        Whether it ran to its end; False after Ctrl-C, with all processes ended and what was measured in the results.

    Raises:
        FanetError: nothing can be measured at all (no weights, or no GPU for parity), or the results cannot be saved.
    """
    for weights in plan.weights:
        if not weights.is_file():
            raise WeightsError(f"{weights}: no such weights file{looked_for(weights)}; check the path")
    if plan.parity:
        backend_class("torch").find_device(plan.device)
    try:
        with tempfile.TemporaryDirectory(prefix="fanet_benchmark_") as folder, ProgressLine(console) as progress:
            bench = Bench(plan, results, FrameStore(Path(folder)), progress)
            deadline = monotonic() + 60 * plan.minutes
            steps = _steps(bench, Path(folder))
            for index, step in enumerate(steps):
                if plan.minutes < inf:  # what one step leaves of its share the others have
                    bench.until = monotonic() + (deadline - monotonic()) / (len(steps) - index)
                step()
            if plan.parity and plan.device != "cpu":
                progress.say("running the tests that need a GPU")
                within_s = max(_LEAST_TEST_S, deadline + _TEST_GRACE_S - monotonic())
                results.add("checks", [{"check": "tests marked gpu", "result": run_gpu_tests(within_s, console)}])
    except KeyboardInterrupt:
        return False
    return True


def _steps(bench: Bench, folder: Path) -> list[Callable[[], None]]:
    """Return what is to be measured one after the other."""
    plan, levels = bench.plan, set(bench.plan.levels)
    steps: list[Callable[[], None]] = []
    if plan.parity:
        bench.environment["XDG_CACHE_HOME"] = str(folder)  # a few frames calibrate too badly for use by a robot
    for backbone in plan.random:
        weights = random_weights(backbone, folder)
        steps += [partial(run_stills, bench, weights, size) for size in plan.sizes]
    sizes = plan.sizes[:1] if plan.random else plan.sizes
    for weights in plan.weights:
        network = describe_network(weights)
        its_sizes = sizes if network is None or network.size is None else (network.size,)
        if levels & {"network", "frame"}:
            steps += [partial(run_stills, bench, weights, size) for size in its_sizes]
        if "temporal" in levels and network is None:
            steps += [partial(run_video, bench, weights, size) for size in sizes]
        if "node" in levels:
            steps.append(partial(run_node_level, bench, weights, plan.cases_of(network)))
        if "soak" in levels:
            steps.append(partial(run_soak_level, bench, weights))
        if "batch" in levels:
            steps += [partial(run_batch, bench, weights, size) for size in its_sizes]
    if "ground" in levels:
        steps.append(partial(run_ground, bench))
    return steps
