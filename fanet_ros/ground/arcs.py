"""The smallest arc of the circle that holds a set of angles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TURN = 2.0 * math.pi


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
    def around(cls, angles: NDArray[np.floating]) -> Arc:
        """Return the smallest arc with all of the angles (N,), in [-pi, pi]; N at least 1."""
        ordered = np.sort(angles)
        gaps = np.diff(ordered, append=ordered[0] + TURN)
        last = int(gaps.argmax())
        start = float(ordered[(last + 1) % len(ordered)])
        return cls(start, start + max(0.0, TURN - float(gaps[last])))

    def widened(self, margin: float) -> Arc:
        """Return this arc with so many radians more at both ends; a whole turn where they would meet."""
        if self.end - self.start + 2 * margin >= TURN:
            return Arc(-math.pi, math.pi)
        start = self.start - margin
        shift = TURN if start < -math.pi else 0.0
        return Arc(start + shift, self.end + margin + shift)

    def unroll(self, angles: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return each angle plus as many turns as bring it into the arc, or else within half a turn of its middle."""
        middle = (self.start + self.end) / 2
        return angles - TURN * np.round((angles - middle) / TURN)
