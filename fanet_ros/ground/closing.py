"""The ground below things that stand on feet or tyres: what is seen between these belongs to the thing.

A camera sees the road between the tyres of a car, up to where the lower edge of its body hides it, and that edge lies
on the ground far behind the car's side. So the contacts of one thing are joined: where a bearing passes between two of
them and meets the same class behind the line that joins them, no farther than a body that hangs a little above the
ground explains, its contact is on that line.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.bearings import BearingTable
from fanet_ros.ground.classes import Kind
from fanet_ros.ground.overlook import OUTSIDE, Overlook, rounded
from fanet_ros.ground.runs import Starts
from fanet_ros.model.labels import UNLABELLED

_LONGEST = 4.0  # metres between two contacts that are joined: the wheelbase of cars and vans
_NARROWEST = 4  # bearings; what is seen between two that are nearer to each other is less than a cell of the grid
_CLEARANCE = 0.4  # metres below the body of a car or van, at most
_MOST_TIMES = 2.0  # as far away as it is, a lower edge is looked for: a camera below it would see it nowhere
_BEYOND = 16  # places on a bearing after the end of the range where something is looked for
_PIXELS = 2.0  # behind the line; less is how exact contacts are

Floats = NDArray[np.float64]
Chord = tuple[int, int]


class ContactCloser:
    """Joins the contacts of things of one class."""

    def __init__(self, overlook: Overlook, bearings: BearingTable) -> None:
        """Find the pixels beyond the end of the range that may show the lower edge of what stands within it."""
        self._bearings = bearings
        self._directions = bearings.directions.astype(np.float64)
        height = overlook.height
        # a lower edge at height c is seen h / (h - c) times as far away as it is
        self._farthest = min(_MOST_TIMES, height / (height - _CLEARANCE)) if height > _CLEARANCE else _MOST_TIMES
        rows = np.arange(len(bearings.last))
        ends = bearings.foot_ranges[rows, bearings.last]
        self._ends = np.where(bearings.is_seen.any(axis=1), ends, np.float32(0))
        self._beyond_ranges = self._ends[:, None] * np.geomspace(1.0, self._farthest, _BEYOND + 1, dtype=np.float32)[1:]
        points = self._directions[:, None] * self._beyond_ranges[..., None] + overlook.foot
        pixels = overlook.pixels(points.reshape(-1, 2), in_range_only=False)
        self._beyond = rounded(pixels).reshape(*self._beyond_ranges.shape, 2)

    def close(self, contacts: Starts, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> Starts:
        """Return the contacts with those that are behind the joining lines brought onto them.

        Args:
            contacts: of OBSTACLE pixels.
            mask: uint8 (H, W), class ids.
            kinds: uint8 (256,), of each class id.
        """
        ranges, classes = contacts.ranges.copy(), np.full(len(contacts.ranges), -1, np.int16)
        at = np.flatnonzero(contacts.is_there)
        if not at.size:
            return contacts
        columns, rows = self._bearings.pixels[at, contacts.sample[at]].T
        classes[at] = mask[rows, columns]
        self._look_beyond(ranges, classes, mask, kinds)
        closed = self._joined(ranges, contacts.sample, classes)
        is_moved = (closed < ranges) & (contacts.is_there | (closed <= self._ends))
        return Starts(
            np.where(is_moved & ~contacts.is_there, self._bearings.last, contacts.sample),
            contacts.is_there | is_moved,
            np.where(is_moved, closed, contacts.ranges),
        )

    def _look_beyond(
        self,
        ranges: NDArray[np.float32],
        classes: NDArray[np.int16],
        mask: NDArray[np.uint8],
        kinds: NDArray[np.uint8],
    ) -> None:
        """Where a bearing has no contact within the range, fill in the one that it has behind it."""
        at = np.flatnonzero((classes < 0) & (self._ends > 0))
        columns, rows = self._beyond[at, :, 0], self._beyond[at, :, 1]
        seen = np.where(columns == OUTSIDE, UNLABELLED, mask[rows, columns])
        is_obstacle = (kinds[seen] == Kind.OBSTACLE) & (columns != OUTSIDE)
        first = is_obstacle.argmax(axis=1)
        is_any = is_obstacle[np.arange(len(at)), first]
        at, first, seen = at[is_any], first[is_any], seen[is_any]
        ranges[at] = self._beyond_ranges[at, first]
        classes[at] = seen[np.arange(len(at)), first]

    def _joined(
        self, ranges: NDArray[np.float32], samples: NDArray[np.int64], classes: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        borders = np.flatnonzero(np.diff(classes)) + 1
        edges = [0, *borders.tolist(), len(classes)]
        closed = ranges.copy()
        for first, end in zip(edges[:-1], edges[1:], strict=True):
            if classes[first] < 0 or end - first < 3:
                continue
            for left, right in self._chords(ranges, samples, first, end - 1):
                between = slice(left + 1, right)
                closed[between] = np.minimum(closed[between], self._on_line(ranges, left, right))
        return closed

    def _chords(self, ranges: NDArray[np.float32], samples: NDArray[np.int64], first: int, last: int) -> list[Chord]:
        """The pairs of bearings from the first to the last whose contacts are to be joined."""
        found: list[Chord] = []
        todo = [(first, last)]
        while todo:
            for left, right in self._hull(ranges, *todo.pop()):
                if right - left < _NARROWEST:
                    continue
                between = slice(left + 1, right)
                behind = ranges[between] / self._on_line(ranges, left, right)
                farthest = int(behind.argmax())
                middle = left + 1 + farthest
                if behind[farthest] > self._farthest:
                    todo += [(left, middle), (middle, right)]
                elif self._is_far_behind(ranges, samples, middle, behind[farthest]):
                    found.append((left, right))
        return found

    def _is_far_behind(self, ranges: NDArray[np.float32], samples: NDArray[np.int64], at: int, ratio: float) -> bool:
        following = min(int(samples[at]) + 1, self._bearings.foot_ranges.shape[1] - 1)
        pixel = float(self._bearings.foot_ranges[at, following] - ranges[at])
        return float(ranges[at]) * (1 - 1 / ratio) > _PIXELS * pixel

    def _hull(self, ranges: NDArray[np.float32], first: int, last: int) -> list[Chord]:
        """The lines around the contacts as seen from the camera (Andrew's chain), none of them too long."""
        points = self._directions[first : last + 1] * ranges[first : last + 1, None].astype(np.float64)
        corners = self._corners(ranges[first : last + 1])
        x, y = points[:, 0].tolist(), points[:, 1].tolist()
        chain: list[int] = []
        for k in corners.tolist():
            while len(chain) >= 2:
                a, m = chain[-2], chain[-1]
                along_x, along_y = x[k] - x[a], y[k] - y[a]
                is_far_round = x[a] * y[k] - y[a] * x[k] <= 0  # half a turn or more, below a camera that looks down
                is_before = along_x * (y[m] - y[a]) - along_y * (x[m] - x[a]) > 0  # on the camera's side of the line
                if is_far_round or is_before or along_x * along_x + along_y * along_y > _LONGEST * _LONGEST:
                    break
                chain.pop()
            chain.append(k)
        return [
            (first + a, first + k)
            for a, k in zip(chain[:-1], chain[1:], strict=True)
            if math.hypot(x[k] - x[a], y[k] - y[a]) <= _LONGEST and x[a] * y[k] - y[a] * x[k] > 0
        ]

    @staticmethod
    def _corners(ranges: NDArray[np.float32]) -> NDArray[np.intp]:
        """The contacts that can be corners of the hull: those that are not behind the line between their neighbours."""
        inverse = 1.0 / ranges.astype(np.float64)  # on a straight line nearly linear from one bearing to the next
        is_corner = np.ones(len(inverse), bool)
        is_corner[1:-1] = 2 * inverse[1:-1] > (inverse[:-2] + inverse[2:]) * (1 + 1e-9)
        return np.flatnonzero(is_corner)

    def _on_line(self, ranges: NDArray[np.float32], left: int, right: int) -> NDArray[np.float64]:
        """Distances at which the bearings between two cross the line between their contacts."""
        (ax, ay), (bx, by) = (self._directions[i] * float(ranges[i]) for i in (left, right))
        directions = self._directions[left + 1 : right]
        return (ax * by - ay * bx) / (directions[:, 0] * (by - ay) - directions[:, 1] * (bx - ax))
