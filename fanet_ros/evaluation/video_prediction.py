"""Labels of one frame after the other, with memory: the only place here that knows how the network remembers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends import BackendInfo, create_backend
from fanet_ros.backends.torch_backend import TorchBackend
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.frame import FrameResizer, fit_input_size
from fanet_ros.graph import FrameToLogits
from fanet_ros.labels import LabelSet
from fanet_ros.model_card import read_card, resolve_label_set
from fanet_ros.postprocess import labels_from_logits
from fanet_ros.postprocess_torch import labels_from_logits as labels_from_logits_on_gpu
from fanet_ros.settings import Size


class VideoPredictor(Predictor):
    """Labels the frames of a video in order; each also looks at the T - 1 frames before it that were predicted.

    It runs the graph of the torch backend, with and without memory, so that T = 1 is that backend's every pixel.

    Attributes:
        label_set: of the weights.
        backend_info: what runs the network.
    """

    def __init__(
        self,
        weights: Path,
        temporal_frames: int,
        *,
        labels: str = "",
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        input_size: str = "auto",
    ) -> None:
        """Load weights; arguments as for `Segmenter`.

        Args:
            weights: a checkpoint; a card beside it is read.
            temporal_frames: T, at least 1.
            labels: label set; empty for what the card names.
            backend: `auto` or `torch`, the only one with memory.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            precision: `auto` or one of the torch backend's.
            threads: CPU threads; 0 for as many as the process may use.
            input_size: `auto`, `camera` or WIDTHxHEIGHT.

        Raises:
            FanetError: WeightsError, LabelSetError, BackendError or SettingError, each with what to do.
        """
        if backend not in ("auto", "torch"):
            raise SettingError(f"backend: received {backend}, expected torch, which alone evaluates videos")
        card = read_card(weights)
        self._input_size, self._recommended = input_size, card.input_size
        self._frames, self._resizer = temporal_frames, FrameResizer()
        made = create_backend(weights, backend="torch", device=device, precision=precision, threads=threads)
        assert isinstance(made, TorchBackend) and isinstance(made.graph, FrameToLogits)
        self._backend, self._graph = made, made.graph
        self.backend_info: BackendInfo = made.info
        try:
            self.label_set: LabelSet = resolve_label_set(labels, card, made.classes)
        except BaseException:
            made.close()
            raise
        self._device = torch.device(made.info.device)
        self._state: Tensor | None = None
        self.forget()

    def forget(self) -> None:
        """Begin another video."""
        if self._frames > 1:
            self._state = torch.zeros(1, self._frames - 1, self._graph.network.state_size, device=self._device)

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the labels of the next frame, uint8 (H, W), a new array; arguments and errors as in `Predictor`."""
        size = Size(image.shape[1], image.shape[0])
        frame = self._resizer.to_network_input(image, "rgb8", self.input_sizes(size)[0])
        pixels = torch.from_numpy(frame)[None].to(self._device)
        if self._state is None:
            logits = self._graph(pixels)
        else:
            logits, self._state = self._graph(pixels, self._state)
        assert isinstance(logits, Tensor)
        if self._device.type == "cpu":
            return labels_from_logits(logits[0].contiguous().numpy(), size).labels
        return labels_from_logits_on_gpu(logits[0], size)[0].cpu().numpy()

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:  # noqa: D102 (documented by Predictor)
        return (fit_input_size(self._input_size, self._recommended, image_size),)

    def close(self) -> None:
        """Free the device's memory; the predictor is not used afterwards."""
        self._backend.close()
