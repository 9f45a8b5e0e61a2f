"""What every contender is compared with: FANet in eager PyTorch, fp32, used as the authors' own scripts use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fanet_ros.benchmark.gpu_work import GpuRun
from fanet_ros.benchmark.runners import EXACT, Answers, Candidate, Runner
from fanet_ros.benchmark.work import Run, wall
from fanet_ros.model.graph import IMAGENET_MEAN, IMAGENET_STD, FrameToLogits
from fanet_ros.model.weights import load_network

_MATRIX_SIDE = 1536  # 7 GFLOP a product: long enough to measure, small enough for any machine
_PEAK_S = 0.4


class EagerReference(Runner):
    """The network as it was trained: batch norm of its own, torch's default threads, precision and waiting.

    On the CPU images are contiguous NCHW, and are normalised in numpy as scripts for data sets do; on a GPU all that
    comes after resizing is done there.
    """

    def __init__(self, candidate: Candidate, temporal_frames: int = 1) -> None:
        """Load the weights; device `auto` takes the first CUDA GPU, else the CPU.

        Raises:
            WeightsError: the checkpoint cannot be used.
        """
        if candidate.threads:
            torch.set_num_threads(candidate.threads)
        device = candidate.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self.device = str(self._device)
        self._size = candidate.size
        self._past_frames = temporal_frames - 1
        self._network = load_network(Path(candidate.weights)).to(self._device)
        self._graph = FrameToLogits(self._network)
        self._state = self._no_past()

    @torch.inference_mode()
    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102 (documented by Runner)
        frame = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].contiguous()
        logits: NDArray[np.float32] = self._network(self._graph.normalise(frame))[0].cpu().numpy()
        return logits

    @torch.inference_mode()
    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:  # noqa: D102 (documented by Runner)
        resized = frame if frame.shape[:2] == self._size[::-1] else cv2.resize(frame, self._size)
        if self._device.type == "cpu":
            scaled = resized[..., ::-1].astype(np.float32) / 255
            image = (scaled - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        else:
            pixels = torch.from_numpy(resized).to(self._device).flip(-1)
            tensor = self._graph.normalise(pixels.float().permute(2, 0, 1)[None])
        if self._past_frames:
            logits, self._state = self._network.forward_video(tensor, self._state)
        else:
            logits = self._network(tensor)
        enlarged = F.interpolate(logits, frame.shape[:2], mode="bilinear", align_corners=True)
        labels: NDArray[np.uint8] = enlarged[0].argmax(0).to(torch.uint8).cpu().numpy()
        return labels

    def restart(self) -> None:  # noqa: D102 (documented by Runner)
        self._state = self._no_past()

    def network_run(self, image: NDArray[np.uint8]) -> Run:  # noqa: D102 (documented by Runner)
        if self._device.type == "cpu":
            return wall(lambda: self.infer(image))
        return GpuRun(self._graph, image, self.device, capture=False)

    def facts(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Return the network's name, the device, and the work on an image, 10^9 multiplications and additions."""
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self._network(torch.zeros(1, 3, *image.shape[:2], device=self._device))
        return {
            "model": self._network.config.name,
            "device": self.device,
            "gflop": float(counter.get_total_flops()) / 1e9,
        }

    def _no_past(self) -> Tensor:
        return torch.zeros(1, self._past_frames, self._network.state_size, device=self._device)

    def answers(self, make: Callable[[], Answers]) -> Answers:
        """Return the answers, and beside them the exact ones, which are others on a GPU."""
        answers = make()
        if self._device.type == "cpu":
            exact = answers
        else:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
                exact = make()
        return {**answers, **{EXACT + name: answer for name, answer in exact.items()}}


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
