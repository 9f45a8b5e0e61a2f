"""One contender in a process of its own: loads its backend, warms up, and runs when it is asked to.

`python -m fanet_ros.benchmark.worker` answers three requests: `start`, `run`, `peaks` (fanet_ros.benchmark.process).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from fanet_ros.backends import create_backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.plan import REFERENCE
from fanet_ros.benchmark.process import Answer, serve
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.settings import Size

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Segment = Callable[[NDArray[np.uint8]], object]
Facts = dict[str, Any]


class _Worker:
    """What a contender does: the network alone, or frames of several cameras to labels."""

    def __init__(self) -> None:
        self._runs: dict[str, Callable[[], object]] = {}
        self._device = "cpu"

    def start(
        self,
        weights: str,
        backend: str,
        device: str,
        precision: str,
        threads: int,
        image: str,
        cameras: dict[str, str],
    ) -> Answer:
        """Load and warm up.

        Args:
            weights: a checkpoint.
            backend: `reference` or one of settings.BACKENDS.
            device: as for create_backend.
            precision: likewise.
            threads: likewise.
            image: file of frames of the network's input size.
            cameras: files of camera frames by name; empty to leave frames unmeasured.

        Returns:
            What runs, the time of one run of everything (ms), and the decisions of the network: class ids at the
            logits' size, as hexadecimal digits.
        """
        frames = load_frames(Path(image))
        network_input = cv2.cvtColor(frames[0], cv2.COLOR_BGR2RGB)
        size = Size(network_input.shape[1], network_input.shape[0])
        if backend == REFERENCE:
            infer, segment, facts = self._load_reference(Path(weights), device, threads, network_input)
        else:
            infer, segment, facts = self._load_backend(Path(weights), backend, device, precision, threads, size)
        decisions = infer(network_input).argmax(0).astype(np.uint8)
        self._runs["network"] = lambda: infer(network_input)
        for name, path in cameras.items():
            self._runs[name] = _frame_run(segment, load_frames(Path(path)))
        turn_ms = sum(times[-1] for times in self.run(1)["times_ms"].values())
        return {**facts, "turn_ms": turn_ms, "decisions": decisions.tobytes().hex()}

    def run(self, repeats: int) -> Answer:
        """Run network and frames alternately, after one round that does not count.

        The first runs of a turn find their code and data gone from the caches, and their threads asleep. Network and
        frames take turns run by run, so that what disturbs the one disturbs the other, and their ratio holds.

        Returns:
            The wall times in ms, one per repeat, of `network` and of each camera, and the resident memory of the
            process in MB (10^6 bytes).
        """
        times: dict[str, list[float]] = {name: [] for name in self._runs}
        for repeat in range(repeats + 1):
            for name, run in self._runs.items():
                started = perf_counter()
                run()
                if repeat:
                    times[name].append((perf_counter() - started) * 1e3)
        return {"times_ms": times, "rss_mb": psutil.Process().memory_info().rss / 1e6}

    def peaks(self) -> Answer:
        """Measure the machine's peaks; only the reference is asked, as it has torch loaded."""
        from fanet_ros.benchmark.reference import peak_gflops

        peaks = {"cpu": peak_gflops("cpu")}
        if self._device != "cpu":
            peaks[self._device] = peak_gflops(self._device)
        return {"peak_gflops": peaks}

    def _load_reference(
        self, weights: Path, device: str, threads: int, network_input: NDArray[np.uint8]
    ) -> tuple[Infer, Segment, Facts]:
        from fanet_ros.benchmark.reference import EagerReference  # imports torch, which not every contender needs

        reference = EagerReference(weights, device, threads)
        self._device = reference.device
        size = Size(network_input.shape[1], network_input.shape[0])
        facts = {
            "model": reference.model,
            "device": reference.device,
            "gflop": reference.gigaflops_of(network_input),
        }
        return reference.infer, lambda frame: reference.segment(frame, size), facts

    def _load_backend(
        self, weights: Path, name: str, device: str, precision: str, threads: int, size: Size
    ) -> tuple[Infer, Segment, Facts]:
        backend = create_backend(
            weights, backend=name, device=device, precision=precision, threads=threads, input_size=size
        )
        buffers: dict[Size, LabelBuffers] = {}

        def segment(frame: NDArray[np.uint8]) -> None:
            # what Segmenter.segment does once it has checked the frame, with the labels' memory reused as the node does
            camera = Size(frame.shape[1], frame.shape[0])
            buffers[camera] = backend.segment(FrameRequest(frame, "bgr8", camera, out=buffers.get(camera)), size)

        return backend.infer, segment, {"device": backend.info.device}


def _frame_run(segment: Segment, frames: NDArray[np.uint8]) -> Callable[[], object]:
    """Return what segments the next of the frames at each call."""
    following = cycle(frames)
    return lambda: segment(next(following))


def main() -> None:
    """Serve until the parent has enough."""
    worker = _Worker()
    serve({"start": worker.start, "run": worker.run, "peaks": worker.peaks})


if __name__ == "__main__":
    main()
