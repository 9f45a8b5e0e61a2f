"""Which image files follow each other as frames of a video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fanet_ros.datasets.base import Frame


class Videos(ABC):
    """The order in time of a data set of files; see the methods of the same names of `Dataset`."""

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """Return which frame of which video a sample is."""

    @abstractmethod
    def past(self, index: int, count: int, step: int) -> list[Frame]:
        """Return up to `count` frames before a sample, newest first."""

    @abstractmethod
    def path(self, frame: Frame) -> Path:
        """Return the image file of a frame."""


class LabelledVideos(Videos):
    """Videos of which the samples are all there is; one frame before is the sample before."""

    def __init__(self, frames: Sequence[Frame], paths: Sequence[Path], longest_gap: int) -> None:
        """Put samples in order.

        Args:
            frames: of the samples.
            paths: of their images.
            longest_gap: between the numbers of two frames that follow each other; a longer one parts two videos.
        """
        self._frames, self._paths = list(frames), dict(zip(frames, paths, strict=True))
        self._before: dict[Frame, Frame] = {
            frame: before
            for before, frame in pairwise(sorted(self._paths))
            if frame.video == before.video and frame.number - before.number <= longest_gap
        }

    def frame(self, index: int) -> Frame:  # noqa: D102 (documented by Videos)
        return self._frames[index]

    def past(self, index: int, count: int, step: int) -> list[Frame]:  # noqa: D102 (documented by Videos)
        found: list[Frame] = []
        frame: Frame | None = self._frames[index]
        while len(found) < count:
            for _ in range(step):
                frame = None if frame is None else self._before.get(frame)
            if frame is None:
                break
            found.append(frame)
        return found

    def path(self, frame: Frame) -> Path:  # noqa: D102 (documented by Videos)
        return self._paths[frame]
