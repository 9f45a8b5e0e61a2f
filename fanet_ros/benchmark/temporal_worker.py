"""One contender with and without a memory, in a process of its own.

`python -m fanet_ros.benchmark.temporal_worker` answers two requests: `start` and `run` (fanet_ros.benchmark.process).
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends import Backend, create_backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.process import Answer, serve
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.settings import Size


class _Camera:
    """One camera in front of a backend, with its memory and the labels' memory reused as the node does."""

    def __init__(self, backend: Backend, input_size: Size, frame_size: Size) -> None:
        self._backend = backend
        self._input_size = input_size
        self._memory = backend.new_memory()
        self._out = LabelBuffers(np.empty((frame_size.height, frame_size.width), np.uint8))
        self._frame_size = frame_size

    def time_ms(self, frame: NDArray[np.uint8]) -> float:
        """Return how long the frame takes to its labels, by the wall clock."""
        started = perf_counter()
        self._backend.segment(
            FrameRequest(frame, "bgr8", self._frame_size, out=self._out, memory=self._memory), self._input_size
        )
        return (perf_counter() - started) * 1e3


class _Worker:
    """Segments camera frames as single ones and as a video, in turns."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}
        self._frames = cycle(np.empty((0, 0, 0, 3), np.uint8))

    def start(
        self,
        weights: str,
        backend: str,
        device: str,
        precision: str,
        threads: int,
        input_size: tuple[int, int],
        frames: str,
        temporal_frames: int,
    ) -> Answer:
        """Load and warm up both.

        Args:
            weights: a checkpoint.
            backend: one of settings.BACKENDS.
            device: as for create_backend.
            precision: likewise.
            threads: likewise.
            input_size: of the network, width and height.
            frames: file of camera frames.
            temporal_frames: that attention sees on the video.

        Returns:
            The device, and the time of a turn with one frame of each (ms).
        """
        size = Size(*input_size)
        loaded = load_frames(Path(frames))
        self._frames = cycle(loaded)
        for name, seen in (("single", 1), ("temporal", temporal_frames)):
            started = create_backend(
                Path(weights),
                backend=backend,
                device=device,
                precision=precision,
                threads=threads,
                input_size=size,
                temporal_frames=seen,
            )
            self._cameras[name] = _Camera(started, size, Size(loaded.shape[2], loaded.shape[1]))
        turn_ms = sum(times[-1] for times in self.run(1)["times_ms"].values())
        return {"device": started.info.device, "turn_ms": turn_ms}

    def run(self, repeats: int) -> Answer:
        """Segment each frame both ways, after one round that does not count.

        What goes first is turned around from frame to frame: who goes second finds the frame in the caches.

        Returns:
            The wall times in ms, one per repeat, of `single` and `temporal`.
        """
        times: dict[str, list[float]] = {name: [] for name in self._cameras}
        for repeat in range(repeats + 1):
            frame = next(self._frames)
            for name in list(times) if repeat % 2 else list(times)[::-1]:
                time_ms = self._cameras[name].time_ms(frame)
                if repeat:
                    times[name].append(time_ms)
        return {"times_ms": times}


def main() -> None:
    """Serve until the parent has enough."""
    worker = _Worker()
    serve({"start": worker.start, "run": worker.run})


if __name__ == "__main__":
    main()
