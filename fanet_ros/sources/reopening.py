"""Reading a source that may be lost for a while: it is closed, and opened again after a pause that grows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from fanet_ros.errors import SourceError
from fanet_ros.sources.base import FrameSource, SourceFrame

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 16.0

_log = logging.getLogger(__name__)


class ReopeningSource:
    """Frames of a source for as long as it takes.

    Attributes:
        fault: why no frame comes now; empty while they come.
        has_ended: whether the source was played to its end and is not to start over.
    """

    def __init__(
        self,
        source: FrameSource,
        reopen: Callable[[], FrameSource],
        *,
        loop: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Take over an open source.

        Args:
            source: that is read first.
            reopen: opens it once more; raises SourceError where that fails.
            loop: whether it starts over at its end.
            clock: seconds, steady.
        """
        self._source: FrameSource | None = source
        self._reopen = reopen
        self._loop = loop
        self._clock = clock
        self._pause_s, self._retry_at = _FIRST_PAUSE_S, 0.0
        self.fault = ""
        self.has_ended = False

    def read(self) -> SourceFrame | None:
        """Return the next frame; None where the source is lost (see `fault`) or has ended."""
        if self._source is None and self._clock() < self._retry_at:
            return None
        try:
            if self._source is None:
                self._source = self._reopen()
            frame = self._source.read()
            if frame is None and self._loop:
                self._source.rewind()
                frame = self._source.read()
        except Exception as error:  # decoders and drivers have errors of their own; a camera must outlive them all
            self._lose(error)
            return None
        if self.fault:
            _log.info("images come again")
        self.fault, self._pause_s = "", _FIRST_PAUSE_S
        self.has_ended = frame is None
        return frame

    def close(self) -> None:
        """Free the source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _lose(self, error: Exception) -> None:
        self.close()
        fault = str(error) if isinstance(error, SourceError) else f"{type(error).__name__}: {error}"
        if not self.fault:
            _log.error("%s; it is opened again, with pauses that grow to %g s", fault, _LONGEST_PAUSE_S)
        _log.debug("the source was lost", exc_info=error)
        self.fault = fault
        self._retry_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
