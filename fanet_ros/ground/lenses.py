"""Lens models: normalised directions to distorted ones and back, with the range in which they can be trusted.

Both ways work on points of the plane z = 1 after division by the focal length (the "normalised" coordinates of OpenCV).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import cv2
import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from fanet_ros.ground.errors import CalibrationError
from fanet_ros.untrusted.text import shown

Array = NDArray[np.float64]

_EYE = np.eye(3)
_ITERATIONS = (6, 24, 120)  # one after the other for those pixels that the last number was not enough for
_NOTHING = 1e-30  # a leading coefficient below it changes no root that matters, but overflows on the way there
_LENGTHS = {"plumb_bob": (4, 5, 8, 12, 14), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""How many coefficients each distortion model of CameraInfo may have."""


class Lens(ABC):
    """One lens."""

    @abstractmethod
    def distort(self, points: Array) -> Array:
        """Points (N, 3) of the optical frame -> distorted normalised coordinates (N, 2), NaN where nothing is seen."""

    @abstractmethod
    def directions(self, distorted: Array, tolerance: float) -> Array:
        """Distorted normalised coordinates (N, 2) -> directions (N, 3) of any length.

        NaN where no direction is drawn within `tolerance` of the given coordinates.
        """


class PinholeLens(Lens):
    """plumb_bob and rational_polynomial: OpenCV's model with 0, 4, 5, 8, 12 or 14 coefficients.

    Beyond a certain radius such a polynomial turns back, so that a point far outside is drawn inside the image; what
    lies beyond is refused.
    """

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        self._coefficients = np.array(coefficients, np.float64)
        self._is_ideal = not self._coefficients.any()
        self._largest_r2 = math.inf if self._is_ideal else _largest_monotonic_r2(self._coefficients)

    def distort(self, points: Array) -> Array:
        """As Lens says; NaN behind the camera and beyond the range of the model."""
        z = points[:, 2]
        in_front = z > 1e-9
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = np.where(in_front[:, None], points[:, :2] / z[:, None], np.nan)
        if not self._is_ideal:
            with np.errstate(over="ignore"):  # where the inverse diverged
                usable = flat[:, 0] ** 2 + flat[:, 1] ** 2 < self._largest_r2
            inside = _with_one(flat[usable])
            flat[~usable] = np.nan
            if len(inside):
                projected, _ = cv2.projectPoints(inside, np.zeros(3), np.zeros(3), _EYE, self._coefficients)
                flat[usable] = projected.reshape(-1, 2)
        return flat

    def directions(self, distorted: Array, tolerance: float) -> Array:
        """As Lens says."""
        flat = distorted
        if not self._is_ideal and len(distorted):
            # OpenCV's fixed-point iteration is slow where the lens is strong, and diverges where it has no solution
            flat = np.zeros_like(distorted)
            pending = np.arange(len(distorted))
            for iterations in _ITERATIONS:
                flat[pending] = self._undistort(distorted[pending], iterations)
                error = np.abs(self.distort(_with_one(flat[pending])) - distorted[pending]).max(axis=1)
                is_off = ~(error < tolerance)  # also where there is no error, but NaN
                pending = pending[is_off]
                if not pending.size:
                    break
            flat[pending] = np.nan
        return _with_one(flat)

    def _undistort(self, distorted: Array, iterations: int) -> Array:
        criteria = (cv2.TERM_CRITERIA_COUNT, iterations, 0.0)  # a check of the error doubles the time of an iteration
        points = np.ascontiguousarray(distorted).reshape(-1, 1, 2)
        flat: Array = cv2.undistortPointsIter(points, _EYE, self._coefficients, None, None, criteria)
        return flat.reshape(-1, 2)


class EquidistantLens(Lens):
    """OpenCV's fisheye model (Kannala and Brandt 2006): theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8).

    Written out here, because OpenCV's own inverse ends at 90 degrees from the axis, where a fisheye that looks ahead
    still sees ground at its sides.
    """

    _SAMPLES = 4096  # of the curve that is inverted; between them it is nearly straight, and Newton's step mends that

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        k1, k2, k3, k4 = coefficients
        self._curve = Polynomial([0, 1, 0, k1, 0, k2, 0, k3, 0, k4])
        self._slope = self._curve.deriv()
        self._largest = min(math.pi, _smallest_positive_root(self._slope))

    def distort(self, points: Array) -> Array:
        """As Lens says; NaN behind the camera and beyond the range of the model."""
        sideways = np.hypot(points[:, 0], points[:, 1])
        theta = np.arctan2(sideways, points[:, 2])
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(sideways > 0, self._curve(theta) / sideways, 0.0)
        scale[~(theta < self._largest)] = np.nan
        return points[:, :2] * scale[:, None]

    def directions(self, distorted: Array, tolerance: float) -> Array:
        """As Lens says."""
        theta_d = np.hypot(distorted[:, 0], distorted[:, 1])
        known = np.linspace(0.0, self._largest, self._SAMPLES)
        theta = np.interp(theta_d, self._curve(known), known, right=np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            theta -= (self._curve(theta) - theta_d) / self._slope(theta)
            theta[~(np.abs(self._curve(theta) - theta_d) < tolerance)] = np.nan
            scale = np.where(theta_d > 0, np.sin(theta) / theta_d, 0.0)
        return np.column_stack([distorted * scale[:, None], np.cos(theta)])


def lens_for(model: str, coefficients: tuple[float, ...]) -> Lens:
    """Return the lens that a CameraInfo names.

    Args:
        model: plumb_bob, rational_polynomial or equidistant; empty only without distortion.
        coefficients: D.

    Raises:
        CalibrationError: an unknown model, or a number of coefficients that it does not have.
    """
    if not any(coefficients) and model in ("", "plumb_bob", "rational_polynomial"):
        return PinholeLens(())
    if model not in _LENGTHS:
        raise CalibrationError(
            f"camera calibration: received distortion model {shown(model)} with {len(coefficients)} coefficients, "
            "expected plumb_bob, rational_polynomial or equidistant; calibrate the camera for one of them, or use "
            "rectified images"
        )
    if len(coefficients) not in _LENGTHS[model]:
        *others, last = map(str, _LENGTHS[model])
        expected = f"{', '.join(others)} or {last}" if others else last
        raise CalibrationError(
            f"camera calibration: distortion model {model} has {len(coefficients)} coefficients, expected {expected}"
        )
    return EquidistantLens(coefficients) if model == "equidistant" else PinholeLens(coefficients)


def _largest_monotonic_r2(coefficients: Array) -> float:
    """Return the squared radius up to which radial distortion grows with the radius.

    r_d = r (1 + k1 s + k2 s^2 + k3 s^3) / (1 + k4 s + k5 s^2 + k6 s^3) with s = r^2; its slope has the sign of
    N D + 2 s (N' D - N D'), and D must not reach zero.
    """
    k = np.zeros(14)
    k[: len(coefficients)] = coefficients
    above = Polynomial([1.0, k[0], k[1], k[4]])
    below = Polynomial([1.0, k[5], k[6], k[7]])
    slope = above * below + Polynomial([0.0, 2.0]) * (above.deriv() * below - above * below.deriv())
    return min(_smallest_positive_root(slope), _smallest_positive_root(below))


def _smallest_positive_root(polynomial: Polynomial) -> float:
    trimmed = polynomial.trim(_NOTHING)
    if trimmed.degree() == 0:
        return math.inf
    roots = trimmed.roots()
    real = roots.real[(np.abs(roots.imag) < 1e-9 * np.maximum(1.0, np.abs(roots))) & (roots.real > 1e-9)]
    return float(real.min()) if real.size else math.inf


def _with_one(flat: Array) -> Array:
    return np.column_stack([flat, np.ones(len(flat))])
