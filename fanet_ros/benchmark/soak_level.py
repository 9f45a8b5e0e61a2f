"""Soak level: both nodes work on one small image after the other, and what memory they take meanwhile.

This module starts and ends processes; what speaks ROS is fanet_ros.ros.benchmark.soak_client, started by name.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from fanet_ros.benchmark.contest import Bench
from fanet_ros.benchmark.node_level import own_domain, running_node
from fanet_ros.benchmark.process import JsonProcess, ProcessError
from fanet_ros.benchmark.results import Row
from fanet_ros.processes import last_words
from fanet_ros.settings import Size
from fanet_ros.sources.street.scene import NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD

MOST_GROWTH_MB = 1.0
"""Per 100 000 frames; a node that grows by this or more leaks."""

_CAMERA, _INPUT = Size(160, 96), Size(64, 64)
_SAMPLES = 100  # of the memory, evenly over the frames
_WARM_UP = 0.2  # share of the samples that do not count: heaps and shared memory fill up to what is needed
_START_TIMEOUT_S, _FRAME_TIMEOUT_S = 60.0, 2.0
_PER = 100_000


def run_soak_level(bench: Bench, weights: Path) -> None:
    """Feed both nodes and add a row for each: how its memory grew."""
    if importlib.util.find_spec("rclpy") is None:
        bench.results.not_run("soak", "rclpy is not installed here: source a ROS 2 workspace that holds fanet_ros")
        return
    try:
        bench.results.add("soak", _soak(bench, weights))
    except ProcessError as error:
        empty = dict.fromkeys(("node", "frames", "seconds", "first_mb", "last_mb", "growth_mb"))
        bench.results.add("soak", [{**empty, "error": str(error)}])


def has_failed(rows: Sequence[Row]) -> bool:
    """Whether a node grew too much, or could not be measured."""
    return any(row["error"] or row["growth_mb"] >= MOST_GROWTH_MB for row in rows)


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return how much the second number of samples grows for each 1 of the first: the median of all pairs (Theil-Sen).

    A burst, or a step at one moment, hardly moves it.
    """
    return median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(samples, 2))


def _soak(bench: Bench, weights: Path) -> list[Row]:
    namespace, environment = f"/fanet_soak_{os.getpid()}", own_domain()
    segmentation = {
        "weights": weights.resolve(),
        **asdict(bench.plan.node_contender),
        "threads": bench.plan.threads,
        "input_size": _INPUT,
    }
    ground = {"camera_height": NOMINAL_HEIGHT_M, "camera_pitch": NOMINAL_PITCH_RAD}
    own = {"__ns": namespace}
    masks = {name: f"{namespace}/segmentation/{name}" for name in ("mask", "confidence", "label_info")}
    with ExitStack() as stack:
        client = JsonProcess("fanet_ros.ros.benchmark.soak_client", environment=environment, notice=bench.progress.say)
        stack.callback(client.close)
        frames = str(bench.store.ensure(_CAMERA))
        client.ask("start", _START_TIMEOUT_S, namespace=namespace, frames=frames)
        nodes = {
            "segmentation": stack.enter_context(
                running_node("fanet_ros.ros.segmentation.node", own, segmentation, environment)
            ),
            "drivable_area": stack.enter_context(
                running_node("fanet_ros.ros.ground.node", {**own, **masks}, ground, environment)
            ),
        }
        try:
            return _measure(bench, client, {name: node for name, (node, _) in nodes.items()})
        except ProcessError as error:
            words = [line for _, output in nodes.values() for line in last_words(output)[-1:]]
            raise ProcessError(f"{error}; the nodes' last words: {' | '.join(words) or 'none'}") from None


def _measure(bench: Bench, client: JsonProcess, nodes: dict[str, subprocess.Popen[bytes]]) -> list[Row]:
    frames = bench.plan.soak_frames
    bench.progress.say("soak: both nodes start")
    client.ask("first", bench.plan.start_timeout_s + _START_TIMEOUT_S, within_s=bench.plan.start_timeout_s)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in nodes}
    done, seconds = 0, 0.0
    for number in range(1, _SAMPLES + 1):
        images = frames * number // _SAMPLES - done
        if images:
            answer: dict[str, Any] = client.ask("feed", images * _FRAME_TIMEOUT_S + _START_TIMEOUT_S, images=images)
            done, seconds = done + images, seconds + answer["seconds"]
            for name, node in nodes.items():
                samples[name].append((done / _PER, _rss_mb(name, node)))
            bench.progress.say(f"soak: {done} of {frames} frames")
    return [_row(name, found, seconds) for name, found in samples.items()]


def _row(name: str, samples: list[tuple[float, float]], seconds: float) -> Row:
    counting = samples[int(_WARM_UP * len(samples)) :]
    return {
        "node": name,
        "frames": round(samples[-1][0] * _PER),
        "seconds": round(seconds, 1),
        "first_mb": round(counting[0][1], 2),
        "last_mb": round(counting[-1][1], 2),
        "growth_mb": round(slope(counting), 3),
        "error": None,
    }


def _rss_mb(name: str, node: subprocess.Popen[bytes]) -> float:
    try:
        return float(psutil.Process(node.pid).memory_info().rss) / 1e6
    except psutil.Error:
        raise ProcessError(f"the node {name} ended") from None
