"""The kernels of src/measured.cpp once more, point by point in numpy's float32: slow, plain, and exactly the same."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fanet_ros.ground.classes import Kind
from fanet_ros.measured.kernels import CELL_FLAT, CELL_FREE, CELL_STANDING, Floats, Raster, Source, Surface

f = np.float32


def depth_points(depth: NDArray, rays: Floats, rotation: Floats, translation: Floats, most: float) -> Floats:
    z = depth.astype(f) * f(0.001) if depth.dtype == np.uint16 else depth.copy()
    with np.errstate(invalid="ignore"):
        z[~((z > 0) & (z <= f(most)))] = np.nan
    x, y = rays[..., 0], rays[..., 1]
    return np.stack([((r[0] * x + r[1] * y) + r[2]) * z + t for r, t in zip(rotation, translation, strict=True)], -1)


def turn_of(dx: f, dy: f) -> f:
    total = abs(dx) + abs(dy)
    if not total > 0:
        return f(0)
    share = dy / total
    if dx < 0:
        return f(2) - share
    return f(4) + share if dy < 0 else share


def slot_of(turn: f, a_quarter: int) -> int:
    return min(int(turn * f(a_quarter)), 4 * a_quarter - 1)


def plane_at(surface: Surface, x: f, y: f) -> f:
    a, b, c = surface.plane
    return (a * x + b * y) + c


def ground_heights(
    points: Floats, kinds: NDArray[np.uint8], surface: Surface, walk: Floats, least_points: int
) -> tuple[Floats, NDArray[np.bool_]]:
    sectors, bins = surface.heights.shape
    errors: dict[tuple[int, int], list[f]] = {}
    for point, kind in zip(points, kinds, strict=True):
        if kind not in (Kind.FREE, Kind.FLAT) or np.isnan(point[2]):
            continue
        dx, dy = point[0] - surface.foot[0], point[1] - surface.foot[1]
        at = int(np.sqrt(dx * dx + dy * dy) / f(surface.bin))
        if at < bins:
            key = slot_of(turn_of(dx, dy), sectors // 4), at
            errors.setdefault(key, []).append(point[2] - plane_at(surface, point[0], point[1]))
    heights, is_seen = np.zeros((sectors, bins), f), np.zeros((sectors, bins), bool)
    for sector in range(sectors):
        height, slope, at = f(0), f(0), f(0)
        for index in range(bins):
            middle = (f(index) + f(0.5)) * f(surface.bin)
            ahead = middle - at
            near = min(ahead, f(1))
            expected = height + slope * near
            gate = (walk[0] + walk[1] * middle) + f(0.5) * walk[2] * near
            levels = (np.array(errors.get((sector, index), []), f) - expected + gate) / (f(2) * gate) * f(32)
            inside = levels[(levels >= 0) & (levels < 32)].astype(int)
            heights[sector, index] = expected
            if len(inside) < least_points:
                continue
            is_seen[sector, index] = True
            level = int(np.searchsorted(np.cumsum(np.bincount(inside, minlength=32)), (2 * len(inside) + 4) // 5))
            found = expected - gate + (f(level) + f(0.5)) * (f(2) * gate / f(32))
            if index > 0:
                slope = slope + f(0.5) * ((found - height) / ahead - slope)
            slope = min(max(slope, -walk[2]), walk[2])
            height = heights[sector, index] = found
            at = middle
    return heights, is_seen


def ground_at(surface: Surface, x: f, y: f, turn: f, range_m: f) -> f:
    sectors, bins = surface.heights.shape
    sector = surface.heights[slot_of(turn, sectors // 4)]
    place = min(max(range_m / f(surface.bin) - f(0.5), f(0)), f(bins - 1))
    near = min(int(place), bins - 1)
    far = min(near + 1, bins - 1)
    return plane_at(surface, x, y) + (sector[near] + (sector[far] - sector[near]) * (place - f(near)))


def judge(above: f, kind: int, step: f, clearance: f) -> int:
    if above > clearance:
        return Source.OVERHEAD
    if above > step:
        return Source.HEIGHT
    if above < -step:
        return Source.BELOW
    if kind == Kind.FREE:
        return Source.AGREED
    return Source.UNCLASSED if kind == Kind.UNKNOWN else Source.CLASS


def judge_points(
    points: Floats,
    kinds: NDArray[np.uint8],
    order: NDArray[np.int32] | None,
    surface: Surface,
    limits: Floats,
    raster: Raster,
    *,
    is_dense: bool,
) -> tuple[Floats, NDArray[np.uint8]]:
    step, clearance, least2, most2, _ = limits
    rows, columns = kinds.shape
    flat, kind_of = points.reshape(-1, 3), kinds.reshape(-1)
    above, sources = np.full(rows * columns, np.nan, f), np.zeros(rows * columns, np.uint8)
    shade = np.full(4 * 256, np.inf, f)
    for index in range(rows * columns) if order is None else order:
        x, y, z = flat[index]
        if np.isnan(z):
            continue
        dx, dy = x - surface.foot[0], y - surface.foot[1]
        range_m, turn = np.sqrt(dx * dx + dy * dy), turn_of(dx, dy)
        above[index] = z - ground_at(surface, x, y, turn, range_m)
        source = judge(above[index], kind_of[index], step, clearance)
        slot = slot_of(turn, 256)
        if source == Source.HEIGHT:
            for beside in (slot - 1, slot, (slot + 1) % len(shade)):
                shade[beside] = min(shade[beside], range_m)
        if source == Source.AGREED and range_m > shade[slot]:
            source = Source.HIDDEN
        sources[index] = source
        range2, cell = x * x + y * y, cell_of(raster, x, y)
        if not least2 <= range2 <= most2 or cell is None:
            continue
        is_standing = source in (Source.HEIGHT, Source.BELOW) or (
            source == Source.CLASS and kind_of[index] == Kind.OBSTACLE
        )
        if is_standing or source == Source.CLASS:
            raster.counts[cell] += is_standing
            raster.cells[cell] |= CELL_STANDING if is_standing else CELL_FLAT
            raster.nearest[cell] = min(raster.nearest[cell], range2)
        elif source == Source.AGREED:
            raster.cells[cell] |= CELL_FREE
    if is_dense:
        fill_ground(points, sources.reshape(rows, columns), kinds, limits, raster)
    return above, sources


def ground_of(source: int, kind: int) -> int:
    if source == Source.AGREED:
        return CELL_FREE
    return CELL_FLAT if source == Source.CLASS and kind == Kind.FLAT else 0


def fill_ground(
    points: Floats, sources: NDArray[np.uint8], kinds: NDArray[np.uint8], limits: Floats, raster: Raster
) -> None:
    resolution = f(raster.resolution)
    half = f(0.5) * resolution
    half2 = f(0.25) * (resolution * resolution)
    for row in range(len(points) - 1):
        last = None
        for column in range(points.shape[1] - 1):
            near = np.s_[row : row + 2, column : column + 2]
            said = {ground_of(*each) for each in zip(sources[near].flat, kinds[near].flat, strict=True)}
            what = said.pop()
            if said or not what:
                continue
            p, q = points[row, column : column + 2]
            r, s = points[row + 1, column : column + 2]
            range2 = p[0] * p[0] + p[1] * p[1]
            if apart2(p, r) <= half2 and across2(p, q) <= half2 * range2:
                continue
            if last is not None and across2(last, q) <= half2 * range2:
                continue
            last = p
            most = resolution + limits[4] * np.sqrt(range2)
            along = np.sqrt(max(apart2(p, r), apart2(q, s)))
            across = np.sqrt(max(across2(p, q) / range2, across2(r, s) / range2))
            if not (along <= most and across <= most and max(apart2(p, q), apart2(r, s)) <= most * most):
                continue
            down, right = min(int(along / half), 15) + 1, min(int(across / half), 3) + 1
            for i in range(down + 1):
                v = f(i) / f(down)
                left, end = p[:2] + (r[:2] - p[:2]) * v, q[:2] + (s[:2] - q[:2]) * v
                for j in range(right):
                    x, y = left + (end - left) * (f(j) / f(right))
                    cell = cell_of(raster, x, y)
                    if cell is not None and limits[2] <= x * x + y * y <= limits[3]:
                        raster.cells[cell] |= what
                        if what != CELL_FREE:
                            raster.nearest[cell] = min(raster.nearest[cell], x * x + y * y)


def cell_of(raster: Raster, x: f, y: f) -> tuple[int, int] | None:
    cells_a_metre = f(1) / f(raster.resolution)
    column, row = (x - f(raster.x0)) * cells_a_metre, (y - f(raster.y0)) * cells_a_metre
    height, width = raster.cells.shape
    return (math.floor(row), math.floor(column)) if 0 <= column < width and 0 <= row < height else None


def apart2(p: Floats, q: Floats) -> f:
    dx, dy = p[0] - q[0], p[1] - q[1]
    return dx * dx + dy * dy


def across2(p: Floats, q: Floats) -> f:
    cross = p[0] * q[1] - p[1] * q[0]
    return cross * cross
