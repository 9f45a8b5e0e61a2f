from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fanet_ros.datasets import IGNORED
from fanet_ros.model.network import AuxiliaryLogits
from fanet_ros.training.losses import SegmentationLoss, Target, log_class_weights, shrink_labels
from fanet_ros.training.recipe_data import MixedPart, TrainingPart
from fanet_ros.training.recipe_learning import LossRecipe


def labels_and_logits(classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (2, 12, 16), generator=draw).to(torch.uint8)
    labels[:, :3] = IGNORED
    return labels, torch.randn(2, classes, 12, 16, generator=draw, requires_grad=True)


Loss = Callable[[AuxiliaryLogits | torch.Tensor, torch.Tensor], torch.Tensor]


def loss_of(weights: torch.Tensor | None = None, **settings: object) -> Loss:
    """Return the loss of hard labels alone."""
    loss = SegmentationLoss(LossRecipe.model_validate(settings), 5, weights)
    return lambda logits, labels: loss(logits, Target(labels, torch.zeros(len(labels), dtype=torch.int64)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_torchs(weighted: bool, smoothing: float) -> None:
    labels, logits = labels_and_logits()
    weights = torch.tensor([1.0, 2, 3, 4, 5]) if weighted else None
    loss = loss_of(weights, label_smoothing=smoothing)
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


GROUP = 5  # the first number after the five classes of labels_and_logits
MEMBERS = torch.tensor([[True, False, True, False, False]])


def with_parts(*parts: dict[str, object], weights: torch.Tensor | None = None, **settings: object) -> SegmentationLoss:
    """Return the loss of data sets with coarse labels of classes 0 and 2."""
    main, *mixed = ({"dataset": "folder", **part} for part in parts)
    recipes = [TrainingPart.model_validate(main), *(MixedPart.model_validate(part) for part in mixed)]
    return SegmentationLoss(LossRecipe.model_validate(settings), 5, weights, MEMBERS, recipes)


def first_part(labels: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(labels), dtype=torch.int64)


@pytest.mark.parametrize("kind", ["cross_entropy", "ohem"])
def test_a_coarse_label_asks_for_the_sum_of_its_classes(kind: str) -> None:
    _, logits = labels_and_logits()
    labels = torch.full((2, 12, 16), GROUP, dtype=torch.uint8)
    loss = with_parts({}, kind=kind, ohem_threshold=1)(logits, Target(labels, first_part(labels)))
    probability = logits.softmax(1)
    torch.testing.assert_close(loss, -(probability[:, 0] + probability[:, 2]).log().mean())


def test_fine_and_coarse_labels_are_one_weighted_mean() -> None:
    labels, logits = labels_and_logits()
    labels[:, 6:] = GROUP
    weights = torch.tensor([1.0, 2, 3, 4, 5, 7])
    loss = with_parts({}, weights=weights)(logits, Target(labels, first_part(labels)))
    surprise = -torch.log_softmax(logits, 1)
    coarse = -(logits.softmax(1)[:, [0, 2]].sum(1).log())
    total, weight = 0.0, 0.0
    for index in np.ndindex(*labels.shape):
        number = int(labels[index])
        if number != IGNORED:
            own = coarse[index] if number == GROUP else surprise[index[0], number, index[1], index[2]]
            total, weight = total + weights[number] * own, weight + weights[number]
    torch.testing.assert_close(loss, total / weight, rtol=1e-4, atol=1e-5)  # type: ignore[operator, arg-type]


def test_a_data_set_may_weigh_less() -> None:
    labels, logits = labels_and_logits()
    parts = torch.tensor([0, 1])
    loss = with_parts({}, {"loss_weight": 0.25, "share": 0.5})
    both = [loss(logits[i : i + 1], Target(labels[i : i + 1], torch.zeros(1, dtype=torch.int64))) for i in (0, 1)]
    torch.testing.assert_close(loss(logits, Target(labels, parts)), (both[0] + 0.25 * both[1]) / 2)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_labels_are_learnt_where_the_teacher_knows_the_classes(temperature: float) -> None:
    _, logits = labels_and_logits()
    labels = torch.full((2, 12, 16), IGNORED, dtype=torch.uint8)
    soft = torch.rand(2, 5, 12, 16, generator=torch.Generator().manual_seed(3)).softmax(1)
    soft[:, :, 8:] *= 0.3  # most of it belongs to classes that the network does not have
    part = {"hard": False, "soft": {"from": "teacher", "weight": 2, "temperature": temperature}}
    loss = with_parts(part)(logits, Target(labels, first_part(labels), soft))
    teacher = soft[:, :, :8].pow(1 / temperature)
    teacher = teacher / teacher.sum(1, keepdim=True)
    expected = -(teacher * torch.log_softmax(logits[:, :, :8] / temperature, 1)).sum() * temperature**2
    torch.testing.assert_close(loss, 2 * expected / labels.numel(), rtol=1e-4, atol=1e-5)
    loss.backward()
    assert logits.grad is not None and not logits.grad[:, :, 8:].any()


@pytest.mark.parametrize("use", ["guide", "distil"])
def test_within_coarse_labels_only_what_they_allow_is_learnt_from_a_teacher(use: str) -> None:
    """The teacher is sure of class 1, which the label excludes, and says 3 to 1 of the classes that it allows."""
    labels = torch.full((1, 2, 2), GROUP, dtype=torch.uint8)
    soft = torch.tensor([0.15, 0.8, 0.05, 0, 0])[None, :, None, None].expand(1, 5, 2, 2)
    logits = torch.zeros(1, 5, 2, 2, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    loss = with_parts({"soft": {"from": "teacher", "use": use}})
    for _ in range(300):
        optimizer.zero_grad()
        loss(logits, Target(labels, first_part(labels), soft)).backward()
        optimizer.step()
    found = logits.softmax(1)[0, :, 0, 0].detach()
    assert found[[1, 3, 4]].sum() < 0.05
    torch.testing.assert_close(found[0] / found[2], torch.tensor(3.0), rtol=0.1, atol=0)


def test_a_guide_teaches_nothing_where_labels_are_fine_or_it_has_no_opinion() -> None:
    labels, logits = labels_and_logits()
    guided, alone = with_parts({"soft": {"from": "teacher", "use": "guide"}}), with_parts({})
    soft = torch.full((2, 5, 12, 16), 0.2)
    target = Target(labels, first_part(labels), soft)
    torch.testing.assert_close(guided(logits, target), alone(logits, target._replace(soft=None)))
    labels[:] = GROUP
    soft[:, [0, 2]] = 0
    torch.testing.assert_close(guided(logits, target), alone(logits, target._replace(soft=None)))


def test_a_guide_counts_as_much_as_it_gives_to_the_classes_that_a_label_allows() -> None:
    """At the rim of a tree before the sky, a teacher that sees sky has little to say of building or tree."""
    labels, logits = labels_and_logits()
    labels[:] = GROUP
    guided, alone = with_parts({"soft": {"from": "teacher", "use": "guide"}}), with_parts({})
    soft = torch.rand(2, 5, 12, 16, generator=torch.Generator().manual_seed(4))
    target = Target(labels, first_part(labels), soft)
    unguided = alone(logits, target._replace(soft=None))
    whole, tenth = (guided(logits, target._replace(soft=soft * share)) - unguided for share in (1, 0.1))
    assert whole > 0.01
    torch.testing.assert_close(tenth, whole / 10, rtol=1e-3, atol=1e-6)


def test_weights_that_a_training_starts_from_have_no_say_where_a_label_is_exact() -> None:
    labels = torch.full((1, 2, 2), 3, dtype=torch.uint8)
    labels[0, 1] = IGNORED
    soft = torch.tensor([0.0, 0.98, 0.02, 0, 0])[None, :, None, None].expand(1, 5, 2, 2)
    logits = torch.zeros(1, 5, 2, 2, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    loss = with_parts({"soft": {"from": "weights"}})
    for _ in range(200):
        optimizer.zero_grad()
        loss(logits, Target(labels, first_part(labels), soft)).backward()
        optimizer.step()
    found = logits.softmax(1)[0].detach()
    assert found[3, 0].min() > 0.95 and found[1, 1].min() > 0.9


def test_a_crop_learns_as_much_from_a_teacher_whatever_lies_beside_it() -> None:
    """And so on however many processes: the mean of their gradients is that of all crops together."""
    _, logits = labels_and_logits()
    labels = torch.full((2, 12, 16), IGNORED, dtype=torch.uint8)
    soft = torch.rand(2, 5, 12, 16, generator=torch.Generator().manual_seed(3)).softmax(1)
    loss = with_parts({}, {"share": 0.5, "soft": {"from": "teacher"}})
    together = loss(logits, Target(labels, torch.tensor([1, 1]), soft))
    alone = [loss(logits[i : i + 1], Target(labels[i : i + 1], torch.tensor([1]), soft[i : i + 1])) for i in range(2)]
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)
    beside = loss(logits, Target(labels, torch.tensor([1, 0]), soft))
    torch.testing.assert_close(beside, alone[0] / 2)
