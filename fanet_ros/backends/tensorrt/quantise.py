"""Makes the int8 network of the tensorrt backend: an ONNX file with QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.backends.foreign import describe_network
from fanet_ros.backends.tensorrt.foreign import write_wrapped
from fanet_ros.errors import BackendError, SourceError
from fanet_ros.model.graph import INPUT_NAME, FrameToLogits, export_onnx, prepare_for_inference
from fanet_ros.model.weights import load_network

MODEL = "model.onnx"

# Convolutions are nearly all of the work; what lies between them (attention, resizing) is cheap and loses most.
_QUANTISED = ["Conv"]


def quantised_key(digest: str) -> ArtefactKey:
    """Return the key of the quantised network of the weights with this digest; it serves every size and GPU."""
    return ArtefactKey(digest, "tensorrt", "onnx", "int8", None, "any")


def find_quantised(digest: str) -> Path | None:
    """Return the quantised network's ONNX file, or None where int8 was not calibrated for these weights."""
    folder = artefacts.find(quantised_key(digest))
    return None if folder is None else folder / MODEL


def quantise(
    weights: Path,
    images: Iterable[NDArray[np.uint8]],
    folder: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the network with convolutions of 8 bits, for inputs of every size, into an existing folder, as `MODEL`.

    In the form TensorRT reads: signed, symmetric, weights per output channel. The range of an activation is the moving
    average of its extremes over the images, so a single odd image does not widen it. The images should look like what
    the robot's camera sees. The same images give the same network.

    Args:
        weights: a checkpoint that fanet_ros.model.weights can read.
        images: network inputs, uint8 (H, W, 3), RGB, of any sizes; read once.
        folder: to write to.
        progress: told the number of images seen so far.

    Raises:
        WeightsError: the checkpoint cannot be used.
        BackendError: ONNX Runtime or onnx is missing; says how to install it.
        SourceError: there is no image at all.
    """
    tools = _import_tools()
    reader = _Reader(images, progress)
    exact = folder / "exact.onnx"
    network = describe_network(weights)
    if network is not None:
        write_wrapped(weights, network, exact)
    else:
        export_onnx(prepare_for_inference(FrameToLogits(load_network(weights))), exact, None)
    with _without_advice():
        try:
            tools.quantize_static(
                exact,
                folder / MODEL,
                reader,
                quant_format=tools.QuantFormat.QDQ,
                op_types_to_quantize=_QUANTISED,
                per_channel=True,
                activation_type=tools.QuantType.QInt8,
                weight_type=tools.QuantType.QInt8,
                calibrate_method=tools.CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": True,  # TensorRT knows no other zero point than 0
                    "WeightSymmetric": True,
                    "QuantizeBias": False,  # TensorRT adds biases in float32
                    "OpTypesToExcludeOutputQuantization": _QUANTISED,  # lets it fuse what follows a convolution
                    "CalibMovingAverage": True,
                },
            )
        except ValueError as error:
            if reader.count:
                raise
            raise SourceError(f"the network cannot be calibrated without images: {error}") from None
        finally:
            exact.unlink()


class _Reader:
    """Images as ONNX Runtime's calibration asks for them, one by one."""

    def __init__(self, images: Iterable[NDArray[np.uint8]], progress: Callable[[int], None]) -> None:
        self._images = iter(images)
        self._progress = progress
        self.count = 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        if image is None:
            return None
        self.count += 1
        self._progress(self.count)
        return {INPUT_NAME: image[None]}


def _import_tools() -> Any:
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise BackendError(
            f"calibrating int8 for tensorrt needs ONNX Runtime and onnx ({error}): pip install onnx onnxruntime"
        ) from None
    return quantization


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keep advice off the log that ONNX Runtime writes to the root logger itself.

    It wants the model optimised before, and misses biases that several convolutions share.
    """

    def is_other(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "pre-processing before quantization" not in message and not message.startswith("Expected bias")

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)
