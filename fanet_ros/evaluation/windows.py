"""Where the windows of a large image lie, and how much each of their pixels counts where they overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fanet_ros.settings import Size


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along one side of an image, so that they cover it and none reaches beyond it.

    Args:
        length: of the side in pixels.
        window: length of a window, at most `length`.
        stride: from one to the next, at least 1; the last step may be shorter, so that the last window ends with the
            image.
    """
    return [*range(0, length - window, stride), length - window]


def rows_of_windows(image: Size, window: Size, stride: Size) -> Iterator[tuple[int, list[int], int]]:
    """Yield the windows of an image row by row from the top.

    Args:
        image: its size.
        window: size of every window, not larger than the image.
        stride: from one to the next.

    Yields:
        top: y of the row of windows.
        lefts: x of each of its windows.
        finished: how many pixel rows, from `top`, no later window covers.
    """
    tops = window_starts(image.height, window.height, stride.height)
    lefts = window_starts(image.width, window.width, stride.width)
    for top, following in zip(tops, [*tops[1:], image.height], strict=True):
        yield top, lefts, following - top


def window_weights(window: Size) -> NDArray[np.float32]:
    """Return the weight of a window's pixels, float32 (window.height, window.width), in (0, 1].

    They fall linearly from the middle to the border, in both directions, but not to 0: at the image's border there is
    no other window to ask.
    """
    return np.outer(_ramp(window.height), _ramp(window.width)).astype(np.float32)


def _ramp(length: int) -> NDArray[np.float64]:
    position = np.arange(length)
    rising = np.minimum(position + 1, length - position)
    return rising / rising.max()
