"""What counts as an obstacle where heights are measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fanet_ros.errors import SettingError
from fanet_ros.ground.settings import GroundSettings

MAX_RASTER_CELLS = 4_000_000


@dataclass(frozen=True)
class MeasuredSettings:
    """Heights above the ground that was found, metres.

    Attributes:
        step_height: what stands higher than this above the ground is an obstacle, whatever its class; what lies as much
            below it is one, too.
        clearance: what is higher than this is driven under.
        depth_max: points farther away than this along the optical axis (depth) or from the sensor (cloud) do not count.
        max_slope: of the ground against the x-y plane of the base frame, metres of height a metre.
        min_points: that stand in a cell of the grid before it is an obstacle.

    Raises:
        SettingError: a value that is not allowed; names it and what is.
    """

    step_height: float = 0.15
    clearance: float = 2.0
    depth_max: float = 10.0
    max_slope: float = 0.25
    min_points: int = 2

    def __post_init__(self) -> None:
        for name, least, most in (
            ("step_height", 0.01, 2.0),
            ("clearance", self.step_height, 100.0),
            ("depth_max", 0.1, 1000.0),
            ("max_slope", 0.0, 1.0),
            ("min_points", 1, 1000),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                raise SettingError(f"{name}: received {value:g}, expected from {least:g} to {most:g}")


def reach_of(ground: GroundSettings, measured: MeasuredSettings) -> float:
    """Return how far from the base frame's origin anything is reported, metres."""
    return min(ground.range_max, measured.depth_max)
