"""The compiled kernels of measured points against the same in numpy, bit by bit."""

from __future__ import annotations

import math

import measured_reference as reference
import numpy as np
import pytest

from fanet_ros.measured import kernels
from fanet_ros.measured.kernels import Raster, Surface

_PALETTE = np.arange(256, dtype=np.uint32) * 65793


def _scene(seed: int, rows: int = 40, columns: int = 56) -> tuple[np.ndarray, np.ndarray]:
    """Points of a nodding camera over a ramp with boxes, noise, holes and wrong classes, and their kinds."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
    pitch, height = rng.uniform(0.1, 0.5), rng.uniform(0.5, 2.0)
    x, y = (u - columns / 2) / 50, (v - rows / 2) / 50
    down = np.sin(pitch) + y * np.cos(pitch)
    depth = np.where(down > 0.02, height / np.maximum(down, 0.02), 30).astype(np.float32)
    for _ in range(4):
        top, left = rng.integers(0, rows - 8), rng.integers(0, columns - 8)
        patch = np.s_[top : top + rng.integers(3, 20), left : left + rng.integers(2, 12)]
        depth[patch] = depth[patch].min() * rng.uniform(0.6, 1.0)
    depth *= rng.normal(1, 0.01, depth.shape)
    depth[rng.random(depth.shape) < 0.05] = np.nan
    forward, side = depth * (np.cos(pitch) - y * np.sin(pitch)), -depth * x
    points = np.stack([forward + 0.2, side, height - depth * down + 0.05 * forward], -1).astype(np.float32)
    kinds = rng.choice([0, 1, 1, 1, 1, 2, 3], depth.shape).astype(np.uint8)
    kinds[:, : columns // 4] = 2  # a pavement
    kinds[:, columns // 2 : 3 * columns // 4] = 1
    return np.ascontiguousarray(points), kinds


def _surface(seed: int) -> Surface:
    rng = np.random.default_rng(seed)
    return Surface(
        rng.uniform(-0.3, 0.3, 2).astype(np.float32),
        np.array([0.04, -0.01, 0.02], np.float32),
        0.5,
        rng.normal(0, 0.05, (160, 30)).astype(np.float32),
        np.zeros((160, 30), bool),
    )


def _raster() -> Raster:
    shape = (110, 130)
    raster = Raster(
        -1.05, -5.5, 0.1, np.empty(shape, np.uint8), np.empty(shape, np.uint16), np.empty(shape, np.float32)
    )
    raster.clear()
    return raster


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_depth_becomes_the_same_points(dtype: type) -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 12, (30, 40)).astype(np.float32)
    depth[0, :4] = 0, np.nan, np.inf, -1
    if dtype is np.uint16:
        depth = (np.nan_to_num(depth, posinf=65, neginf=0).clip(0) * 1000).astype(np.uint16)
    rays = rng.normal(0, 0.5, (30, 40, 2)).astype(np.float32)
    rotation, translation = rng.normal(size=(3, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    points = np.empty((30, 40, 3), np.float32)
    kernels.depth_points(depth, rays, rotation, translation, 10.0, points)
    expected = reference.depth_points(depth, rays, rotation, translation, 10.0)
    np.testing.assert_array_equal(points, expected)
    assert 0 < np.isnan(points).sum() < points.size


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_ground_is_followed_to_the_same_heights(seed: int, every: int) -> None:
    points, kinds = _scene(seed)
    surface = _surface(seed)
    walk = np.array([0.08, 0.004, 0.25], np.float32)
    kernels.ground_heights(points.reshape(-1, 3), kinds.reshape(-1), surface, walk, 3, every)
    some = points.reshape(-1, 3)[::every], kinds.reshape(-1)[::every]
    heights, is_seen = reference.ground_heights(*some, surface, walk, 3)
    np.testing.assert_array_equal(surface.heights, heights)
    np.testing.assert_array_equal(surface.is_seen, is_seen)
    assert is_seen.sum() > 20 / every and np.abs(heights).max() > 0.03


@pytest.mark.parametrize("is_dense", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_every_point_and_cell_is_judged_the_same(seed: int, is_dense: bool) -> None:
    points, kinds = _scene(seed)
    surface, (ours, theirs) = _surface(seed), (_raster(), _raster())
    limits = np.array([0.15, 1.0, 0.3**2, 9.0**2, 0.05], np.float32)
    order = None if is_dense else np.random.default_rng(seed).permutation(kinds.size).astype(np.int32)
    above, sources = np.empty(kinds.size, np.float32), np.empty(kinds.size, np.uint8)
    kernels.judge_points(points, kinds, order, surface, limits, ours, above, sources, is_dense=is_dense)
    expected = reference.judge_points(points, kinds, order, surface, limits, theirs, is_dense=is_dense)
    np.testing.assert_array_equal(above, expected[0])
    np.testing.assert_array_equal(sources, expected[1])
    for name in ("cells", "counts", "nearest"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert (np.bincount(sources, minlength=8)[[0, 1, 2, 3, 6, 7]] > 0).all(), "the scene shows too little"
    if is_dense:
        points_alone = _raster()
        kernels.judge_points(points, kinds, None, surface, limits, points_alone, above, sources, is_dense=False)
        for bit in (kernels.CELL_FREE, kernels.CELL_FLAT):
            assert (ours.cells & bit).sum() > (points_alone.cells & bit).sum(), "nothing was filled between points"


def test_points_at_the_sensor_and_beyond_all_bins_are_survived() -> None:
    points = np.array([[[0, 0, 0], [999, 999, 3], [-999, 1e-30, -3], [np.nan, 0, 0]]], np.float32)
    surface, raster = _surface(0)._replace(foot=np.zeros(2, np.float32)), _raster()
    kinds, above, sources = np.ones((1, 4), np.uint8), np.empty(4, np.float32), np.empty(4, np.uint8)
    kernels.ground_heights(points[0], kinds[0], surface, np.array([0.08, 0.004, 0.25], np.float32), 1)
    limits = np.array([0.15, 1.0, 0.0, 81.0, 0.05], np.float32)
    kernels.judge_points(points, kinds, None, surface, limits, raster, above, sources, is_dense=True)
    assert np.isfinite(above[:3]).all()
    assert math.isnan(above[3]) and sources[3] == kernels.Source.NOTHING


def test_the_cloud_has_what_each_pixel_sees() -> None:
    points, above = np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.array([0.1, 0.9], np.float32)
    sources, mask = np.array([1, 3], np.uint8), np.array([[7, 8, 9]], np.uint8)
    point_of_pixel = np.array([[1, -1, 0]], np.int32)
    cloud = np.full(3 * 24, 77, np.uint8)
    kernels.measured_cloud(
        point_of_pixel, points, above, sources, mask, np.array([[5, 6, 7]], np.uint8), _PALETTE, cloud
    )
    floats, words, ids = cloud.view(np.float32).reshape(3, 6), cloud.view(np.uint32).reshape(3, 6), cloud.reshape(3, 24)
    np.testing.assert_array_equal(
        floats[[0, 2]][:, [0, 1, 2, 5]], np.array([[4, 5, 6, 0.9], [1, 2, 3, 0.1]], np.float32)
    )
    assert np.isnan(floats[1, [0, 1, 2, 5]]).all()
    np.testing.assert_array_equal(words[:, 3], _PALETTE[mask[0]])
    np.testing.assert_array_equal(ids[:, 16:20], [[7, 5, 3, 0], [8, 6, 0, 0], [9, 7, 1, 0]])
    kernels.measured_cloud(point_of_pixel, points, above, sources, mask, None, _PALETTE, cloud)
    assert (cloud.reshape(3, 24)[:, 17] == 255).all()
