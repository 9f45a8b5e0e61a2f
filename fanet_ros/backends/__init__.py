"""The backends that can run the network, and the choice between them.

Importing this package imports no framework; `create_backend` imports only the one it starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from fanet_ros.backends.base import Backend, BackendInfo
from fanet_ros.errors import SettingError
from fanet_ros.settings import BACKENDS, PRECISIONS, check_device

__all__ = ["Backend", "BackendInfo", "create_backend"]


def create_backend(
    weights: Path, *, backend: str = "auto", device: str = "auto", precision: str = "auto", threads: int = 0
) -> Backend:
    """Load weights into the backend asked for.

    Args:
        weights: a checkpoint that fanet_ros.weights can read.
        backend: one of `BACKENDS`.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        precision: one of `PRECISIONS`.
        threads: CPU threads of the network; 0 for the framework's own choice.

    Raises:
        SettingError: an unknown value.
        WeightsError: the checkpoint cannot be used.
        BackendError: the backend cannot start here as asked; says what is missing.
    """
    if backend not in BACKENDS:
        raise SettingError(f"backend: received {backend!r}, expected one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise SettingError(f"precision: received {precision!r}, expected one of {', '.join(PRECISIONS)}")
    try:
        check_device(device)
    except SettingError as error:
        raise SettingError(f"device: {error}") from None

    # OpenMP threads that spin while they wait starve every other process of the robot (and ten-fold slow this one
    # on a busy machine); the variable is read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fanet_ros.backends.torch_backend import TorchBackend

    return TorchBackend(weights, device=device, precision=precision, threads=threads)
