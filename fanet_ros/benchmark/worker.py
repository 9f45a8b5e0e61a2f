"""One entrant of a contest in a process of its own: gets its work ready, and does it when it is asked to.

`python -m fanet_ros.benchmark.worker` answers `start`, `run`, `peaks` and `label_kernel` (fanet_ros.benchmark.process).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import psutil

from fanet_ros.benchmark.process import Answer, serve
from fanet_ros.benchmark.work import Work
from fanet_ros.settings import Size

_MODULES = {"stills": "network_work", "video": "network_work", "batch": "network_work", "ground": "ground_work"}
"""Where the functions of these names are; a module is imported when it is needed, for the sake of memory."""


class _Worker:
    """Does one kind of work."""

    def __init__(self) -> None:
        self._work = Work()

    def start(self, arguments: dict[str, Any]) -> Answer:
        """Load and warm up.

        Args:
            arguments: `work`, one of the above; `answers`, the .npz file for what it comes to, None for none; and
                those of the work's function.

        Returns:
            The work's facts, and `turn_ms`, the time of one run of everything; 0 if there is nothing to run.
        """
        name, answers = arguments.pop("work"), arguments.pop("answers", None)
        module = importlib.import_module(f"fanet_ros.benchmark.{_MODULES[name]}")
        self._work = getattr(module, name)(**arguments)
        if answers is not None:
            np.savez(answers, **self._work.answers)  # type: ignore[arg-type]  # numpy's stub knows no names
        times = self.run(1)["times_ms"]
        return {**self._work.facts, "turn_ms": sum(times[name][-1] for name in self._work.runs)}

    def run(self, repeats: int) -> Answer:
        """Do all runs in turns, after one round that does not count.

        The first runs of a turn find their code and data gone from the caches, and their threads asleep. The runs take
        turns one by one, so that what disturbs the one disturbs the other, and their ratio holds; the order is turned
        around each time, as who goes second finds the frame in the caches.

        Returns:
            The times in ms, one per repeat, by what was done, and the process's resident memory in MB (10^6 bytes).
        """
        runs = list(self._work.runs.items())
        times: dict[str, list[float]] = {name: [] for name, _ in runs}
        for repeat in range(repeats + 1):
            for name, run in runs if repeat % 2 else runs[::-1]:
                time_ms = run()
                if repeat:
                    times[name].append(time_ms)
        times |= {name: [run()] for name, run in self._work.once.items()}
        return {"times_ms": times, "rss_mb": psutil.Process().memory_info().rss / 1e6}

    def peaks(self) -> Answer:
        """Measure the machine's peaks; only the reference is asked, as it has torch loaded."""
        from fanet_ros.benchmark.reference import peak_gflops

        devices = dict.fromkeys(("cpu", self._work.facts["device"]))
        return {"peak_gflops": {device: peak_gflops(device) for device in devices}}

    def label_kernel(self, width: int, height: int) -> Answer:
        """Compare the fused label kernel of GPUs with plain torch functions, for labels of that size."""
        from fanet_ros.benchmark.gpu_work import compare_label_kernel

        return {"result": compare_label_kernel(self._work.facts["device"], Size(width, height))}


def main() -> None:
    """Serve until the parent has enough."""
    worker = _Worker()
    serve({"start": worker.start, "run": worker.run, "peaks": worker.peaks, "label_kernel": worker.label_kernel})


if __name__ == "__main__":
    main()
