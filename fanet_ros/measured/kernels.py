"""The compiled kernels of src/measured.cpp. They check nothing: their callers do.

Everything is float32 unless said otherwise, contiguous, and in metres of the base frame.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.labelling.kernels import library

Floats = NDArray[np.float32]


class Source:
    """What decided about a point: the field `source` of the semantic points."""

    NOTHING = 0
    """It was not measured."""
    AGREED = 1
    """Free: its class is drivable, and it lies on the ground."""
    CLASS = 2
    """Not free: it lies on the ground, but its class is not drivable."""
    HEIGHT = 3
    """An obstacle: it stands on the ground, whatever its class."""
    BELOW = 4
    """An obstacle: it lies lower than the ground, as behind an edge."""
    OVERHEAD = 5
    """Ignored: it is higher than what is driven under."""
    HIDDEN = 6
    """Not free: ground under something that stands before it, as between the tyres of a car."""
    UNCLASSED = 7
    """Not free: on the ground, of no class that tells (sky, unlabelled, out of the mask's sight)."""


CELL_FREE, CELL_FLAT, CELL_STANDING = 1, 2, 4
"""Bits of a cell: what its points said."""

_pointer, _int, _long, _float = ctypes.c_void_p, ctypes.c_int, ctypes.c_ssize_t, ctypes.c_float


@functools.cache
def _library() -> ctypes.CDLL:
    loaded = library()
    loaded.fanet_depth_points.argtypes = [_pointer, _int, _long, _pointer, _pointer, _pointer, _float, _pointer]
    loaded.fanet_depth_points.restype = None
    loaded.fanet_ground_heights.argtypes = [
        *(_pointer, _pointer, _long, _long, _pointer, _pointer, _float, _int, _int, _pointer, _int, _pointer, _pointer),
    ]
    loaded.fanet_judge_points.argtypes = [
        *(_pointer, _pointer, _pointer, _int, _int, _int, _pointer, _pointer, _float, _int, _int, _pointer),
        *(_pointer, _pointer, _int, _int, _pointer, _pointer, _pointer, _pointer, _pointer),
    ]
    loaded.fanet_measured_cloud.argtypes = [_pointer, _long, *(_pointer,) * 7]
    loaded.fanet_measured_cloud.restype = None
    return loaded


class Surface(NamedTuple):
    """The ground that was found.

    Attributes:
        foot: (2,), about which the sectors lie: x and y of the sensor.
        plane: (3,), z = a x + b y + c.
        bin: metres, length of a bin.
        heights: (4 * sectors, bins), of the ground above the plane in the middle of every bin.
        is_seen: bool of the same shape, where points told it.
    """

    foot: Floats
    plane: Floats
    bin: float
    heights: Floats
    is_seen: NDArray[np.bool_]


class Raster(NamedTuple):
    """Cells of the ground, and what points said about them; cleared by `clear`, filled by `judge`.

    Attributes:
        x0, y0: the corner of cell (0, 0).
        resolution: side of a cell.
        cells: uint8 (rows along y, columns along x), CELL_ bits.
        counts: uint16, standing points of a cell.
        nearest: squared range from the base frame's origin of the nearest point that is not free, inf without one.
    """

    x0: float
    y0: float
    resolution: float
    cells: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    nearest: Floats

    def clear(self) -> None:
        """Forget what was said."""
        self.cells.fill(0)
        self.counts.fill(0)
        self.nearest.fill(np.inf)


def depth_points(
    depth: NDArray[np.uint16] | Floats,
    rays: Floats,
    rotation: Floats,
    translation: Floats,
    depth_max: float,
    points: Floats,
) -> None:
    """Write the points of a depth image in the base frame, NaN where there is none.

    Args:
        depth: (h, w), uint16 in millimetres or float32 in metres; 0, NaN, infinity and more than `depth_max` are none.
        rays: (h, w, 2), x / z and y / z of every pixel.
        rotation: (3, 3), base frame <- optical frame.
        translation: (3,), the same.
        depth_max: metres.
        points: (h, w, 3), is written.
    """
    _library().fanet_depth_points(
        *(depth.ctypes.data, depth.dtype == np.float32, depth.size, rays.ctypes.data),
        *(rotation.ctypes.data, translation.ctypes.data, depth_max, points.ctypes.data),
    )


def ground_heights(
    points: Floats, kinds: NDArray[np.uint8], surface: Surface, walk: Floats, least_points: int, every: int = 1
) -> None:
    """Find `surface.heights` and `surface.is_seen` on its plane.

    Args:
        points: (N, 3), NaN for none.
        kinds: uint8 (N,); FREE and FLAT points may be ground.
        surface: with everything else.
        walk: (3,): gate in metres, gate a metre of range, largest slope against the plane.
        least_points: of a bin that tells.
        every: only every so many points are looked at: neighbouring columns of a depth image tell the same.

    Raises:
        MemoryError: no room for one number a point.
    """
    sectors, bins = surface.heights.shape
    if _library().fanet_ground_heights(
        *(points.ctypes.data, kinds.ctypes.data, kinds.size, every),
        *(
            surface.foot.ctypes.data,
            surface.plane.ctypes.data,
            surface.bin,
            bins,
            sectors // 4,
            walk.ctypes.data,
            least_points,
        ),
        *(surface.heights.ctypes.data, surface.is_seen.ctypes.data),
    ):
        raise MemoryError("no memory to find the ground")


def judge_points(
    points: Floats,
    kinds: NDArray[np.uint8],
    order: NDArray[np.int32] | None,
    surface: Surface,
    limits: Floats,
    raster: Raster,
    above: Floats,
    sources: NDArray[np.uint8],
    *,
    is_dense: bool,
) -> None:
    """Say what every point is, and mark it in the raster.

    Args:
        points: (rows, columns, 3), NaN for none.
        kinds: uint8 (rows, columns).
        order: (rows * columns,), from high to low as the sensor sees them; None where the rows are in that order.
        surface: the ground.
        limits: (5,): step height, clearance, squares of the ranges from the base frame's origin that count, and metres
            a metre of range that neighbouring points may lie apart with the ground between them still seen.
        raster: is marked.
        above: (rows, columns), is written: height above the ground, NaN for none.
        sources: uint8 (rows, columns), is written: see Source.
        is_dense: whether neighbours in the array are neighbours in sight, so that ground between them is seen.

    Raises:
        MemoryError: no room for 8 kB.
    """
    rows, columns = kinds.shape
    of = np.array([raster.x0, raster.y0, raster.resolution], np.float32)
    if _library().fanet_judge_points(
        *(points.ctypes.data, kinds.ctypes.data, None if order is None else order.ctypes.data, rows, columns, is_dense),
        *(surface.foot.ctypes.data, surface.plane.ctypes.data, surface.bin, surface.heights.shape[1]),
        *(surface.heights.shape[0] // 4, surface.heights.ctypes.data, limits.ctypes.data),
        *(of.ctypes.data, raster.cells.shape[1], raster.cells.shape[0], above.ctypes.data, sources.ctypes.data),
        *(raster.cells.ctypes.data, raster.counts.ctypes.data, raster.nearest.ctypes.data),
    ):
        raise MemoryError("no memory to judge points")


def measured_cloud(
    point_of_pixel: NDArray[np.int32],
    points: Floats,
    above: Floats,
    sources: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    confidence: NDArray[np.uint8] | None,
    colours: NDArray[np.uint32],
    cloud: NDArray[np.uint8],
) -> None:
    """Write the organised cloud of a mask: see measured.cloud.

    Args:
        point_of_pixel: int32 (H, W), index of the point that a pixel of the mask sees, -1 for none.
        points: (N, 3).
        above: (N,).
        sources: uint8 (N,).
        mask: uint8 (H, W).
        confidence: uint8 (H, W), None for 255.
        colours: uint32 (256,), 0x00RRGGBB by class id.
        cloud: uint8 (H * W * 24,), is written.
    """
    _library().fanet_measured_cloud(
        *(point_of_pixel.ctypes.data, point_of_pixel.size, points.ctypes.data, above.ctypes.data, sources.ctypes.data),
        *(mask.ctypes.data, None if confidence is None else confidence.ctypes.data, colours.ctypes.data),
        cloud.ctypes.data,
    )
