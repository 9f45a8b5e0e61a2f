"""The organised cloud, byte by byte."""

from __future__ import annotations

import array

import numpy as np
import pytest

from fanet_ros.errors import FrameError
from fanet_ros.ground.semantic_cloud import SemanticCloud
from fanet_ros.model.labels import load_label_set

PALETTE = load_label_set("camvid11").palette
RECORD = np.dtype({"names": [f.name for f in SemanticCloud.fields], "offsets": [f.offset for f in SemanticCloud.fields],
                   "formats": ["<f4", "<f4", "<f4", "<u4", "u1", "u1"], "itemsize": 20})  # fmt: skip


@pytest.fixture
def points() -> np.ndarray:
    points = np.random.default_rng(2).normal(size=(6, 9, 3)).astype(np.float32)
    points[:2] = np.nan
    return points


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.random.default_rng(3).integers(0, 11, (6, 9)).astype(np.uint8)
    mask[3, 4] = 255
    return mask


def test_every_point_says_what_its_pixel_shows(points: np.ndarray, mask: np.ndarray) -> None:
    cloud = SemanticCloud(points, PALETTE)
    confidence = np.random.default_rng(4).integers(0, 256, mask.shape).astype(np.uint8)
    record = cloud.fill(mask, confidence).view(RECORD).reshape(6, 9)
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (9, 6, 20, 180)
    np.testing.assert_array_equal(np.stack([record["x"], record["y"], record["z"]], -1), points)
    np.testing.assert_array_equal(record["label"], mask)
    np.testing.assert_array_equal(record["confidence"], confidence)
    colours = PALETTE[mask].astype(np.uint32)
    np.testing.assert_array_equal(record["rgb"], colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2])
    assert record["rgb"][3, 4] == 0, "unlabelled is black"


def test_the_next_frame_changes_all_but_the_places(points: np.ndarray, mask: np.ndarray) -> None:
    cloud = SemanticCloud(points, PALETTE)
    cloud.fill(mask, np.zeros_like(mask))
    record = cloud.fill(mask[::-1], None).view(RECORD).reshape(6, 9)
    np.testing.assert_array_equal(record["label"], mask[::-1])
    assert (record["confidence"] == 255).all()
    np.testing.assert_array_equal(record["x"], points[..., 0])


def test_it_lives_in_the_memory_that_it_is_given(points: np.ndarray, mask: np.ndarray) -> None:
    memory = array.array("B", bytes(6 * 9 * 20))
    cloud = SemanticCloud(points, PALETTE, memoryview(memory))
    cloud.fill(mask, None)
    np.testing.assert_array_equal(np.frombuffer(memory, RECORD)["label"].reshape(6, 9), mask)


def test_what_does_not_fit_is_refused(points: np.ndarray, mask: np.ndarray) -> None:
    with pytest.raises(FrameError, match="the buffer has 10 bytes, expected 1080"):
        SemanticCloud(points, PALETTE, memoryview(bytearray(10)))
    cloud = SemanticCloud(points, PALETTE)
    with pytest.raises(FrameError, match="mask: received uint8 of shape"):
        cloud.fill(mask[:3], None)
    with pytest.raises(FrameError, match="confidence: received float32"):
        cloud.fill(mask, mask.astype(np.float32))
