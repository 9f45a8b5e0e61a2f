import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fanet_ros.datasets import IGNORED
from fanet_ros.network import AuxiliaryLogits
from fanet_ros.training.losses import SegmentationLoss, log_class_weights, shrink_labels
from fanet_ros.training.recipe import LossRecipe


def labels_and_logits(classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (2, 12, 16), generator=draw).to(torch.uint8)
    labels[:, :3] = IGNORED
    return labels, torch.randn(2, classes, 12, 16, generator=draw, requires_grad=True)


def loss_of(**settings: object) -> SegmentationLoss:
    return SegmentationLoss(LossRecipe.model_validate(settings))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_torchs(weighted: bool, smoothing: float) -> None:
    labels, logits = labels_and_logits()
    weights = torch.tensor([1.0, 2, 3, 4, 5]) if weighted else None
    loss = SegmentationLoss(LossRecipe.model_validate({"label_smoothing": smoothing}), weights)
    expected = F.cross_entropy(logits, labels.long(), weights, ignore_index=IGNORED, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_heads_are_enlarged_and_added() -> None:
    labels, main = labels_and_logits()
    small = torch.randn(2, 5, 3, 4)
    loss = loss_of(auxiliary_weight=0.3)
    enlarged = F.interpolate(small, (12, 16), mode="bilinear", align_corners=True)
    expected = loss(main, labels) + 0.3 * 2 * loss(enlarged, labels)
    torch.testing.assert_close(loss(AuxiliaryLogits(main, small, small), labels), expected)


def test_ohem_counts_hard_pixels_alone() -> None:
    labels, logits = labels_and_logits()
    with torch.no_grad():
        known = labels != IGNORED
        easy = known & (torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.5)
        logits += 20 * F.one_hot(labels.long().clamp_max(4), 5).permute(0, 3, 1, 2) * easy[:, None]
    loss = loss_of(kind="ohem", ohem_threshold=0.7, ohem_min_kept=0.01)
    probability = logits.softmax(1).gather(1, labels.long().clamp_max(4)[:, None])[:, 0]
    hard = known & (probability <= 0.7)
    expected = F.cross_entropy(logits, labels.long().masked_fill(~hard, IGNORED), ignore_index=IGNORED)
    torch.testing.assert_close(loss(logits, labels), expected)
    assert loss(logits, labels) > 2 * loss_of()(logits, labels)


def test_ohem_keeps_a_share_where_all_is_easy() -> None:
    labels, logits = labels_and_logits()
    with torch.no_grad():
        logits += 8 * F.one_hot(labels.long().clamp_max(4), 5).permute(0, 3, 1, 2)
    loss = loss_of(kind="ohem", ohem_min_kept=0.25)(logits, labels)
    loss.backward()
    assert logits.grad is not None
    counted = (logits.grad.abs().sum(1) > 0).sum()
    assert counted == labels.numel() // 4


@pytest.mark.parametrize("kind", ["cross_entropy", "ohem"])
def test_a_batch_without_labels_teaches_nothing(kind: str) -> None:
    _, logits = labels_and_logits()
    loss = loss_of(kind=kind)(logits, torch.full((2, 12, 16), IGNORED, dtype=torch.uint8))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None and not logits.grad.any()


def test_shrunk_labels_keep_their_corners() -> None:
    labels = torch.arange(9 * 13).reshape(1, 9, 13).to(torch.uint8)
    shrunk = shrink_labels(labels, 2)
    assert shrunk.shape == (1, 5, 7)
    assert torch.equal(shrunk, labels[:, ::2, ::2])
    even = shrink_labels(torch.arange(16 * 8).reshape(1, 16, 8).to(torch.uint8), 4)
    assert even.shape == (1, 4, 2)
    assert (even[0, 0, 0], even[0, 0, -1], even[0, -1, -1]) == (0, 7, 127)


def test_rare_classes_weigh_more() -> None:
    weights = log_class_weights(np.array([900, 100, 0]))
    np.testing.assert_allclose(weights, 1 / np.log([1.95, 1.15, 1.05]), rtol=1e-6)
