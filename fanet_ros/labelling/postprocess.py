"""From the network's small logits to labels and confidence, on the CPU: the one exact step, for every backend.

Its twin for logits on a GPU is fanet_ros.labelling.postprocess_torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import InferenceError
from fanet_ros.labelling import kernels
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.settings import MAX_SIDE, Size

MAX_CLASSES = 255  # labels are uint8 and 255 means unlabelled
MAX_THREADS = 64
NOT_FINITE = (
    "the network's logits are not all finite numbers, so its mask would be wrong: is the precision too low (use "
    "precision fp32), or do the weights not fit?"
)


class LabelBuffers(NamedTuple):
    """Arrays of the caller that receive a result; views are welcome, for example of a message's data.

    Attributes:
        labels: uint8, (H, W), C-contiguous and writable.
        confidence: the same, or None where no confidence is wanted.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None


def labels_from_logits(
    logits: NDArray[np.float32],
    size: Size,
    *,
    confidence: bool = False,
    threads: int = 0,
    out: LabelBuffers | None = None,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
    probabilities: bool = False,
) -> LabelBuffers:
    """Upsample logits and decide every pixel: bilinear, then argmax.

    Taking the argmax first and enlarging labels would be cheaper but moves class borders (7-8 % of the pixels). What
    can be skipped is this: between four grid points that agree on the winner every pixel has that label, because a
    bilinear value is a convex mix of the four; and between others, a class that one of their winners exceeds at all
    four wins nowhere. Labels are those of torch's interpolate and max, but for pixels where two classes are equal up to
    rounding; confidence differs by one level at most.

    Where several classes stand for one label (`label_of`), their probabilities add up before the decision: logits are
    enlarged as ever, softmax is over all classes of the network, and the label is the one with the largest sum, which
    also is its confidence. So a pixel that is 30 % car, 30 % person and 40 % road is an obstacle. That is not the
    label of the most probable class, wherever no class has more than half. It is exact in the same sense: between four
    points at which one class alone exceeds the sum of all that stand for other labels, it does so everywhere (a sum of
    exponentials of bilinear values is convex), and all other pixels are computed. Probabilities that a network gives
    itself are enlarged and added up as they are.

    Nothing of the image's size is allocated besides the result, and with `out` not even that.

    Args:
        logits: float32, (classes, h, w), C-contiguous; 1 to 255 classes.
        size: of the result in pixels, sides 1 to 8192; it may be smaller than the grid.
        confidence: whether to compute the softmax probability of the winning class.
        threads: 1 to 64; 0 for as many as the process may use and the image is worth, at most 4.
        out: where to write; new arrays without it.
        label_of: uint8, (classes,), the label that each class stands for, 255 for unlabelled; None: its own number.
        align_corners: as torch's interpolate has it. FANet was published with True; most other networks with False.
        probabilities: whether `logits` are probabilities: then the label's one is the confidence, without a softmax.

    Returns:
        The arrays of `out`, or new ones.
        labels: uint8, (size.height, size.width), class ids; of classes with equal logits, or merged ones
            with equal sums, the lowest id.
        confidence: uint8, same shape, probability of the label x 255 rounded to the nearest; None if not asked for.

    Raises:
        InferenceError: a logit is not finite; what `out` then holds is no use.
        KernelError: the compiled library is missing or does not fit.
        ValueError: an argument that does not fit the above.
    """
    _check_logits(logits)
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f"size is {size}, expected sides from 1 to {MAX_SIDE}")
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError(f"threads is {threads}, expected 0 to {MAX_THREADS}")
    out = _checked_or_new(out, size, confidence)
    if label_of is not None:
        _check_label_of(label_of, len(logits))
    finite = kernels.labels_from_logits(
        logits,
        out.labels,
        out.confidence,
        threads,
        label_of=label_of,
        align_corners=align_corners,
        probabilities=probabilities,
    )
    if not finite:
        raise InferenceError(NOT_FINITE)
    return out


def enlarge_labels(
    numbers: NDArray[np.float32],
    size: Size,
    classes: int,
    *,
    out: LabelBuffers | None = None,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
) -> LabelBuffers:
    """Enlarge labels that a network has decided itself: each pixel takes the nearest one's. There is no confidence.

    Args:
        numbers: float32, (1, h, w), class ids; whatever is none (negative, `classes` or more, NaN) becomes 255.
        size: of the result in pixels.
        classes: number of classes, 1 to 255.
        out: where to write the labels; a new array without it.
        label_of: uint8, (classes,), the label that each class stands for; None: its own number.
        align_corners: where pixels lie, as for `labels_from_logits`.

    Returns:
        labels: uint8, (size.height, size.width).
        confidence: None.

    Raises:
        ValueError: an argument that does not fit the above.
    """
    grid = numbers[0]
    labels = np.where((grid >= 0) & (grid < classes), grid, UNLABELLED).astype(np.uint8)
    if label_of is not None:
        _check_label_of(label_of, classes)
        labels = np.pad(label_of, (0, 256 - classes), constant_values=UNLABELLED)[labels]
    result = _checked_or_new(None if out is None else LabelBuffers(out.labels), size, False)
    shapes = zip(grid.shape, result.labels.shape, strict=True)
    rows, columns = (nearest(np.arange(pixels), points, pixels, align_corners) for points, pixels in shapes)
    labels.take(rows, axis=0).take(columns, axis=1, out=result.labels)
    return result


def nearest(pixel: Any, points: int, pixels: int, align_corners: bool) -> Any:
    """Return for each `pixel` of a side, an array or tensor of whole numbers, the nearest of the grid's points."""
    if not align_corners:
        return (2 * pixel + 1) * points // (2 * pixels)
    last = max(1, pixels - 1)
    return (2 * pixel * (points - 1) + last) // (2 * last)


def _checked_or_new(out: LabelBuffers | None, size: Size, confidence: bool) -> LabelBuffers:
    shape = (size.height, size.width)
    if out is None:
        return LabelBuffers(np.empty(shape, np.uint8), np.empty(shape, np.uint8) if confidence else None)
    if confidence != (out.confidence is not None):
        raise ValueError(f"confidence is {confidence}, but out.confidence is {type(out.confidence).__name__}")
    for name, array in out._asdict().items():
        if array is not None:
            _check_buffer(f"out.{name}", array, shape)
    return out


def _check_logits(logits: NDArray[np.float32]) -> None:
    expected = f"expected C-contiguous float32 of shape (1 to {MAX_CLASSES} classes, height, width)"
    if not isinstance(logits, np.ndarray):
        raise ValueError(f"logits are of type {type(logits).__name__}, {expected}")
    if logits.ndim != 3 or not 1 <= len(logits) <= MAX_CLASSES or 0 in logits.shape or max(logits.shape) > MAX_SIDE:
        raise ValueError(f"logits have shape {logits.shape}, {expected}")
    if logits.dtype != np.float32:
        raise ValueError(f"logits are {logits.dtype}, {expected}")
    if not logits.flags.c_contiguous:
        raise ValueError(f"logits have strides {logits.strides} for shape {logits.shape}, {expected}")


def _check_buffer(name: str, array: NDArray[np.uint8], shape: tuple[int, int]) -> None:
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, expected uint8 of shape {shape}")
    if not (array.flags.c_contiguous and array.flags.writeable):
        flags = f"C-contiguous: {array.flags.c_contiguous}, writable: {array.flags.writeable}"
        raise ValueError(f"{name} must be C-contiguous and writable ({flags})")


def _check_label_of(label_of: NDArray[np.uint8], classes: int) -> None:
    if label_of.dtype != np.uint8 or label_of.shape != (classes,) or not label_of.flags.c_contiguous:
        raise ValueError(
            f"label_of is {label_of.dtype} of shape {label_of.shape}, expected contiguous uint8 of shape ({classes},)"
        )
