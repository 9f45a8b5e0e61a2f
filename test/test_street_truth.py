"""The truths that proofs rest on: footprints and free cells of the street, and the scene with a ramp."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ramp_scene import BUILDING, CAR, ROAD, SKY, Block, RampScene, car
from street_truth import Footprint, GroundGrid, footprints, free_cells, points_of, scene_objects

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import CameraPose

INTRINSICS = Intrinsics.from_fov(320, 180, 70.0)
POSE = CameraPose(0.0, 0.0, 1.2, 0.0, 0.1)
GRID = GroundGrid(0.0, -5.0, 100, 50, 0.2)


@pytest.fixture(scope="module")
def street():
    return StreetCamera(320, 180, seed=1, depth=True)


def test_a_cell_is_free_when_no_part_of_a_footprint_is_in_it():
    grid = GroundGrid(0.0, 0.0, 4, 3, 1.0)
    free = free_cells([Footprint(1.5, 2.2, 0.2, 0.9, 1.0)], grid, replace(POSE, x=0.0, y=0.0))
    np.testing.assert_array_equal(free, [[True, False, False, True], [True] * 4, [True] * 4])
    touching = free_cells([Footprint(1.0, 2.0, 1.0, 2.0, 1.0)], grid, POSE)
    np.testing.assert_array_equal(touching, [[True] * 4, [True, False, True, True], [True] * 4])


@pytest.mark.parametrize("yaw", [0.0, 0.3, -1.0])
def test_free_cells_follow_the_cameras_place_and_yaw(yaw):
    """Against points strewn over box and cells: a cell that has a point of the box in it is not free."""
    pose, box = replace(POSE, x=3.0, y=-2.0, yaw=yaw), Footprint(7.0, 9.5, -4.0, -1.0, 1.0)
    x, y = np.meshgrid(np.linspace(7.0, 9.5, 400), np.linspace(-4.0, -1.0, 400))
    away, (s, c) = np.stack([x - pose.x, y - pose.y], axis=-1), (math.sin(yaw), math.cos(yaw))
    grid = GroundGrid(-10.0, -10.0, 50, 50, 0.4)
    columns = np.floor((away @ (c, s) + 10.0) / 0.4).astype(int)
    rows = np.floor((away @ (-s, c) + 10.0) / 0.4).astype(int)
    strewn = np.zeros((50, 50), bool)
    strewn[rows, columns] = True
    taken = ~free_cells([box], grid, pose)
    assert np.all(taken[strewn]) and taken.sum() <= strewn.sum() + 4, "cells that the box barely touches may be missed"


@pytest.mark.parametrize("index", [40, 333])
def test_what_the_street_shows_low_above_the_ground_stands_on_footprints(street, index):
    """Points between 0.15 m and 1 m high are in cells that are not free, points on open road in cells that are."""
    pose, boxes = street.pose(index), footprints(street, index)
    points = points_of(street.frame(index).depth, street.intrinsics, pose).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    s, c = math.sin(pose.yaw), math.cos(pose.yaw)
    cells = np.floor((points[:, :2] - pose.position[:2]) @ [[c, -s], [s, c]] / 0.2).astype(int) + (0, 40)
    inside = np.all((cells >= 0) & (cells < (100, 80)), axis=1)
    (columns, rows), points = cells[inside].T, points[inside]
    is_free = free_cells(boxes, GroundGrid(0.0, -8.0, 100, 80, 0.2), pose)[rows, columns]
    tall = (points[:, 2] > 0.15) & (points[:, 2] < 1.0)
    assert tall.sum() > 300 and is_free[tall].mean() < 0.02
    x_min, x_max, y_min, y_max = np.array([box[:4] for box in boxes]).T
    x, y = points[:, :1], points[:, 1:2]
    x_away, y_away = np.maximum(x_min - x, x - x_max), np.maximum(y_min - y, y - y_max)
    away = np.hypot(np.maximum(x_away, 0), np.maximum(y_away, 0)).min(axis=1)
    open_road = (np.abs(points[:, 2]) < 1e-3) & (away > 0.2 * math.sqrt(2))
    assert open_road.sum() > 10_000 and is_free[open_road].all()
    assert not is_free[away == 0].any()


def test_footprints_are_those_of_what_blocks_the_way(street):
    boxes, things = footprints(street, 40), scene_objects(street, 40)
    kinds = {box.kind for box in boxes}
    assert kinds >= {"house", "parked_car"} and not kinds & {"sign", "traffic_light"}
    assert all(box.top > 0.15 and box.x_max > box.x_min and box.y_max > box.y_min for box in boxes)
    assert len(boxes) == sum(thing.kind not in ("sign", "traffic_light") for thing in things)
    for box in boxes:
        if box.kind in ("house", "hedge", "railing", "boards"):
            assert min(abs(box.y_min), abs(box.y_max)) >= 9.2, "what lines the street keeps off its pavement"


@pytest.mark.parametrize("slope", [0.0, 0.05, 0.1, -0.05])
@pytest.mark.parametrize("turned", [{}, {"pitch": 0.15, "roll": 0.05, "yaw": -0.1}])
def test_the_points_of_a_ramp_lie_on_it(slope, turned):
    scene, pose = RampScene((), slope, 6.0), replace(POSE, **turned)
    depth, labels = scene.render(INTRINSICS, pose)
    np.testing.assert_array_equal(np.isinf(depth), labels == SKY)
    near = (labels == ROAD) & (depth < 200)
    points = points_of(depth, INTRINSICS, pose)[near]
    np.testing.assert_allclose(points[:, 2], slope * np.maximum(points[:, 0] - 6.0, 0), atol=1e-4)
    assert np.mean(points[:, 0] > 6.0) > 0.1


def test_a_ramp_rises_above_the_horizon_of_flat_ground():
    level = replace(POSE, pitch=0.0)
    flat, ramp = (RampScene((), slope, 6.0).render(INTRINSICS, level)[1] for slope in (0.0, 0.1))
    assert not np.any(flat[:90] == ROAD)
    assert np.any(ramp[80:90] == ROAD)


def test_boxes_have_their_size_and_distance():
    scene = RampScene((Block(5.0, 6.0, -1.0, 1.0, 0.0, 0.8),))
    depth, labels = scene.render(INTRINSICS, replace(POSE, pitch=0.0))
    points = points_of(depth, INTRINSICS, replace(POSE, pitch=0.0))[labels == BUILDING]
    assert depth[labels == BUILDING].min() == pytest.approx(5.0)
    pixel = 6.0 / INTRINSICS.fx
    np.testing.assert_allclose(points.min(axis=0), (5.0, -1.0, 0.0), atol=pixel)
    # a row of its top is 0.1 m deep
    np.testing.assert_array_less(np.abs(points.max(axis=0) - (6.0, 1.0, 0.8)), (0.15, pixel, pixel))


def test_one_sees_the_ground_below_a_car_and_it_is_not_free():
    scene = RampScene(tuple(car(8.0, 0.5)))
    low = replace(POSE, z=0.3, pitch=0.0)
    depth, labels = scene.render(INTRINSICS, low)
    points = points_of(depth, INTRINSICS, low)
    with np.errstate(invalid="ignore"):
        below = (
            (labels == ROAD) & (points[..., 0] > 6.0) & (points[..., 0] < 10.0) & (np.abs(points[..., 1] - 0.5) < 0.85)
        )
    assert below.sum() > 20
    assert np.any(labels == CAR)
    free, centres = scene.free(GRID, low), GRID.centres()
    in_car = (np.abs(centres[..., 0] - 8.0) < 2.1) & (np.abs(centres[..., 1] - 0.5) < 0.9)
    assert not free[in_car].any()
    assert free[np.maximum(np.abs(centres[..., 0] - 8.0) - 2.1, np.abs(centres[..., 1] - 0.5) - 0.9) > 0.1].all()


def test_things_on_a_ramp_stand_on_it():
    scene = RampScene((Block(15.0, 16.0, -1.0, 1.0, 0.0, 1.0), *car(12.0, -3.0)), 0.1, 6.0)
    depth, labels = scene.render(INTRINSICS, POSE)
    points = points_of(depth, INTRINSICS, POSE)
    assert points[labels == BUILDING][:, 2].max() == pytest.approx(0.95 + 1.0, abs=0.1)
    above = points[..., 2] - scene.ground(points[..., 0])
    assert above[labels == CAR].max() == pytest.approx(1.5, abs=0.3) and above[labels == CAR].min() > -0.05
