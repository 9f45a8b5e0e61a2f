"""What is measured on the GPU itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits, labels_from_logits
from fanet_ros.settings import Size

_CLASSES = 19
_WARM_UPS = 3


class GpuRun:
    """Times the network alone by the GPU's own clock, from a frame on the GPU to logits there, in ms."""

    @torch.inference_mode()
    def __init__(
        self, network: Callable[[Tensor], object], image: NDArray[np.uint8], device: str, *, capture: bool
    ) -> None:
        """Warm up.

        Args:
            network: uint8 (1, h, w, 3) -> logits, on the device.
            image: its input, uint8 (h, w, 3), RGB.
            device: `cuda:<index>`.
            capture: whether to run it as one CUDA graph, as the backends do, or launch by launch.
        """
        self._network = network  # kept, as the frame is: a CUDA graph holds their addresses
        self._frame = torch.from_numpy(image)[None].to(device)
        self._stream = torch.cuda.Stream(device)
        self._before, self._after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._run: Callable[[], object] = lambda: network(self._frame)
        torch.cuda.synchronize(device)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._run()
            self._stream.synchronize()
            if capture:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=self._stream):
                    network(self._frame)
                self._run = graph.replay

    @torch.inference_mode()
    def __call__(self) -> float:
        """Run it once, after one run that keeps the GPU busy while it is handed over."""
        with torch.cuda.stream(self._stream):
            self._run()
            self._before.record()
            self._run()
            self._after.record()
            self._after.synchronize()
        return self._before.elapsed_time(self._after)


@torch.inference_mode()
def compare_label_kernel(device: str, size: Size) -> str:
    """Return how the fused label kernel differs from plain torch functions on random logits, in words."""
    logits = torch.randn(_CLASSES, size.height // 8, size.width // 8, device=device)
    labels, sureness = labels_from_logits(logits, size, confidence=True)
    expected, expected_sureness = dense_labels_from_logits(logits, size, confidence=True)
    assert sureness is not None and expected_sureness is not None
    apart = int((labels != expected).sum())
    largest = int((sureness.int() - expected_sureness.int()).abs().max())
    return f"{apart} of {labels.numel()} labels differ, confidence by at most {largest} of 255"
