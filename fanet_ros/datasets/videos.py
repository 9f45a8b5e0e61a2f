"""Which image files follow each other as frames of a video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fanet_ros.datasets.base import Frame


class Videos(ABC):
    """The order in time of a data set of files.

    Attributes:
        frames: which frame of which video each sample is.
    """

    frames: Sequence[Frame]

    @abstractmethod
    def before(self, frame: Frame) -> Frame | None:
        """Return the frame before one; None where its video begins."""

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
        self.frames, self._paths = frames, dict(zip(frames, paths, strict=True))
        self._before: dict[Frame, Frame] = {
            frame: before
            for before, frame in pairwise(sorted(self._paths))
            if frame.video == before.video and frame.number - before.number <= longest_gap
        }

    def before(self, frame: Frame) -> Frame | None:  # noqa: D102 (documented by Videos)
        return self._before.get(frame)

    def path(self, frame: Frame) -> Path:  # noqa: D102 (documented by Videos)
        return self._paths[frame]
