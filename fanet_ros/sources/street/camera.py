"""The street camera: an endless, seeded drive along a street, with the truth about every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.base import FrameSource, Intrinsics, SourceFrame
from fanet_ros.sources.street.geometry import CameraPose, View
from fanet_ros.sources.street.light import StreetLight
from fanet_ros.sources.street.painter import StreetPainter
from fanet_ros.sources.street.raster import Canvas
from fanet_ros.sources.street.roll import level_intrinsics, rolled_canvas
from fanet_ros.sources.street.scene import StreetScene
from fanet_ros.sources.street.surfaces import Surfaces

LABEL_SET = "camvid11"
"""The label set of the ground truth."""

FIELD_OF_VIEW_DEG = 64.0
"""Horizontal field of view of the street camera, degrees."""

_SMALLEST, _LARGEST = 64, 4096
_MOST_NOD_DEG = 10.0
_MOST_YAW, _MOST_PITCH = math.radians(80), math.radians(60)  # of a view: the street is painted along its length


@dataclass(frozen=True)
class StreetView:
    """What is seen from some place in the street.

    Attributes:
        labels: camvid11 ids, uint8 (H, W).
        surfaces: the planes that the pixels show, for depths between pixels.
    """

    labels: NDArray[np.uint8]
    surfaces: Surfaces

    def depth(self) -> NDArray[np.float32]:
        """True depth, float32 (H, W), metres along the optical axis; inf in the sky."""
        return self.surfaces.depth()


class StreetCamera(FrameSource):
    """Films a procedural street from a moving car, 1.5 m above flat ground.

    Frame i of a seed and size is the same bytes every time on one machine, whatever was filmed before it.
    Image, labels and depth come from the same masks, so they agree in every pixel; the lens then blurs the image by
    about half a pixel. Depth is of what is painted: the ground is flat, kerbs included, and people, trees and signs are
    flat pictures that face back along the street.

    Attributes:
        intrinsics: exact.
        scene: everything there is, in metres.
        depth: whether frames come with their true depth; may change between frames.
    """

    intrinsics: Intrinsics

    def __init__(
        self,
        width: int = 640,
        height: int = 360,
        *,
        seed: int = 0,
        rate_hz: float = 30.0,
        depth: bool = False,
        nod_deg: float = 0.0,
    ) -> None:
        """Build the street.

        Args:
            width: of the image, 64 to 4096 pixels.
            height: of the image, 64 to 4096 pixels.
            seed: selects the street, 0 or more.
            rate_hz: how many frames make a second of street time, more than 0.
            depth: whether frames come with their true depth.
            nod_deg: the camera pitches and rolls by up to this many degrees, 0 to 10, about its nominal pose.

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
        if not 0 <= nod_deg <= _MOST_NOD_DEG:
            raise SourceError(f"the street camera nods by 0 to {_MOST_NOD_DEG:g} degrees, got nod_deg = {nod_deg}")
        self.size = Size(width, height)
        self.intrinsics = Intrinsics.from_fov(width, height, FIELD_OF_VIEW_DEG)
        self.rate_hz = rate_hz
        self.label_set = LABEL_SET
        self.scene = StreetScene(seed)
        labels = load_label_set(LABEL_SET)
        self._sky_id = labels.id_of("sky")
        self.depth, self._nod = depth, math.radians(nod_deg)
        self._level = level_intrinsics(self.intrinsics, self._nod) if nod_deg else self.intrinsics
        self._light = StreetLight(seed, self.intrinsics)
        self._sky = StreetLight(seed, self._level) if nod_deg else self._light
        self._painter = StreetPainter(self.scene, labels, self._light.sides())
        self._next: int | None = 0

    def pose(self, index: int, *, true: bool = False) -> CameraPose:
        """The pose of the camera in the map frame when it takes frame `index`.

        Args:
            index: of the frame.
            true: the pose that the frame is filmed from, with the nodding; otherwise the nominal pose, which is what a
                robot believes that knows nothing of its nodding. Without `nod_deg` the two are the same.
        """
        time = self._time(index)
        pose = self.scene.camera(time)
        if not true or not self._nod:
            return pose
        pitch, roll = self._nod * math.sin(4.3 * time + 1.0), self._nod * math.sin(2.9 * time + 2.0)
        return replace(pose, pitch=pose.pitch + pitch, roll=roll)

    def frame(self, index: int) -> SourceFrame:
        """Film frame `index`, 0 or more: rgb8 image, camvid11 labels, and depth if that was asked for."""
        time, pose = self._time(index), self.pose(index, true=True)
        canvas = Canvas(View(self._level, replace(pose, roll=0.0)), depth=self.depth)
        self._sky.draw_sky(canvas, time, self._sky_id)
        self._painter.paint(canvas, time, self._light.sun(time))
        if self._nod:
            canvas = rolled_canvas(canvas, View(self.intrinsics, pose))
        image = self._light.expose(canvas.image, index, time)
        depth = canvas.surfaces.depth() if canvas.surfaces else None
        return SourceFrame(image, "rgb8", np.ascontiguousarray(canvas.labels), f"{index:06d}", depth)

    def view(self, index: int, view: View) -> StreetView:
        """Labels and depth at the instant of frame `index`, seen from elsewhere.

        Args:
            index: of the frame.
            view: any pinhole above the ground that looks along the street, within 80 degrees to either side and
                60 degrees up or down; with any roll. `pose(index).moved(...)` is a place beside the camera. What is
                more than a few metres behind the view's place or more than 100 m ahead is missing.

        Raises:
            SourceError: the pose is not one of these.
        """
        pose = view.pose
        if not (pose.z > 0 and abs(pose.yaw) <= _MOST_YAW and abs(pose.pitch) <= _MOST_PITCH):
            raise SourceError(
                f"the street cannot be seen from {pose}: stay above the ground (z > 0), and look along the street "
                "(yaw within 80 degrees, pitch within 60)"
            )
        wide = level_intrinsics(view.intrinsics, pose.roll) if pose.roll else view.intrinsics
        canvas = Canvas(View(wide, replace(pose, roll=0.0)), depth=True)
        canvas.labels.fill(self._sky_id)
        self._painter.paint(canvas, self._time(index), 0.0)
        if pose.roll:
            canvas = rolled_canvas(canvas, view)
        assert canvas.surfaces is not None
        return StreetView(canvas.labels, canvas.surfaces)

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
