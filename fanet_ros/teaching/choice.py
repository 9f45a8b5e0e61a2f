"""Which frames of long footage are worth learning from: evenly spread, and none that looks like another."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

TRIES = 3  # frames that are looked at in each part of a stream, until one is new
_THUMBNAIL = (32, 18)
_BRIGHTNESS = 128.0  # all thumbnails are brought to, as cameras change their exposure while a robot waits
_DARKEST = 32.0  # mean brightness that is still brought there; the noise of darker ones would be, too
_SHARE = 0.1  # of a thumbnail that is compared, where it differs most: who walks past covers a small part of it
_LEAST_CHANGE = 12.0  # mean difference of grey values there that makes two pictures; noise: 1, shaken by 2 of 960: 10


class Choice:
    """Divides streams into as many equal parts as images are wanted, and takes of each the first frame that is new.

    Frames have to come in their order. The same footage gives the same choice.
    """

    def __init__(self, streams: Mapping[str, int], images: int) -> None:
        """Plan the parts.

        Args:
            streams: name -> number of frames.
            images: wanted of all streams together, at least 1; a stream has as many parts as its share, at least one.
        """
        total = max(1, sum(streams.values()))
        self._lengths = dict(streams)
        self._parts = {
            name: min(length, max(1, round(images * length / total))) for name, length in streams.items() if length
        }
        self._filled: set[tuple[str, int]] = set()
        self._thumbnails = np.empty((self.parts, _THUMBNAIL[1] * _THUMBNAIL[0]), np.float32)
        self.similar = 0

    @property
    def parts(self) -> int:
        """The number of parts, and of images at most."""
        return sum(self._parts.values())

    def part_to_fill(self, stream: str, number: int) -> int | None:
        """Return the part that this frame might fill; None if it is none that is looked at."""
        length, parts = self._lengths[stream], self._parts.get(stream, 0)
        if number >= length or not parts:  # more than the container claims
            return None
        part = number * parts // length
        first, last = -(-part * length // parts), -(-(part + 1) * length // parts)
        looked_at = {first + (2 * i + 1) * (last - first) // (2 * TRIES) for i in range(TRIES)}
        return part if number in looked_at and (stream, part) not in self._filled else None

    def held_out(self, stream: str, part: int) -> bool:
        """Whether a part is for validation: the last tenth of each stream, which no frame beside it gives away."""
        parts = self._parts[stream]
        return part >= parts - round(parts / 10)

    def take(self, stream: str, part: int, frame: NDArray[np.uint8]) -> bool:
        """Fill a part with a frame, uint8 (H, W, C) or (H, W), if no frame so far looks like it."""
        small = cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        grey = (small if small.ndim == 2 else small[..., :3].mean(2)).astype(np.float32).reshape(-1)
        grey *= _BRIGHTNESS / max(_DARKEST, float(grey.mean()))
        taken = len(self._filled)
        changes = np.abs(self._thumbnails[:taken] - grey)
        most = np.partition(changes, -round(_SHARE * grey.size), 1)[:, -round(_SHARE * grey.size) :]
        if (most.mean(1) < _LEAST_CHANGE).any():
            self.similar += 1
            return False
        self._thumbnails[taken] = grey
        self._filled.add((stream, part))
        return True
