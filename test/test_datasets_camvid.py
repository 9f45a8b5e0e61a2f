from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from fanet_ros.datasets import IGNORED, Window, open_dataset
from fanet_ros.datasets.camvid import GROUPS, split_of
from fanet_ros.errors import DatasetError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "camvid"


def test_segnet_edition(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    data = open_dataset("camvid", tmp_path, "test")
    assert (data.name, data.split, data.label_set.name) == ("camvid", "test", "camvid11")
    assert list(data.names) == ["Seq05VD_f00000", "x"]
    assert data.size(0) == (trees.WIDTH, trees.HEIGHT)
    sample = data.read(0)
    assert sample.image.shape == (trees.HEIGHT, trees.WIDTH, 3)
    assert tuple(sample.image[0, 0]) == (90, 45, 30)
    assert sample.labels[:, 0].tolist() == list(range(8))
    assert len(open_dataset("camvid", tmp_path, "trainval")) == 2


def test_segnet_void_is_ignored_and_known(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path, trees.rows_of((10, 11, 12)))
    data = open_dataset("camvid", tmp_path, "train")
    assert data.read(0).labels[:3, 0].tolist() == [10, IGNORED, IGNORED]


def test_segnet_missing_labels_are_counted(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    (tmp_path / "testannot" / "x.png").unlink()
    with pytest.raises(
        DatasetError, match=r"1 of 2 images have no labels in camvid's split test, .*testannot/x\.png; un"
    ):
        open_dataset("camvid", tmp_path, "test")
    (tmp_path / "test" / "x.png").unlink()
    with pytest.raises(DatasetError, match="1 of 2 images or their labels are missing"):
        open_dataset("camvid", tmp_path, "test")


def test_segnet_lists(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    (tmp_path / "val.txt").write_text("val/0016E5_07959.png\n")
    with pytest.raises(
        DatasetError, match=r"line 1 of .*val\.txt is 'val/0016E5_07959.png', expected the paths of an im"
    ):
        open_dataset("camvid", tmp_path, "val")
    (tmp_path / "val").rename(tmp_path / "my val")
    (tmp_path / "val.txt").write_bytes(b"\xef\xbb\xbf\r\nmy val/0016E5_07959.png valannot/0016E5_07959.png\r\n")
    assert list(open_dataset("camvid", tmp_path, "val").names) == ["0016E5_07959"]
    (tmp_path / "val.txt").unlink()
    with pytest.raises(DatasetError, match=r"holds no images of camvid's split val: expected the list val\.txt"):
        open_dataset("camvid", tmp_path, "val")


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    trees.write(tmp_path / "trainannot" / "0001TP_006690.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"labels .* are 4x4 pixels but their image .* is 12x8; both must have the"):
        open_dataset("camvid", tmp_path, "train").read(0)


def all_colors() -> tuple[np.ndarray, list[str]]:
    """A label image with a row for each of the 32 colours, and the classes these mean ('' for void)."""
    rows = [(color, group) for group, members in GROUPS.items() for color in members.values()] + [((0, 0, 0), "")]
    image = np.array([color for color, _ in rows], np.uint8)[:, None, :].repeat(5, axis=1)
    return image, [group for _, group in rows]


def test_original_edition_groups_32_colours(tmp_path: Path) -> None:
    colors, groups = all_colors()
    assert len(groups) == 32 and len({tuple(row) for row in colors[:, 0].tolist()}) == 32
    names = ["0001TP_006690", "0006R0_f00930", "0016E5_00390", "0016E5_07959", "0001TP_008550", "Seq05VD_f00000"]
    trees.camvid_original(tmp_path, names, colors)
    train = open_dataset("camvid", tmp_path, "train")
    assert list(train.names) == ["0001TP_006690", "0006R0_f00930", "0016E5_00390"]
    assert list(open_dataset("camvid", tmp_path, "val").names) == ["0016E5_07959"]
    assert list(open_dataset("camvid", tmp_path, "test").names) == ["Seq05VD_f00000", "0001TP_008550"]
    assert len(open_dataset("camvid", tmp_path, "trainval")) == 4
    expected = [train.label_set.id_of(group) if group else IGNORED for group in groups]
    assert train.read(0).labels[:, 0].tolist() == expected
    window = train.read_window(0, Window(-2, -1, 4, 3))
    assert window.labels[:, 2].tolist() == [IGNORED, expected[0], expected[1]]
    assert window.labels[:, 0].tolist() == [IGNORED] * 3


def test_original_edition_takes_lists_where_there_are_some(tmp_path: Path) -> None:
    trees.camvid_original(tmp_path, ["0001TP_006690", "Seq05VD_f00000"], all_colors()[0])
    (tmp_path / "val.txt").write_text("Seq05VD_f00000\n\n701_StillsRaw_full/0001TP_006690.png\n")
    assert list(open_dataset("camvid", tmp_path, "val").names) == ["Seq05VD_f00000", "0001TP_006690"]


def test_original_edition_half_unpacked(tmp_path: Path) -> None:
    trees.camvid_original(tmp_path, ["0001TP_006690", "0001TP_006720"], all_colors()[0])
    (tmp_path / "LabeledApproved_full" / "0001TP_006720_L.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images have no labels .*0001TP_006720_L\.png"):
        open_dataset("camvid", tmp_path, "train")
    (tmp_path / "701_StillsRaw_full" / "0001TP_006690.png").unlink()
    with pytest.raises(
        DatasetError, match=r"2 of 2 images or their labels are missing .*701_StillsRaw_full/0001TP_006690"
    ):
        open_dataset("camvid", tmp_path, "train")
    with pytest.raises(DatasetError, match="holds no images of camvid's split val: expected 701_StillsRaw_full"):
        open_dataset("camvid", tmp_path, "val")


def test_image_of_an_unknown_drive_asks_for_lists(tmp_path: Path) -> None:
    trees.camvid_original(tmp_path, ["0001TP_006690", "mine_1"], all_colors()[0])
    with pytest.raises(DatasetError, match=r"the image mine_1 is of no known drive of CamVid.*train\.txt, val\.txt"):
        open_dataset("camvid", tmp_path, "train")


def test_division_by_drive_has_the_usual_counts() -> None:
    # drives of 30 frames a second, labelled once a second, and a part of 0016E5 15 times a second
    names = [f"0001TP_{frame:06d}" for frame in range(6690, 10381, 30)]
    names += [f"0006R0_f{frame:05d}" for frame in range(930, 3931, 30)]
    names += [f"Seq05VD_f{frame:05d}" for frame in range(0, 5101, 30)]
    names += [f"0016E5_{frame:05d}" for frame in range(7959, 8160, 2)]
    counts = {split: sum(split_of(name) == split for name in names) for split in ("train", "val", "test")}
    assert counts == {"train": 62 + 101, "val": 101, "test": 62 + 171}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"CamVid is not at {SHARED}: its real lists were NOT compared")
def test_division_by_drive_agrees_with_the_segnet_lists() -> None:
    for split, count in (("train", 367), ("val", 101)):
        data = open_dataset("camvid", SHARED, split)
        assert len(data) == count
        assert {split_of(name) for name in data.names} == {split}
    sample = data.read(0)
    assert sample.image.shape == (360, 480, 3)
    assert set(np.unique(sample.labels)) <= {*range(11), IGNORED}
