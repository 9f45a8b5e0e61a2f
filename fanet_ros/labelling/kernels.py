"""The compiled kernels (src/): finds and loads their library.

C++ rather than a just-in-time compiler, so that a node starts at once, stays small and needs no torch. The library has
a plain C interface and is called through ctypes: it fits every Python, and the GIL is free meanwhile.
"""

from __future__ import annotations

import ctypes
import functools
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fanet_ros
from fanet_ros.errors import KernelError

VERSION = 5  # of interface and results; the library has the same number in src/kernels.cpp
LIBRARY = "libfanet_kernels.so"

_HOW_TO_BUILD = (
    "build it with scripts/setup (in a checkout, then run commands through scripts/in_env), colcon build (in a ROS 2 "
    "workspace, then source its setup file) or pip install . (without ROS)"
)


def labels_from_logits(
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    confidence: NDArray[np.uint8] | None,
    threads: int,
    *,
    label_of: NDArray[np.uint8] | None = None,
    align_corners: bool = True,
    probabilities: bool = False,
    portable: bool = False,
) -> bool:
    """Decide every pixel; labelling.postprocess explains how and checks what is given, which this function does not.

    Logits that are infinite or NaN are treated as torch does: 0 x infinity is NaN and NaN exceeds every number; its
    confidence is 0.

    Args:
        logits: (classes, h, w), contiguous.
        labels: (H, W), contiguous, is written.
        confidence: the same, or None if not wanted.
        threads: 0 to choose.
        label_of: uint8 (classes,), contiguous, the label that each class stands for; None: its own number.
        align_corners: as torch's interpolate has it.
        probabilities: whether `logits` are probabilities, whose largest is the confidence.
        portable: leave aside the instructions that only newer processors have: for comparison.

    Returns:
        Whether all logits are finite.

    Raises:
        KernelError: the library is missing or was built from other sources.
        MemoryError: not even room for a few rows of the grid.
    """
    finite = library().fanet_labels_from_logits(
        logits.ctypes.data,
        *logits.shape,
        *labels.shape,
        labels.ctypes.data,
        None if confidence is None else confidence.ctypes.data,
        None if label_of is None else label_of.ctypes.data,
        align_corners,
        probabilities,
        threads,
        portable,
    )
    if finite < 0:
        raise MemoryError("no memory for the buffers of the post-processing")
    return bool(finite)


@functools.cache
def limit_decoder_messages(lines: int) -> None:
    """Have libjpeg and libpng print at most so many more lines to stderr, in the whole process.

    Both print one for every damaged image, which whoever decodes it says as well. All other lines are passed on.
    """
    with suppress(KernelError):  # whoever needs the library says so
        library().fanet_limit_decoder_messages(lines)


@functools.cache
def library() -> ctypes.CDLL:
    """Return the library, loaded once; call it early to find out early that it is missing.

    Raises:
        KernelError: it is missing, cannot be loaded, or is of another version.
    """
    return load(find_library(list(fanet_ros.__path__)))


def find_library(folders: list[str]) -> Path:
    """Return the library's path in the first of these folders that has it.

    The package can be in two places at once, source tree and workspace: see fanet_ros/__init__.py.

    Raises:
        KernelError: none has it.
    """
    for folder in folders:
        path = Path(folder, LIBRARY)
        if path.is_file():
            return path
    raise KernelError(f"{LIBRARY} is in none of {', '.join(folders)}: {_HOW_TO_BUILD}")


def load(path: Path) -> ctypes.CDLL:
    """Load the library at this path and declare its functions.

    Raises:
        KernelError: it cannot be loaded or is of another version.
    """
    try:
        loaded = ctypes.CDLL(str(path))
        version = loaded.fanet_kernels_version()
    except (OSError, AttributeError) as error:
        raise KernelError(f"{path} cannot be loaded: {error}; {_HOW_TO_BUILD}") from None
    if version != VERSION:
        raise KernelError(f"{path} has version {version}, this code needs {VERSION}: {_HOW_TO_BUILD}")
    address, integer = ctypes.c_void_p, ctypes.c_int
    loaded.fanet_labels_from_logits.argtypes = [address, *[integer] * 5, *[address] * 3, *[integer] * 4]
    loaded.fanet_labels_from_logits.restype = integer
    loaded.fanet_limit_decoder_messages.argtypes = [integer]
    return loaded
