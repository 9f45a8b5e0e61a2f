import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation_data import HEIGHT, WIDTH, write_camvid
from numpy.typing import NDArray

from fanet_ros.datasets import Dataset, Sample, open_dataset
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.overlays import choose_images, error_map, write_overlays
from fanet_ros.evaluation.prediction import Predictor
from fanet_ros.evaluation.run import Evaluation, ImageScore, evaluate
from fanet_ros.reports.scores import Scorer
from fanet_ros.settings import Size


class Brightness(Predictor):
    """Takes the brightness for the class."""

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image.mean(2).astype(np.uint8) // 24

    def input_sizes(self, image_size: Size) -> tuple[Size, ...]:
        return (image_size,)


def evaluation(*mious: float) -> Evaluation:
    images = tuple(ImageScore(index, f"image {index}", miou, miou) for index, miou in enumerate(mious))
    return Evaluation(Scorer(2).scores(), images, (Size(8, 8),), 1.0)


def test_the_worst_and_the_best_are_chosen_once() -> None:
    some = evaluation(0.5, 0.1, math.nan, 0.9, 0.3)
    assert [(image.index, end) for image, end in choose_images(some, 1)] == [(1, "worst"), (3, "best")]
    assert [(image.index, end) for image, end in choose_images(some, 3)] == [
        *((index, "worst") for index in (1, 4, 0)),
        (3, "best"),
    ]
    assert len(choose_images(some, 100)) == 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset("camvid", write_camvid(tmp_path_factory.mktemp("camvid"), {"val": 5}), "val")


def test_pictures_are_listed_from_worst_to_best(dataset: Dataset, tmp_path: Path) -> None:
    done = evaluate(Brightness(), dataset)
    folder = tmp_path / "new" / "overlays"
    folder.mkdir(parents=True)
    (folder / "0.1234_worst_of_an_earlier_run.png").write_text("")
    (folder / "notes.png").write_text("the user's own")
    progress: list[tuple[int, int]] = []
    paths = write_overlays(folder, done, dataset, Brightness(), 2, lambda *report: progress.append(report))
    assert progress == [(number, 4) for number in range(1, 5)]
    assert sorted(folder.iterdir()) == [*paths, folder / "notes.png"]
    ranked = sorted(done.images, key=lambda image: image.miou)
    expected = [*((i, "worst") for i in ranked[:2]), *((i, "best") for i in ranked[-2:])]
    assert [path.name for path in paths] == [f"{i.miou:.4f}_{end}_{i.name}.png" for i, end in expected]
    picture = cv2.imread(str(paths[0]))
    assert picture.shape[1] == 4 * WIDTH and picture.shape[0] > HEIGHT
    worst = dataset.read(ranked[0].index)
    np.testing.assert_array_equal(picture[-HEIGHT:, :WIDTH, ::-1], worst.image)
    truth = dataset.label_set.palette[worst.labels]
    np.testing.assert_array_equal(picture[-HEIGHT:, WIDTH : 2 * WIDTH, ::-1], truth)
    prediction = dataset.label_set.palette[Brightness().predict(worst.image)]
    np.testing.assert_array_equal(picture[-HEIGHT:, 2 * WIDTH : 3 * WIDTH, ::-1], prediction)


def test_errors_are_red_and_the_unknown_black() -> None:
    image = np.full((1, 4, 3), 100, np.uint8)
    sample = Sample(image, np.array([[0, 1, 255, 1]], np.uint8), "a")
    picture = error_map(sample, np.array([[0, 0, 0, 255]], np.uint8), 2)
    assert picture.tolist() == [[[50, 50, 50], [255, 40, 40], [0, 0, 0], [255, 40, 40]]]


def test_a_folder_that_cannot_be_made(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be made"):
        write_overlays(tmp_path / "file" / "folder", evaluate(Brightness(), dataset), dataset, Brightness(), 1)


def test_a_picture_that_cannot_be_removed(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "0.1234_worst_a.png").mkdir()
    with pytest.raises(SettingError, match=r"0\.1234_worst_a\.png cannot be removed: .*; use a new folder"):
        write_overlays(tmp_path, evaluate(Brightness(), dataset), dataset, Brightness(), 1)
