"""Enlargement as most networks need it (align_corners false), of logits, probabilities and labels, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fanet_ros.errors import InferenceError
from fanet_ros.labelling import kernels, postprocess_torch
from fanet_ros.labelling.postprocess import LabelBuffers, enlarge_labels, labels_from_logits
from fanet_ros.settings import Size

CASES = [
    ((16, 24), Size(96, 64)),
    ((45, 60), Size(641, 363)),
    ((64, 96), Size(96, 64)),
    ((90, 160), Size(120, 70)),
    ((1, 5), Size(7, 9)),
    ((64, 128), Size(1280, 720)),
    ((5, 7), Size(3, 2)),
]


def values(classes: int, grid: tuple[int, int], probabilities: bool) -> NDArray[np.float32]:
    logits = torch.from_numpy(np.random.default_rng(classes).normal(0, 3, (classes, *grid)).astype(np.float32))
    return (logits.softmax(0) if probabilities else logits).numpy()


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("classes", [2, 19])
def test_labels_and_confidence_are_torchs(
    classes: int, align_corners: bool, probabilities: bool, portable: bool
) -> None:
    for grid, size in CASES:
        logits, shape = values(classes, grid, probabilities), (size.height, size.width)
        enlarged = F.interpolate(torch.from_numpy(logits)[None], shape, mode="bilinear", align_corners=align_corners)[0]
        best, expected = enlarged.max(0)
        sure = best if probabilities else (enlarged - best).exp().sum(0).reciprocal()
        found = LabelBuffers(np.empty(shape, np.uint8), np.empty(shape, np.uint8))
        assert found.confidence is not None
        assert kernels.labels_from_logits(
            logits, *found, 0, align_corners=align_corners, probabilities=probabilities, portable=portable
        )
        lost = (best - enlarged.gather(0, torch.from_numpy(found.labels)[None].long())[0]).max()
        assert lost <= 2e-6 * np.abs(logits).max(), (grid, size)  # nothing but ties up to rounding
        assert (found.labels == expected.numpy()).mean() > 0.9999, (grid, size)
        assert np.abs(found.confidence - 255 * sure.numpy()).max() <= 1, (grid, size)

        twin = postprocess_torch.dense_labels_from_logits(
            torch.from_numpy(logits), size, confidence=True, align_corners=align_corners, probabilities=probabilities
        )
        np.testing.assert_array_equal(twin[0].numpy(), expected.numpy())
        assert twin[1] is not None and np.abs(found.confidence - twin[1].numpy().astype(float)).max() <= 1


LABELS_OF = [
    np.array([1, 0, 255, 1, 0, 1], np.uint8),
    np.array([2, 2, 0, 1, 2, 0], np.uint8),  # in the kernel labels need no other names
    np.array([7, 7, 7, 7, 7, 7], np.uint8),
]


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("label_of", LABELS_OF)
def test_merged_classes_add_up_in_both_geometries(
    label_of: NDArray[np.uint8], align_corners: bool, probabilities: bool, portable: bool
) -> None:
    for grid, size in CASES:
        logits, shape = values(6, grid, probabilities), (size.height, size.width)
        given = torch.from_numpy(logits)
        wide = F.interpolate(given[None].double(), shape, mode="bilinear", align_corners=align_corners)[0]
        each, ids = wide if probabilities else wide.softmax(0), np.unique(label_of)
        sums = torch.stack([each[label_of == label].sum(0) for label in ids])
        best, places = sums.max(0)
        clear = (sums == best).sum(0).numpy() == 1
        if len(ids) > 1:
            first = sums.topk(2, dim=0).values
            clear = (first[0] - first[1] > 1e-4).numpy()  # pixels are placed in float32
        assert clear.mean() > 0.99
        found = LabelBuffers(np.empty(shape, np.uint8), np.empty(shape, np.uint8))
        kind = {"align_corners": align_corners, "probabilities": probabilities}
        assert kernels.labels_from_logits(logits, *found, 0, label_of=label_of, portable=portable, **kind)
        np.testing.assert_array_equal(found.labels[clear], ids[places.numpy()][clear])
        assert found.confidence is not None
        assert np.abs(found.confidence - 255 * best.numpy()).max() <= 0.6, (grid, size)
        twin = postprocess_torch.dense_labels_from_logits(given, size, confidence=True, label_of=label_of, **kind)
        np.testing.assert_array_equal(twin[0].numpy()[clear], found.labels[clear])
        assert twin[1] is not None and np.abs(found.confidence - twin[1].numpy().astype(float)).max() <= 1


def test_merged_probabilities_of_zero_are_the_lowest_label_and_bad_ones_an_error() -> None:
    grid, label_of = np.zeros((3, 4, 4), np.float32), np.array([9, 5, 255], np.uint8)
    kind = {"label_of": label_of, "confidence": True, "probabilities": True}
    labels, confidence = labels_from_logits(grid, Size(9, 9), **kind)
    assert (labels == 5).all() and confidence is not None and not confidence.any()
    twin = postprocess_torch.labels_from_logits(torch.from_numpy(grid), Size(9, 9), **kind)
    assert (twin[0] == 5).all()
    for bad in (np.nan, np.inf, -np.inf):
        grid[1, 2, 2] = bad
        with pytest.raises(InferenceError, match="finite"):
            labels_from_logits(grid, Size(9, 9), **kind)


def test_the_two_geometries_differ() -> None:
    logits = values(5, (16, 24), probabilities=False)
    aligned, half = (labels_from_logits(logits, Size(240, 160), align_corners=a).labels for a in (True, False))
    assert (aligned != half).mean() > 0.05


def test_probabilities_above_one_by_rounding_are_certain() -> None:
    found = labels_from_logits(np.full((1, 3, 3), 1.0001, np.float32), Size(9, 9), confidence=True, probabilities=True)
    assert found.confidence is not None and (found.confidence == 255).all()


@pytest.mark.parametrize("size", [Size(60, 40), Size(123, 77), Size(30, 20), Size(13, 7)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_labels_take_the_nearest_one(align_corners: bool, size: Size) -> None:
    numbers = np.random.default_rng(3).integers(0, 7, (1, 20, 30)).astype(np.float32)
    labels, confidence = enlarge_labels(numbers, size, 7, align_corners=align_corners)
    rows, columns = (
        [min(int(i * (n - 1) / (m - 1) + 0.5) if align_corners else int((i + 0.5) * n / m), n - 1) for i in range(m)]
        for n, m in ((20, size.height), (30, size.width))
    )
    expected = numbers[0][rows][:, columns]
    np.testing.assert_array_equal(labels, expected)
    assert confidence is None
    twin = postprocess_torch.enlarge_labels(torch.from_numpy(numbers), size, 7, align_corners=align_corners)
    np.testing.assert_array_equal(labels, twin.numpy())


def test_numbers_that_are_no_class_are_unlabelled() -> None:
    numbers = np.array([[[0, 2, 3, -1, 255, 1e9, np.nan, np.inf]]], np.float32)
    labels, _ = enlarge_labels(numbers, Size(8, 1), 3)
    assert labels.tolist() == [[0, 2, 255, 255, 255, 255, 255, 255]]
    assert postprocess_torch.enlarge_labels(torch.from_numpy(numbers), Size(8, 1), 3).tolist() == labels.tolist()


@pytest.mark.parametrize("align_corners", [False, True])
def test_labels_are_merged_after_the_decision(align_corners: bool) -> None:
    numbers = np.array([[[0, 2, 3, -1], [255, 1e9, np.nan, 1]]], np.float32)
    label_of, size = np.array([4, 0, 4], np.uint8), Size(8, 2)
    labels, _ = enlarge_labels(numbers, size, 3, label_of=label_of, align_corners=align_corners)
    own, _ = enlarge_labels(numbers, size, 3, align_corners=align_corners)
    np.testing.assert_array_equal(labels, np.choose(np.minimum(own, 3), [4, 0, 4, 255]))
    assert {0, 4, 255} == set(labels.flat)
    twin = postprocess_torch.enlarge_labels(
        torch.from_numpy(numbers), size, 3, label_of=label_of, align_corners=align_corners
    )
    np.testing.assert_array_equal(labels, twin.numpy())
    with pytest.raises(ValueError, match=r"label_of is .*shape \(2,\)"):
        enlarge_labels(numbers, size, 3, label_of=label_of[:2])
