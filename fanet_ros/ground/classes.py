"""What classes mean for driving: from the groups of a label set to four kinds."""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import LabelSetError
from fanet_ros.model.labels import LabelSet


class Kind(IntEnum):
    """What a pixel tells about the ground.

    Attributes:
        UNKNOWN: nothing: sky, unlabelled.
        FREE: ground that may be driven on.
        FLAT: ground that may not; its projection is true, as FREE's is.
        OBSTACLE: something that stands up: only its lowest visible point is on the ground.
    """

    UNKNOWN = 0
    FREE = 1
    FLAT = 2
    OBSTACLE = 3


def drivable_mask(
    mask: NDArray[np.uint8], kinds: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return what may be driven on, uint8 (H, W): 255 where the class is FREE, else 0; ground or not.

    Args:
        mask: uint8 (H, W), class ids.
        kinds: uint8 (256,), as `kinds_of` returns it.
        out: uint8 (H, W) to write into.
    """
    return cv2.LUT(mask, (kinds == Kind.FREE) * np.uint8(255), dst=out)


def kinds_of(label_set: LabelSet, *, drivable: str, flat: str, obstacle: str) -> NDArray[np.uint8]:
    """Return the Kind of every class id, uint8 (256,); ids in no group (sky, 255) are UNKNOWN.

    Args:
        label_set: with its groups.
        drivable: name of the group of FREE classes.
        flat: name of the group of ground, drivable or not; what is not drivable of it is FLAT.
        obstacle: name of the group of OBSTACLE classes.

    Raises:
        LabelSetError: there is no such group, or a class is both ground and an obstacle.
    """
    free, ground, standing = (label_set.ids_in(group) for group in (drivable, flat, obstacle))
    both = sorted(set(standing) & {*free, *ground})
    if both:
        names = ", ".join(label_set.names[index] for index in both)
        raise LabelSetError(
            f"label set '{label_set.name}': {names} cannot be in group '{obstacle}' and in '{drivable}' or '{flat}': "
            "a class either is ground or stands on it; take it out of one of them"
        )
    kinds = np.full(256, Kind.UNKNOWN, np.uint8)
    kinds[list(ground)] = Kind.FLAT
    kinds[list(free)] = Kind.FREE
    kinds[list(standing)] = Kind.OBSTACLE
    return kinds
