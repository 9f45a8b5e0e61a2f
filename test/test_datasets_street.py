import numpy as np
import pytest

from fanet_ros.datasets import Frame, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.errors import DatasetError
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View

SIZE = {"width": 160, "height": 96}


def test_single_images_are_those_of_a_camera_that_takes_one_every_nine_seconds() -> None:
    street = open_dataset("street", None, "val", {**SIZE, "streets": 2})
    assert list(street.names[7:9]) == ["0000_07", "0001_00"]
    filmed = StreetCamera(160, 96, seed=1, rate_hz=1 / 9).frame(1)
    sample = street.read(9)
    np.testing.assert_array_equal(sample.image, filmed.image)
    np.testing.assert_array_equal(sample.labels, filmed.labels)
    assert street.past(9, 3) == [] and not street.motions(9)


def test_clips_are_those_of_a_camera_of_ten_hertz() -> None:
    street = open_dataset("street", None, "train", {**SIZE, "streets": 1, "moments": 2, "length": 3})
    assert list(street.names) == [f"1000_{moment:02d}_{frame:02d}" for moment in (0, 1) for frame in (0, 1, 2)]
    clips = ClipDataset(street, 2)
    clips.check(required=True)
    camera = StreetCamera(160, 96, seed=1000, rate_hz=10)
    clip = clips.clip(5)
    for image, number in zip(clip.images, (91, 92), strict=True):
        np.testing.assert_array_equal(image, camera.frame(number).image)
    np.testing.assert_array_equal(clip.labels, camera.frame(92).labels)
    assert clips.past(3) == [] and street.past(5, 9, step=2) == [Frame("1000_01", 0)]
    assert clips.videos() == [[0, 1, 2], [3, 4, 5]]


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(DatasetError, match="option length of data set street: received 91, expected a whole number"):
        open_dataset("street", None, "val", {"length": 91})


def test_motions_take_points_of_the_ground_and_of_the_sky_to_where_they_were() -> None:
    street = open_dataset("street", None, "val", {**SIZE, "streets": 1, "moments": 1, "length": 3})
    assert not street.motions(0)
    ground, sky = street.motions(2)
    names = street.label_set.names
    assert [names[index] for index in ground.class_ids] == ["road", "pavement"]
    assert [names[index] for index in sky.class_ids] == ["sky"]
    camera = StreetCamera(160, 96, seed=0, rate_hz=10)
    before, now = (View(camera.intrinsics, camera.pose(index)) for index in (1, 2))
    ahead = now.pose.x + np.array([6.0, 15.0, 40.0])
    points = np.column_stack([ahead, [-2.0, 1.0, 5.0], np.zeros(3)])
    far = points + np.array([1e9, 3e8, 2e8])
    for motion, seen in ((ground, points), (sky, far)):
        pixels = np.column_stack([now.project(seen), np.ones(3)]) @ motion.homography.T
        assert (pixels[:, 2] > 0).all()
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], before.project(seen), atol=1e-3)
    behind = np.column_stack([now.project(points) * (1, -1), np.ones(3)]) @ ground.homography.T
    assert (behind[:, 2] < pixels[:, 2].max()).all()


def test_the_ground_moves_as_the_motion_says() -> None:
    """Pixels of the road resemble where they come from more than what lies at the same place in the image before."""
    street = open_dataset("street", None, "val", {"width": 320, "height": 180, "streets": 1, "moments": 1, "length": 2})
    ground, _ = street.motions(1)
    now, before = street.read(1), street.read(0)
    y, x = np.nonzero((now.labels == street.label_set.id_of("road")) & (np.arange(180)[:, None] > 120))
    u, v, w = ground.homography @ np.stack([x, y, np.ones_like(x)])
    u, v = (u / w).round().astype(int), (v / w).round().astype(int)
    inside = (u >= 0) & (u < 320) & (v >= 0) & (v < 180)
    y, x, u, v = y[inside], x[inside], u[inside], v[inside]
    grey, grey_before = (sample.image.mean(2) for sample in (now, before))
    moved = np.abs(grey[y, x] - grey_before[v, u]).mean()
    still = np.abs(grey[y, x] - grey_before[y, x]).mean()
    assert moved < 0.7 * still
