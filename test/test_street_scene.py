"""What stands and moves in the street, and where it is seen."""

import numpy as np
import pytest

from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View
from fanet_ros.sources.street.ground import PAVEMENT_EDGE, ROAD_HALF_WIDTH
from fanet_ros.sources.street.raster import Canvas
from fanet_ros.sources.street.scene import StreetScene


@pytest.fixture(scope="module")
def scene():
    return StreetScene(5)


def test_a_scene_is_the_same_from_wherever_it_is_looked_at(scene):
    whole = scene.objects(20.0, 100.0, 260.0)
    fresh = StreetScene(5)
    fresh.objects(3.0, 5000.0, 5100.0)
    assert fresh.objects(20.0, 100.0, 260.0) == whole
    assert [thing for thing in whole if 150 < thing.x < 200] == scene.objects(20.0, 150.0, 200.0)


def test_objects_come_from_far_to_near(scene):
    places = [thing.x for thing in scene.objects(5.0, 0.0, 150.0)]
    assert len(places) > 15
    assert places == sorted(places, reverse=True)


def test_things_are_where_they_belong(scene):
    for thing in scene.objects(40.0, 0.0, 800.0):
        across = abs(thing.y)
        if thing.class_name in ("car", "bicyclist"):
            assert across + thing.width / 2 < ROAD_HALF_WIDTH
        else:
            assert ROAD_HALF_WIDTH < across < PAVEMENT_EDGE, thing


def test_fixed_things_stay_and_others_move_at_their_speed(scene):
    before, after = scene.objects(10.0, 100.0, 200.0), scene.objects(11.0, 100.0, 200.0)
    posts = {thing for thing in before if thing.class_name == "pole"}
    assert posts
    assert posts <= set(after)
    walkers = [thing for thing in before if thing.kind == "walker" and 110 < thing.x < 190]
    assert walkers
    later = [thing.x for thing in after if thing.kind == "walker"]
    for walker in walkers:
        steps = [x - walker.x for x in later]
        assert any(0.9 < step * walker.facing < 1.6 for step in steps)


def test_the_car_ahead_keeps_its_distance(scene):
    for time in np.arange(0, 240, 2.0):
        here = scene.camera(time)
        own_lane = [
            thing for thing in scene.objects(time, here.x - 2, here.x + 90) if thing.kind == "car" and thing.facing > 0
        ]
        assert all(thing.x - here.x > 10 for thing in own_lane)


def test_lots_line_both_sides_without_gaps(scene):
    lots = scene.frontage(100.0, 300.0)
    for side in (1, -1):
        spans = sorted(
            (lot[0].x - lot[0].length / 2, lot[0].x + lot[0].length / 2) for lot in lots if lot[0].y * side > 0
        )
        assert spans[0][0] <= 100 and spans[-1][1] >= 300 - 24
        for (_, end), (start, _) in zip(spans[:-1], spans[1:], strict=True):
            assert end == pytest.approx(start)


def test_a_sign_is_labelled_where_its_position_projects_to():
    camera, names = StreetCamera(640, 360, seed=2), load_label_set("camvid11")
    found = 0
    for index in range(0, 600, 20):
        pose = camera.pose(index)
        labels = camera.frame(index).labels
        for thing in camera.scene.objects(index / 30, pose.x + 8, pose.x + 14):
            if thing.kind != "sign":
                continue
            middle = np.array([[thing.x, thing.y, thing.z + thing.height / 2]])
            u, v = View(camera.intrinsics, pose).project(middle)[0]
            if 5 < u < 635 and 5 < v < 355:
                found += labels[round(v), round(u)] == names.id_of(thing.class_name)
    assert found >= 3


def test_image_and_labels_share_their_masks():
    camera = StreetCamera(160, 120)
    canvas = Canvas(View(camera.intrinsics, camera.pose(0)))
    x = camera.pose(0).x + 10
    canvas.polygon([(x, 1.0, 0.5), (x, -3.0, 0.5), (x + 1, -2.0, 2.5)], (200, 10, 10), 8)
    assert (canvas.labels == 8).sum() > 20
    np.testing.assert_array_equal(canvas.labels == 8, canvas.image[..., 0] == 200)
