"""Camera images and masks that belong together, without looking into those that are not shown."""

from __future__ import annotations

import struct

from fanet_ros.view.pace import Pace

_MOST_KEPT = 12  # images whose mask is still to come; the node that makes it drops what is older


class Moments:
    """Chooses which masks are shown, and finds their images.

    Messages stay as they came (CDR): most are thrown away again, at a fraction of what reading them would cost.
    """

    def __init__(self, rate_hz: float) -> None:
        """Choose at most `rate_hz` masks per second of stamps."""
        self._pace = Pace(rate_hz)
        self._images: dict[int, bytes] = {}

    def add_image(self, data: bytes) -> None:
        """Keep an image for its mask."""
        self._images[stamp_of(data)] = data
        while len(self._images) > _MOST_KEPT:
            del self._images[next(iter(self._images))]

    def choose(self, mask: bytes) -> int | None:
        """Return a mask's stamp, nanoseconds, if it is to be shown."""
        stamp = stamp_of(mask)
        return stamp if self._pace.wants(stamp) else None

    def is_chosen(self, data: bytes) -> bool:
        """Whether a message has the stamp of the mask that was chosen last."""
        return stamp_of(data) == self._pace.last

    def take_image(self, stamp: int) -> bytes | None:
        """Return the image of a stamp, if it has come."""
        return self._images.pop(stamp, None)


def stamp_of(data: bytes) -> int:
    """Return the stamp of a message that begins with a header, nanoseconds, from its bytes (CDR, DDS-XTypes 7.4.3)."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 10**9 + int(nanoseconds)
