import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from evaluation_data import HEIGHT, WIDTH, write_camvid
from numpy.typing import NDArray

from fanet_ros.datasets import Dataset, Sample, open_dataset
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.evaluation.run import evaluate, read_ahead, spread
from fanet_ros.model.labels import load_label_set
from fanet_ros.reports.scores import Scorer
from fanet_ros.settings import Size

IMAGES = 5


class Cheat(Predictor):
    """Knows the truth, and is wrong where the image's number says so."""

    def __init__(self, dataset: Dataset) -> None:
        self._answers = {dataset.read(i).image.tobytes(): self._answer(dataset.read(i), i) for i in range(len(dataset))}

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._answers[image.tobytes()]

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:
        return (image_size, Size(2 * image_size.width, 2 * image_size.height))

    @staticmethod
    def _answer(sample: Sample, number: int) -> NDArray[np.uint8]:
        labels = sample.labels.copy()
        labels[:, : 8 * number] = 0  # the further back in the data set, the worse
        return labels


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("camvid", write_camvid(tmp_path_factory.mktemp("camvid"), {"val": IMAGES}), "val")


@pytest.fixture(scope="module")
def cheat(dataset: Dataset) -> Iterator[Cheat]:
    yield Cheat(dataset)


def test_images_are_scored_alone_and_together(dataset: Dataset, cheat: Cheat) -> None:
    progress: list[tuple[int, int]] = []
    done = evaluate(cheat, dataset, progress=lambda *report: progress.append(report))
    assert progress == [(number, IMAGES) for number in range(1, IMAGES + 1)]
    together = Scorer(11)
    for image, index in zip(done.images, range(IMAGES), strict=True):
        sample, alone = dataset.read(index), Scorer(11)
        labels = cheat.predict(sample.image)
        together.add(labels, sample.labels)
        alone.add(labels, sample.labels)
        assert (image.index, image.name) == (index, f"val_{index}")
        assert image.miou == pytest.approx(alone.scores().miou)
        known = sample.labels < 11
        assert image.pixel_accuracy == pytest.approx(np.mean(labels[known] == sample.labels[known]))
    assert done.images[0].miou == 1 > done.images[4].miou
    assert done.scores.miou == pytest.approx(together.scores().miou)
    assert (done.scores.frames, done.scores.pixels) == (IMAGES, together.pixels)
    assert done.input_sizes == (Size(WIDTH, HEIGHT), Size(2 * WIDTH, 2 * HEIGHT))
    assert done.median_ms > 0


def test_limit_spreads_over_the_data_set(dataset: Dataset, cheat: Cheat) -> None:
    done = evaluate(cheat, dataset, spread(len(dataset), 2))
    assert [image.index for image in done.images] == [0, 2]
    assert spread(10, 0) == list(range(10))
    assert spread(10, 3) == [0, 3, 6]
    assert spread(3, 100) == [0, 1, 2]
    assert spread(0, 5) == []


def test_left_out_classes(dataset: Dataset, cheat: Cheat) -> None:
    everything, rest = evaluate(cheat, dataset), evaluate(cheat, dataset, left_out=["sky"])
    others = everything.scores.iou[1:]
    assert rest.scores.miou == pytest.approx(others[everything.scores.shares[1:] > 0].mean())
    assert rest.images[4].miou != everything.images[4].miou
    with pytest.raises(SettingError, match="leave-out: label set 'camvid11' has no class 'clutter'; it has sky"):
        evaluate(cheat, dataset, left_out=["clutter"])
    with pytest.raises(SettingError, match="received all classes of 'camvid11', expected at least one to remain"):
        evaluate(cheat, dataset, left_out=dataset.label_set.names)


def test_samples_come_in_order_and_errors_with_them(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", write_camvid(tmp_path, {"val": 4}), "val")
    assert [sample.name for sample in read_ahead(dataset, [3, 0, 2])] == ["val_3", "val_0", "val_2"]
    assert list(read_ahead(dataset, [])) == []
    (tmp_path / "val" / "val_1.png").write_text("no picture")
    samples = read_ahead(dataset, [0, 1, 2])
    assert next(samples).name == "val_0"
    with pytest.raises(DatasetError, match="val_1.png"):
        next(samples)


def test_what_was_scored_is_told_where_an_image_cannot_be_read(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", write_camvid(tmp_path, {"val": 4}), "val")
    cheat = Cheat(dataset)
    until_then = 100 * evaluate(cheat, dataset, [0]).scores.miou
    (tmp_path / "val" / "val_1.png").write_text("no picture")
    with pytest.raises(
        DatasetError, match=rf"val_1\.png .*; before it, 1 images were scored, with mIoU {until_then:.2f} %"
    ):
        evaluate(cheat, dataset)


class Withheld(Dataset):
    """A test split as it is published: images without truth."""

    name, split, label_set = "camvid", "test", load_label_set("camvid11")
    names: Sequence[str] = ("a",)

    def size(self, index: int) -> Size:
        return Size(WIDTH, HEIGHT)

    def read(self, index: int) -> Sample:
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        return Sample(image, np.full((HEIGHT, WIDTH), 255, np.uint8), "a")


class Refusing(Cheat):
    """Is not to be asked."""

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        raise AssertionError("predicted for nothing")


class Interrupted(Cheat):
    """Meets Ctrl-C at its third image, or at another."""

    def __init__(self, dataset: Dataset, at: int = 2) -> None:
        super().__init__(dataset)
        self._left = at

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        return super().predict(image)


def test_ctrl_c_leaves_what_was_scored(dataset: Dataset, cheat: Cheat) -> None:
    whole, part = evaluate(cheat, dataset), evaluate(Interrupted(dataset), dataset)
    assert whole.complete and not part.complete
    assert part.images == whole.images[:2] and part.scores.frames == 2
    expected = Scorer(11)
    for index in range(2):
        sample = dataset.read(index)
        expected.add(cheat.predict(sample.image), sample.labels)
    assert part.scores.miou == pytest.approx(expected.scores().miou)
    assert part.input_sizes == whole.input_sizes and part.median_ms > 0


def test_ctrl_c_before_anything_was_scored(dataset: Dataset) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(dataset, at=0), dataset)


def test_truth_that_is_withheld_is_noticed_without_predicting() -> None:
    with pytest.raises(DatasetError, match="no pixel in split 'test' .* the labels of a test split are often withheld"):
        evaluate(Refusing(Withheld()), Withheld())


def test_no_image(cheat: Cheat) -> None:
    empty = Withheld()
    empty.names = ()
    with pytest.raises(DatasetError, match="split 'test' of data set 'camvid' holds no image"):
        evaluate(cheat, empty)


def test_images_without_truth_have_no_score(dataset: Dataset, cheat: Cheat) -> None:
    class OneUnknown(Withheld):
        names = ("a", "b")

        def read(self, index: int) -> Sample:
            sample = super().read(index)
            labels = sample.labels if index else np.zeros_like(sample.labels)
            return Sample(sample.image + np.uint8(index), labels, self.names[index])

    done = evaluate(Cheat(OneUnknown()), OneUnknown())
    assert done.images[0].miou == 1 and math.isnan(done.images[1].miou)
    assert done.scores.frames == 2 and done.scores.pixels == WIDTH * HEIGHT
