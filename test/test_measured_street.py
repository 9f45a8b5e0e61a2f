"""Free space and obstacles from measured depth against the truth of the simulated street."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from measured_street import (
    GROUND,
    Moment,
    aside_view,
    check,
    forged,
    kinds,
    lidar_view,
    model_of,
    moment,
    registered_view,
    summed,
)
from numpy.typing import NDArray

from fanet_ros.ground.projector import GroundProjector
from fanet_ros.measured.view import MeasuredView

See = Callable[[Moment, NDArray[np.uint8]], MeasuredView]


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    """Twenty streets; in every other one the robot nods by up to 3 degrees and does not know it."""
    return [moment(seed, nod_deg=3.0 * (seed % 2)) for seed in range(20)]


@pytest.mark.parametrize("is_forged", [False, True], ids=["true mask", "all is road"])
@pytest.mark.parametrize("see", [registered_view, aside_view, lidar_view])
def test_next_to_nothing_is_free_that_is_not(moments: list[Moment], see: See, is_forged: bool) -> None:
    views = [see(at, forged(at.labels) if is_forged else at.labels) for at in moments]
    total = summed([check(at, view.occupancy()) for at, view in zip(moments, views, strict=True)])
    assert total.wrong <= 0.001 * total.known
    if see is not lidar_view:  # its rings are metres apart
        assert total.known > 40_000
        assert total.marked >= 0.999 * total.standing > 100


def test_the_mask_alone_frees_what_stands_where_it_calls_everything_road(moments: list[Moment]) -> None:
    """The test above can fail."""
    results = []
    for at in moments:
        projector = GroundProjector(model_of(at.camera.intrinsics), at.pose, at.size, GROUND)
        results.append(check(at, projector.view(forged(at.labels), kinds()).occupancy()))
    total = summed(results)
    assert total.wrong > 0.01 * total.known
    assert total.marked == 0


def test_scan_and_clouds_tell_of_the_same_obstacles_as_the_grid(moments: list[Moment]) -> None:
    views = [registered_view(at, forged(at.labels)) for at in moments]
    view = max(views, key=lambda view: len(view.obstacle_points()))
    scan, occupancy = view.scan(), view.occupancy()
    hits = np.flatnonzero(np.isfinite(scan.ranges))
    angles = scan.angle_min + hits * scan.angle_increment
    ends = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * scan.ranges[hits, None]
    corner = np.array([GROUND.grid_x_min, GROUND.grid_y_min])
    cells = np.floor((ends - corner) / GROUND.grid_resolution).astype(int)
    inside = ((cells >= 1) & (cells < np.array(occupancy.shape[::-1]) - 1)).all(axis=1)
    near = [(occupancy[y - 1 : y + 2, x - 1 : x + 2] == 100).any() for x, y in cells[inside]]
    assert len(near) > 20 and all(near)
    assert any(np.isinf(view.scan().ranges).any() for view in views)
    points, labels = view.obstacle_cloud()
    assert len(points) == len(labels) > 100 and np.isfinite(points).all()
    standing = view.obstacle_points()
    assert len(standing) > 20 and np.abs(standing[:, 2]).max() < 0.5


@pytest.mark.parametrize("told_up", [-1.5, -1.0, 0.5, 1.0])
def test_nothing_is_free_where_the_pose_is_that_of_another_mount(moments: list[Moment], told_up: float) -> None:
    for at in moments[:6]:
        for mask in (at.labels, forged(at.labels)):
            view = registered_view(at, mask, told_up)
            assert not view.is_trusted and not (view.occupancy() == 0).any()
