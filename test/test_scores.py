import json
import math

import numpy as np
import pytest

from fanet_ros.reports.scores import Scorer


def test_figures_by_hand() -> None:
    scorer = Scorer(4)
    truth = np.array([[0, 0, 0, 1, 1, 255, 3]], np.uint8)
    labels = np.array([[0, 0, 1, 1, 255, 2, 2]], np.uint8)
    scorer.add(labels, truth)
    scores = scorer.scores()
    # class 0: 2 hits, 3 true, 2 labelled; class 1: 1 hit, 2 true, 2 labelled; class 2: labelled once on known truth;
    # class 3: 1 true, never labelled
    np.testing.assert_allclose(scores.iou, [2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(scores.f1, [4 / 5, 2 / 4, 0, 0])
    assert scores.miou == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)  # class 2 is not in the truth
    assert scores.mean_f1 == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores.pixel_accuracy == pytest.approx(3 / 6)
    np.testing.assert_allclose(scores.shares, [3 / 6, 2 / 6, 0, 1 / 6])
    assert (scores.frames, scores.pixels) == (1, 6)
    assert scores.confusion.tolist() == [[2, 1, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_a_class_that_never_occurs_is_nan() -> None:
    scorer = Scorer(3)
    scorer.add(np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8))
    scores = scorer.scores()
    assert scores.iou[:2].tolist() == [1, 1] and math.isnan(scores.iou[2]) and math.isnan(scores.f1[2])
    assert scores.miou == scores.mean_f1 == 1


@pytest.mark.parametrize("classes", [1, 2, 19, 171, 255])
def test_equals_sets_of_pixels(classes: int) -> None:
    rng = np.random.default_rng(classes)
    scorer = Scorer(classes)
    frames = []
    for _ in range(3):
        truth = rng.integers(0, classes, (40, 60), np.uint8)
        labels = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 256, truth.shape, np.uint8))
        truth[rng.random(truth.shape) < 0.1] = 255
        labels[rng.random(truth.shape) < 0.1] = 255
        scorer.add(labels, truth)
        frames.append((labels[truth < classes], truth[truth < classes]))
    labels, truth = (np.concatenate(arrays) for arrays in zip(*frames, strict=True))
    iou = [
        ((labels == index) & (truth == index)).sum() / union
        if (union := ((labels == index) | (truth == index)).sum())
        else np.nan
        for index in range(classes)
    ]
    scores = scorer.scores()
    np.testing.assert_allclose(scores.iou, iou)
    assert scores.miou == pytest.approx(np.mean([iou[index] for index in np.unique(truth)]))
    assert scores.pixels == scorer.pixels == len(truth)


def test_left_out_classes_are_in_no_mean_but_cost_the_others() -> None:
    scorer = Scorer(3)
    scorer.add(np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 2, 1, 2]], np.uint8))
    scores = scorer.scores(left_out=[2])
    assert scores.miou == pytest.approx((1 / 2 + 1) / 2)
    assert scores.mean_accuracy == 1
    assert scores.mean_f1 == pytest.approx((2 / 3 + 1) / 2)
    assert scores.pixel_accuracy == pytest.approx(3 / 4)
    assert scores.iou[2] == pytest.approx(1 / 2)


def test_counts_of_several_processes_add_up() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 6, (4, 2, 12, 9), np.uint8)  # 5 is no class
    together, parts = Scorer(5), [Scorer(5), Scorer(5)]
    for number, (labels, truth) in enumerate(frames):
        together.add(labels, truth)
        parts[number % 2].add(labels, truth)
    total = Scorer(5)
    total.merge(np.stack([part.counts() for part in parts]).sum(0))
    np.testing.assert_array_equal(total.scores().confusion, together.scores().confusion)
    assert total.scores().frames == 4
    parts[0].counts()[:] = 0  # a copy
    assert parts[0].scores().frames == 2


def test_scores_do_not_change_afterwards() -> None:
    scorer = Scorer(2)
    scorer.add(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    scores = scorer.scores()
    scorer.add(np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert scores.confusion.sum() == 4


def test_json() -> None:
    scorer = Scorer(3)
    empty = scorer.scores().as_json()
    assert empty["miou"] is None and empty["iou"] == {"0": None, "1": None, "2": None}
    scorer.add(np.array([[0, 1, 1]], np.uint8), np.array([[0, 1, 0]], np.uint8))
    read = json.loads(json.dumps(scorer.scores().as_json(("sky", "road", "car")), allow_nan=False))
    assert read["iou"] == {"sky": 0.5, "road": 0.5, "car": None}
    assert read["confusion"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert (read["miou"], read["frames"], read["pixels"]) == (0.5, 1, 3)


def test_what_does_not_fit_is_refused() -> None:
    for classes in (0, 256):
        with pytest.raises(ValueError, match=f"received {classes} classes, expected 1 to 255"):
            Scorer(classes)
    scorer = Scorer(2)
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"labels have shape \(4, 4\) but truth \(2, 8\)"):
        scorer.add(image, image.reshape(2, 8))
    with pytest.raises(ValueError, match="truth are int64, expected uint8"):
        scorer.add(image, image.astype(np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"received counts of shape \(17,\), expected \(10,\)"):
        scorer.merge(Scorer(3).counts())


def test_the_guess_is_the_score_of_the_most_frequent_class() -> None:
    truth = np.array([[0, 0, 0, 1, 2, 255]], np.uint8)
    same, guessed = Scorer(4), Scorer(4)
    same.add(truth, truth)
    guessed.add(np.zeros_like(truth), truth)
    assert same.scores().guess == guessed.scores().guess == pytest.approx(guessed.scores().miou) == pytest.approx(0.2)
    assert guessed.scores((0,)).guess == pytest.approx(0.1)
    assert np.isnan(Scorer(4).scores().guess)
