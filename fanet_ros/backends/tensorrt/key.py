"""The key of a TensorRT engine in the cache: all that the engine depends on."""

from __future__ import annotations

import hashlib

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.cuda.nvidia import gpu_name
from fanet_ros.backends.tensorrt.api import library
from fanet_ros.backends.tensorrt.build import require_quantised
from fanet_ros.settings import Size


def engine_key(request: BackendRequest, size: Size) -> ArtefactKey:
    """Return the key of the engine for one input size; a new calibration makes new int8 engines.

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
