import numpy as np
import pytest

from fanet_ros.datasets import Frame, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.errors import DatasetError
from fanet_ros.sources.street.camera import StreetCamera

SIZE = {"width": 160, "height": 96}


def test_single_images_are_those_of_a_camera_that_takes_one_every_nine_seconds() -> None:
    street = open_dataset("street", None, "val", {**SIZE, "streets": 2})
    assert list(street.names[7:9]) == ["0000_07", "0001_00"]
    filmed = StreetCamera(160, 96, seed=1, rate_hz=1 / 9).frame(1)
    sample = street.read(9)
    np.testing.assert_array_equal(sample.image, filmed.image)
    np.testing.assert_array_equal(sample.labels, filmed.labels)
    assert street.past(9, 3) == []


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
    with pytest.raises(DatasetError, match="data set street: option 'length': received 91, expected a value from 1"):
        open_dataset("street", None, "val", {"length": 91})
