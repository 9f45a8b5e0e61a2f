"""Labels of a part of a frame, and where they lie in the mask of the whole frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.request import FrameRequest
from fanet_ros.frames.look import Look, Region
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.settings import Size

_NOT_SURE = 0  # confidence where nothing was looked at


@dataclass(frozen=True)
class Part:
    """What a backend is asked for, and what becomes of its answer.

    Attributes:
        request: of the region alone, or of the whole frame where there is none.
        region: in the mask; None for all of it.
        mask: of the whole frame; None where the answer is that.
    """

    request: FrameRequest
    region: Region | None = None
    mask: LabelBuffers | None = None

    def placed(self, answer: LabelBuffers) -> LabelBuffers:
        """Return the mask of the whole frame: outside the region 255 (unlabelled) and confidence 0."""
        region, mask = self.region, self.mask
        if region is None or mask is None:
            return answer
        _place(answer.labels, region, mask.labels, UNLABELLED)
        if answer.confidence is None or mask.confidence is None:  # networks that give labels alone have none
            return LabelBuffers(mask.labels)
        _place(answer.confidence, region, mask.confidence, _NOT_SURE)
        return mask


class RegionMasks:
    """Cuts regions out of requests, in memory that is kept from frame to frame."""

    def __init__(self) -> None:
        self._scratch: dict[str, NDArray[np.uint8]] = {}

    def part_of(self, request: FrameRequest, slot: int = 0) -> Part:
        """Return what the backend is to be asked for; the frame is not copied.

        Args:
            request: of a frame that holds its region.
            slot: place of the frame in its batch, which has memory of its own.
        """
        inside = request.look.region
        if inside is None:
            return Part(request)
        frame = request.frame[inside.top : inside.bottom, inside.left : inside.right]
        size = request.result_size
        region = inside.scaled(request.frame_size, size)
        mask = request.out or LabelBuffers(_new(size), _new(size) if request.confidence else None)
        out = LabelBuffers(
            self._target(f"labels {slot}", mask.labels, region),
            None if mask.confidence is None else self._target(f"confidence {slot}", mask.confidence, region),
        )
        look = Look(request.look.rotation)
        return Part(replace(request, frame=frame, look=look, output_size=region.size, out=out), region, mask)

    def _target(self, name: str, mask: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
        """Return where the labels are to be written: into the mask itself, if they lie there without gaps."""
        target = _inside(mask, region)
        if target.flags.c_contiguous:
            return target
        array = self._scratch.get(name)
        if array is None or array.shape != target.shape:
            array = self._scratch[name] = _new(region.size)
        return array


def _place(labels: NDArray[np.uint8], region: Region, mask: NDArray[np.uint8], outside: int) -> None:
    mask[: region.top] = outside
    mask[region.bottom :] = outside
    rows = mask[region.top : region.bottom]
    rows[:, : region.left] = outside
    rows[:, region.right :] = outside
    target = _inside(mask, region)
    if not np.may_share_memory(target, labels):
        target[...] = labels


def _inside(mask: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    return mask[region.top : region.bottom, region.left : region.right]


def _new(size: Size) -> NDArray[np.uint8]:
    return np.empty((size.height, size.width), np.uint8)
