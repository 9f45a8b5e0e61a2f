"""Where the ground lies: a plane that is found anew in every frame, and heights on it along every direction."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.classes import Kind
from fanet_ros.measured.kernels import Floats, Surface, ground_heights

_BIN, _SECTORS = 0.5, 40  # metres; sectors a quarter turn
_GATE, _GATE_PER_METRE = 0.08, 0.004  # metres that a point of the ground may lie off; noise grows with the range
_LEAST_POINTS = 3  # of a bin
_MANY_POINTS = 150_000  # with more, only every second, third and so on is looked at

_TRIALS, _SAMPLE = 48, 1000
_NEAR = 8.0  # metres from the sensor's foot: the plane is that of the ground before the robot
_STEEPEST = 0.15  # of the plane against the one before it and against the base frame: a robot that nods
_MOST_OFF = (
    0.15  # metres that the plane may pass above or below where the pose says the ground is, at the base frame's origin
)
_INLIER = 0.04  # metres
_BELOW = 0.10  # metres: what lies deeper below a plane says that it is none of the ground
_TRUSTED = 0.3  # of the points that may be ground must lie on it: half a metre off, a tilted plane gets a quarter
_FEW = 50  # points that may be ground
_KEPT = 0.3  # of the plane before, where both fit


class SurfaceFinder:
    """Finds the ground in points whose class may be ground; remembers the plane from frame to frame.

    The plane is the best of some through three points each (RANSAC, Fischler and Bolles 1981), the plane before among
    them: near the robot many points lie on it and few below, for whatever the mask calls ground, a wall, say, nothing
    is below the ground itself. On it the ground is followed outward in sectors, as far as it rises or falls no more
    steeply than `max_slope`: ramps are ground, what rises like a wall is not.

    Attributes:
        share: of the points that may be ground, near the robot, how many lie on the plane; NaN with too few of them.
        is_trusted: whether that is enough for ground to be free.
    """

    def __init__(self, foot: Floats, ground_z: float, reach: float, max_slope: float) -> None:
        """Start from the pose.

        Args:
            foot: (2,), x and y of the sensor in the base frame.
            ground_z: height of the ground there, metres.
            reach: metres from the foot up to which ground is looked for.
            max_slope: see MeasuredSettings.
        """
        self._ground_z = ground_z
        self._walk = np.array([_GATE, _GATE_PER_METRE, max_slope], np.float32)
        shape = (4 * _SECTORS, max(2, math.ceil(reach / _BIN)))
        self._surface = Surface(
            np.array(foot, np.float32),
            np.array([0.0, 0.0, ground_z], np.float32),
            _BIN,
            np.zeros(shape, np.float32),
            np.zeros(shape, np.bool_),
        )
        self._random = np.random.default_rng(0)
        self.share = math.nan
        self.is_trusted = False

    @property
    def foot(self) -> Floats:
        """(2,), as given."""
        return self._surface.foot

    @property
    def plane(self) -> tuple[float, float, float]:
        """a, b and c of z = a x + b y + c in the base frame."""
        a, b, c = self._surface.plane.tolist()
        return a, b, c

    def find(self, points: Floats, kinds: NDArray[np.uint8]) -> Surface:
        """Return the ground of one frame, valid until the next call.

        Args:
            points: float32 (N, 3) in the base frame, NaN for none.
            kinds: uint8 (N,), see ground.classes.Kind.
        """
        near = self._candidates(points, kinds)
        if len(near) < _FEW:
            self.share, self.is_trusted = math.nan, False  # the plane before is good enough for what stands
        else:
            plane, self.share = self._best_plane(near)
            self.is_trusted = self.share >= _TRUSTED
            if self.is_trusted:
                self._surface.plane[:] = plane
        every = 1 + kinds.size // _MANY_POINTS
        ground_heights(points, kinds, self._surface, self._walk, _LEAST_POINTS, every)
        return self._surface

    def _candidates(self, points: Floats, kinds: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Points that may be ground, near, at most some thousands, float64 (N, 3)."""
        step = max(1, kinds.size // (4 * _SAMPLE))
        some, kind = points[::step], kinds[::step]
        offset = some[:, :2] - self._surface.foot
        with np.errstate(invalid="ignore"):
            is_near = (offset * offset).sum(axis=1) < _NEAR**2
        found = some[is_near & ((kind == Kind.FREE) | (kind == Kind.FLAT))].astype(np.float64)
        return found[:: max(1, len(found) // _SAMPLE)]

    def _best_plane(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        before = self._surface.plane.astype(np.float64)
        level = np.array([0.0, 0.0, self._ground_z])
        trials = np.vstack([before, level, self._through_three(points)])
        errors = points[:, 2] - trials[:, :2] @ points[:, :2].T - trials[:, 2:]
        # the distance, not the number of points, is what a far plane through near points would win with
        scores = (np.abs(errors) < _INLIER).sum(axis=1) - 2 * (errors < -_BELOW).sum(axis=1)
        best = trials[scores.argmax()]
        for _ in range(2):
            on_it = points[np.abs(points[:, 2] - points[:, :2] @ best[:2] - best[2]) < _INLIER]
            if len(on_it) < _FEW // 2:
                break
            best = self._bounded(self._fit(on_it))
        share = float((np.abs(points[:, 2] - points[:, :2] @ best[:2] - best[2]) < 2 * _INLIER).mean())
        kept = _KEPT if np.abs(best[:2] - before[:2]).max() < 0.01 else 0.0  # noise is smoothed, a nod is followed
        return kept * before + (1 - kept) * best, share

    def _through_three(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Planes through three points each that a robot can stand on, float64 (N, 3)."""
        corners = points[self._random.integers(0, len(points), (_TRIALS, 3))]
        ones = np.concatenate([corners[..., :2], np.ones((_TRIALS, 3, 1))], axis=-1)
        is_wide = np.abs(np.linalg.det(ones)) > 0.05
        planes = np.linalg.solve(ones[is_wide], corners[is_wide, :, 2:])[..., 0]
        return planes[
            (np.abs(planes[:, :2]).max(axis=1, initial=0.0) < _STEEPEST)
            & (np.abs(planes[:, 2] - self._ground_z) < _MOST_OFF)
        ]

    def _fit(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The plane of least squares, drawn to the level where points say little."""
        design = np.column_stack([points[:, :2], np.ones(len(points))])
        weight = np.diag([1.0, 1.0, 0.1])
        normal = design.T @ design + weight
        return np.linalg.solve(normal, design.T @ points[:, 2] + weight @ [0.0, 0.0, self._ground_z])

    def _bounded(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        slopes = np.clip(plane[:2], -_STEEPEST, _STEEPEST)
        return np.append(slopes, np.clip(plane[2], self._ground_z - _MOST_OFF, self._ground_z + _MOST_OFF))
