import json
from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.datasets.check import check_dataset
from fanet_ros.datasets.opening import layout_of
from fanet_ros.datasets.soft_labels import save_soft_labels
from fanet_ros.errors import DatasetError

RUNNER = CliRunner()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return trees.own_folder(tmp_path / "own", Path("images"), Path("labels"))


def test_a_sound_folder(own: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    (report,) = check_dataset(layout_of("folder"), own, progress=lambda *call: calls.append(call))
    assert not report.faulty
    assert (report.split, report.pairs, report.sizes) == ("all", 3, {(trees.WIDTH, trees.HEIGHT): 3})
    assert report.shares == {"floor": 1 / 8, "wall": 1 / 8}
    assert report.ignored == 6 / 8
    assert report.counts.sum() == 3 * trees.WIDTH * trees.HEIGHT
    assert report.absent == ()
    assert calls == [("all", done, 3) for done in range(4)]


def test_everything_that_can_be_wrong(own: Path) -> None:
    trees.own_folder(own, Path("images"), Path("labels"), count=7)
    (own / "labels" / "frame0.png").unlink()
    (own / "images" / "frame1.jpg").write_bytes(b"no picture")
    trees.write(own / "labels" / "frame2.png", np.zeros((4, 6), np.uint8))
    trees.write(own / "labels" / "frame3.png", trees.rows_of((9, 9, 77, 0)))
    trees.write(own / "labels" / "frame4.png", trees.rows_of((9, 0)))
    trees.write_image(own / "images" / "frame5.jpg", width=24, height=16)
    trees.write(own / "labels" / "frame5.png", np.zeros((16, 24), np.uint8))
    (own / "labels" / "frame6.png").write_bytes(b"")
    trees.write(own / "labels" / "alone.png", trees.rows_of((0,)))
    (report,) = check_dataset(layout_of("folder"), own)
    assert report.faulty and report.pairs == 7
    faults = report.faults
    assert faults["missing"] == [str(own / "labels" / "frame0.png")]
    assert faults["labels_without_image"] == [str(own / "labels" / "alone.png")]
    assert len(faults["damaged"]) == 2 and not faults["soft"]
    assert "frame1.jpg is no readable image" in faults["damaged"][0] and "frame6.png" in faults["damaged"][1]
    assert len(faults["mismatched"]) == 1 and "frame2.png is 6x4 but its image 12x8" in faults["mismatched"][0]
    found = [(stranger.value, stranger.pixels, stranger.files, stranger.example.name) for stranger in report.strangers]
    assert found == [("9", 3 * trees.WIDTH, 2, "frame3.png"), ("77", trees.WIDTH, 1, "frame3.png")]
    assert report.sizes == {(12, 8): 5, (24, 16): 1}


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_told(own: Path, ending: str, orientation: int) -> None:
    photo = (own / "images" / "frame1.jpg").with_suffix(ending)
    (own / "images" / "frame1.jpg").unlink()
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (trees.HEIGHT, trees.WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(photo, exif=exif)
    (report,) = check_dataset(layout_of("folder"), own)
    expected = [] if orientation == 1 else [f"{photo}: {orientation}"]
    assert report.turned == report.as_json()["turned"] == expected
    assert not report.faulty
    code, output = run(own)
    assert code == 0 and ("files with an EXIF orientation" in output) == bool(expected)


def test_colours_outside_the_set_are_named_as_colours(tmp_path: Path) -> None:
    colors = np.zeros((4, 5, 3), np.uint8)
    colors[0] = 1, 2, 3
    colors[1] = 128, 64, 128
    trees.camvid_original(tmp_path, ["0001TP_006690", "Seq05VD_f00000"], colors)
    train, test = check_dataset(layout_of("camvid"), tmp_path)
    assert (train.split, test.split) == ("train", "test")  # there is nothing of val
    assert [(stranger.value, stranger.pixels) for stranger in train.strangers] == [("(1, 2, 3)", 5)]
    assert train.faulty  # by that alone
    assert train.shares["road"] == 0.25 and train.ignored == 0.75
    assert "sky" in train.absent and "road" not in train.absent


def test_tiles_and_matrices(tmp_path: Path) -> None:
    trees.potsdam(tmp_path / "potsdam", ["2_10"])
    (report,) = check_dataset(layout_of("potsdam"), tmp_path / "potsdam", "train", {"clutter": "false"})
    assert len(report.faults["missing"]) == 2 * 23 and not report.strangers
    assert report.shares["car"] == 1 / 8 and report.ignored == 3 / 8
    trees.cocostuff_10k(tmp_path / "coco", trees.rows_of((12, 1)))
    train, test = check_dataset(layout_of("cocostuff"), tmp_path / "coco")
    assert [(stranger.value, stranger.files) for stranger in train.strangers] == [("12", 2)]
    assert len(test.absent) == 170


def test_a_damaged_list_is_a_fault_of_its_split(tmp_path: Path) -> None:
    trees.camvid_segnet(tmp_path)
    (tmp_path / "train.txt").write_text("alone\n")
    train, val, test = check_dataset(layout_of("camvid"), tmp_path)
    assert train.faulty and train.pairs == 0 and "line 1 of" in train.unlisted and "train.txt" in train.unlisted
    assert (val.pairs, test.pairs) == (1, 2) and not val.unlisted and not val.faulty
    assert train.as_json()["unlisted"] == train.unlisted and val.as_json()["unlisted"] is None
    with pytest.raises(DatasetError, match="line 1 of"):
        check_dataset(layout_of("camvid"), tmp_path, "train")
    code, output = run(tmp_path)
    assert code == 1 and "train cannot be checked: line 1 of" in output
    assert "camvid train" not in output and "camvid val: 1 pairs" in output and "camvid test: 2 pairs" in output
    assert "something is wrong with camvid's train" in output
    for split in ("val", "test"):
        (tmp_path / f"{split}.txt").write_text("alone\n")
    with pytest.raises(DatasetError, match=r"line 1 of .*train\.txt"):
        check_dataset(layout_of("camvid"), tmp_path)


def test_nothing_of_any_split(own: Path) -> None:
    for file in [*(own / "images").iterdir(), *(own / "labels").iterdir()]:
        file.unlink()
    with pytest.raises(DatasetError, match=r"holds no images of folder: expected images/\* and labels/\*"):
        check_dataset(layout_of("folder"), own)


def run(*arguments: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["dataset", "check", *map(str, arguments)], env={"COLUMNS": "200"})
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_command_recognises_the_data_set(tmp_path: Path) -> None:
    trees.cityscapes(tmp_path)
    code, output = run(tmp_path, "--json", tmp_path / "report.json")
    assert code == 0, output
    assert "cityscapes train: 2 pairs" in output and "cityscapes val: 1 pairs" in output
    assert "there is nothing of split test\nwhat there is of cityscapes is complete and readable" in output
    assert "sizes: 12x8 (2)" in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["dataset"], report["faulty"]) == ("cityscapes", False)
    assert [part["split"] for part in report["splits"]] == ["train", "val"]
    assert report["splits"][1]["sizes"] == {"12x8": 1}
    assert report["splits"][1]["shares"]["road"] == 1 / 8


def test_command_looks_at_one_split_with_options(tmp_path: Path) -> None:
    root = trees.own_folder(tmp_path / "own", Path("images/day"), Path("labels/day"))
    trees.own_folder(root, Path("images/night"), Path("labels/night"))
    code, output = run(root, "--dataset", "folder", "--split", "night", "--option", "labels=camvid11")
    assert code == 0, output
    assert "folder night: 3 pairs" in output and "folder day" not in output
    assert "bicyclist" in output and "classes that never occur: pole" in output


def test_command_ends_with_1_and_a_short_list_where_something_is_wrong(own: Path) -> None:
    trees.own_folder(own, Path("images"), Path("labels"), count=14)
    for number in range(13):
        (own / "labels" / f"frame{number}.png").unlink()
    trees.write(own / "labels" / "frame13.png", trees.rows_of((200,)))
    code, output = run(own, "--json", own / "report.json")
    assert code == 1
    assert "missing files: 13" in output and "and 3 more" in output
    assert "frame9.png" in output and "frame10.png" not in output
    assert "200: 96 pixels in 1 files, for example" in output and "frame13.png" in output
    assert "something is wrong with folder's all" in output
    report = json.loads((own / "report.json").read_text())
    assert report["faulty"] and len(report["splits"][0]["missing"]) == 13
    assert report["splits"][0]["unknown_values"][0]["pixels"] == 96


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "/nowhere does not exist; give the folder of a data set"),
        (["/", "--dataset", "kitti"], "unknown data set 'kitti'"),
        (["/", "--dataset", "street"], "street is rendered when it is read; there are no files to check"),
        (["/", "--dataset", "camvid"], "/ is no camvid: expected train.txt"),
        (["/", "--option", "eroded"], "option: received 'eroded', expected KEY=VALUE"),
        (["/", "--option", "a=1", "--option", "a=2"], "option: a is given twice, as '1' and '2'"),
    ],
)
def test_command_faults_are_one_line(arguments: list[str], message: str) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert message in output


def test_command_with_bad_options_and_files(own: Path) -> None:
    code, output = run(own, "--option", "size=3")
    assert code == 2 and "data set folder has no option 'size'; it has labels" in output
    code, output = run(own, "--split", "val")
    assert code == 2 and "has no split 'val'; it has all" in output
    code, output = run(own, "--json", own / "no" / "folder.json")
    assert code == 2 and "json: there is no folder" in output


def test_command_loses_nothing_where_the_json_file_cannot_be_written(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanet_ros.commands.dataset.check_can_write", lambda option, path: None)  # it was possible then
    code, output = run(own, "--json", own / "no" / "folder.json")
    assert code == 2 and "folder all: 3 pairs" in output and "cannot write" in output


def test_command_shows_what_classes_are_in_other_label_sets(tmp_path: Path) -> None:
    trees.idd_lite(tmp_path / "idd")
    code, output = run(tmp_path / "idd", "--split", "train")
    assert code == 0 and "in camvid11" in output and "building or tree" in output
    folder = trees.own_folder(tmp_path / "own", Path("images"), Path("labels"))
    labels = (folder / "labels.yaml").read_text()
    (folder / "labels.yaml").write_text(labels + "mappings: {camvid11: {floor: {not: [road, sky]}, wall: null}}\n")
    assert "any but sky, road" in run(folder)[1]
    (folder / "labels.yaml").write_text(labels + "mappings: {camvid11: {floor: street, wall: null}}\n")
    code, output = run(folder)
    assert code == 1 and "'street' is none of 'camvid11'" in output and "all: 3 pairs" in output


def test_command_reads_soft_labels(tmp_path: Path) -> None:
    trees.idd_lite(tmp_path / "idd", drives=2)
    for name in ("0/000", "0/001", "1/100"):
        save_soft_labels(tmp_path / "soft" / f"{name}.npz", np.zeros((7, 4, 6)))
    (tmp_path / "soft/0/001.npz").write_bytes(b"nothing")
    arguments = [tmp_path / "idd", "--split", "train", "--soft", tmp_path / "soft"]
    code, output = run(*arguments, "--soft-labels", "idd7")
    assert code == 1 and "soft labels that are missing or cannot be used: 2" in output
    assert "001.npz cannot be read" in output and "101.npz are missing" in output
    code, output = run(*arguments)
    assert code == 2 and "give --soft-labels" in output
