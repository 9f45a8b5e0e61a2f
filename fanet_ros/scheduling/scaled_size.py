"""Smaller versions of a network's input size."""

from __future__ import annotations

import itertools
import math

from fanet_ros.settings import Size

_STEP = 32  # the stride of the deepest layers but one: sides that are multiples of it are padded nowhere before
_MIN_SIDE = 64


def scaled_size(size: Size, scale: float) -> Size:
    """Scale an input size, keeping its aspect ratio and the area asked for as well as steps allow.

    The mask lines up with the frame whatever rounding does to the aspect ratio: corners stay corners.

    Args:
        size: at scale 1.
        scale: of the sides, in (0, 1].

    Returns:
        For 1 the size itself; else sides that are multiples of 32, at least 64, and not larger than those of `size`.
    """
    if scale == 1:
        return size

    def error(candidate: Size) -> float:
        across, down = (math.log(new / (old * scale)) for new, old in zip(candidate, size, strict=True))
        return abs(across - down) + abs(across + down)

    return min(itertools.starmap(Size, itertools.product(*(_steps(side, scale) for side in size))), key=error)


def _steps(side: int, scale: float) -> set[int]:
    """The possible lengths of a scaled side: the multiple below and the one above."""
    steps = side * scale / _STEP
    return {min(max(step * _STEP, _MIN_SIDE), side) for step in (math.floor(steps), math.ceil(steps))}
