"""What every backend does: answer one question about one image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.settings import Size


class BackendInfo(NamedTuple):
    """What was chosen to run the network, and why, in words for logs and diagnostics."""

    name: str
    device: str
    precision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} on {self.device} in {self.precision} ({self.reason})"


class Backend(ABC):
    """Runs the exported graph (fanet_ros.graph) on one device; used by one thread at a time.

    Attributes:
        info: what runs it.
        classes: number of classes of the network.
    """

    info: BackendInfo
    classes: int

    @abstractmethod
    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone, for comparing backends output by output.

        Args:
            image: uint8, (H, W, 3), RGB, contiguous, at the network's input size.

        Returns:
            Logits, float32, (classes, ceil(H / 8), ceil(W / 8)).
        """

    @abstractmethod
    def segment(
        self, image: NDArray[np.uint8], size: Size, *, confidence: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Run the network and decide every pixel (fanet_ros.postprocess).

        Args:
            image: as for `infer`.
            size: of the result in pixels.
            confidence: whether to compute the confidence, too.

        Returns:
            labels and confidence (or None), both uint8, (size.height, size.width). The arrays are the caller's.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the device's memory; the backend is not used afterwards."""
