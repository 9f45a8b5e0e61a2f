"""How the network looks at a camera's images: at which part of them, and turned by how much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.settings import MAX_SIDE, Size, read_size

ROTATIONS = (0, 90, 180, 270)
"""Degrees clockwise by which an image is turned to be upright."""

WHOLE = "whole"
"""The region that is all of the image."""


class Region(NamedTuple):
    """A part of an image, in its pixels."""

    left: int
    top: int
    size: Size

    def __str__(self) -> str:
        return f"{self.size}+{self.left}+{self.top}"

    @property
    def right(self) -> int:
        """The first column behind it."""
        return self.left + self.size.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.size.height

    def scaled(self, frame: Size, result: Size) -> Region:
        """Return the same part of a mask of another size, at least one pixel, rounded to whole ones."""
        left, right = _scaled_span(self.left, self.right, frame.width, result.width)
        top, bottom = _scaled_span(self.top, self.bottom, frame.height, result.height)
        return Region(left, top, Size(right - left, bottom - top))


@dataclass(frozen=True)
class Look:
    """How the network looks at the images of one camera; masks stay as the camera sees.

    Attributes:
        rotation: of ROTATIONS: 180 for a camera that hangs upside down, 90 for one whose images must be turned to the
            right.
        region: of the camera image as it comes, before it is turned; None for all of it.
    """

    rotation: int = 0
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise SettingError(f"rotation: received {self.rotation}, expected {_ROTATIONS_IN_WORDS}")

    def __str__(self) -> str:
        return f"rotation {self.rotation}, region {self.region or WHOLE}"

    def check(self, frame_size: Size) -> None:
        """Check that images of that size hold the region.

        Raises:
            FrameError: they do not.
        """
        region = self.region
        if region is not None and (region.right > frame_size.width or region.bottom > frame_size.height):
            raise FrameError(
                f"image of size {frame_size}, but region is {region}, which ends at column {region.right} and row "
                f"{region.bottom}; choose a region inside the image, or {WHOLE}"
            )

    def seen_size(self, frame_size: Size) -> Size:
        """Return the size of what the network looks at, upright.

        Raises:
            FrameError: images of that size do not hold the region.
        """
        self.check(frame_size)
        seen = frame_size if self.region is None else self.region.size
        return turned_size(seen, self.rotation)

    def likely_size(self, usual: Size) -> Size:
        """Return the size of what the network will look at, upright, where images of a usual size are expected."""
        return turned_size(usual if self.region is None else self.region.size, self.rotation)


AS_IT_COMES = Look()
"""All of the image, not turned."""


def turned_size(size: Size, rotation: int) -> Size:
    """Return the size of an image after it is turned, or before: the same either way."""
    return Size(size.height, size.width) if rotation in (90, 270) else size


def read_rotation(text: str) -> int:
    """Read degrees clockwise.

    Raises:
        SettingError: it is none of ROTATIONS.
    """
    if text not in map(str, ROTATIONS):
        raise SettingError(f"received {text!r}, expected {_ROTATIONS_IN_WORDS}")
    return int(text)


def read_region(text: str) -> Region | None:
    """Read `WIDTHxHEIGHT+X+Y`, in pixels; None for `whole`.

    Raises:
        SettingError: for any other form, or a size that no image has.
    """
    if text == WHOLE:
        return None
    match = re.fullmatch(r"(\d{1,6}x\d{1,6})\+(\d{1,4})\+(\d{1,4})", text)
    if match is None:
        raise SettingError(
            f"received {text!r}, expected {WHOLE} or WIDTHxHEIGHT+X+Y in pixels of the camera image, X and Y those of "
            "its upper left corner, for example 640x240+0+120"
        )
    region = Region(int(match[2]), int(match[3]), read_size(match[1]))
    if max(region.right, region.bottom) > MAX_SIDE:
        raise SettingError(f"received {text!r}, which ends beyond pixel {MAX_SIDE}, where every image ends")
    return region


def check_rotations(texts: Sequence[str]) -> None:
    """Accept degrees of ROTATIONS; raise SettingError for anything else."""
    for text in texts:
        read_rotation(text)


def check_regions(texts: Sequence[str]) -> None:
    """Accept `whole` and WIDTHxHEIGHT+X+Y; raise SettingError for anything else."""
    for text in texts:
        read_region(text)


def read_looks(rotations: Sequence[str], regions: Sequence[str], count: int) -> tuple[Look, ...]:
    """Return how the network looks at each camera.

    Args:
        rotations: as `read_rotation` reads them: none (all 0), one for all, or one for each camera.
        regions: as `read_region` reads them: none (all whole), one for all, or one for each camera.
        count: of the cameras.

    Raises:
        SettingError: a text that cannot be read, or another number of them.
    """
    turned = _one_for_each("rotation", rotations, "0", count)
    parts = _one_for_each("region", regions, WHOLE, count)
    return tuple(
        Look(read_rotation(rotation), read_region(region)) for rotation, region in zip(turned, parts, strict=True)
    )


def _one_for_each(name: str, texts: Sequence[str], default: str, count: int) -> Sequence[str]:
    if len(texts) in (0, 1):
        return [*texts, default][:1] * count
    if len(texts) != count:
        cameras = "one camera" if count == 1 else f"{count} cameras"
        raise SettingError(
            f"{name}: received {len(texts)} values ({', '.join(texts)}) for {cameras}, expected one for all or one for "
            "each, in their order"
        )
    return texts


def _scaled_span(begin: int, end: int, before: int, after: int) -> tuple[int, int]:
    first = min(round(begin * after / before), after - 1)
    return first, min(max(round(end * after / before), first + 1), after)


_ROTATIONS_IN_WORDS = "0, 90, 180 or 270 (degrees clockwise)"
