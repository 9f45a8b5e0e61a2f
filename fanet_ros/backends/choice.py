"""The choice of what runs the network; only the frameworks that have to be asked are imported for it."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fanet_ros.artefacts.gate import choose_precision
from fanet_ros.backends.base import Backend, BackendRequest, Progress, no_progress
from fanet_ros.backends.cuda.nvidia import gpu_count
from fanet_ros.backends.foreign import describe_network
from fanet_ros.errors import BackendError, SettingError
from fanet_ros.model.foreign import ForeignNetwork, require_fanet
from fanet_ros.settings import BACKENDS, PRECISIONS, Size, check_device

_CLASSES = {
    "torch": ("fanet_ros.backends.torch_backend", "TorchBackend"),
    "openvino": ("fanet_ros.backends.openvino.backend", "OpenvinoBackend"),
    "tensorrt": ("fanet_ros.backends.tensorrt.backend", "TensorrtBackend"),
}
_ON_GPU = ("tensorrt", "torch")  # the fastest first, here and below
_ON_CPU = ("openvino", "torch")

_log = logging.getLogger(__name__)


def create_backend(
    weights: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    input_size: Size | None = None,
    progress: Progress = no_progress,
    kept_sizes: int = 1,
    temporal_frames: int = 1,
    labels: str = "",
    network: ForeignNetwork | None = None,
) -> Backend:
    """Load weights into the backend asked for, or into the fastest that works here.

    `auto` never fails for one backend's sake: what cannot start is passed over, and the reason is kept in
    `Backend.info`. What was asked for by name starts or is an error. Precision `auto` is the fastest that passed the
    accuracy gate for these weights.

    The arguments are those of `BackendRequest`, but that `backend` (one of `BACKENDS`), `device` and `precision` may be
    `auto`, and `device` also `cuda`. A backend that cannot build `input_size` is passed over, too; None prepares
    nothing. `network` is found out where it is not given.

    Raises:
        SettingError: an unknown value.
        WeightsError: the checkpoint cannot be used.
        BackendError: nothing can start here as asked; says what is missing.
    """
    if backend not in BACKENDS:
        raise SettingError(f"backend: received {backend!r}, expected one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise SettingError(f"precision: received {precision!r}, expected one of {', '.join(PRECISIONS)}")
    try:
        check_device(device)
    except SettingError as error:
        raise SettingError(f"device: {error}") from None
    if temporal_frames > 1:
        require_fanet(weights, "video memory (temporal_frames above 1)")
    wish = BackendRequest(
        weights,
        device,
        precision,
        threads,
        progress=progress,
        kept_sizes=kept_sizes,
        temporal_frames=temporal_frames,
        labels=labels,
        network=network or describe_network(weights, progress),
    )

    # OpenMP threads that spin while they wait take the cores from all other processes of the robot, and on a busy
    # machine make this one ten times slower. The variable is read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    passed_over: list[str] = []
    for name, candidate_device in _candidates(backend, device):
        try:
            chosen = _start(name, replace(wish, device=candidate_device), input_size, passed_over)
        except BackendError as error:
            if backend != "auto":
                raise
            _log.info("backend %s on %s is passed over: %s", name, candidate_device, error)
            passed_over.append(f"{name}: {error}")
            continue
        _log.debug("the network runs with %s", chosen.info)
        return chosen
    raise BackendError("no backend can start here: " + "; ".join(passed_over))


def backend_class(name: str) -> type[Backend]:
    """Return the class of a backend, importing the framework it needs if it has to.

    Raises:
        BackendError: the framework is not installed; says how to install it.
    """
    module, class_name = _CLASSES[name]
    try:
        found: type[Backend] = getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        raise BackendError(f"backend {name} cannot be loaded ({error}): pip install {error.name or name}") from None
    return found


def _candidates(backend: str, device: str) -> list[tuple[str, str]]:
    """The backends to try with the device each is asked for, the best first."""
    if backend != "auto":
        return [(backend, device)]
    on_gpu = [(name, "cuda" if device == "auto" else device) for name in _ON_GPU]
    on_cpu = [(name, "cpu") for name in _ON_CPU]
    if device == "auto":
        return on_gpu + on_cpu if gpu_count() else on_cpu
    return on_cpu if device == "cpu" else on_gpu


def _start(name: str, wish: BackendRequest, input_size: Size | None, passed_over: Sequence[str]) -> Backend:
    """Start one backend, in the precision asked for or, for `auto`, the best one that can."""
    kind = backend_class(name)
    device = kind.find_device(wish.device)
    choices = list(kind.precisions(device))
    reasons = [f"passed over {reason}" for reason in passed_over]
    while True:
        if wish.precision == "auto":
            tried, why = choose_precision(
                wish.weights, name, device, choices, kind.int8_network(wish.weights), wish.labels
            )
        else:
            tried, why = wish.precision, f"precision {wish.precision} was asked for"
        request = replace(wish, device=device, precision=tried, reason="; ".join([why, *reasons]))
        try:
            return _prepared(kind(request), input_size)
        except BackendError as error:
            if wish.precision != "auto" or tried == "fp32":
                raise
            reasons.append(f"passed over {tried}: {error}")
            choices.remove(tried)


def _prepared(backend: Backend, input_size: Size | None) -> Backend:
    if input_size is not None:
        try:
            backend.prepare(input_size)
        except BaseException:
            backend.close()
            raise
    return backend
