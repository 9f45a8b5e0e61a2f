"""The street's depth: true to its geometry in every pixel, from the camera and from elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from street_truth import footprint_of, map_from_optical, points_of, scene_objects

from fanet_ros.errors import SourceError
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import CameraPose, View

LABELS = load_label_set("camvid11")
ROAD, PAVEMENT, SKY, CAR, TREE = (LABELS.id_of(name) for name in ("road", "pavement", "sky", "car", "tree"))
FRAMES = (0, 333, 1240)
DEPTH_CAMERA = Intrinsics(424, 240, 310.0, 308.0, 209.3, 121.8)


@pytest.fixture(scope="module")
def camera():
    return StreetCamera(640, 360, seed=1, depth=True)


@pytest.fixture(scope="module")
def nodding():
    return StreetCamera(640, 360, seed=1, depth=True, nod_deg=3.0)


def assert_true(camera, index, labels, depth, intrinsics, pose):
    """Every pixel's point lies where the scene has something of the pixel's class."""
    assert depth.dtype == np.float32 and depth.shape == labels.shape
    np.testing.assert_array_equal(np.isinf(depth), labels == SKY)
    assert depth.min() > 0
    points, z = points_of(depth, intrinsics, pose), depth.astype(float)
    ground = (labels == ROAD) | (labels == PAVEMENT)
    near = ground & (z < 500)
    assert np.abs(points[near][:, 2]).max() < 1e-3
    assert np.all(np.abs(points[ground & ~near][:, 2]) < 1.5 * z[ground & ~near] / intrinsics.fy), "the horizon's row"
    for_sure = ground & (np.abs(np.abs(points[..., 1]) - 5.8) > 1.5 * z / intrinsics.fx + z**2 / 600)
    np.testing.assert_array_equal(labels[for_sure] == ROAD, np.abs(points[for_sure][:, 1]) < 5.8)
    for name in ("car", "pole", "pedestrian", "bicyclist", "signsymbol", "fence"):
        shown = (labels == LABELS.id_of(name)) & (depth < 50)
        boxes = [box_of(thing) for thing in scene_objects(camera, index) if thing.class_name == name]
        pixel = z[shown] / intrinsics.fx
        inside, close = (is_inside(points[shown], pixels * pixel, boxes) for pixels in (1.5, 12.0))
        assert np.sum(~inside) <= 1e-3 * np.sum(shown), f"{name} is drawn where none is"
        assert np.all(close), f"{name} is drawn where none is: not even the border of a thin sliver lies there"


def box_of(thing):
    box = footprint_of(thing)
    middle = (box.y_min + box.y_max) / 2
    reach = 1.4 if thing.kind == "lamp_post" else 0.45  # a lamp's arm; the pictures of people are wider than people
    if thing.class_name != "car" and thing.kind != "railing":
        box = box._replace(y_min=min(box.y_min, middle - reach), y_max=max(box.y_max, middle + reach))
    return box, thing.z


def is_inside(points, tolerance, boxes):
    inside = np.zeros(len(points), bool)
    for box, bottom in boxes:
        low, high = (box.x_min, box.y_min, bottom), (box.x_max, box.y_max, box.top + 0.1)
        inside |= np.all((points >= low - tolerance[:, None]) & (points <= high + tolerance[:, None]), axis=1)
    return inside


@pytest.mark.parametrize("index", FRAMES)
def test_the_depth_of_every_pixel_is_that_of_what_it_is_labelled(camera, index):
    frame = camera.frame(index)
    assert_true(camera, index, frame.labels, frame.depth, camera.intrinsics, camera.pose(index))


@pytest.mark.parametrize("index", FRAMES)
def test_a_nodding_camera_is_true_to_its_true_pose_and_only_to_that(nodding, index):
    frame, nominal, true = nodding.frame(index), nodding.pose(index), nodding.pose(index, true=True)
    assert_true(nodding, index, frame.labels, frame.depth, nodding.intrinsics, true)
    road = (frame.labels == ROAD) & (frame.depth < 15)
    believed = points_of(frame.depth, nodding.intrinsics, nominal)[road][:, 2]
    assert np.abs(believed).max() > 0.1
    assert nominal.roll == 0.0 and (nominal.x, nominal.y, nominal.z, nominal.yaw) == (true.x, true.y, true.z, true.yaw)


def test_a_camera_nods_by_as_much_as_it_was_told(nodding):
    nominal, true = ([nodding.pose(index, true=way) for index in range(600)] for way in (False, True))
    pitches = np.degrees([a.pitch - b.pitch for a, b in zip(true, nominal, strict=True)])
    rolls = np.degrees([pose.roll for pose in true])
    for angles in (pitches, rolls):
        assert 2.9 < angles.max() <= 3.0 and -3.0 <= angles.min() < -2.9


def test_the_image_of_a_nodding_camera_shows_its_labels(nodding):
    for index in FRAMES:
        frame = nodding.frame(index)
        grey = frame.image.mean(axis=2)
        assert frame.image.shape == (360, 640, 3) and frame.labels.max() < len(LABELS)
        assert grey[frame.labels == SKY].mean() > 170
        assert 50 < grey[frame.labels == ROAD].mean() < 130
        red, green, blue = frame.image[frame.labels == TREE].mean(axis=0)
        assert green > red and green > blue


@pytest.mark.parametrize("roll", [0.0, 0.05, -0.6])
def test_a_depth_camera_elsewhere_is_true_too(camera, roll):
    for index in FRAMES:
        pose = replace(camera.pose(index).moved(0.05, -0.02, 0.01), roll=roll)
        view = camera.view(index, View(DEPTH_CAMERA, pose))
        assert_true(camera, index, view.labels, view.depth(), DEPTH_CAMERA, pose)


def test_moving_follows_the_axes_of_the_optical_frame():
    pose = CameraPose(1.0, 2.0, 1.5, 0.3, 0.2, -0.1)
    moved = pose.moved(0.1, 0.2, 0.3)
    expected = np.array([1.0, 2.0, 1.5]) + map_from_optical(pose) @ (0.1, 0.2, 0.3)
    np.testing.assert_allclose(moved.position, expected)
    assert (moved.yaw, moved.pitch, moved.roll) == (0.3, 0.2, -0.1)


@pytest.mark.parametrize("roll", [0.0, 0.04])
def test_two_cameras_agree_on_what_both_see(camera, roll):
    """Points of the one, seen by the other, have the depth that the other measures there, unless they are hidden."""
    for index in FRAMES:
        frame, pose = camera.frame(index), replace(camera.pose(index).moved(0.05, 0.0, 0.0), roll=roll)
        view = camera.view(index, View(DEPTH_CAMERA, pose))
        near = frame.depth < 60
        points = points_of(frame.depth, camera.intrinsics, camera.pose(index))[near]
        optical = (points - pose.position) @ map_from_optical(pose)
        rays, k = optical[:, :2] / optical[:, 2:], DEPTH_CAMERA
        pixels = np.rint(rays * (k.fx, k.fy) + (k.cx, k.cy)).astype(int)
        seen = np.all((pixels >= 0) & (pixels < (k.width, k.height)), axis=1)
        measured = view.surfaces.depth_along(rays[seen])
        same = np.isclose(measured, optical[seen, 2], rtol=1e-4)
        assert seen.mean() > 0.5 and same.mean() > 0.93
        labels = view.labels[pixels[seen, 1], pixels[seen, 0]] == frame.labels[near][seen]
        assert labels[same].mean() > 0.99


def is_ahead(thing):
    return thing.kind == "car" and thing.facing > 0


def test_known_corners_have_their_depth(camera):
    """The middle of the leading car's bumper."""
    checked = 0
    for index in range(0, 1800, 60):
        pose, depth = camera.pose(index), camera.frame(index)
        leader = next(thing for thing in scene_objects(camera, index, ahead=100.0) if is_ahead(thing))
        corner = np.array([footprint_of(leader).x_min, leader.y, 0.4])
        x, y, z = (corner - pose.position) @ map_from_optical(pose)
        k = camera.intrinsics
        u, v = round(x / z * k.fx + k.cx), round(y / z * k.fy + k.cy)
        if not (0 <= u < k.width and 0 <= v < k.height) or depth.labels[v, u] != CAR:
            continue  # outside the image, or a person before it
        assert depth.depth[v, u] == pytest.approx(z, rel=2e-3)
        checked += 1
    assert checked > 10


def test_asking_for_depth_changes_neither_image_nor_labels(camera):
    plain = StreetCamera(640, 360, seed=1)
    for index in FRAMES:
        frame, same = plain.frame(index), camera.frame(index)
        assert frame.depth is None
        np.testing.assert_array_equal(frame.image, same.image)
        np.testing.assert_array_equal(frame.labels, same.labels)
        level = plain.view(index, View(plain.intrinsics, plain.pose(index)))
        np.testing.assert_array_equal(level.labels, same.labels)
        np.testing.assert_array_equal(level.depth(), same.depth)


@pytest.mark.parametrize("size", [(64, 64), (4096, 64), (64, 1024), (641, 361)])
def test_any_size_nods(size):
    camera = StreetCamera(*size, depth=True, nod_deg=10.0)
    for index in (0, 25, 40):  # looks down and up
        frame = camera.frame(index)
        assert frame.depth.shape == size[::-1]
        np.testing.assert_array_equal(np.isinf(frame.depth), frame.labels == SKY)


@pytest.mark.parametrize("nod", [-1.0, 11.0, float("nan")])
def test_a_nod_out_of_range_is_refused(nod):
    with pytest.raises(SourceError, match=f"nods by 0 to 10 degrees, got nod_deg = {nod}"):
        StreetCamera(nod_deg=nod)


@pytest.mark.parametrize("wrong", [{"z": 0.0}, {"yaw": 1.5}, {"pitch": -1.2}, {"z": float("nan")}])
def test_views_that_the_street_is_not_painted_for_are_refused(camera, wrong):
    with pytest.raises(SourceError, match="stay above the ground"):
        camera.view(0, View(DEPTH_CAMERA, replace(camera.pose(0), **wrong)))
