"""Node level: the segmentation node as a process of its own, and a client that is its camera and its listener.

This module starts and ends processes; what speaks ROS is fanet_ros.ros.benchmark.client, started by name.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from fanet_ros.benchmark.contest import Bench
from fanet_ros.benchmark.plan import PEAK, Contender, NodeCase
from fanet_ros.benchmark.process import JsonProcess, ProcessError, end
from fanet_ros.benchmark.results import Results, Row
from fanet_ros.processes import last_words, start_module
from fanet_ros.settings import BACKENDS

_CLIENT_START_TIMEOUT_S = 60.0
_SLOWEST_HZ = 0.5  # of masks; whoever is slower counts as hanging
_GRACE_S = 30.0
_FIGURES = (
    *("load", "rate_hz", "sent", "missed", "sent_rate_hz", "mean_rate_hz", "p50_ms", "p90_ms", "p99_ms", "max_ms"),
    *(
        "compressed_rate_hz",
        "compressed_kb",
        "jitter_ms",
        "inference_ms",
        "overhead_ms",
        "cpu_percent",
        "client_cpu_percent",
        "rss_mb",
    ),
)  # of a row; null where a case failed


def run_node_level(bench: Bench, weights: Path, cases: Sequence[NodeCase]) -> None:
    """Measure every case and add its rows to the results as it ends."""
    plan, results = bench.plan, bench.results
    if importlib.util.find_spec("rclpy") is None:
        results.not_run("node", "rclpy is not installed here: source a ROS 2 workspace that holds fanet_ros")
        return
    contender = fastest(results, weights) or plan.node_contender
    bench.progress.begin(len(cases))
    for index, case in enumerate(cases):
        level = _NodeLevel(bench, weights, contender, case)
        try:
            level.run(starts=plan.starts if index == 0 else 1)
        except ProcessError as error:
            results.add("node", [{**level.heading(), **dict.fromkeys(_FIGURES), "error": str(error)}])
        bench.progress.advance()


def fastest(results: Results, weights: Path) -> Contender | None:
    """Return the contender with the fastest network in these results; None where none was measured."""
    rows = [
        row
        for row in results.data["network"]
        if row["weights"] == weights.name and row["median_ms"] and row["backend"] in BACKENDS
    ]
    if not rows:
        return None
    best = min(rows, key=lambda row: row["median_ms"])
    return Contender(best["backend"], best["precision"], best["device"])


class _NodeLevel:
    """One camera in front of the node."""

    def __init__(self, bench: Bench, weights: Path, contender: Contender, case: NodeCase) -> None:
        self._bench = bench
        self._weights = weights
        self._contender = contender
        self._case = case
        self._running = asdict(contender)
        # a domain and a namespace of its own: no camera of this robot must take part
        self._namespace = f"/fanet_benchmark_{os.getpid()}"
        self._environment = own_domain()

    def heading(self) -> Row:
        """What every row of this case begins with."""
        camera, input_size = self._case.camera, self._case.input_size
        return {
            "weights": self._weights.name,
            **self._running,  # backend, device and precision
            "camera_width": camera.width,
            "camera_height": camera.height,
            "height": input_size.height,
            "width": input_size.width,
        }

    def run(self, starts: int) -> None:
        """Time some starts of the node, then put the last one under each load.

        Raises:
            ProcessError: node or client failed; loads that were measured before are in the results.
        """
        self._say("starting the client")
        results = self._bench.results
        client = JsonProcess(
            "fanet_ros.ros.benchmark.client", environment=self._environment, notice=self._bench.progress.say
        )
        try:
            frames = str(self._bench.store.ensure(self._case.camera))
            facts = client.ask("start", _CLIENT_START_TIMEOUT_S, namespace=self._namespace, frames=frames)
            results.data["machine"].update(facts)
            first_masks = []
            for index in range(starts):
                self._say(f"start {index + 1} of {starts}")
                began = time.time()
                with self._node() as (node, output):
                    try:
                        first_masks.append(self._first_mask(client, node, began))
                        if index + 1 == starts:
                            results.add("startup", [self._startup_row(first_masks)])
                            self._loads(client, node)
                    except ProcessError as error:
                        words = last_words(output)
                        told = f"; the node's last words: {words[-1]}" if words else ""
                        raise ProcessError(f"{error}{told}") from None
        finally:
            client.close()

    def _first_mask(self, client: JsonProcess, node: subprocess.Popen[bytes], began: float) -> dict[str, Any]:
        timeout_s = self._bench.plan.start_timeout_s
        answer = client.ask("first_mask", timeout_s + _GRACE_S, node_pid=node.pid, within_s=timeout_s)
        self._running = answer["running"]  # what `auto` came to
        return {**answer, "seconds": answer["first_mask_time"] - began}

    def _startup_row(self, first_masks: list[dict[str, Any]]) -> Row:
        seconds = [first["seconds"] for first in first_masks]
        return {
            **self.heading(),
            "median_s": round(median(seconds), 3),
            "seconds": [round(value, 3) for value in seconds],
            "rss_mb": round(first_masks[-1]["rss_mb"], 1),
        }

    def _loads(self, client: JsonProcess, node: subprocess.Popen[bytes]) -> None:
        loads = [(*load, False) for load in self._case.loads] + [(*load, True) for load in self._case.compressed]
        for rate_hz, images, compressed in loads:
            what = "peak" if rate_hz == PEAK else f"{rate_hz:g} Hz"
            if compressed:
                what += " + PNG, JPEG"
            self._say(f"{images} images at {what}")
            timeout_s = images / _SLOWEST_HZ + _GRACE_S
            asked = {"node_pid": node.pid, "rate_hz": rate_hz, "images": images, "compressed": compressed}
            answer = client.ask("load", timeout_s, **asked)
            row = {**self.heading(), "rate_hz": rate_hz or None, "load": what, **answer, "error": None}
            self._bench.results.add("node", [row])

    def _say(self, what: str) -> None:
        self._bench.progress.say(f"node, camera {self._case.camera}: {what}")

    @contextmanager
    def _node(self) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
        """Run the segmentation node; it ends with the block, or with this process."""
        parameters = {
            "weights": self._weights.resolve(),
            **asdict(self._contender),
            "threads": self._bench.plan.threads,
            "input_size": self._case.input_size,
        }
        names = {"__ns": self._namespace, "image": f"{self._namespace}/image"}
        with running_node("fanet_ros.ros.segmentation.node", names, parameters, self._environment) as started:
            yield started


@contextmanager
def running_node(
    module: str, names: Mapping[str, str], parameters: Mapping[str, object], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Run a node; it ends with the block, or with this process.

    Args:
        module: of the node.
        names: to remap.
        parameters: of the node.
        environment: variables to change.

    Yields:
        Its process, and the file with all that it prints.
    """
    arguments = ["--ros-args"]
    for name, value in names.items():
        arguments += ["-r", f"{name}:={value}"]
    for name, setting in parameters.items():
        arguments += ["-p", f"{name}:={setting}"]
    with tempfile.TemporaryFile() as output:
        node = start_module(
            "fanet_ros.benchmark.child",
            str(os.getpid()),
            module,
            *arguments,
            environment=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield node, output
        finally:
            end(node, signal.SIGINT)


def own_domain() -> dict[str, str]:
    """Return the environment of a ROS domain of our own, confined to this machine: no node of a robot must take part.

    Raises:
        ProcessError: all domains are in use.
    """
    return {"ROS_DOMAIN_ID": str(free_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def free_domain() -> int:
    """Return a ROS domain that no DDS participant on this machine uses.

    The first participant of a domain listens on UDP port 7410 + 250 domain (DDSI-RTPS 2.3, section 9.6.1.1).
    """
    for domain in range(101, 1, -1):  # above them lie ports that Linux hands out to anybody
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise ProcessError("all ROS domains from 2 to 101 are in use on this machine; end the nodes of some")
