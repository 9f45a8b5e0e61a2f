from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SettingError
from fanet_ros.evaluation.confusion import check_can_plot, plot_confusion
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.reports.scores import Scorer


def scorer(classes: int) -> Scorer:
    made = Scorer(classes)
    truth = np.arange(classes, dtype=np.uint8)[None]
    made.add(truth, truth)
    return made


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    check_can_plot(path)
    right = scorer(11)
    plot_confusion(right.scores(), load_label_set("camvid11"), "perfect", path)
    perfect = cv2.imread(str(path))
    assert min(perfect.shape[:2]) > 500 and perfect.std() > 10
    right.add(np.full((1, 11), 255, np.uint8), np.arange(11, dtype=np.uint8)[None])
    plot_confusion(right.scores(), load_label_set("camvid11"), "half", path)  # replaced, with one more column
    half = cv2.imread(str(path))
    assert half.shape != perfect.shape or not np.array_equal(half, perfect)


def test_many_classes_and_none_in_the_truth(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(40))
    many = LabelSet("many", names, tuple((number, 0, 0) for number in range(40)), {})
    for scores in (scorer(40).scores(), Scorer(40).scores()):
        plot_confusion(scores, many, "many", tmp_path / "many.png")
        assert cv2.imread(str(tmp_path / "many.png")).shape[0] > 1500


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="confusion: received .*plot.pdf, expected the name of a .png file"):
        check_can_plot(tmp_path / "plot.pdf")
    with pytest.raises(SettingError, match="cannot write .*nowhere/plot.png"):
        plot_confusion(scorer(11).scores(), load_label_set("camvid11"), "lost", tmp_path / "nowhere" / "plot.png")
