"""What every contender is compared with: FANet in eager PyTorch, fp32, used as the authors' own scripts use it."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fanet_ros.model.graph import IMAGENET_MEAN, IMAGENET_STD
from fanet_ros.model.weights import load_network
from fanet_ros.settings import Size

_MATRIX_SIDE = 1536  # 7 GFLOP a product: long enough to measure, small enough for any machine
_PEAK_S = 0.4


class EagerReference:
    """The network as it was trained: batch norm of its own, contiguous NCHW, torch's default threads and waiting.

    Attributes:
        model: name of the network, such as "FANet-18".
        device: on which it runs, `cpu` or `cuda:<index>`.
    """

    def __init__(self, weights: Path, device: str, threads: int) -> None:
        """Load the weights.

        Args:
            weights: a checkpoint that fanet_ros.model.weights can read.
            device: `auto` takes the first CUDA GPU, else the CPU.
            threads: of the CPU; 0 for torch's own choice.

        Raises:
            WeightsError: the checkpoint cannot be used.
        """
        if threads:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        network = load_network(weights)
        self.model = network.config.name
        self.device = str(self._device)
        self._network = network.to(self._device)
        self._mean = torch.tensor(IMAGENET_MEAN, device=self._device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self._device).reshape(1, 3, 1, 1)

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone: uint8 RGB (H, W, 3) to logits, float32 (classes, ceil(H/8), ceil(W/8))."""
        with torch.inference_mode():
            frame = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].contiguous()
            logits: NDArray[np.float32] = self._network((frame / 255 - self._mean) / self._std)[0].cpu().numpy()
        return logits

    def gigaflops_of(self, image: NDArray[np.uint8]) -> float:
        """Count what the network computes for an image: 10^9 operations, a multiplication and an addition being two."""
        height, width = image.shape[:2]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self._network(torch.zeros(1, 3, height, width, device=self._device))
        return float(counter.get_total_flops()) / 1e9

    def segment(self, frame: NDArray[np.uint8], input_size: Size) -> NDArray[np.uint8]:
        """Make labels as scripts for data sets do, of the size of the frame.

        Args:
            frame: uint8 (H, W, 3), bgr8.
            input_size: at which the network sees it.

        Returns:
            Class ids, uint8 (H, W).
        """
        resized = cv2.resize(frame, input_size)[..., ::-1].astype(np.float32)
        image = (resized / 255 - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
            logits: Tensor = self._network(tensor.to(self._device))
            enlarged = F.interpolate(logits, frame.shape[:2], mode="bilinear", align_corners=True)
            labels: NDArray[np.uint8] = enlarged[0].argmax(0).cpu().numpy().astype(np.uint8)
        return labels


def peak_gflops(device: str) -> dict[str, float]:
    """Measure what matrix products reach: the roof under which every network runs on this machine.

    Args:
        device: of torch.

    Returns:
        GFLOP/s (a multiplication and an addition count as two) by precision, of the fastest product.
    """
    side = _MATRIX_SIDE if device == "cpu" else 4 * _MATRIX_SIDE
    peaks = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with torch.inference_mode():
            matrix = torch.rand(side, side, device=device).to(dtype)
            _seconds_of_product(matrix)
            fastest, deadline = float("inf"), perf_counter() + _PEAK_S
            while perf_counter() < deadline or fastest == float("inf"):
                fastest = min(fastest, _seconds_of_product(matrix))
        peaks[name] = round(2 * side**3 / fastest / 1e9, 1)
    return peaks


def _seconds_of_product(matrix: Tensor) -> float:
    started = perf_counter()
    product = matrix @ matrix
    product[0, 0].item()  # waits for a GPU
    return perf_counter() - started
