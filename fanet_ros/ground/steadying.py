"""Masks of a camera that nods, as they would have been seen from the pose that the tables were built for.

To build tables takes a hundred milliseconds, and a robot's attitude changes with every image. For what lies on flat
ground the picture from one pose is that from another, moved: each pixel sees a point of the ground, and that is seen
elsewhere from there. So the mask is moved instead, which takes a millisecond or two.
"""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.overlook import Overlook
from fanet_ros.ground.pose import CameraPose
from fanet_ros.model.labels import UNLABELLED

MOST_RADIANS, MOST_METRES = 0.02, 0.02
"""By which a pose may differ from that of the tables."""

_STEP = 8  # pixels between two places that are computed; between them the move is straight to a hundredth of a pixel
_AROUND = 1  # such places outside each border

Floats = NDArray[np.float64]


class Steadier:
    """Moves masks of other poses to that of an overlook."""

    def __init__(self, overlook: Overlook) -> None:
        """Find what is seen at some places of the mask."""
        self._model, self._size, self._pose = overlook.model, overlook.mask_size, overlook.pose
        counts = [math.ceil(side / _STEP) + 2 * _AROUND for side in self._size]
        x, y = ((np.arange(count) - _AROUND + 0.5) * _STEP - 0.5 for count in counts)  # as cv2.resize places them
        self._shape = (counts[1], counts[0])
        places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._directions = self._model.directions(places, self._size) @ overlook.pose.base_from_optical.T
        self._nearness = np.maximum(0.0, -self._directions[:, 2] / overlook.height)  # 1 / distance; 0 above the horizon
        self._places = places

    def margin(self) -> int:
        """Return how many pixels of a mask's border may be out of sight from another pose that is near enough."""
        width, height = self._size
        is_inside = ((self._places >= 0) & (self._places <= (width, height))).all(axis=1)
        farthest = 0.0
        for axis, sign in itertools.product(np.eye(3), (-1.0, 1.0)):
            turned = cv2.Rodrigues(sign * MOST_RADIANS * axis)[0] @ self._pose.base_from_optical
            moved = self._pose.position + sign * MOST_METRES * axis
            for rotation, position in ((turned, self._pose.position), (self._pose.base_from_optical, moved)):
                away = np.abs(self._seen_from(rotation, position) - self._places)[is_inside]
                farthest = max(farthest, float(np.nanmax(away, initial=0.0)))
        return math.ceil(2 * farthest)  # turned and moved

    def steady(self, mask: NDArray[np.uint8], pose: CameraPose) -> NDArray[np.uint8]:
        """Return what the mask would have been.

        Args:
            mask: uint8 (H, W), of class ids.
            pose: that it was taken from, within MOST_RADIANS and MOST_METRES.

        Returns:
            uint8 (H, W); 255 where the mask does not show it.
        """
        seen = self._seen_from(pose.base_from_optical, pose.position).astype(np.float32)
        rows, columns = self._shape
        is_lost = np.isnan(seen).any(axis=1)
        seen[is_lost] = -1e6  # all that is interpolated with it lies outside, too
        full = cv2.resize(
            seen.reshape(rows, columns, 2), (columns * _STEP, rows * _STEP), interpolation=cv2.INTER_LINEAR
        )
        width, height = self._size
        cut = _AROUND * _STEP
        places = full[cut : cut + height, cut : cut + width]
        return cv2.remap(
            mask, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=int(UNLABELLED)
        )

    def _seen_from(self, base_from_optical: Floats, position: Floats) -> Floats:
        """The pixels (N, 2) at which the places' points of the ground are seen from elsewhere; NaN for none."""
        offset = self._pose.position - position
        return self._model.project(
            (self._directions + self._nearness[:, None] * offset) @ base_from_optical, self._size
        )
