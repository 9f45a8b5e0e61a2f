"""Builds TensorRT engines: weights -> ONNX -> engine for one size, precision and GPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.artefacts.place import distrusted
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.cuda.nvidia import gpu_name
from fanet_ros.backends.foreign import describe_network
from fanet_ros.backends.tensorrt.api import library
from fanet_ros.backends.tensorrt.foreign import write_wrapped
from fanet_ros.backends.tensorrt.quantise import find_quantised
from fanet_ros.errors import BackendError
from fanet_ros.model.graph import FrameToLogits, export_onnx, prepare_for_inference
from fanet_ros.model.weights import load_network
from fanet_ros.settings import Size

ENGINE = "engine.plan"
_TIMING_CACHE = "timing.cache"


def build(
    folder: Path, *, weights: str, precision: str, width: int, height: int, device: str, temporal_frames: int = 1
) -> None:
    """Write engine.plan, and what the library learned of the GPU's speed, into an existing folder.

    The arguments are those of a `BackendRequest` and the size of its input. A timing cache is looked for in the folders
    beside it. Without any GPU the engine is built for the GPUs that tensorrt_rtx supports.

    Raises:
        WeightsError: the checkpoint cannot be used.
        BackendError: the library cannot build it here, or int8 was not calibrated or is asked for on videos.
    """
    path, size = Path(weights), Size(width, height)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(device)
    onnx = require_quantised(path, temporal_frames) if precision == "int8" else folder / "model.onnx"
    network = None if precision == "int8" else describe_network(path)
    if network is not None:
        write_wrapped(path, network, onnx)
    elif precision != "int8":
        graph = prepare_for_inference(FrameToLogits(load_network(path)))
        if precision == "fp16":
            graph = graph.half().to(device if on_gpu else "cpu")  # to export is to run, and CPUs are slow in fp16
        export_onnx(graph, onnx, size, temporal_frames=temporal_frames)
    plan = library().build(onnx, size, precision, _earlier_timing_cache(folder.parent), typed=network is None)
    (folder / ENGINE).write_bytes(plan.engine)
    if plan.timing_cache:
        (folder / _TIMING_CACHE).write_bytes(plan.timing_cache)
    if precision != "int8":
        onnx.unlink()


def engine_key(request: BackendRequest, size: Size) -> ArtefactKey:
    """Return all that the engine for one input size depends on; a new calibration makes new int8 engines.

    Raises:
        BackendError: there is no such GPU, or int8 was not calibrated.
    """
    version = f"{library().name} {library().version}"
    if request.precision == "int8":
        quantised = require_quantised(request.weights, request.temporal_frames)
        version += f" {hashlib.sha256(quantised.read_bytes()).hexdigest()[:8]}"
    digest = artefacts.weights_digest(request.weights)
    gpu = gpu_name(int(request.device[5:]))
    return ArtefactKey(
        digest, "tensorrt", version, request.precision, size, gpu, temporal_frames=request.temporal_frames
    )


def require_quantised(weights: Path, temporal_frames: int = 1) -> Path:
    """Return the quantised network's ONNX file.

    Raises:
        BackendError: int8 was not calibrated for these weights, or is asked for on videos; says what to do.
    """
    if temporal_frames > 1:
        raise BackendError(
            f"backend tensorrt has no int8 with a memory, but temporal_frames {temporal_frames} was asked for; use "
            "precision fp16, or temporal_frames 1"
        )
    onnx = find_quantised(artefacts.weights_digest(weights))
    if onnx is None:
        raise BackendError(
            f"precision int8 needs a calibration of {weights.name} on your images, once: fanet calibrate "
            f"FOLDER_OR_VIDEO --backend tensorrt --weights {weights}; or use another precision"
        )
    return onnx


def _earlier_timing_cache(folder: Path) -> bytes:
    """Return the latest timing cache of an earlier build; the library itself tells whether it fits."""
    known = [path for path in folder.glob(f"tensorrt_*/{_TIMING_CACHE}") if not distrusted(path)]
    caches = sorted(known, key=lambda path: path.stat().st_mtime)
    return caches[-1].read_bytes() if caches else b""
