"""Pairs masks with the confidences of the same frames, which come a moment later, for the semantic points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.ros.ground.measured_messages import MeasuredCloudMessage
from fanet_ros.ros.ground.messages import SemanticCloudMessage, ids_from_image


@dataclass(frozen=True)
class WaitingMask:
    """A mask whose semantic points wait for its confidence.

    Attributes:
        header: of the mask.
        ground_header: of the points.
        mask: uint8 (H, W), class ids.
        cloud: that has the points of the mask's pixels.
        spent_ms: what the other results of the frame took.
    """

    header: Header
    ground_header: Header
    mask: NDArray[np.uint8]
    cloud: SemanticCloudMessage | MeasuredCloudMessage
    spent_ms: float


class SemanticPairs:
    """Holds at most one mask and one confidence, the newest of each.

    Attributes:
        unmatched: masks that a newer one has replaced before their confidence came.
        without_confidence: masks whose points went out without one, because nobody publishes it.
    """

    def __init__(self, has_confidence: Callable[[], bool]) -> None:
        """Begin with neither.

        Args:
            has_confidence: whether somebody publishes confidences now.
        """
        self._has_confidence = has_confidence
        self._waiting: WaitingMask | None = None
        self._confidence: Image | None = None
        self.unmatched = 0
        self.without_confidence = 0

    def add_mask(self, mask: WaitingMask) -> None:
        """Take the newest mask."""
        if self._waiting is not None:
            self.unmatched += 1
        self._waiting = mask

    def add_confidence(self, message: Image) -> None:
        """Take the newest confidence."""
        self._confidence = message

    def forget(self) -> None:
        """Drop what waits: nobody wants the points any more."""
        self._waiting = self._confidence = None

    def take(self) -> tuple[WaitingMask, PointCloud2] | None:
        """Return the mask that waits and its points, if its confidence is there or there will be none.

        Raises:
            UnusableImageError: the confidence cannot be used; the mask no longer waits.
        """
        waiting, message = self._waiting, self._confidence
        if waiting is None:
            return None
        confidence = None
        if self._has_confidence():
            if message is None or message.header.stamp != waiting.header.stamp:
                return None
            self._waiting = None
            confidence = ids_from_image(message)
            if confidence.shape != waiting.mask.shape:
                sizes = f"{confidence.shape[::-1]} pixels for a mask of {waiting.mask.shape[::-1]}"
                raise UnusableImageError("size", f"confidence of {sizes}")
        else:
            self._waiting = None
            self.without_confidence += 1
        return waiting, waiting.cloud.write(waiting.ground_header, waiting.mask, confidence)
