"""Labels for scoring: one look at the image as the node takes it, or the mean of many (scales, mirror, windows)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fanet_ros.datasets import Sample
from fanet_ros.errors import InferenceError, SettingError
from fanet_ros.evaluation.looks import Looks
from fanet_ros.evaluation.windows import rows_of_windows, window_weights
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess_torch import decide_merged
from fanet_ros.model.foreign import LABELS, PROBABILITIES
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import MAX_SIDE, MIN_SIDE, Size

_SIZE_STEP = 8  # of scaled inputs, so that the network's output grid covers them evenly, as fanet_ros.frames.frame does


class Predictor(ABC):
    """Turns images into labels at the images' size; used by one thread at a time.

    Attributes:
        confidence: of the last labels, uint8 (H, W), probability x 255, valid until the next; None where it is not
            asked for.
    """

    confidence: NDArray[np.uint8] | None = None

    @abstractmethod
    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the labels of an image.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            uint8 (H, W), class ids; valid until the next call.

        Raises:
            BackendError: the network cannot be built for the size that this image asks for.
            InferenceError: the network's logits are not finite, or the memory does not suffice for so many looks.
        """

    def predict_sample(self, index: int, sample: Sample) -> NDArray[np.uint8]:
        """Return the labels of a sample of a data set, given its index there; as `predict`."""
        return self.predict(sample.image)

    @abstractmethod
    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:
        """Return the sizes at which the network sees an image of that size, smallest first."""


def make_predictor(segmenter: Segmenter, looks: Looks, *, confidence: bool = False) -> Predictor:
    """Return what labels images with the looks asked for; of a single one it can tell the confidence."""
    if looks.single:
        return SinglePredictor(segmenter, confidence=confidence)
    network = segmenter.network
    if network is not None and network.answer == LABELS:
        raise SettingError(f"{network.name} gives labels, which cannot be averaged; leave out scales, flip and windows")
    if network is not None and network.size is not None and set(looks.scales) != {1.0}:
        raise SettingError(f"scales: {network.name} takes images of {network.size} only; leave them out")
    return AveragingPredictor(segmenter, looks)


class SinglePredictor(Predictor):
    """Exactly what the node does with a frame."""

    def __init__(self, segmenter: Segmenter, *, confidence: bool = False) -> None:
        self._segmenter, self._wanted = segmenter, confidence

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:  # noqa: D102 (documented by Predictor)
        found = self._segmenter.segment(image, confidence=self._wanted)
        self.confidence = found.confidence
        return found.labels

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:  # noqa: D102 (documented by Predictor)
        return (self._segmenter.input_size_for(image_size),)


class AveragingPredictor(Predictor):
    """Averages the softmax probabilities of several looks, each upsampled as published, then decides.

    Upsampling is bilinear, before the softmax, with the corners where the network has them. Where windows overlap,
    each counts the more the further a pixel lies from its border, where the network sees least of what surrounds it.

    Probabilities are kept for one row of windows, not for the image: classes x window height x image width floats.
    They lie on the GPU where the network runs on one, and so do the sums.
    """

    def __init__(self, segmenter: Segmenter, looks: Looks) -> None:
        self._segmenter = segmenter
        self._looks = looks
        network = segmenter.network
        self._align_corners = network is None or network.align_corners
        self._gives_probabilities = network is not None and network.answer == PROBABILITIES
        self._step = _SIZE_STEP if network is None else network.step
        self._resizer = FrameResizer(align_corners=self._align_corners)
        device = segmenter.backend_info.device
        self._device = torch.device(device if device != "cpu" and torch.cuda.is_available() else "cpu")

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:  # noqa: D102 (documented by Predictor)
        base = self._segmenter.input_size_for(self._window_in(image_size))
        return tuple(sorted({_scaled(base, scale, self._step) for scale in self._looks.scales}))

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:  # noqa: D102 (documented by Predictor)
        try:
            return self._predict(image)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            size = Size(image.shape[1], image.shape[0])
            window = self._window_in(size)
            what = f"an image of {size}" + ("" if window == size else f" in windows of {window}")
            classes = len(self._segmenter.label_set)
            raise InferenceError(
                f"the memory does not suffice to average {classes} classes over {what}, seen at up to "
                f"{self.input_sizes(size)[-1]}: give a smaller --window or --input-size ({_first_line(error)})"
            ) from None

    @torch.inference_mode()
    def _predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        window = self._window_in(Size(width, height))
        stride = self._looks.stride or window
        weights = None
        if window != (width, height):
            weights = torch.from_numpy(window_weights(window)).to(self._device)
        band: Tensor | None = None  # of the current row of windows, (the network's classes, h, width)
        labels = np.empty((height, width), np.uint8)
        for top, lefts, finished in rows_of_windows(Size(width, height), window, stride):
            for left in lefts:
                part = image[top : top + window.height, left : left + window.width]
                probabilities = self._probabilities(part)
                if band is None:
                    band = torch.zeros(len(probabilities), window.height, width, device=self._device)
                band[:, :, left : left + window.width] += probabilities if weights is None else probabilities * weights
            # rows that the next windows do not reach are decided; the others move up to where those will add to them
            assert band is not None, "each row has windows"
            labels[top : top + finished] = self._decide(band[:, :finished]).cpu().numpy()
            if finished < window.height:
                band = torch.cat([band[:, finished:], torch.zeros_like(band[:, :finished])], dim=1)
            else:
                band.zero_()
        return labels

    def _decide(self, probabilities: Tensor) -> Tensor:
        label_of = self._segmenter.label_set.label_of
        if label_of is None:
            return probabilities.argmax(0).to(torch.uint8)
        return decide_merged(probabilities, label_of)[0]

    def _probabilities(self, part: NDArray[np.uint8]) -> Tensor:
        """The sum over all looks at one window, float32 (classes, h, w)."""
        size = Size(part.shape[1], part.shape[0])
        base = self._segmenter.input_size_for(size)
        inputs = self._inputs(part, base)
        total = self._softmax(*next(inputs), size)
        for image, mirrored in inputs:
            total += self._softmax(image, mirrored, size)
        return total

    def _inputs(self, part: NDArray[np.uint8], base: Size) -> Iterator[tuple[NDArray[np.uint8], bool]]:
        """The network's inputs, each valid until the next is asked for, and whether they are mirrored."""
        for scale in self._looks.scales:
            image = self._resizer.to_network_input(part, "rgb8", _scaled(base, scale, self._step))
            yield image, False
            if self._looks.flip:
                yield np.ascontiguousarray(image[:, ::-1]), True

    def _softmax(self, image: NDArray[np.uint8], mirrored: bool, size: Size) -> Tensor:
        logits = torch.from_numpy(self._segmenter.logits(image)).to(self._device)  # (classes, h/8, w/8)
        if not bool(torch.isfinite(logits).all()):
            raise InferenceError(
                "the network's logits are not all finite numbers: is the precision too low (use precision fp32), or do "
                "the weights not fit?"
            )
        if mirrored:  # the grid lies evenly on the image, so it can be turned back before it is enlarged
            logits = logits.flip(-1)
        shape = (size.height, size.width)
        large = functional.interpolate(logits[None], shape, mode="bilinear", align_corners=self._align_corners)
        return large[0] if self._gives_probabilities else torch.softmax(large[0], dim=0)

    def _window_in(self, image_size: Size) -> Size:
        window = self._looks.window or image_size
        return Size(min(window.width, image_size.width), min(window.height, image_size.height))


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether memory is what failed; on the CPU torch says so only in the words of a RuntimeError."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _scaled(base: Size, scale: float, step: int) -> Size:
    if scale == 1.0:
        return base  # exactly what one look would use
    size = Size(*(max(MIN_SIDE, round(side * scale / step) * step) for side in base))
    if max(size) > MAX_SIDE:
        raise SettingError(
            f"scales: {scale:g} makes the network's input {size}, expected sides up to {MAX_SIDE} pixels; use a "
            "smaller scale, input size or window"
        )
    return size
