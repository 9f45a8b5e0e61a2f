"""Which moments of a camera are shown, so that all that is shown belongs to the same ones."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 64  # moments, for what comes late


class Pace:
    """Chooses moments of one camera by their stamps."""

    def __init__(self, rate_hz: float, start_s: float = 0.0) -> None:
        """Choose at most `rate_hz` moments per second of stamps, from `start_s` seconds after the first stamp on."""
        self._interval_ns = round(0.9e9 / rate_hz)  # a little less, so that of 30 Hz every third is taken
        self._start_ns = round(start_s * 1e9)
        self._first: int | None = None
        self._chosen: deque[int] = deque(maxlen=_REMEMBERED)

    def wants(self, stamp_ns: int) -> bool:
        """Whether a moment is shown, however often it is asked."""
        if self._first is None:
            self._first = stamp_ns
        if stamp_ns in self._chosen:
            return True
        last = self._chosen[-1] if self._chosen else None
        if stamp_ns < self._first + self._start_ns and stamp_ns >= self._first:
            return False
        # one that jumps back is shown, too: there a recording begins anew
        if last is not None and last - 10**9 < stamp_ns < last + self._interval_ns:
            return False
        self._chosen.append(stamp_ns)
        return True

    @property
    def last(self) -> int | None:
        """The stamp of the moment that was chosen last."""
        return self._chosen[-1] if self._chosen else None
