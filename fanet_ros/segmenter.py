"""Frame in, labels out: the front door of the core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends import BackendInfo, create_backend
from fanet_ros.errors import SettingError
from fanet_ros.frame import FrameResizer, check_frame, fit_input_size
from fanet_ros.labels import UNLABELLED, LabelSet
from fanet_ros.model_card import read_card, resolve_label_set
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size, check_input_size


@dataclass(frozen=True)
class Segmentation:
    """What the network sees in one frame.

    Attributes:
        labels: uint8, (H, W), class id per pixel, 255 where unlabelled.
        confidence: uint8, (H, W), softmax probability of the label x 255; None unless asked for.
        input_size: at which the network saw the frame.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None
    input_size: Size

    def class_shares(self, classes: int) -> NDArray[np.float32]:
        """Return the share of pixels of each class, float32 (classes,), in [0, 1]; unlabelled pixels count in none."""
        counts = cv2.calcHist([self.labels], [0], None, [256], [0, 256])[:classes, 0]
        return (counts / self.labels.size).astype(np.float32)


class Segmenter:
    """FANet with its weights, label set and backend, ready to segment frames of any size.

    Used by one thread at a time. The masks line up with the frame to the pixel whatever the network's input size is:
    frame, input and logits cover the same field of view, corner to corner.

    Attributes:
        label_set: of the weights.
        backend_info: what runs the network, and why.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        labels: str = "",
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        input_size: str = "auto",
        threads: int = 0,
    ) -> None:
        """Load weights and prepare the backend.

        Args:
            weights: a .safetensors or torch checkpoint; a model card beside it (same stem, .md) is read.
            labels: label set (name or path of a YAML file); empty for what the card names.
            backend: `auto` or a backend's name.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            input_size: `auto` (the card's area at the frame's aspect ratio), `camera` or WIDTHxHEIGHT.
            threads: CPU threads of the network; 0 for the framework's own choice.

        Raises:
            FanetError: WeightsError, LabelSetError, BackendError or SettingError, each with what to do.
        """
        try:
            check_input_size(input_size)
        except SettingError as error:
            raise SettingError(f"input_size: {error}") from None
        path = Path(weights).expanduser()
        card = read_card(path)
        self._backend = create_backend(path, backend=backend, device=device, precision=precision, threads=threads)
        self.label_set: LabelSet = resolve_label_set(labels, card, self._backend.classes)
        self._input_size = input_size
        self._recommended = card.input_size
        self._resizer = FrameResizer()

    @property
    def backend_info(self) -> BackendInfo:
        """What runs the network, and why."""
        return self._backend.info

    def segment(
        self,
        frame: NDArray[np.uint8],
        encoding: str = "rgb8",
        *,
        output_size: Size | None = None,
        confidence: bool = False,
        confidence_threshold: float = 0.0,
    ) -> Segmentation:
        """Segment one frame.

        Args:
            frame: uint8, (H, W, 3) for rgb8 and bgr8, (H, W, 4) for rgba8 and bgra8, (H, W) for mono8; any size, rows
                may be padded. It is only read.
            encoding: of the frame.
            output_size: of labels and confidence; None for the frame's own.
            confidence: whether the confidence is wanted, too.
            confidence_threshold: in [0, 1]; pixels with a lower confidence become 255 (unlabelled).

        Raises:
            FrameError: the frame is not what the encoding says.
        """
        check_frame(frame, encoding)
        frame_size = Size(frame.shape[1], frame.shape[0])
        input_size = fit_input_size(self._input_size, self._recommended, frame_size)
        image = self._resizer.to_network_input(frame, encoding, input_size)
        needs_confidence = confidence or confidence_threshold > 0
        labels, sureness = self._backend.segment(image, output_size or frame_size, confidence=needs_confidence)
        if sureness is not None and confidence_threshold > 0:
            labels[sureness < confidence_threshold * 255] = UNLABELLED
        return Segmentation(labels, sureness if confidence else None, input_size)

    def warm_up(self) -> None:
        """Segment one grey frame, so that the first real one meets allocated memory and chosen kernels."""
        self.segment(np.full((360, 640, 3), 128, np.uint8))

    def close(self) -> None:
        """Free the device's memory; the segmenter is not used afterwards."""
        self._backend.close()
