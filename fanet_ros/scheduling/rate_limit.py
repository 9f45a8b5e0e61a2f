"""Which of a camera's frames are worked on, where fewer a second are wanted than it sends."""

from __future__ import annotations

_SMOOTHING = 0.2  # weight of the last gap between frames in what is expected of the next


class RateLimit:
    """Lets so many frames a second pass on average, in as even a rhythm as the camera's frames allow.

    Frames are due at even times, and of the camera's the one that is nearest to such a time is taken: so 10 of 30 Hz
    are every third, however the frames jitter, and 20 of 30 Hz are two of three. After a pause, and where the camera is
    slower than the limit, the times begin anew with the frame that comes. What counts is when frames arrive, not their
    stamps: those may stand still, jump or run at the speed of a replayed recording, and the limit is about work.

    Used by one thread; the limit may be changed by any.

    Attributes:
        max_rate_hz: frames a second; 0 for all.
    """

    def __init__(self, max_rate_hz: float) -> None:
        self.max_rate_hz = max_rate_hz
        self._gap = 0.0  # that is usual between two frames
        self.reset()

    def reset(self) -> None:
        """Let the next frame pass, whenever the last one did."""
        self._due: float | None = None
        self._last: float | None = None

    def lets_pass(self, now: float) -> bool:
        """Return whether a frame that arrives now, seconds, is to be worked on."""
        limit = self.max_rate_hz
        if not limit:
            self.reset()
            return True
        period = 1 / limit
        if self._last is not None:
            self._gap += _SMOOTHING * (min(now - self._last, period) - self._gap)
        self._last = now
        if self._due is not None and now < self._due - self._gap / 2:
            # a lower limit than before moves the time, and a time from before a change must not hold all back
            self._due = min(self._due, now + period)
            return False
        late = self._due is None or now - self._due >= period
        self._due = period + (now if late or self._due is None else self._due)
        return True
