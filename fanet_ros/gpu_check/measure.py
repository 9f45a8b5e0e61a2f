"""Times on a GPU, or on the CPU for trying the check itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.errors import BackendError
from fanet_ros.reports.statistics import Spread
from fanet_ros.settings import Size

_WARM_UPS = 10

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: at most, for each figure.
        runs: at most, for each figure.
    """

    seconds: float
    runs: int


@torch.inference_mode()
def network_ms(network: Network, size: Size, device: torch.device, effort: Effort, *, capture: bool) -> Spread:
    """Time the network alone on the device, milliseconds from uint8 frame to logits.

    Args:
        network: uint8 (1, h, w, 3) -> logits, on the device.
        size: of its input.
        device: where it runs; on a GPU its own clock is read.
        effort: how long to measure.
        capture: whether to run it as one CUDA graph, as the backends do, or launch by launch.
    """
    frame = torch.randint(0, 256, (1, size.height, size.width, 3), dtype=torch.uint8, device=device)
    if device.type != "cuda":
        return Spread.of(_repeat(lambda: network(frame), effort))
    stream = torch.cuda.Stream(device)
    torch.cuda.synchronize(device)
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(frame)
        stream.synchronize()
        run: Callable[[], object] = lambda: network(frame)  # noqa: E731 (one of two things to run)
        if capture:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                network(frame)
            run = graph.replay

        def run_and_wait() -> None:
            run()
            stream.synchronize()

        rough = max(_repeat(run_and_wait, Effort(effort.seconds / 4, _WARM_UPS)))
        runs = max(5, min(effort.runs, int(effort.seconds * 1000 / rough)))
        events = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 1)]
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        stream.synchronize()
    return Spread.of([before.elapsed_time(after) for before, after in zip(events, events[1:], strict=False)])


def frame_ms(segment: Callable[[NDArray[np.uint8]], object], frame: NDArray[np.uint8], effort: Effort) -> Spread:
    """Time a whole frame in host memory to labels in host memory, in milliseconds by the wall clock."""
    for _ in range(3):
        segment(frame)
    return Spread.of(_repeat(lambda: segment(frame), effort))


class Reference:
    """The network as published, eagerly and in float32, and the plain way from frame to labels."""

    def __init__(self, graph: Network, device: torch.device) -> None:
        """Use a graph whose batch norm is not folded."""
        self.graph = graph
        self._device = device

    @torch.inference_mode()
    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the labels of a BGR frame of the network's input size."""
        image = torch.from_numpy(frame).to(self._device).flip(-1)
        logits = self.graph(image[None])
        enlarged = torch.nn.functional.interpolate(logits, frame.shape[:2], mode="bilinear", align_corners=True)
        return enlarged[0].argmax(0).to(torch.uint8).cpu().numpy()


def agreement_percent(labels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Return the share of pixels with the same label, in percent."""
    if labels.shape != expected.shape:
        raise BackendError(f"labels have shape {labels.shape}, expected {expected.shape}")
    return float((labels == expected).mean() * 100)


def _repeat(run: Callable[[], object], effort: Effort) -> list[float]:
    times: list[float] = []
    started = perf_counter()
    while len(times) < effort.runs and (len(times) < 3 or perf_counter() - started < effort.seconds):
        before = perf_counter()
        run()
        times.append((perf_counter() - before) * 1000)
    return times
