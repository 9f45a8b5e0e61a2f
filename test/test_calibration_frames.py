from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_trees import grey_png
from PIL import Image

from fanet_ros.calibration.calibration_frames import open_frames
from fanet_ros.errors import DatasetError, FanetError, LabelSetError, SourceError
from fanet_ros.model.labels import LabelSet, load_label_set, save_label_set


def write_images(folder: Path, count: int, size: tuple[int, int] = (48, 32)) -> None:
    """Images whose grey value is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size[1], size[0], 3), number, np.uint8))


def write_labels(folder: Path, count: int, size: tuple[int, int] = (48, 32)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size[1], size[0]), 100 + number, np.uint8))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_images(tmp_path / "drive" / "images", 12)
    write_labels(tmp_path / "drive" / "labels", 12)
    return tmp_path / "drive"


def values(path: Path, count: int) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in open_frames(str(path)).sample(count)]


def test_folder_of_images(data: Path) -> None:
    frames = open_frames(str(data / "images"))
    assert (frames.name, frames.labelled, frames.length) == ("images", False, 12)
    read = list(frames.sample(3))
    assert [frame.name for frame in read] == ["2", "6", "10"]
    assert all(frame.labels is None for frame in read)


def test_frames_are_evenly_spread_and_always_the_same(data: Path) -> None:
    assert values(data, 4) == [1, 4, 7, 10]
    assert values(data, 4) == values(data, 4)
    assert values(data, 1) == [6]
    assert values(data, 12) == values(data, 1000) == list(range(12))
    for count in range(1, 13):
        assert len(set(values(data, count))) == count


def test_video(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    frames = open_frames(str(tmp_path / "drive.mp4"))
    assert (frames.name, frames.labelled, frames.length) == ("drive.mp4", False, 10)
    assert [round(float(frame.image.mean()) / 20) for frame in frames.sample(5)] == [1, 3, 5, 7, 9]


def test_images_and_labels_in_folders(data: Path) -> None:
    frames = open_frames(str(data))
    assert (frames.name, frames.labelled, frames.length) == ("drive", True, 12)
    for frame in frames.sample(12):
        assert frame.labels is not None and frame.labels.shape == (32, 48) and frame.labels.dtype == np.uint8
        assert np.all(frame.labels == 100 + frame.image[0, 0, 0])


def test_list(data: Path) -> None:
    lists = data / "lists"
    lists.mkdir()
    # as in the SegNet edition of CamVid: paths from the root of the data set, with blank lines
    lines = [f"images/{n}.png labels/{n}.png" for n in (3, 5)] + ["", f"{data}/images/7.png labels/7.png"]
    (lists / "val.txt").write_text("\n".join(lines) + "\n")
    frames = open_frames(str(lists / "val.txt"))
    assert (frames.name, frames.labelled, frames.length) == ("lists/val.txt", True, 3)
    read = [(frame.image[0, 0, 0], frame.labels[0, 0]) for frame in frames.sample(9) if frame.labels is not None]
    assert read == [(3, 103), (5, 105), (7, 107)]


def test_missing_labels_are_told_with_their_image(data: Path) -> None:
    (data / "labels" / "4.png").unlink()
    message = (
        r"1 of 12 images have no labels .* for example image .*images/4\.png: there is no .*labels/4\.png; add them"
    )
    with pytest.raises(SourceError, match=message):
        open_frames(str(data))


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
def test_splits(tmp_path: Path, pattern: str) -> None:
    for split, count in (("train", 3), ("val", 2)):
        write_images(tmp_path / "mine" / pattern.format(kind="images", split=split), count)
        write_labels(tmp_path / "mine" / pattern.format(kind="labels", split=split), count)
    mine = str(tmp_path / "mine")
    for frames, name, length in (
        (open_frames(mine), "mine/val", 2),
        (open_frames(mine, split="train"), "mine/train", 3),
    ):
        assert (frames.name, frames.labelled, frames.length) == (name, True, length)
    for split, length in (("train", 3), ("val", 2)):
        assert open_frames(f"{mine}/{split}").labelled and open_frames(f"{mine}/{split}").length == length
    images = open_frames(str(tmp_path / "mine" / pattern.format(kind="images", split="train")))
    assert not images.labelled and images.length == 3
    with pytest.raises(SourceError, match=r"has the splits train, val, but no test: name the one to take, as .*/train"):
        open_frames(mine, split="test")


def test_a_single_split_needs_no_name(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "night", 2)
    write_labels(tmp_path / "labels" / "night", 2)
    assert open_frames(str(tmp_path)).length == 2


def test_the_classes_of_labels_yaml_become_those_of_the_network(data: Path) -> None:
    network = load_label_set("camvid11")
    names = tuple(reversed(network.names))
    save_label_set(LabelSet("reversed", names, network.colors[::-1], {}), data / "labels.yaml")
    cv2.imwrite(str(data / "labels" / "0.png"), np.full((32, 48), names.index("road"), np.uint8))
    (data / "val.txt").write_text("images/0.png labels/0.png\n")
    for path in (data, data / "val.txt"):
        frame = next(open_frames(str(path), network).sample(12))
        assert frame.labels is not None and np.all(frame.labels == network.id_of("road"))
    coarse = LabelSet(
        "two", ("here", "there"), ((0, 0, 0),) * 2, {}, {"camvid11": {"here": "road", "there": {"not": "road"}}}
    )
    save_label_set(coarse, data / "labels.yaml")
    with pytest.raises(SourceError, match=r"'two', are coarse for these weights.*give the folder .*images"):
        open_frames(str(data), network)
    save_label_set(LabelSet("other", ("floor", "wall"), ((0, 0, 0),) * 2, {}), data / "labels.yaml")
    with pytest.raises(LabelSetError, match="'camvid11' is not the data's 'other'"):
        open_frames(str(data), network)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits(data: Path, bits: int) -> None:
    ids = np.random.default_rng(0).integers(0, 1 << bits, (32, 48)).astype(np.uint8)
    grey_png(data / "labels" / "0.png", ids, bits)
    palette = Image.fromarray(ids, "P")
    palette.putpalette(list(range(3 << bits)))
    palette.save(data / "labels" / "1.png", bits=bits)
    first, second, *_ = open_frames(str(data)).sample(12)
    np.testing.assert_array_equal(first.labels, ids)
    np.testing.assert_array_equal(second.labels, ids)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_labelled_photos_are_read_as_they_lie_in_the_file(data: Path, ending: str, orientation: int) -> None:
    """As by every other command that reads labels: these know no orientation."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (data / "images" / "0.png").unlink()
    Image.fromarray(pixels).save(data / f"images/0{ending}", exif=exif)
    frame = next(open_frames(str(data)).sample(12))
    assert frame.image.shape == (32, 48, 3)
    assert frame.image[:8, :8].min() > 200 and frame.image[12:].max() < 50 and frame.image[:, 12:].max() < 50


def test_empty_sets(data: Path, tmp_path: Path) -> None:
    for image in (data / "images").iterdir():
        image.unlink()
    with pytest.raises(SourceError, match="holds no images"):
        open_frames(str(data))
    with pytest.raises(SourceError, match="holds no images"):
        open_frames(str(data / "images"))
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(SourceError, match="is empty; write lines"):
        open_frames(str(tmp_path / "val.txt"))
    with pytest.raises(SourceError, match="there is no source"):
        open_frames(str(tmp_path / "nothing"))


def test_a_source_without_an_end() -> None:
    with pytest.raises(SourceError, match="street has no known end.*give a video file or a folder"):
        open_frames("street")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("images/0.png", "line 3 of .* is 'images/0.png', expected the paths of an image and of its labels"),
        (
            "images/0.png labels/0.png 3",
            "line 3 of .* names labels/0.png 3 as the labels of image .*images/0.png, which is",
        ),
        (
            "images/0.png labels/99.png",
            "names labels/99.png as the labels of image .*images/0.png, which is neither in",
        ),
        ("images/99.png labels/0.png", "line 3 of .* names images/99.png as the image, which is neither in"),
        ("nothing that is there", "line 3 of .* is 'nothing that is there', expected the paths of an image"),
    ],
)
def test_bad_lists(data: Path, line: str, message: str) -> None:
    (data / "val.txt").write_text(f"images/1.png labels/1.png\n\n{line}\n")
    with pytest.raises(FanetError, match=message):
        open_frames(str(data / "val.txt"))


@pytest.mark.parametrize("gap", [" ", "\t", "   "])
def test_lists_of_windows_and_paths_with_blanks(data: Path, gap: str) -> None:
    for name in ("images", "labels"):
        (data / name / "3.png").rename(data / name / "my 3 .png")
    lines = [
        f"images/my 3 .png{gap}labels/my 3 .png",
        f"images/5.png{gap}labels/5.png",
        f"images/5.png{gap}labels/5.png",
    ]
    (data / "val.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    frames = open_frames(str(data / "val.txt"))
    read = [(frame.image[0, 0, 0], frame.labels[0, 0]) for frame in frames.sample(9) if frame.labels is not None]
    assert read == [(3, 103), (5, 105), (5, 105)]


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="cannot read the list"):
        open_frames(str(tmp_path / "val.txt"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.zeros((32, 32), np.uint8),
            "images/3.png: labels .*3.png are 32x32 pixels but their image .* is 48x32; both must have the same size",
        ),
        (np.zeros((16, 24), np.uint8), "are 24x16 pixels but their image .* is 48x32"),
        (np.zeros((32, 48, 4), np.uint8), "expected 8-bit grey with one id per pixel"),
        (np.zeros((32, 48, 3), np.uint8), "expected 8-bit grey with one id per pixel"),
        (np.zeros((32, 48), np.uint16), "an image of uint16"),
    ],
)
def test_labels_that_do_not_fit(data: Path, labels: np.ndarray, message: str) -> None:
    cv2.imwrite(str(data / "labels" / "3.png"), labels)
    with pytest.raises(FanetError, match=message):
        list(open_frames(str(data)).sample(12))


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_unreadable_files(data: Path, content: bytes) -> None:
    (data / "labels" / "3.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"image .*images/3\.png: .*labels/3\.png is no readable image"):
        list(open_frames(str(data)).sample(12))
    (data / "images" / "2.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"images/2\.png is no readable image"):
        list(open_frames(str(data)).sample(12))
