import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.calibration.accuracy import compare
from fanet_ros.calibration.calibration_frames import open_frames
from fanet_ros.errors import SourceError
from fanet_ros.model.labels import load_label_set, save_label_set
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size
from fanet_ros.sources import open_source

CLASSES = 11


@pytest.fixture(scope="module")
def segmenters() -> list[Segmenter]:
    """Two that differ clearly, in the size at which they look."""
    options = {"backend": "torch", "device": "cpu", "precision": "fp32"}
    return [Segmenter(input_size=size, **options) for size in ("160x96", "96x64")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images with labels."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    with open_source("street", width=160, height=96, rate_hz=1.0) as street:
        for number in range(3):
            frame = street.read()
            assert frame is not None and frame.labels is not None
            cv2.imwrite(str(folder / "images" / f"{number}.png"), frame.image[..., ::-1])
            cv2.imwrite(str(folder / "labels" / f"{number}.png"), frame.labels)
    return folder


def miou_by_hand(labels: np.ndarray, truth: np.ndarray) -> float:
    known = truth < CLASSES
    scores = []
    for class_id in np.unique(truth[known]):
        mine, true = labels[known] == class_id, truth[known] == class_id
        scores.append((mine & true).sum() / (mine | true).sum())
    return 100 * float(np.mean(scores))


def test_labelled_frames(segmenters: list[Segmenter], data: Path) -> None:
    done: list[int] = []
    found = compare(segmenters, open_frames(str(data)), 3, done.append)
    assert done == [1, 2, 3]
    truth, labels = [], [[], []]
    for frame in open_frames(str(data)).sample(3):
        assert frame.labels is not None
        truth.append(frame.labels)
        for index, segmenter in enumerate(segmenters):
            labels[index].append(segmenter.segment(frame.image, frame.encoding, output_size=Size(160, 96)).labels)
    for index, (accuracy, size) in enumerate(zip(found, (Size(160, 96), Size(96, 64)), strict=True)):
        assert (accuracy.frames, accuracy.input_sizes) == (3, (size,))
        assert accuracy.miou == pytest.approx(miou_by_hand(np.array(labels[index]), np.array(truth)))
        assert accuracy.agreement == pytest.approx(100 * np.mean(np.array(labels[index]) == np.array(labels[0])))
        assert accuracy.median_ms > 0
    assert found[0].agreement == 100 > found[1].agreement
    assert found[0].miou != found[1].miou


def test_frames_without_labels(segmenters: list[Segmenter], data: Path) -> None:
    exact, other = compare(segmenters, open_frames(str(data / "images")), 1, lambda _: None)
    assert exact.miou is None and other.miou is None
    assert exact.frames == 1 and exact.agreement == 100 > other.agreement


def test_labels_of_which_the_network_knows_nothing(segmenters: list[Segmenter], data: Path, tmp_path: Path) -> None:
    """Ids in another order: what a precision loses on them would pass any gate."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(3):
        shutil.copy(data / f"images/{number}.png", tmp_path / "images")
        labels = cv2.imread(str(data / f"labels/{number}.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(tmp_path / f"labels/{number}.png"), (labels + 1) % CLASSES)
    with pytest.raises(SourceError, match=r"scores \d\.\d % mIoU on .*most frequent class scores .* %: are the ids"):
        compare(segmenters, open_frames(str(tmp_path)), 3, lambda _: None)


def test_labels_of_another_label_set(segmenters: list[Segmenter], data: Path, tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes((data / "images" / "0.png").read_bytes())
    cv2.imwrite(str(tmp_path / "labels" / "0.png"), np.full((96, 160), CLASSES, np.uint8))
    with pytest.raises(SourceError, match="show none of the network's 11 classes; they must be class ids from 0 to 10"):
        compare(segmenters, open_frames(str(tmp_path)), 1, lambda _: None)


def test_labels_that_say_what_they_are_count_in_merged_classes(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    merged = Segmenter(labels="drivable3", backend="torch", device="cpu", precision="fp32", input_size="160x96")
    save_label_set(load_label_set("camvid11"), tmp_path / "data" / "labels.yaml")
    (accuracy,) = compare([merged], open_frames(str(tmp_path / "data"), merged.label_set), 3, lambda done: None)
    table = np.append(np.array(merged.label_set.merging, np.uint8), np.full(245, 255, np.uint8))
    truths, found = [], []
    for path in sorted((data / "images").iterdir()):
        truth = table[cv2.imread(str(data / "labels" / path.name), cv2.IMREAD_GRAYSCALE)]
        size = Size(truth.shape[1], truth.shape[0])
        truths.append(truth)
        found.append(merged.segment(cv2.imread(str(path)), "bgr8", output_size=size).labels)
    assert accuracy.miou == pytest.approx(miou_by_hand(np.stack(found), np.stack(truths)), abs=1e-6)
    for path in (tmp_path / "data" / "labels").iterdir():
        cv2.imwrite(str(path), table[cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)])
    (tmp_path / "data" / "labels.yaml").unlink()  # then the ids are those of the merged classes
    (again,) = compare([merged], open_frames(str(tmp_path / "data"), merged.label_set), 3, lambda done: None)
    assert again.miou == accuracy.miou
    merged.close()
