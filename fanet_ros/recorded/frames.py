"""What is done with every frame of a file, whatever kind of file it is: painting, timing, telling of it."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fanet_ros.frames.frame import FrameResizer
from fanet_ros.model.labels import LabelSet
from fanet_ros.reports.render import Painter
from fanet_ros.reports.report import RunReport
from fanet_ros.settings import Size
from fanet_ros.untrusted.text import escaped

Image = NDArray[np.uint8]
_Item = TypeVar("_Item")


class Stopwatch:
    """Milliseconds of the stages of one frame, each from the end of the one before."""

    def __init__(self) -> None:
        self._laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = perf_counter()
        self._laps[stage] = (now - self._last) * 1e3
        self._last = now

    def skip(self) -> None:
        """Leave what was done since the end of a stage out of the next."""
        self._last = perf_counter()

    def tell(self, report: RunReport) -> None:
        """Tell the report of all stages."""
        for stage, milliseconds in self._laps.items():
            report.add_latency(stage, milliseconds)


def timed(items: Iterator[_Item]) -> Iterator[tuple[_Item, Stopwatch]]:
    """Yield items, each with a stopwatch that knows how long reading it took."""
    watch = Stopwatch()
    for item in items:
        watch.lap("read")
        yield item, watch
        watch = Stopwatch()


class FramePainter:
    """Paints labels over their frames and tells the report of both; what it returns is valid until the next frame."""

    def __init__(self, report: RunReport, label_set: LabelSet, alpha: float) -> None:
        """Take the report, the label set of the labels, and the opacity of the class colours in [0, 1]."""
        self._report = report
        self._painter = Painter(label_set)
        self._alpha = alpha
        self._resizer = FrameResizer()

    def overlay(self, frame: Image, encoding: str, labels: Image) -> Image:
        """Return the overlay of a frame, uint8 rgb8 (H, W, 3)."""
        camera = self._resizer.to_network_input(frame, encoding, Size(frame.shape[1], frame.shape[0]))
        overlay, _ = self._painter.overlay(camera, "rgb8", labels, self._alpha)
        self._report.add_frame(camera, overlay, labels)
        return overlay

    def colors(self, labels: Image) -> Image:
        """Return the colours of the classes, uint8 rgb8 (H, W, 3)."""
        return self._painter.color_mask(labels)


def progress_bar(*, quiet: bool = False) -> Progress:
    """Return a bar that counts, with the times gone by and to come; a quiet one shows nothing."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), disable=quiet)


def say(text: str) -> None:
    """Print a line for the user; brackets in names of files are no markup."""
    Console().print(escaped(text), markup=False, highlight=False, soft_wrap=True)
