"""Angles, ranges and arcs in the ground plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TURN = 2.0 * math.pi

Floats = NDArray[Any]


def angles_of(points: Floats) -> Floats:
    """Return the angles of points (..., 2 or more) about the origin, radians in [-pi, pi]."""
    return np.arctan2(points[..., 1], points[..., 0])


def ranges_of(points: Floats) -> Floats:
    """Return the distances of points (..., 2 or more) from the origin in the plane; NaN stays NaN."""
    return np.hypot(points[..., 0], points[..., 1])


def wrapped(angles: Floats) -> Floats:
    """Return each angle plus as many turns as bring it within half a turn of 0."""
    return angles - _TURN * np.round(angles / _TURN)


@dataclass(frozen=True)
class Arc:
    """From one angle counter-clockwise to another.

    Attributes:
        start: radians in [-pi, pi].
        end: radians; at least `start`, at most a turn more, hence perhaps above pi.
    """

    start: float
    end: float

    @classmethod
    def around(cls, angles: Floats) -> Arc:
        """Return the smallest arc with all of the angles (N,), in [-pi, pi]; N at least 1."""
        ordered = np.sort(angles)
        gaps = np.diff(ordered, append=ordered[0] + _TURN)
        last = int(gaps.argmax())
        start = float(ordered[(last + 1) % len(ordered)])
        return cls(start, start + max(0.0, _TURN - float(gaps[last])))

    def widened(self, margin: float) -> Arc:
        """Return this arc with so many radians more at both ends; a whole turn where they would meet."""
        if self.end - self.start + 2 * margin >= _TURN:
            return Arc(-math.pi, math.pi)
        start = self.start - margin
        shift = _TURN if start < -math.pi else 0.0
        return Arc(start + shift, self.end + margin + shift)

    def unroll(self, angles: Floats) -> Floats:
        """Return each angle plus as many turns as bring it into the arc, or else within half a turn of its middle."""
        middle = (self.start + self.end) / 2
        return middle + wrapped(angles - middle)
