"""Occupancy over time: what was seen from different places, held still in an odometry frame, and forgotten slowly."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.ground.grid import FREE, OCCUPIED, UNSEEN
from fanet_ros.ground.settings import GroundSettings

_HIT, _MISS = 0.85, -0.4  # log odds that an occupied and a free cell gain with an observation
_LIMIT = 3.5  # of the log odds on either side; the smaller, the sooner a cell changes its mind
_KNOWN = 0.2  # cells whose log odds are nearer to zero are unknown

MAX_WINDOW_CELLS = 25_000_000
"""Of the window, which holds 9 bytes a cell."""

STEP_M = 1.0
"""The window stays where it is until the robot has come this far, metres."""

_MOST_METRES = 1e7

BasePose = tuple[float, float, float]
"""x and y in metres, yaw in radians, of the base frame in the odometry frame."""


class OccupancyAccumulator:
    """Log odds of occupancy in a window of the odometry frame (Moravec and Elfes 1985), fading to unknown.

    The window is a square around the robot in which the grid has room in any direction, and STEP_M more. It moves with
    the robot by whole cells, so that what is in it is never resampled, and only when it must: by STEP_M or more at
    once, as Nav2's static layer makes its map anew, and says so, at each move. Every observation adds to a cell's log
    odds; between them they fade with a time constant, so that what moved away is forgotten where nobody looks any
    more.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        """Begin with nothing known; `memory_s` is the time constant of forgetting, seconds, more than 0."""
        self._memory_s = memory_s
        self._evidence_of = np.zeros(256, np.float32)
        self._evidence_of[OCCUPIED], self._evidence_of[FREE] = _HIT, _MISS
        self._settings: GroundSettings | None = None
        self._corner = (0, 0)  # cells from the odometry frame's origin
        self._stamp_s = -math.inf

    def update(
        self, occupancy: NDArray[np.int8], settings: GroundSettings, base_in_odom: BasePose, stamp_s: float
    ) -> tuple[NDArray[np.int8], float, float]:
        """Add what was seen, and return what is known.

        It starts anew when time jumps back, when the robot jumps out of the window, and with other settings.

        Args:
            occupancy: int8 (cells along y, cells along x) in the base frame, as GroundView.occupancy returns it.
            settings: that it was made with.
            base_in_odom: where the base frame was at that moment.
            stamp_s: that moment, seconds.

        Returns:
            int8 (cells along y, cells along x): 100 occupied, 0 free, -1 unknown, axes parallel to the odometry frame,
            valid until the next call; and x and y of its corner (0, 0) in the odometry frame, metres. The resolution is
            the settings'.

        Raises:
            FrameError: the grid has not the settings' shape, or pose or stamp are not finite, or beyond all measure.
            SettingError: the window for these settings would have more than MAX_WINDOW_CELLS cells.
        """
        check_window(settings)
        expected = (settings.grid_height, settings.grid_width)
        if occupancy.shape != expected or occupancy.dtype != np.int8:
            raise FrameError(
                f"occupancy: received {occupancy.dtype} of shape {occupancy.shape}, expected int8 of shape {expected}"
            )
        if not (math.isfinite(stamp_s) and all(abs(value) <= _MOST_METRES for value in base_in_odom)):
            raise FrameError(
                f"occupancy: received pose {base_in_odom} at {stamp_s} s, expected finite numbers, and at most "
                f"{_MOST_METRES:g} m from the odometry frame's origin"
            )
        self._move_to(settings, base_in_odom, stamp_s)
        self._add(occupancy, settings, base_in_odom)
        cells = self._cells.view(np.int8)
        cells.fill(UNSEEN)
        cells[self._log_odds > _KNOWN] = OCCUPIED
        cells[self._log_odds < -_KNOWN] = FREE
        resolution = settings.grid_resolution
        return cells, self._corner[0] * resolution, self._corner[1] * resolution

    def _move_to(self, settings: GroundSettings, base_in_odom: BasePose, stamp_s: float) -> None:
        """Bring the window around the robot, and fade what is in it."""
        half = _half_window(settings)
        centre = [math.floor(value / settings.grid_resolution) for value in base_in_odom[:2]]
        corner = centre[0] - half, centre[1] - half
        if settings != self._settings or stamp_s < self._stamp_s:
            self._begin(settings, half)
        else:
            self._log_odds *= math.exp(-(stamp_s - self._stamp_s) / self._memory_s)
            moved = [at - before for at, before in zip(corner, self._corner, strict=True)]
            columns, rows = (cells if abs(cells) >= _step(settings) else 0 for cells in moved)
            self._shift(columns, rows)
            corner = self._corner[0] + columns, self._corner[1] + rows
        self._corner = corner
        self._stamp_s = stamp_s

    def _begin(self, settings: GroundSettings, half: int) -> None:
        self._settings = settings
        shape = (2 * half, 2 * half)
        self._log_odds = np.zeros(shape, np.float32)
        self._spare = np.empty(shape, np.float32)  # a window to move into, and the evidence of one observation
        self._cells = np.empty(shape, np.uint8)  # what an observation shows, and the result

    def _shift(self, columns: int, rows: int) -> None:
        """Move the window by whole cells; what leaves it is forgotten."""
        if columns == rows == 0:
            return
        size = len(self._log_odds)
        self._spare.fill(0.0)
        if abs(columns) < size and abs(rows) < size:
            (to_y, from_y), (to_x, from_x) = _overlap(rows, size), _overlap(columns, size)
            self._spare[to_y, to_x] = self._log_odds[from_y, from_x]
        self._log_odds, self._spare = self._spare, self._log_odds

    def _add(self, occupancy: NDArray[np.int8], settings: GroundSettings, base_in_odom: BasePose) -> None:
        resolution = settings.grid_resolution
        x, y, yaw = base_in_odom
        cosine, sine = math.cos(yaw), math.sin(yaw)
        # the middle of cell (i, j) of the grid lies at (i + 0.5) resolution + edge in the base frame
        left, bottom = settings.grid_x_min + 0.5 * resolution, settings.grid_y_min + 0.5 * resolution
        to_window = np.array(
            [
                [cosine, -sine, (x + cosine * left - sine * bottom) / resolution - 0.5 - self._corner[0]],
                [sine, cosine, (y + sine * left + cosine * bottom) / resolution - 0.5 - self._corner[1]],
            ]
        )
        cv2.warpAffine(
            occupancy.view(np.uint8),
            to_window,
            self._cells.shape,
            dst=self._cells,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNSEEN & 0xFF,
        )
        # a turned grid of the same resolution skips some cells: an obstacle of one cell must not be among them
        rows, columns = np.nonzero(occupancy == OCCUPIED)
        at = np.floor(to_window[:, :2] @ np.stack([columns, rows]) + to_window[:, 2:] + 0.5).astype(np.intp)
        self._cells[at[1], at[0]] = OCCUPIED
        self._log_odds += cv2.LUT(self._cells, self._evidence_of, dst=self._spare)
        np.clip(self._log_odds, -_LIMIT, _LIMIT, out=self._log_odds)


def _half_window(settings: GroundSettings) -> int:
    """Cells from the window's middle to its edge: the grid's farthest corner, a step, and some for rounding."""
    farthest = math.hypot(
        max(abs(settings.grid_x_min), abs(settings.grid_x_min + settings.grid_width * settings.grid_resolution)),
        max(abs(settings.grid_y_min), abs(settings.grid_y_min + settings.grid_height * settings.grid_resolution)),
    )
    return math.ceil(farthest / settings.grid_resolution) + 2 + _step(settings)


def _step(settings: GroundSettings) -> int:
    """Cells by which the window moves at least."""
    return max(2, math.ceil(STEP_M / settings.grid_resolution - 1e-6))  # 1 would go to and fro at a cell's border


def check_window(settings: GroundSettings) -> None:
    """Raise SettingError where the window for these settings would have more than MAX_WINDOW_CELLS cells."""
    side = 2 * _half_window(settings)
    if side * side > MAX_WINDOW_CELLS:
        raise SettingError(
            f"accumulate: a grid with x from {settings.grid_x_min:g} to {settings.grid_x_max:g} m, y from "
            f"{settings.grid_y_min:g} to {settings.grid_y_max:g} m and cells of {settings.grid_resolution:g} m needs "
            f"{side} x {side} cells around the robot, at most {MAX_WINDOW_CELLS} are possible: bring grid_x_min, "
            "grid_x_max, grid_y_min and grid_y_max nearer to the robot, raise grid_resolution, or set accumulate to "
            "false"
        )


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Where the cells that stay go to, and where they come from, when the window moves by `shift`."""
    if shift >= 0:
        return slice(0, size - shift), slice(shift, size)
    return slice(-shift, size), slice(0, size + shift)
