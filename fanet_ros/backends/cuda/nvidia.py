"""Which NVIDIA GPUs there are, asked of the driver itself: no framework has to be installed or imported for it."""

from __future__ import annotations

import ctypes
from functools import cache

from fanet_ros.errors import BackendError

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # of the driver's CUdevice_attribute


def gpu_count() -> int:
    """Return the number of GPUs this process may use (CUDA_VISIBLE_DEVICES counts); 0 without a working driver."""
    try:
        return _count()
    except BackendError:
        return 0


def gpu_name(index: int) -> str:
    """Return the model of a GPU, for example "NVIDIA H200".

    Raises:
        BackendError: there is no such GPU; says why.
    """
    require_gpu(index)
    driver = _driver()
    device = ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _check(driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    _check(driver.cuDeviceGetName(name, _NAME_BYTES, device), "cuDeviceGetName")
    return name.value.decode(errors="replace")


def compute_capability(index: int) -> tuple[int, int]:
    """Return the generation of a GPU as NVIDIA counts them, for example (9, 0) of Hopper.

    Raises:
        BackendError: there is no such GPU; says why.
    """
    require_gpu(index)
    driver = _driver()
    device, number = ctypes.c_int(), ctypes.c_int()
    _check(driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    numbers = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        _check(driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device), "cuDeviceGetAttribute")
        numbers.append(number.value)
    return numbers[0], numbers[1]


def require_gpu(index: int) -> None:
    """Check that there is a GPU of this index.

    Raises:
        BackendError: there is none; says why.
    """
    count = _count()
    if index >= count:
        raise BackendError(
            f"device 'cuda:{index}' was asked for, but the NVIDIA driver finds {count} GPUs, counted from 0; check "
            "nvidia-smi and CUDA_VISIBLE_DEVICES, or use device cpu or auto"
        )


def _count() -> int:
    count = ctypes.c_int()
    _check(_driver().cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    return count.value


@cache
def _driver() -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise BackendError(
            f"no NVIDIA driver is installed here ({error}); install it, in a container start it with --gpus all, or "
            "use device cpu"
        ) from None
    _check(driver.cuInit(0), "cuInit")
    return driver


def _check(status: int, function: str) -> None:
    if status:
        raise BackendError(f"the NVIDIA driver answers {function} with error {status}; check nvidia-smi, or use cpu")
