"""Frame in, labels out: the front door of the core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends import BackendInfo, Progress, create_backend
from fanet_ros.backends.base import no_progress
from fanet_ros.errors import BackendError, SettingError
from fanet_ros.frame import check_frame, fit_input_size
from fanet_ros.labels import UNLABELLED, LabelSet
from fanet_ros.model_card import read_card, resolve_label_set
from fanet_ros.postprocess import LabelBuffers
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size, check_input_size

_USUAL_FRAME = Size(1280, 720)  # what most cameras' shape is; the network is prepared for it before one is seen


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
        progress: Progress = no_progress,
        kept_sizes: int = 1,
    ) -> None:
        """Load weights and prepare the backend.

        Args:
            weights: a .safetensors or torch checkpoint; a model card beside it (same stem, .md) is read.
            labels: label set (name or path of a YAML file); empty for what the card names.
            backend: `auto` or a backend's name.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            precision: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
            input_size: `auto` (the card's area at the frame's aspect ratio), `camera` or WIDTHxHEIGHT.
            threads: CPU threads; 0 for as many as the process may use.
            progress: told every few seconds what a long build is doing, here and in `segment` when the first frame of
                another size arrives; may raise to give the build up.
            kept_sizes: for how many input sizes the backend keeps what it compiled, at least 1; a camera has one, a
                data set may have several.

        Raises:
            FanetError: WeightsError, LabelSetError, BackendError or SettingError, each with what to do.
        """
        try:
            check_input_size(input_size)
        except SettingError as error:
            raise SettingError(f"input_size: {error}") from None
        path = Path(weights).expanduser()
        card = read_card(path)
        self._input_size = input_size
        self._recommended = card.input_size
        self._backend = create_backend(
            path,
            backend=backend,
            device=device,
            precision=precision,
            threads=threads,
            input_size=None if input_size == "camera" else self.input_size_for(_USUAL_FRAME),
            progress=progress,
            kept_sizes=kept_sizes,
        )
        try:
            self.label_set: LabelSet = resolve_label_set(labels, card, self._backend.classes)
        except BaseException:
            self._backend.close()
            raise
        self._scratch = _Scratch()
        self._unbuildable: dict[Size, str] = {}  # and why

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
        out: LabelBuffers | None = None,
    ) -> Segmentation:
        """Segment one frame.

        Args:
            frame: uint8, (H, W, 3) for rgb8 and bgr8, (H, W, 4) for rgba8 and bgra8, (H, W) for mono8; any size, rows
                may be padded. It is only read.
            encoding: of the frame.
            output_size: of labels and confidence; None for the frame's own.
            confidence: whether the confidence is wanted, too.
            confidence_threshold: in [0, 1]; pixels with a lower confidence become 255 (unlabelled).
            out: arrays to write labels and confidence to, uint8 (output_size.height, output_size.width), contiguous:
                with them no memory of that size is allocated. None for new ones.

        Raises:
            FrameError: the frame is not what the encoding says.
            BackendError: the network cannot be built for the size that this frame asks for.
            InferenceError: the network's logits are not finite.
        """
        check_frame(frame, encoding)
        frame_size = Size(frame.shape[1], frame.shape[0])
        size = output_size or frame_size
        if confidence_threshold > 0 and not confidence and out is not None:
            out = LabelBuffers(out.labels, self._scratch.array("confidence", size, np.uint8))
        input_size = self.input_size_for(frame_size)
        self._prepare(input_size)
        labels, sureness = self._backend.segment(
            frame, encoding, input_size, size, confidence=confidence or confidence_threshold > 0, out=out
        )
        if sureness is not None and confidence_threshold > 0:
            unsure = self._scratch.array("unsure", size, np.bool_)
            np.less(sureness, confidence_threshold * 255, out=unsure)
            np.copyto(labels, UNLABELLED, where=unsure)
        return Segmentation(labels, sureness if confidence else None, input_size)

    def logits(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone, for those who combine several looks at one frame (fanet_ros.evaluation).

        Args:
            image: uint8, (H, W, 3), RGB, contiguous; the network's input as it is, of any size.

        Returns:
            Logits, float32, (classes, ceil(H / 8), ceil(W / 8)), not checked for being finite; valid until the next
            call of any method.

        Raises:
            BackendError: the network cannot be built for that size.
        """
        self._prepare(Size(image.shape[1], image.shape[0]))
        return self._backend.infer(image)

    def input_size_for(self, frame_size: Size) -> Size:
        """Return the size at which the network looks at a frame of the given size."""
        return fit_input_size(self._input_size, self._recommended, frame_size)

    def warm_up(self) -> None:
        """Segment one grey frame, so that the first real one meets allocated memory and chosen kernels.

        Does nothing for the input size `camera`, of which nothing is known yet.
        """
        if self._input_size == "camera":
            return
        self.segment(np.full((_USUAL_FRAME.height, _USUAL_FRAME.width, 3), 128, np.uint8))

    def close(self) -> None:
        """Free the device's memory; the segmenter is not used afterwards."""
        self._backend.close()

    def _prepare(self, input_size: Size) -> None:
        """Let the backend build what this size needs; what has failed once is not built again for every frame."""
        if input_size in self._unbuildable:
            raise BackendError(self._unbuildable[input_size])
        try:
            self._backend.prepare(input_size)
        except BackendError as error:
            self._unbuildable[input_size] = str(error)
            raise


class _Scratch:
    """Arrays of image size that are kept from frame to frame."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def array(self, name: str, size: Size, dtype: type[np.generic]) -> NDArray[Any]:
        """Return the array of that name, (size.height, size.width); its content is left over from its last use."""
        array = self._arrays.get(name)
        if array is None or array.shape != (size.height, size.width):
            array = self._arrays[name] = np.empty((size.height, size.width), dtype)
        return array
