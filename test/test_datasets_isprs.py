from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from fanet_ros.datasets import IGNORED, Window, isprs, open_dataset
from fanet_ros.errors import DatasetError


def test_divisions_are_the_contests() -> None:
    for tiles, counts in ((isprs.POTSDAM, (24, 14, 38)), (isprs.VAIHINGEN, (16, 17, 33))):
        train, test = tiles["train"], tiles["test"]
        assert (len(train), len(test), len({*train, *test})) == counts
    assert isprs.POTSDAM["train"][:4] == ["2_10", "2_11", "2_12", "3_10"] and isprs.POTSDAM["train"][-1] == "7_12"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def tiles(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return trees.potsdam(tmp_path_factory.mktemp("potsdam"), isprs.POTSDAM["test"], request.param)


def test_potsdam(tiles: Path) -> None:
    data = open_dataset("potsdam", tiles, "test")
    assert (len(data), data.names[0], data.label_set.name) == (14, "2_13", "isprs6")
    assert data.size(0) == (trees.WIDTH, trees.HEIGHT)
    sample = data.read(0)
    assert sample.labels[:, 0].tolist() == [0, 1, 2, 3, 4, 5, IGNORED, IGNORED]
    assert sample.image[0, :2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sample.image.flags.writeable and type(sample.image) is np.ndarray


@pytest.mark.parametrize(
    "window",
    [Window(3, 2, 5, 4), Window(-3, -2, 6, 5), Window(9, 6, 8, 9), Window(50, 0, 3, 2), Window(-2, -2, 30, 30)],
)
def test_windows_equal_those_cut_out_of_the_whole(tiles: Path, window: Window) -> None:
    data = open_dataset("potsdam", tiles, "test")
    whole, part = data.read(1), data.read_window(1, window)
    assert part.image.shape == (window.height, window.width, 3) and part.name == "2_14"
    for row in range(window.height):
        for column in range(window.width):
            y, x = window.top + row, window.left + column
            inside = 0 <= y < trees.HEIGHT and 0 <= x < trees.WIDTH
            assert part.image[row, column].tolist() == (whole.image[y, x].tolist() if inside else [0, 0, 0])
            assert part.labels[row, column] == (whole.labels[y, x] if inside else IGNORED)


def test_options_of_potsdam(tiles: Path) -> None:
    plain = open_dataset("potsdam", tiles, "test")
    no_clutter = open_dataset("potsdam", tiles, "test", {"clutter": "false"})
    assert no_clutter.label_set.name == "isprs5" and len(no_clutter.label_set) == 5
    assert no_clutter.read(0).labels[:, 0].tolist() == [0, 1, 2, 3, 4, IGNORED, IGNORED, IGNORED]
    eroded = open_dataset("potsdam", tiles, "test", {"eroded": True}).read(0).labels
    assert set(eroded[:, 0]) == {IGNORED}
    np.testing.assert_array_equal(eroded[:, 1:], plain.read(0).labels[:, 1:])
    infrared = open_dataset("potsdam", tiles, "test", {"channels": "irrg"})
    np.testing.assert_array_equal(infrared.read(0).image, plain.read(0).image + 1)


def test_missing_tiles_are_counted(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="holds no images of potsdam's split train: expected 2_Ortho_RGB/top_potsdam_"
    ):
        open_dataset("potsdam", tiles, "train")
    trees.potsdam(tmp_path, ["2_10", "2_11"])
    with pytest.raises(DatasetError, match=r"22 of 24 images or their labels are missing .*top_potsdam_2_12_RGB\.tif"):
        open_dataset("potsdam", tmp_path, "train")


def test_only_the_participants_labels(tmp_path: Path) -> None:
    trees.potsdam(tmp_path, [*isprs.POTSDAM["train"], *isprs.POTSDAM["test"]])
    (tmp_path / "5_Labels_all").rename(tmp_path / "5_Labels_for_participants")
    for tile in isprs.POTSDAM["test"]:
        (tmp_path / "5_Labels_for_participants" / f"top_potsdam_{tile}_label.tif").unlink()
    assert len(open_dataset("potsdam", tmp_path, "train")) == 24
    with pytest.raises(DatasetError, match="14 of 14 images have no labels in potsdam's split test, .*5_Labels_all/"):
        open_dataset("potsdam", tmp_path, "test")


def test_a_folder_of_the_same_name_within(tmp_path: Path) -> None:
    trees.potsdam(tmp_path / "plain", isprs.POTSDAM["train"])
    (tmp_path / "2_Ortho_RGB").mkdir()
    (tmp_path / "plain" / "2_Ortho_RGB").rename(tmp_path / "2_Ortho_RGB" / "2_Ortho_RGB")
    (tmp_path / "plain" / "5_Labels_all").rename(tmp_path / "5_Labels_all")
    assert len(open_dataset("potsdam", tmp_path, "train")) == 24


def test_vaihingen(tmp_path: Path) -> None:
    trees.vaihingen(tmp_path, [*isprs.VAIHINGEN["train"], *isprs.VAIHINGEN["test"]])
    data = open_dataset("vaihingen", tmp_path, "train")
    assert (len(data), data.names[2]) == (16, "area5")
    sample = data.read(2)
    assert int(sample.image[0, 0, 0]) == 5
    assert sample.labels[:, 0].tolist() == [0, 1, 2, 3, 4, 5, IGNORED, IGNORED]
    eroded = open_dataset("vaihingen", tmp_path, "test", {"eroded": "yes", "clutter": "no"})
    assert (len(eroded), eroded.label_set.name) == (17, "isprs5")
    labels = eroded.read(0).labels
    assert labels[:2, :2].tolist() == [[IGNORED, 0], [IGNORED, 1]]
    with pytest.raises(DatasetError, match="vaihingen has no option 'channels'"):
        open_dataset("vaihingen", tmp_path, "train", {"channels": "rgb"})


def test_vaihingen_as_for_participants(tmp_path: Path) -> None:
    trees.vaihingen(tmp_path, [*isprs.VAIHINGEN["train"], *isprs.VAIHINGEN["test"]])
    complete = tmp_path / "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE"
    complete.rename(tmp_path / "gts_for_participants")
    for area in isprs.VAIHINGEN["test"]:
        (tmp_path / "gts_for_participants" / f"top_mosaic_09cm_{area}.tif").unlink()
    assert len(open_dataset("vaihingen", tmp_path, "train")) == 16
    with pytest.raises(DatasetError, match=r"17 of 17 images have no labels .*area2\.tif; unpack what is missing"):
        open_dataset("vaihingen", tmp_path, "test")


@pytest.mark.filterwarnings("ignore:.*EXIF")  # by which Pillow means the header
def test_bad_tiles(tmp_path: Path) -> None:
    trees.vaihingen(tmp_path, isprs.VAIHINGEN["train"])
    data = open_dataset("vaihingen", tmp_path, "train")
    trees.write_tiff(tmp_path / "top" / "top_mosaic_09cm_area1.tif", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"labels .*area1\.tif are 12x8 pixels but their image .* is 4x4"):
        data.read_window(0, Window(0, 0, 2, 2))
    image = tmp_path / "top" / "top_mosaic_09cm_area3.tif"
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"area3\.tif is no readable image"):
        data.read(1)
    image.unlink()
    with pytest.raises(DatasetError, match=r"area3\.tif is missing"):
        data.size(1)
