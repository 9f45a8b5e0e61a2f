"""Keeps OpenCV from writing to stderr what a SourceError already says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4.5, that of Ubuntu 22.04, has its functions in cv2 itself
_SILENT = 0  # in OpenCV's words LOG_LEVEL_SILENT


def silence_opencv() -> None:
    """Silence OpenCV's own log (process wide)."""
    _log.setLogLevel(_SILENT)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's own log (process wide) for the duration of the block."""
    level = _log.getLogLevel()
    silence_opencv()
    try:
        yield
    finally:
        _log.setLogLevel(level)
