"""Ramps, nodding and walls in a ray-cast scene: the ground is found where it is, not where the pose says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from measured_street import GROUND, MEASURED, REACH, kinds, measure, model_of
from ramp_scene import BUILDING, ROAD, SKY, Block, RampScene, car
from street_truth import GroundGrid

from fanet_ros.ground.pose import CameraPose
from fanet_ros.measured.kernels import Source
from fanet_ros.measured.projector import DepthCamera, MeasuredProjector, cloud_points
from fanet_ros.measured.sight import projected_sight, registered_sight
from fanet_ros.measured.view import MeasuredView
from fanet_ros.settings import Size
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street import geometry

_EYE = Intrinsics.from_fov(320, 180, 64.0)
_THINGS = (*car(7.5, 2.4), Block(5.0, 5.14, 1.0, 1.14, top=1.0), Block(8.0, 8.3, -4.0, -1.5, top=0.4))


def _look(
    scene: RampScene,
    *,
    nod: float = 0.0,
    roll: float = 0.0,
    height: float = 1.2,
    is_forged: bool = True,
    mounted: float = 0.0,
) -> tuple[MeasuredView, np.ndarray]:
    """The view of a robot that believes to stand level but for `mounted`, and the cells that are truly free."""
    true = geometry.CameraPose(x=0.0, y=0.0, z=height, yaw=0.0, pitch=0.15 + nod, roll=roll + mounted)
    depth, labels = scene.render(_EYE, true)
    if is_forged:
        labels = np.where(labels == SKY, SKY, ROAD).astype(np.uint8)
    told = CameraPose.from_parameters(x=0, y=0, height=height, roll=mounted, pitch=0.15, yaw=0)
    model, size = model_of(_EYE), Size(320, 180)
    camera = DepthCamera(model, size)
    sensor = camera.points(measure(depth, _EYE.fx, 0), told, REACH)
    sight = registered_sight(model, size, model, size)
    view = MeasuredProjector(GROUND, MEASURED).view(sensor, sight, labels, kinds())
    grid = GroundGrid(GROUND.grid_x_min, GROUND.grid_y_min, GROUND.grid_width, GROUND.grid_height, 0.1)
    return view, scene.free(grid, true)


@pytest.mark.parametrize("slope", [-0.10, -0.05, 0.0, 0.05, 0.10])
@pytest.mark.parametrize(("nod", "roll"), [(0.0, 0.0), (math.radians(3), 0.0), (math.radians(-3), math.radians(3))])
def test_ramps_are_free_and_what_stands_on_them_is_not(slope: float, nod: float, roll: float) -> None:
    view, is_free = _look(RampScene(_THINGS, slope=slope, ramp_at=4.0), nod=nod, roll=roll)
    occupancy = view.occupancy()
    wrong, known = int(((occupancy == 0) & ~is_free).sum()), int((occupancy >= 0).sum())
    assert wrong <= 0.001 * known
    assert view.is_trusted and known > 2_000
    # the ground itself is no obstacle: what is marked lies within the sensor's noise of what stands
    near_things = np.zeros_like(is_free)
    for row, column in np.argwhere(~is_free):
        near_things[max(0, row - 4) : row + 5, max(0, column - 4) : column + 8] = True
    assert int(((occupancy == 100) & ~near_things).sum()) <= 0.01 * known


def test_a_wall_that_the_mask_calls_road_is_an_obstacle() -> None:
    view, _ = _look(RampScene((Block(6.0, 6.3, -9.0, 9.0, top=2.5),)))
    scan = view.scan()
    ahead = np.abs(scan.angle_min + np.arange(len(scan.ranges)) * scan.angle_increment) < 0.3
    np.testing.assert_allclose(scan.ranges[ahead], 6.0, atol=0.6)  # the nearest of many noisy points
    assert not (view.occupancy()[:, 66:] == 0).any(), "free behind the wall"
    assert view.standing_ground() > 0.3
    points, labels = view.obstacle_cloud()
    assert len(points) > 1000 and (labels == ROAD).all()
    assert np.abs(points[:, 0] - 6.0).max() < 1.0


def test_ground_between_the_tyres_of_a_car_is_not_free() -> None:
    view, _ = _look(RampScene(tuple(car(6.0, 0.0))))
    occupancy = view.occupancy()
    assert not (occupancy[72:88, 42:80] == 0).any()  # below its body
    assert (view.sources == Source.HIDDEN).sum() > 20


@pytest.mark.parametrize("mounted", [45, 90, -90, 135, 180])
def test_a_camera_on_its_side_or_head_frees_nothing_below_things(mounted: int) -> None:
    table = Block(2.5, 4.0, -1.0, 1.0, bottom=0.6, top=0.7)
    for things in (tuple(car(5.0, 0.0)), (table,)):
        view, is_free = _look(RampScene(things), mounted=math.radians(mounted))
        assert not ((view.occupancy() == 0) & ~is_free).any()
        assert (view.occupancy() == 0).sum() > 200 and (view.sources == Source.HIDDEN).any()


def test_class_and_height_must_agree() -> None:
    scene = RampScene((Block(6.0, 6.3, -1.0, 1.0, top=1.0),))
    view, _ = _look(scene, is_forged=False)
    assert (view.sources[view.labels == BUILDING] != Source.AGREED).all()
    seen = view.labels == ROAD
    assert (view.sources[seen & (view.sources != Source.NOTHING)] == Source.AGREED).mean() > 0.95
    assert view.standing_ground() < 0.05
    flat = kinds()
    flat[ROAD] = 2
    projector = MeasuredProjector(GROUND, MEASURED)
    told = CameraPose.from_parameters(x=0, y=0, height=1.2, roll=0, pitch=0.15, yaw=0)
    depth, labels = scene.render(_EYE, geometry.CameraPose(x=0.0, y=0.0, z=1.2, yaw=0.0, pitch=0.15))
    camera, model = DepthCamera(model_of(_EYE), Size(320, 180)), model_of(_EYE)
    sight = registered_sight(model, Size(320, 180), model, Size(320, 180))
    view = projector.view(camera.points(depth, told, REACH), sight, labels, flat)
    assert not (view.occupancy() == 0).any(), "ground that is not drivable is free"
    assert (view.occupancy() == 100).sum() > 1000


def test_what_hangs_high_enough_is_driven_under() -> None:
    bridge = Block(8.0, 8.5, -9.0, 9.0, bottom=2.2, top=3.0)
    view, _ = _look(RampScene((bridge,)))
    assert (view.sources == Source.OVERHEAD).sum() > 100
    assert (view.occupancy()[:, 82:] == 0).sum() > 100
    assert not (view.occupancy() == 100).any()
    low = Block(5.0, 5.5, -9.0, 9.0, bottom=1.0, top=1.5)
    view, _ = _look(RampScene((low,)))
    # beside the middle the camera sees ground farther aside than what hangs over it
    assert not (view.occupancy()[50:110, 56:] == 0).any(), "free below a bar that is lower than the robot"


def test_depth_that_shows_no_ground_where_the_mask_does_is_not_trusted() -> None:
    """As of a camera that looks elsewhere than TF says."""
    view, _ = _look(RampScene(), nod=math.radians(25))
    assert not view.is_trusted
    assert not (view.occupancy() == 0).any()


def test_nothing_is_free_without_depth() -> None:
    told = CameraPose.from_parameters(x=0, y=0, height=1.2, roll=0, pitch=0.15, yaw=0)
    model, size = model_of(_EYE), Size(320, 180)
    camera = DepthCamera(model, size)
    sight = registered_sight(model, size, model, size)
    mask = np.full((180, 320), ROAD, np.uint8)
    for depth in (
        np.zeros((180, 320), np.uint16),
        np.full((180, 320), np.nan, np.float32),
        np.full((180, 320), 50, np.float32),
    ):
        view = MeasuredProjector(GROUND, MEASURED).view(camera.points(depth, told, REACH), sight, mask, kinds())
        assert (view.occupancy() == -1).all()
        assert np.isnan(view.scan().ranges).all()
        assert len(view.obstacle_points()) == 0 and len(view.obstacle_cloud()[0]) == 0
        assert view.shares() == {}


def test_an_empty_cloud_tells_nothing() -> None:
    told = CameraPose.from_parameters(x=0, y=0, height=1.2, roll=0, pitch=0.15, yaw=0)
    sensor = cloud_points(np.empty((0, 3), np.float32), told, REACH)
    sight = projected_sight(sensor.points.reshape(-1, 3), model_of(_EYE), told, Size(320, 180))
    mask = np.full((180, 320), ROAD, np.uint8)
    view = MeasuredProjector(GROUND, MEASURED).view(sensor, sight, mask, kinds())
    assert (view.occupancy() == -1).all() and len(view.obstacle_points()) == 0
