"""PyTorch on the CPU or a CUDA GPU: needs no build step, runs everywhere, and is what others are compared with."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.base import Backend, BackendInfo
from fanet_ros.errors import BackendError
from fanet_ros.graph import FrameToLogits, fold_batch_norm
from fanet_ros.postprocess import labels_from_logits
from fanet_ros.settings import Size
from fanet_ros.weights import load_network

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_DEFAULT_THREADS = torch.get_num_threads()

_log = logging.getLogger(__name__)


class TorchBackend(Backend):
    """The graph with batch norm folded and channels last, in the precision asked for."""

    def __init__(self, weights: Path, *, device: str = "auto", precision: str = "auto", threads: int = 0) -> None:
        """Load and prepare the network.

        Args:
            weights: a checkpoint that fanet_ros.weights can read.
            device: `auto` takes the first CUDA GPU, else the CPU.
            precision: `auto` is fp32, the only precision whose masks are known to be the published ones.
            threads: CPU threads; 0 for torch's own choice. Holds for the whole process, as torch has one pool.

        Raises:
            WeightsError: the checkpoint cannot be used.
            BackendError: no such GPU, or the device cannot compute in that precision.
        """
        self._device, reason = _choose_device(device)
        if precision == "auto":
            precision, reason = "fp32", f"{reason}; precision auto is fp32"
        if precision == "fp16" and self._device.type == "cpu":
            raise BackendError("precision fp16 needs a CUDA GPU; on the CPU use fp32 or bf16")
        if precision == "bf16" and self._device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise BackendError(f"{torch.cuda.get_device_name(self._device)} has no bf16; use fp32 or fp16")
        torch.set_num_threads(threads or _DEFAULT_THREADS)

        network = load_network(weights)
        self.classes = network.config.classes
        self.info = BackendInfo("torch", str(self._device), precision, reason)
        graph = FrameToLogits(fold_batch_norm(network))
        self._graph = graph.to(device=self._device, dtype=_DTYPES[precision])
        self._graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        _log.info("network runs with %s", self.info)

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102 (documented by Backend)
        with torch.inference_mode():
            return self._logits(image).float().cpu().numpy()

    def segment(  # noqa: D102 (documented by Backend)
        self, image: NDArray[np.uint8], size: Size, *, confidence: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        with torch.inference_mode():
            labels, sureness = labels_from_logits(self._logits(image), size, confidence=confidence)
            return labels.cpu().numpy(), None if sureness is None else sureness.cpu().numpy()

    def close(self) -> None:  # noqa: D102 (documented by Backend)
        del self._graph
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _logits(self, image: NDArray[np.uint8]) -> Tensor:
        frame = torch.from_numpy(image).to(self._device)
        return self._graph(frame[None])[0]


def _choose_device(device: str) -> tuple[torch.device, str]:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0"), f"device auto found {torch.cuda.get_device_name(0)}"
        return torch.device("cpu"), "device auto found no CUDA GPU"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            why = "was built without CUDA" if torch.version.cuda is None else "sees no CUDA GPU (check nvidia-smi)"
            raise BackendError(f"device '{device}' was asked for, but this torch {why}; use device cpu or auto")
        count = torch.cuda.device_count()
        chosen = torch.device("cuda", chosen.index or 0)
        if chosen.index >= count:
            raise BackendError(f"device '{device}' was asked for, but there are {count} CUDA GPUs, counted from 0")
    return chosen, f"device {device} was asked for"
