import numpy as np
import pytest
import torch

from fanet_ros.postprocess import labels_from_logits
from fanet_ros.settings import Size


def naive(logits: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear sampling with aligned corners, pixel by pixel, then argmax and softmax."""
    classes, height, width = logits.shape
    labels = np.zeros((size.height, size.width), np.uint8)
    confidence = np.zeros((size.height, size.width), np.float64)
    for v in range(size.height):
        for u in range(size.width):
            y = v * (height - 1) / max(1, size.height - 1)
            x = u * (width - 1) / max(1, size.width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            dy, dx = y - y0, x - x0
            value = (
                logits[:, y0, x0] * (1 - dy) * (1 - dx)
                + logits[:, y0, x1] * (1 - dy) * dx
                + logits[:, y1, x0] * dy * (1 - dx)
                + logits[:, y1, x1] * dy * dx
            )
            labels[v, u] = value.argmax()
            exponents = np.exp(value - value.max())
            confidence[v, u] = exponents.max() / exponents.sum()
    return labels, confidence


@pytest.mark.parametrize("grid", [(5, 7), (1, 1), (1, 6), (3, 1)])
@pytest.mark.parametrize("size", [Size(56, 40), Size(37, 23), Size(7, 5), Size(3, 2)])
def test_matches_the_equations(grid: tuple[int, int], size: Size) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (6, *grid)).astype(np.float32)
    labels, confidence = labels_from_logits(torch.from_numpy(logits), size, confidence=True)
    expected_labels, expected_confidence = naive(logits.astype(np.float64), size)
    np.testing.assert_array_equal(labels.numpy(), expected_labels)
    assert confidence is not None
    assert np.abs(confidence.numpy() - expected_confidence * 255).max() <= 0.51
    assert labels.dtype == confidence.dtype == torch.uint8


def test_labels_do_not_depend_on_confidence_being_asked_for() -> None:
    logits = torch.randn(11, 9, 13)
    plain, nothing = labels_from_logits(logits, Size(100, 70))
    with_confidence, _ = labels_from_logits(logits, Size(100, 70), confidence=True)
    assert nothing is None
    assert torch.equal(plain, with_confidence)


def test_ties_go_to_the_lowest_class() -> None:
    labels, confidence = labels_from_logits(torch.zeros(4, 3, 3), Size(20, 20), confidence=True)
    assert not labels.any()
    assert confidence is not None and (confidence == 64).all()  # a quarter of 255, rounded


def test_logits_are_not_changed() -> None:
    logits = torch.randn(3, 4, 4)
    before = logits.clone()
    labels_from_logits(logits, Size(4, 4), confidence=True)
    assert torch.equal(logits, before)


def test_half_precision_logits_are_decided_in_single_precision() -> None:
    logits = torch.randn(5, 6, 6).half()
    labels, _ = labels_from_logits(logits, Size(48, 48))
    expected, _ = labels_from_logits(logits.float(), Size(48, 48))
    assert torch.equal(labels, expected)
