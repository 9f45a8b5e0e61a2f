import io
import struct
from pathlib import Path

import cv2
import dataset_trees as trees
import numpy as np
import pytest
from PIL import Image

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.decoding import image_size, read_grey, read_rgb
from fanet_ros.datasets.label_formats import ColorIds, GreyIds
from fanet_ros.datasets.matching import Files, FolderContents, matches
from fanet_ros.datasets.tiles import tile_pixels
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import load_label_set


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_read_rgb_keeps_channel_order_and_size(tmp_path: Path, noise: np.ndarray, ending: str) -> None:
    path = trees.write(tmp_path / f"image{ending}", noise)
    np.testing.assert_array_equal(read_rgb(path), noise)
    assert image_size(path) == (30, 40)


def test_orientation_of_photos_is_left_alone(tmp_path: Path, noise: np.ndarray) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(noise).save(tmp_path / "photo.jpg", exif=exif)
    assert read_rgb(tmp_path / "photo.jpg").shape == (40, 30, 3)
    assert image_size(tmp_path / "photo.jpg") == (30, 40)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_files_cut_short_are_named(tmp_path: Path, noise: np.ndarray, ending: str, share: float) -> None:
    path = trees.write(tmp_path / f"image{ending}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=rf"image\{ending} is no readable image: damaged or incomplete.*; unpack"):
        read_rgb(path)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_files_cut_short_are_noticed_where_opencv_fills_them_up(
    tmp_path: Path, noise: np.ndarray, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trees.write(tmp_path / f"image{ending}", noise)
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: noise)  # as older releases do
    assert read_rgb(path).shape == noise.shape
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="damaged or incomplete"):
        read_rgb(path)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.png is missing; unpack"):
        read_rgb(tmp_path / "gone.png")
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        read_grey(tmp_path)


def test_read_grey_returns_the_indices_of_palette_images(tmp_path: Path) -> None:
    values = trees.rows_of(range(8))
    image = Image.fromarray(values)
    image = image.convert("P")  # grey ramp: index == grey
    image.putpalette([(7 * n) % 256 for n in range(768)])
    image.save(tmp_path / "palette.png")
    assert cv2.imread(str(tmp_path / "palette.png"), cv2.IMREAD_UNCHANGED).ndim == 3  # why Pillow reads these
    np.testing.assert_array_equal(read_grey(tmp_path / "palette.png"), values)
    content = io.BytesIO()
    image.save(content, "PNG")
    (tmp_path / "palette.png").write_bytes(content.getvalue()[:-40])
    with pytest.raises(DatasetError, match=r"palette\.png is no readable image"):
        read_grey(tmp_path / "palette.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_read_grey_returns_the_ids_of_grey_images_of_few_bits(tmp_path: Path, bits: int) -> None:
    values = np.arange(1 << bits, dtype=np.uint8)[None].repeat(2, axis=0)
    trees.grey_png(tmp_path / "labels.png", values, bits)
    np.testing.assert_array_equal(read_grey(tmp_path / "labels.png"), values)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"uint8 with shape \(4, 4, 3\), expected 8-bit grey"),
        (np.zeros((4, 4), np.uint16), "uint16"),
    ],
)
def test_read_grey_refuses_colours_and_16_bit(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    path = trees.write(tmp_path / "labels.png", pixels)
    with pytest.raises(DatasetError, match=message):
        read_grey(path)


def test_grey_ids_map_and_count_strangers(tmp_path: Path) -> None:
    path = trees.write(tmp_path / "labels.png", trees.rows_of((7, 3, 200, 255, 9)))
    labels = GreyIds({7: 0, 3: 1}, ignored=(9, IGNORED))
    np.testing.assert_array_equal(labels(path)[:, 0], [0, 1, 255, 255, 255, 255, 255, 255])
    assert labels.strangers(labels.raw(path)) == {"200": trees.WIDTH}


def test_ids_of_a_label_set_end_with_its_classes(tmp_path: Path) -> None:
    path = trees.write(tmp_path / "labels.png", trees.rows_of((0, 5, 6, 255)))
    labels = GreyIds.of(load_label_set("isprs6"))
    assert labels(path)[:4, 0].tolist() == [0, 5, IGNORED, IGNORED]
    assert labels.strangers(labels.raw(path)) == {"6": trees.WIDTH}


def test_color_ids_map_several_colours_to_a_class_and_count_strangers(tmp_path: Path) -> None:
    colors = np.array([(1, 2, 3), (3, 2, 1), (0, 0, 0), (9, 9, 9)], np.uint8)
    tall = np.repeat(colors[[0, 1, 2, 3]], 300, axis=0)[:, None, :].repeat(2, axis=1)  # taller than one band of rows
    path = trees.write(tmp_path / "labels.png", tall)
    labels = ColorIds({(1, 2, 3): 4, (3, 2, 1): 4, (0, 0, 0): IGNORED})
    ids = labels(path)
    assert ids.shape == (1200, 2) and ids.dtype == np.uint8
    np.testing.assert_array_equal(ids[:, 1], [4] * 600 + [IGNORED] * 600)
    assert labels.strangers(labels.raw(path)) == {"(9, 9, 9)": 600}


def test_plain_tiff_is_a_view_of_the_file(tmp_path: Path, noise: np.ndarray) -> None:
    path = trees.write_tiff(tmp_path / "plain.tif", noise)
    pixels = tile_pixels(path)
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, noise)
    assert image_size(path) == (30, 40)


def tiff_header(order: str, *extra: tuple[int, int, int, int]) -> bytes:
    """A TIFF of 4x2 RGB pixels up to its end of the directory and its bits a sample; `extra` are more entries."""
    short = (lambda value: value << 16) if order == ">" else (lambda value: value)
    entries = [(256, 3, 1, short(4)), (257, 3, 1, short(2)), (262, 3, 1, short(2)), (277, 3, 1, short(3)), *extra]
    entries.append((258, 3, 3, 8 + 2 + 12 * (len(entries) + 1)))
    header = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, len(entries))
    return (
        header + b"".join(struct.pack(f"{order}HHII", *e) for e in sorted(entries)) + struct.pack(f"{order}3H", 8, 8, 8)
    )


def test_big_endian_tiff_with_one_strip(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    header = tiff_header(">", (273, 4, 1, 120), (279, 4, 1, 24))
    (tmp_path / "big.tif").write_bytes(header.ljust(120, b"\0") + pixels.tobytes())
    read = tile_pixels(tmp_path / "big.tif")
    assert isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, pixels)


def test_tiffs_that_have_to_be_decoded_tell_their_size(tmp_path: Path, noise: np.ndarray) -> None:
    packed = trees.write_tiff(tmp_path / "packed.tif", noise, compressed=True)
    grey = trees.write_tiff(tmp_path / "grey.tif", noise[..., 0])
    png = trees.write(tmp_path / "image.png", noise)
    for path, expected in ((packed, noise), (grey, noise[..., :1].repeat(3, axis=2)), (png, noise)):
        read = tile_pixels(path)
        assert not isinstance(read, np.memmap)
        np.testing.assert_array_equal(read, expected)
        assert image_size(path) == (30, 40)
    assert image_size(trees.write_tiff(tmp_path / "deep.tif", noise.astype(np.uint16))) == (30, 40)


def test_damaged_tiffs_are_named(tmp_path: Path, noise: np.ndarray) -> None:
    path = trees.write_tiff(tmp_path / "plain.tif", noise)
    path.write_bytes(path.read_bytes()[:6])
    for look in (tile_pixels, image_size):
        with pytest.raises(DatasetError, match=r"plain\.tif is no readable image"):
            look(path)
        with pytest.raises(DatasetError, match=r"gone\.tif is missing"):
            look(tmp_path / "gone.tif")


def test_tiff_that_ends_within_its_pixels(tmp_path: Path) -> None:
    # with the directory in front, as the ISPRS tiles may have it, a cut file still has a whole header
    header = tiff_header("<", (273, 4, 1, 120), (279, 4, 1, 24))
    (tmp_path / "cut.tif").write_bytes(header.ljust(120, b"\0") + bytes(23))
    with pytest.raises(DatasetError, match=r"cut\.tif is no readable image"):
        tile_pixels(tmp_path / "cut.tif")


@pytest.mark.parametrize(("offsets", "mapped"), [((140, 152), True), ((152, 140), False), ((140, 160), False)])
def test_strips_that_do_not_follow_each_other_are_decoded(
    tmp_path: Path, offsets: tuple[int, int], mapped: bool
) -> None:
    values = 8 + 2 + 8 * 12 + 6  # where those lie that do not fit into the directory
    header = tiff_header("<", (273, 4, 2, values), (278, 3, 1, 1), (279, 4, 2, values + 8))
    content = (header + struct.pack("<IIII", *offsets, 12, 12)).ljust(140, b"\0") + bytes(range(40))
    (tmp_path / "strips.tif").write_bytes(content)
    pixels = tile_pixels(tmp_path / "strips.tif")
    assert isinstance(pixels, np.memmap) == mapped
    assert image_size(tmp_path / "strips.tif") == (4, 2)
    rows = [list(content[offset : offset + 12]) for offset in offsets]
    assert pixels.reshape(2, 12).tolist() == rows


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_images_of_any_ending_are_paired_in_natural_order(tmp_path: Path) -> None:
    touched(tmp_path, "images/b10.png", "images/b2.JPG", "images/b.1.bmp", "images/note.txt", "images/._b3.png")
    touched(tmp_path, "labels/b10.tif", "labels/c.png")
    pairs, strays = Files("images/*", "labels/*").find(tmp_path)
    assert [pair.name for pair in pairs] == ["b2", "b10", "b.1"]
    assert [pair.image.name for pair in pairs] == ["b2.JPG", "b10.png", "b.1.bmp"]
    assert [pair.labels.name for pair in pairs] == ["b2.png", "b10.tif", "b.1.png"]  # present or not
    assert strays == [tmp_path / "labels/c.png"]
    assert matches(tmp_path, "nowhere/*") == {}


def test_names_consist_of_what_the_stars_stand_for(tmp_path: Path) -> None:
    touched(tmp_path, "in/val/b/7_image.jpg", "in/val/a/10_image.jpg", "in/val/a/9_image.jpg", "in/val/file")
    touched(tmp_path, "in/train/a/1_image.jpg", "truth/val/a/9_label.png", "truth/val/c/9_label.png")
    files = Files("in/SPLIT/*/*_image.jpg", "truth/SPLIT/*/*_label.png")
    pairs, strays = files.of("val").find(tmp_path)
    assert [pair.name for pair in pairs] == ["a/9", "a/10", "b/7"]
    assert pairs[2] == files.of("val").pair(tmp_path, "b/7")
    assert pairs[2].labels == tmp_path / "truth/val/b/7_label.png"
    assert strays == [tmp_path / "truth/val/c/9_label.png"]
    assert files.any_there(tmp_path, ["test", "train"]) and not files.any_there(tmp_path, ["test"])


def test_folder_contents_prefers_what_exists(tmp_path: Path) -> None:
    (tmp_path / "second").touch()
    contents = FolderContents()
    assert contents.first([tmp_path / "first", tmp_path / "second"]) == tmp_path / "second"
    assert contents.first([tmp_path / "first", tmp_path / "third"]) == tmp_path / "first"
    assert tmp_path / "no" / "folder" not in contents
