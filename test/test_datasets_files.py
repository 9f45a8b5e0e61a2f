import io
import struct
import zlib
from pathlib import Path

import cv2
import dataset_trees as trees
import numpy as np
import pytest
from PIL import Image

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.decoding import image_size, read_grey, read_rgb
from fanet_ros.datasets.files import FolderContents, images_in, pair_by_stem
from fanet_ros.datasets.label_formats import ColorIds, GreyIds, identity_table, value_table
from fanet_ros.datasets.tiff import map_tiff, tiff_size
from fanet_ros.errors import DatasetError


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
    with pytest.raises(DatasetError, match=rf"image\{ending} is no readable image: damaged or incomplete; unpack"):
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
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", values.shape[1], 2, bits, 0, 0, 0, 0)  # colour type 0: grey
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    (tmp_path / "labels.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
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
    labels = GreyIds(value_table({7: 0, 3: 1}), ignored=(9, IGNORED))
    np.testing.assert_array_equal(labels(path)[:, 0], [0, 1, 255, 255, 255, 255, 255, 255])
    assert labels.strangers(labels.raw(path)) == {"200": trees.WIDTH}


def test_identity_table_knows_no_id_beyond_the_classes() -> None:
    table = identity_table(3)
    assert table[:4].tolist() == [0, 1, 2, IGNORED]
    assert set(table[3:]) == {IGNORED}


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
    pixels = map_tiff(path)
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, noise)
    assert tiff_size(path) == (30, 40)


def test_big_endian_tiff_with_one_strip(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    entries = [(256, 3, 1, 4 << 16), (257, 3, 1, 2 << 16), (258, 3, 3, 8 + 2 + 7 * 12), (262, 3, 1, 2 << 16)]
    entries += [(273, 4, 1, 100), (277, 3, 1, 3 << 16), (279, 4, 1, 24)]
    header = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", len(entries))
    header += b"".join(struct.pack(">HHII", *entry) for entry in entries) + struct.pack(">HHH", 8, 8, 8)
    (tmp_path / "big.tif").write_bytes(header.ljust(100, b"\0") + pixels.tobytes())
    read = map_tiff(tmp_path / "big.tif")
    assert read is not None
    np.testing.assert_array_equal(read, pixels)


def test_tiffs_that_have_to_be_decoded_still_tell_their_size(tmp_path: Path, noise: np.ndarray) -> None:
    packed = trees.write_tiff(tmp_path / "packed.tif", noise, compressed=True)
    grey = trees.write_tiff(tmp_path / "grey.tif", noise[..., 0])
    deep = trees.write_tiff(tmp_path / "deep.tif", noise.astype(np.uint16))
    for path in (packed, grey, deep):
        assert map_tiff(path) is None
        assert tiff_size(path) == (30, 40)
    png = trees.write(tmp_path / "image.png", noise)
    assert map_tiff(png) is None and tiff_size(png) is None


def test_damaged_tiffs_are_named(tmp_path: Path, noise: np.ndarray) -> None:
    path = trees.write_tiff(tmp_path / "plain.tif", noise)
    content = path.read_bytes()
    # with the directory in front, as the ISPRS tiles may have it, a cut file still has a whole header
    assert tiff_size(path) is not None
    path.write_bytes(content[:6])
    with pytest.raises(DatasetError, match=r"plain\.tif is no readable image"):
        map_tiff(path)
    with pytest.raises(DatasetError, match=r"gone\.tif is missing"):
        map_tiff(tmp_path / "gone.tif")


def test_tiff_that_ends_within_its_pixels(tmp_path: Path) -> None:
    entries = [(256, 3, 1, 4), (257, 3, 1, 2), (258, 3, 3, 8 + 2 + 7 * 12), (262, 3, 1, 2), (273, 4, 1, 100)]
    entries += [(277, 3, 1, 3), (279, 4, 1, 24)]
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    header += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<HHH", 8, 8, 8)
    (tmp_path / "cut.tif").write_bytes(header.ljust(100, b"\0") + bytes(23))
    with pytest.raises(DatasetError, match=r"cut\.tif is no readable image"):
        map_tiff(tmp_path / "cut.tif")


@pytest.mark.parametrize(("offsets", "mapped"), [((120, 132), True), ((132, 120), False), ((120, 140), False)])
def test_strips_that_do_not_follow_each_other_are_decoded(
    tmp_path: Path, offsets: tuple[int, int], mapped: bool
) -> None:
    extra = 8 + 2 + 7 * 12  # where the values lie that do not fit into the directory
    entries = [(256, 3, 1, 4), (257, 3, 1, 2), (258, 3, 3, extra), (262, 3, 1, 2), (273, 4, 2, extra + 6)]
    entries += [(277, 3, 1, 3), (279, 4, 2, extra + 14)]
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    header += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    header += struct.pack("<HHH", 8, 8, 8) + struct.pack("<IIII", *offsets, 12, 12)
    (tmp_path / "strips.tif").write_bytes(header.ljust(120, b"\0") + bytes(range(40)))
    pixels = map_tiff(tmp_path / "strips.tif")
    assert (pixels is not None) == mapped
    assert tiff_size(tmp_path / "strips.tif") == (4, 2)
    if pixels is not None:
        assert pixels.ravel().tolist() == list(range(24))


def test_images_are_listed_in_natural_order_and_paired_by_stem(tmp_path: Path) -> None:
    for name in ("b10.png", "b2.JPG", "note.txt"):
        (tmp_path / name).touch()
    images = images_in(tmp_path)
    assert [path.name for path in images] == ["b2.JPG", "b10.png"]
    assert images_in(tmp_path / "nowhere") == []
    pairs, lonely = pair_by_stem(images, [Path("labels/b10.tif"), Path("labels/c.png")])
    assert pairs == [(tmp_path / "b10.png", Path("labels/b10.tif"))]
    assert lonely == [tmp_path / "b2.JPG"]


def test_folder_contents_prefers_what_exists(tmp_path: Path) -> None:
    (tmp_path / "second").touch()
    contents = FolderContents()
    assert contents.first([tmp_path / "first", tmp_path / "second"]) == tmp_path / "second"
    assert contents.first([tmp_path / "first", tmp_path / "third"]) == tmp_path / "first"
    assert tmp_path / "no" / "folder" not in contents
