import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fanet_ros.datasets.meanings import find_meaning
from fanet_ros.datasets.soft_labels import SoftLabels, save_soft_labels
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size

CAMVID, CITYSCAPES = load_label_set("camvid11"), load_label_set("cityscapes19")


def soft_labels(folder: Path, pattern: str = "{name}.npz") -> SoftLabels:
    return SoftLabels(folder, pattern, find_meaning(CITYSCAPES, CAMVID))


def test_classes_of_the_teacher_add_up(tmp_path: Path) -> None:
    given = np.zeros((19, 2, 3))
    for name, share in (("car", 0.5), ("bus", 0.25), ("truck", 0.25)):
        given[CITYSCAPES.id_of(name)] = share
    save_soft_labels(tmp_path / "a" / "b_soft.npz", given)
    read = soft_labels(tmp_path, "{name}_soft.npz").read("a/b")
    assert read.shape == (2, 3, 11) and read.dtype == np.uint8
    assert (read[..., CAMVID.id_of("car")] == 255).all()
    assert read.sum() == 255 * 6


def test_arrays_alone_are_read_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((19, 2, 2), 13, np.uint8))
    assert soft_labels(tmp_path, "{name}.npy").read("x").shape == (2, 2, 11)


def test_they_lie_on_the_image_as_their_points_do(tmp_path: Path) -> None:
    """The points are the centres of equal parts of the image: a step in the middle stays in the middle."""
    given = np.zeros((19, 4, 8))
    given[0, :, :4], given[10, :, 4:] = 1, 1
    save_soft_labels(tmp_path / "x.npz", given)
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    crop = soft_labels(tmp_path).crop("x", Size(80, 40), identity, Size(80, 40), 1)
    assert crop.shape == (11, 40, 80)
    road, sky = (crop[CAMVID.id_of(name), 20].astype(int) for name in ("road", "sky"))
    assert road[30] == sky[50] == 255 and abs(road[39] - sky[40]) <= 2
    mirrored = soft_labels(tmp_path).crop("x", Size(80, 40), np.array([[-1.0, 0, 79], [0, 1, 0]]), Size(80, 40), 1)
    assert np.abs(mirrored[:, :, ::-1].astype(int) - crop).max() <= 2
    shifted = soft_labels(tmp_path).crop("x", Size(80, 40), np.array([[1.0, 0, 40], [0, 1, 0]]), Size(80, 40), 2)
    assert shifted.shape == (11, 20, 40)
    assert not shifted[:, :, :15].any() and shifted[CAMVID.id_of("road"), 10, 30] == 255


def zip_of(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p.npy", content)


def header_of(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda path: path.write_bytes(b"PK nonsense"), "cannot be read"),
        (lambda path: np.savez(path, a=np.zeros(3), b=np.zeros(3)), "holds 2 arrays"),
        (lambda path: np.savez(path, p=np.zeros((18, 2, 2), np.uint8)), r"uint8 \(18, 2, 2\), expected uint8 \(19"),
        (lambda path: np.savez(path, p=np.zeros((19, 2, 2), np.float32)), "float32"),
        (lambda path: np.savez(path, p=np.zeros((19, 0, 2), np.uint8)), r"\(19, 0, 2\)"),
        (lambda path: np.savez(path, p=np.array([{}], object)), "cannot be read"),
        (lambda path: np.savez_compressed(path, p=np.zeros((19, 4000, 4000), np.uint8)), "at most"),
        (lambda path: np.savez_compressed(path, p=np.zeros((19, 1, 40000), np.uint8)), "sides below 32767"),
        (lambda path: zip_of(path, b"\x93NUMPY\x01\x00\x50\x00{'descr': '|u1', (((\n"), "cannot be read"),
        (lambda path: zip_of(path, b"no array"), "expected"),
        (lambda path: zip_of(path, header_of((19, 1 << 20, 1 << 20))), "cannot be read"),
    ],
)
def test_files_of_another_form_are_one_clear_error(tmp_path: Path, content: object, told: str) -> None:
    content(tmp_path / "x.npz")  # type: ignore[operator]
    with pytest.raises(DatasetError, match=told):
        soft_labels(tmp_path).read("x")


def test_a_file_whose_header_promises_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A sparse file has them, at the cost of a few kB."""
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header_of((19, 32000, 16000)))
        file.truncate(len(header_of((19, 32000, 16000))) + 19 * 32000 * 16000)
    with pytest.raises(DatasetError, match="at most"):
        soft_labels(tmp_path, "{name}.npy").read("x")


def test_missing_files_are_told_before_anything_is_read(tmp_path: Path) -> None:
    save_soft_labels(tmp_path / "x.npz", np.zeros((19, 2, 2)))
    soft_labels(tmp_path).check(["x"])
    with pytest.raises(DatasetError, match=r"2 of 3 samples have no soft labels, for example .*y\.npz"):
        soft_labels(tmp_path).check(["x", "y", "z/z"])


def test_patterns_and_classes_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"expected a file name with \{name\}"):
        SoftLabels(tmp_path, "soft.npz", find_meaning(CITYSCAPES, CAMVID))
    with pytest.raises(DatasetError, match="stands for several"):
        SoftLabels(tmp_path, "{name}.npz", find_meaning(load_label_set("idd7"), CAMVID))
