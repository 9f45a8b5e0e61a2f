"""What a stereo depth camera makes of true depth: noise, steps of disparity, holes, millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError


@dataclass(frozen=True)
class DepthSensor:
    """A stereo camera that measures disparity d = f b / z, in pixels, and tells depth z = f b / d.

    An error of e pixels in the disparity is one of k z^2 metres in the depth, k = e / (f b): with the defaults and a
    focal length of 512 pixels 5 cm at 5 m, where a step of disparity is 6 cm.

    Holes are where such cameras have them: within a pixel of the border between things at different depths, in the
    sky, and nearer or farther than the range. The same depth, seed and frame number give the same measurement.

    Attributes:
        focal: focal length of the depth image, pixels along a row.
        baseline: between the two imagers, metres.
        subpixel_error: standard deviation of the disparity's error, pixels.
        disparity_step: disparities are multiples of this, pixels; 0 for no steps.
        nearest: no depth is less than this, metres.
        farthest: no depth is more than this, metres.
        border: where the disparity leaves the plane through its neighbours by more than this many pixels there is a
            hole; inf for no such holes.
        seed: of the noise, 0 or more.
    """

    focal: float
    baseline: float = 0.095
    subpixel_error: float = 0.1
    disparity_step: float = 0.125
    nearest: float = 0.3
    farthest: float = 20.0
    border: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SourceError: one of them is out of range.
        """
        at_least_0 = (self.subpixel_error, self.disparity_step, self.border, self.seed)
        positive = (self.focal, self.baseline, self.nearest)
        if not (
            all(math.isfinite(value) and value > 0 for value in positive)
            and self.nearest < self.farthest < math.inf
            and all(value >= 0 for value in at_least_0)
            and max(self.subpixel_error, self.disparity_step) < math.inf
        ):
            raise SourceError(
                f"the depth sensor cannot be {self}: focal, baseline and nearest must be more than 0, farthest more "
                "than nearest, and subpixel_error, disparity_step, border and seed at least 0"
            )

    @property
    def noise_per_square_metre(self) -> float:
        """The k of the range noise k z^2, 1/metres."""
        return self.subpixel_error / (self.focal * self.baseline)

    def measure(self, depth: NDArray[np.float32], frame: int) -> NDArray[np.float32]:
        """Measure true depth.

        Args:
            depth: float32 (H, W), metres along the optical axis, more than 0; inf in the sky.
            frame: its number, 0 or more: each has noise of its own.

        Returns:
            float32 (H, W), metres, NaN where nothing was measured.
        """
        scale = np.float32(self.focal * self.baseline)
        disparity = scale / depth
        # the disparity of a plane is affine in the pixel: its second difference is 0
        hole = cv2.dilate((_bend(disparity) > self.border).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        hole |= (depth < self.nearest) | (depth > self.farthest)
        noise = np.random.default_rng([self.seed, frame]).standard_normal(depth.shape, np.float32)
        disparity += np.float32(self.subpixel_error) * noise
        if self.disparity_step:
            step = np.float32(self.disparity_step)
            disparity = np.rint(disparity / step) * step
        hole |= disparity <= scale / np.float32(self.farthest)
        disparity[hole] = np.nan
        measured = scale / disparity
        measured[measured < self.nearest] = np.nan
        return measured

    def measure_mm(self, depth: NDArray[np.float32], frame: int) -> NDArray[np.uint16]:
        """As `measure`, in the millimetres of REP 118: uint16 (H, W), 0 where nothing was measured or over 65.535 m."""
        return to_millimetres(self.measure(depth, frame))


def to_millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth in metres, float32 (H, W), as uint16 millimetres (REP 118): 0 for what is not finite or over 65.535 m."""
    millimetres = np.rint(depth * np.float32(1000))
    return np.where((millimetres > 0) & (millimetres <= 65535), millimetres, 0).astype(np.uint16)


def _bend(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """The larger of the second differences along row and column, float32 (H, W); 0 at the image's rim."""
    bend = np.zeros_like(disparity)
    bend[:, 1:-1] = np.abs(disparity[:, :-2] - 2 * disparity[:, 1:-1] + disparity[:, 2:])
    down = np.abs(disparity[:-2] - 2 * disparity[1:-1] + disparity[2:])
    np.maximum(bend[1:-1], down, out=bend[1:-1])
    return bend
