"""One backend in a process of its own: frames that wait together, one after the other and as one batch.

`python -m fanet_ros.benchmark.batch_worker` answers two requests: `start` and `run` (fanet_ros.benchmark.process).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from fanet_ros.backends import create_backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.process import Answer, serve
from fanet_ros.errors import BackendError
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.settings import Size


class _BatchWorker:
    """Runs the same frames in both ways."""

    def __init__(self) -> None:
        self._runs: dict[str, Callable[[], object]] = {}

    def start(
        self,
        weights: str,
        backend: str,
        device: str,
        precision: str,
        threads: int,
        frames: str,
        input_size: list[int],
        waiting: list[int],
    ) -> Answer:
        """Load, and run everything once.

        Args:
            weights: a checkpoint.
            backend: one of settings.BACKENDS.
            device: as for create_backend.
            precision: likewise.
            threads: likewise.
            frames: file of camera frames; as many as the longest of `waiting`, or more.
            input_size: width and height at which the network sees them.
            waiting: numbers of frames.

        Returns:
            The device, and the time of one run of everything (ms).

        Raises:
            BackendError: the backend cannot start, or has no batches.
        """
        size = Size(*input_size)
        loaded = create_backend(
            Path(weights),
            backend=backend,
            device=device,
            precision=precision,
            threads=threads,
            input_size=size,
            kept_sizes=len(waiting),  # a batch of each length is kept
        )
        if loaded.max_batch < max(waiting):
            raise BackendError(f"the backend has no batches of {max(waiting)} frames")
        requests = [
            FrameRequest(frame, "bgr8", out=LabelBuffers(np.empty(frame.shape[:2], np.uint8)))
            for frame in load_frames(Path(frames))
        ]

        def one_by_one(count: int) -> None:
            for each in requests[:count]:
                loaded.segment(each, size)

        for count in waiting:
            self._runs[f"{count} one by one"] = lambda count=count: one_by_one(count)  # type: ignore[misc]
            if count > 1:
                self._runs[f"{count} batched"] = lambda count=count: loaded.segment_batch(requests[:count], size)  # type: ignore[misc]
        self.run(1)  # compiles and allocates
        turn_ms = sum(times[-1] for times in self.run(1)["times_ms"].values())
        return {"device": loaded.info.device, "turn_ms": turn_ms}

    def run(self, repeats: int) -> Answer:
        """Run all ways in turns, after one round that does not count.

        Returns:
            The wall times in ms of each way, one per repeat.
        """
        times: dict[str, list[float]] = {name: [] for name in self._runs}
        for repeat in range(repeats + 1):
            for name, run in self._runs.items():
                started = perf_counter()
                run()
                if repeat:
                    times[name].append((perf_counter() - started) * 1e3)
        return {"times_ms": times}


def main() -> None:
    """Serve until the parent has enough."""
    worker = _BatchWorker()
    serve({"start": worker.start, "run": worker.run})


if __name__ == "__main__":
    main()
