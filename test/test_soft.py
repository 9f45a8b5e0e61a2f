"""Probabilities for another network to learn: fanet_ros/labelling/soft.py."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fanet_ros.labelling.soft import probabilities_from_logits
from fanet_ros.settings import Size


def enlarged(logits: NDArray[np.float32], image: Size, align_corners: bool = True) -> NDArray[np.float64]:
    """Logits of every pixel, (classes, H, W)."""
    shape = (image.height, image.width)
    values = torch.from_numpy(logits.astype(np.float64))[None]
    return torch.nn.functional.interpolate(values, shape, mode="bilinear", align_corners=align_corners)[0].numpy()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("grid", [(9, 13), (1, 5), (1, 1)])
@pytest.mark.parametrize("divisor", [1, 3, 5])  # odd, so that the centre of a part is a pixel
def test_points_are_the_centres_of_equal_parts(grid: tuple[int, int], divisor: int, align_corners: bool) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (6, *grid)).astype(np.float32)
    image = Size(105, 75)
    values = enlarged(logits, image, align_corners)[:, divisor // 2 :: divisor, divisor // 2 :: divisor]
    expected = np.exp(values) / np.exp(values).sum(0)
    points = Size(105 // divisor, 75 // divisor)
    found = probabilities_from_logits(logits, image, points, align_corners=align_corners)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_merged_classes_add_up_and_the_unlabelled_are_left_out() -> None:
    logits = np.random.default_rng(1).normal(0, 200, (4, 5, 6)).astype(np.float32)  # exponentials would overflow
    image, points = Size(40, 30), Size(20, 10)
    single = probabilities_from_logits(logits, image, points)
    merged = probabilities_from_logits(logits, image, points, np.array([1, 0, 255, 1], np.uint8))
    np.testing.assert_allclose(merged, np.stack([single[1], single[0] + single[3]]), atol=1e-6)
    np.testing.assert_allclose(merged.sum(0), 1 - single[2], atol=1e-5)
    assert np.isfinite(single).all()


@pytest.mark.parametrize("align_corners", [True, False])
def test_probabilities_that_a_network_gives_are_no_logits(align_corners: bool) -> None:
    logits = torch.from_numpy(np.random.default_rng(2).normal(0, 3, (4, 9, 13)).astype(np.float32))
    given, image, points = logits.softmax(0).numpy(), Size(105, 75), Size(35, 25)
    values = enlarged(given, image, align_corners)[:, 1::3, 1::3]
    kind = {"align_corners": align_corners, "probabilities": True}
    np.testing.assert_allclose(probabilities_from_logits(given, image, points, **kind), values, atol=1e-5)
    merged = probabilities_from_logits(given, image, points, np.array([1, 0, 255, 1], np.uint8), **kind)
    np.testing.assert_allclose(merged, np.stack([values[1], values[0] + values[3]]), atol=1e-5)
