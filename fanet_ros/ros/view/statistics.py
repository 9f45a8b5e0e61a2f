"""What the segmentation node says of its frames and all nodes of themselves, as lines in the view."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from fanet_ros.msg import SegmentationStats
from fanet_ros.view.geometry import stamp_ns
from fanet_ros.view.records import Record, path_part

_STAGES = ("wait", "decode", "inference", "publish", "age")
_COUNTS = ("dropped", "rejected")
_RATE_WINDOW_NS = 10**9
_LEVELS = {DiagnosticStatus.OK: "INFO", DiagnosticStatus.WARN: "WARN", DiagnosticStatus.ERROR: "ERROR"}


class FrameNumbers:
    """Milliseconds per stage, masks a second and lost frames of one camera."""

    def __init__(self, root: str) -> None:
        """Name the entities: `root` comes before them."""
        self._root = root
        self._since: tuple[int, int] | None = None  # stamp and frames processed then

    def records(self, stats: SegmentationStats) -> list[Record]:
        """Return what one message tells."""
        stamp = stamp_ns(stats)
        stages = {name: float(getattr(stats, f"{name}_ms")) for name in _STAGES}
        counts = {name: float(getattr(stats, f"frames_{name}")) for name in _COUNTS}
        numbers = {"milliseconds": stages, "frames": counts}
        if (rate := self._rate(stamp, stats.frames_processed)) is not None:
            numbers["rate"] = {"masks": rate}
        return [
            Record("numbers", self._root + name, stamp, {key: x for key, x in values.items() if math.isfinite(x)})
            for name, values in numbers.items()
        ]

    def _rate(self, stamp: int, processed: int) -> float | None:
        if self._since is None or stamp < self._since[0] or processed < self._since[1]:
            self._since = (stamp, processed)
        passed_ns = stamp - self._since[0]
        if passed_ns < _RATE_WINDOW_NS:
            return None
        rate = (processed - self._since[1]) * 1e9 / passed_ns
        self._since = (stamp, processed)
        return rate


class DiagnosticLines:
    """Says what our nodes report, whenever one says something else than before."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[bytes, str]] = {}

    def forget(self) -> None:
        """Say everything anew."""
        self._last.clear()

    def records(self, array: DiagnosticArray) -> Iterator[Record]:
        """Return what is new in a message."""
        for status in array.status:
            says = (status.level, status.message)
            if status.hardware_id != "fanet_ros" or self._last.get(status.name) == says:
                continue
            self._last[status.name] = says
            values: dict[str, Any] = {"level": _LEVELS.get(status.level, "WARN")}
            values["text"] = f"{status.name}: {status.message}"
            yield Record("text", f"diagnostics/{path_part(status.name)}", stamp_ns(array), values)
