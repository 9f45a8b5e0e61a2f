"""The street camera: an endless, seeded drive along a street, with the truth about every pixel."""

from __future__ import annotations

import numpy as np

from fanet_ros.errors import SourceError
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.base import FrameSource, Intrinsics, SourceFrame
from fanet_ros.sources.street.geometry import CameraPose, View
from fanet_ros.sources.street.light import StreetLight
from fanet_ros.sources.street.painter import StreetPainter
from fanet_ros.sources.street.raster import Canvas
from fanet_ros.sources.street.scene import StreetScene

LABEL_SET = "camvid11"
"""The label set of the ground truth."""

FIELD_OF_VIEW_DEG = 64.0
"""Horizontal field of view of the street camera, degrees."""

_SMALLEST, _LARGEST = 64, 4096


class StreetCamera(FrameSource):
    """Films a procedural street from a moving car, 1.5 m above flat ground.

    Frame i of a seed and size is the same bytes every time on one machine, whatever was filmed before it.
    Image and labels come from the same masks, so they agree in every pixel; the lens then blurs the image by
    about half a pixel.

    Its intrinsics are exact, not a guess.

    Attributes:
        scene: everything there is, in metres.
    """

    def __init__(self, width: int = 640, height: int = 360, *, seed: int = 0, rate_hz: float = 30.0) -> None:
        """Build the street.

        Args:
            width: of the image, 64 to 4096 pixels.
            height: of the image, 64 to 4096 pixels.
            seed: selects the street, 0 or more.
            rate_hz: how many frames make a second of street time, more than 0.

        Raises:
            SourceError: one of these is out of range.
        """
        if not (_SMALLEST <= width <= _LARGEST and _SMALLEST <= height <= _LARGEST):
            raise SourceError(
                f"the street camera cannot film {width}x{height}: width and height must be from "
                f"{_SMALLEST} to {_LARGEST} pixels"
            )
        if seed < 0 or not 0 < rate_hz < float("inf"):
            raise SourceError(f"the street camera needs seed >= 0 and rate_hz > 0, got {seed} and {rate_hz}")
        self.intrinsics = Intrinsics.from_fov(width, height, FIELD_OF_VIEW_DEG)
        self.rate_hz = rate_hz
        self.label_set = LABEL_SET
        self.scene = StreetScene(seed)
        labels = load_label_set(LABEL_SET)
        self._sky_id = labels.id_of("sky")
        self._light = StreetLight(seed, self.intrinsics)
        self._painter = StreetPainter(self.scene, labels, self._light.sides())
        self._next: int | None = 0

    def pose(self, index: int) -> CameraPose:
        """The pose of the camera in the map frame when it takes frame `index`."""
        return self.scene.camera(self._time(index))

    def frame(self, index: int) -> SourceFrame:
        """Film frame `index`, 0 or more: rgb8 image and camvid11 labels."""
        time = self._time(index)
        canvas = Canvas(View(self.intrinsics, self.scene.camera(time)))
        self._light.draw_sky(canvas, time, self._sky_id)
        self._painter.paint(canvas, time, self._light.sun(time))
        image = self._light.expose(canvas.image, index, time)
        return SourceFrame(image, "rgb8", np.ascontiguousarray(canvas.labels), f"{index:06d}")

    def read(self) -> SourceFrame:
        """Film the next frame; there is always one.

        Raises:
            SourceError: the camera is closed.
        """
        if self._next is None:
            raise SourceError("the street camera is closed; open it again to go on filming")
        self._next += 1
        return self.frame(self._next - 1)

    def rewind(self) -> None:
        """Start over at frame 0."""
        self._next = 0

    def close(self) -> None:
        """Stop filming."""
        self._next = None

    def _time(self, index: int) -> float:
        assert self.rate_hz is not None
        return index / self.rate_hz
