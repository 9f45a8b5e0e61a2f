"""Images that claim more than they should: refused by their first bytes and their size, before anything unfolds."""

import array
import os
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fanet_ros.frames.encoded_image import TooLargeError, UndecodableError, decode_image
from fanet_ros.frames.image_messages import UnusableImageError, frame_of_compressed, frame_of_raw

PICTURE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 255, (48, 64, 3), np.uint8), (0, 0), 4)


def encoded(suffix: str, image: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def gif(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + b"\x00\x00\x00,\x00\x00\x00\x00"
        + b"\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )


def jpeg(width: int, height: int, comments: int = 0) -> bytes:
    """A small JPEG with another size in its header, behind comments of 60 kB each."""
    data = bytearray(encoded(".jpg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data[:2] + (b"\xff\xfe\xea\x62" + b" " * 60_000) * comments + data[2:])


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def message(data: bytes, format: str) -> SimpleNamespace:  # noqa: A002 (the field's name)
    return SimpleNamespace(data=array.array("B", data), format=format)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pictures(suffix: str) -> None:
    image = decode_image(encoded(suffix), cv2.IMREAD_COLOR)
    assert image.shape == PICTURE.shape and np.abs(image.astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".tif", ".webp"])
def test_other_formats_only_of_files_and_only_with_their_size(suffix: str) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    data = encoded(suffix)
    assert decode_image(data, cv2.IMREAD_COLOR, other_formats=True).shape == PICTURE.shape
    with pytest.raises(TooLargeError, match="64x48 pixels"):
        decode_image(data, cv2.IMREAD_COLOR, other_formats=True, most_pixels=1000)
    with pytest.raises(UndecodableError, match="expected JPEG or PNG"):
        decode_image(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gif(32_000, 32_000), "begins with b'GIF89a.*expected JPEG or PNG"),
        (jpeg(32_000, 32_000), "32000x32000 pixels"),
        (jpeg(32_000, 32_000, comments=6), "32000x32000 pixels"),  # the frame header lies beyond 256 KiB
        (png(50_000, 50_000), "50000x50000 pixels"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "its header tells no size"),
        (b"", "begins with b''"),
        (encoded(".png")[:60], "it is damaged"),
    ],
    ids=["gif", "jpeg", "late jpeg", "png", "cut jpeg", "empty", "cut png"],
)
@pytest.mark.parametrize("other_formats", [False, True])
def test_what_is_refused_before_it_unfolds(data: bytes, problem: str, other_formats: bool) -> None:
    with pytest.raises(UndecodableError, match=problem):
        decode_image(data, cv2.IMREAD_COLOR, other_formats=other_formats)


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_compressed_mosaic_becomes_the_picture_that_the_raw_one_is(encoding: str, suffix: str) -> None:
    mosaic = np.empty(PICTURE.shape[:2], np.uint8)
    for place, color in enumerate(encoding[6:10]):
        mosaic[place // 2 :: 2, place % 2 :: 2] = PICTURE[place // 2 :: 2, place % 2 :: 2, "bgr".index(color)]
    height, width = mosaic.shape
    raw = SimpleNamespace(height=height, width=width, encoding=encoding, step=width, data=mosaic.tobytes())
    expected, _ = frame_of_raw(raw)
    for words in (f"{encoding}; {suffix[1:]} compressed ", f"{encoding}; {suffix[1:]} compressed bgr8"):
        found = frame_of_compressed(message(encoded(suffix, mosaic), words))
        assert np.abs(found.astype(int) - expected).mean() < 3
        assert np.abs(found.astype(int) - PICTURE).mean() < 6
        # where the publisher has debayered it already, the picture is taken as it is
        colored = frame_of_compressed(message(encoded(suffix), words))
        assert np.abs(colored.astype(int) - PICTURE).mean() < 3


def test_grey_transparent_and_deep_pictures() -> None:
    grey = PICTURE[..., 1]
    np.testing.assert_array_equal(
        frame_of_compressed(message(encoded(".png", grey), "mono8; png compressed "))[..., 2], grey
    )
    deep = grey.astype(np.uint16) * 257
    found = frame_of_compressed(message(encoded(".png", deep), "mono16; png compressed "))
    np.testing.assert_array_equal(found[..., 0], grey)
    found = frame_of_compressed(message(encoded(".png", PICTURE.astype(np.uint16) * 257), "bgr16; png compressed "))
    np.testing.assert_array_equal(found, PICTURE)
    clear = np.dstack([PICTURE, grey])
    np.testing.assert_array_equal(
        frame_of_compressed(message(encoded(".png", clear), "bgra8; png compressed ")), PICTURE
    )


NUMBERS = [
    f"{bits}{kind}C{channels}"
    for bits, kinds in ((8, "S"), (16, "US"), (32, "SF"), (64, "F"))
    for kind in kinds
    for channels in range(1, 5)
]


@pytest.mark.parametrize(
    "words", [*NUMBERS, "8UC2", "16uc1", "compressedDepth", "mono16; compressedDepth png", "png", ""]
)
@pytest.mark.parametrize("rest", ["", "; png compressed ", ";PNG compressed", " ; png compressed mono16"])
def test_distances_are_no_picture(words: str, rest: str) -> None:
    data = encoded(".png", np.full((18, 32), 2000, np.uint16))
    with pytest.raises(UnusableImageError, match="distances, and no picture") as refused:
        frame_of_compressed(message(data, words + rest))
    assert refused.value.kind == "encoding"


def test_a_mosaic_is_one_however_its_format_is_written_and_its_pixels_lie() -> None:
    mosaic = np.empty(PICTURE.shape[:2], np.uint8)
    for place, color in enumerate("rggb"):
        mosaic[place // 2 :: 2, place % 2 :: 2] = PICTURE[place // 2 :: 2, place % 2 :: 2, "bgr".index(color)]
    for words, pixels in (
        ("BAYER_RGGB8; PNG compressed", mosaic),
        (" bayer_rggb8 ;png compressed bgr8", mosaic),
        ("bayer_rggb8", mosaic),
        ("bayer_rggb8; png compressed mono8", mosaic),
        ("bayer_rggb8; png compressed bgr8", np.dstack([mosaic] * 3)),
        ("bayer_rggb16; png compressed ", mosaic.astype(np.uint16) * 257),
    ):
        found = frame_of_compressed(message(encoded(".png", pixels), words))
        assert np.abs(found.astype(int) - PICTURE).mean() < 6, words


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "YUYV", "yuv422_yuy2", "nv12", "nv21", "nv24", "bayer_rggb12"])
def test_bytes_that_may_be_no_picture_are_refused(encoding: str) -> None:
    for suffix in (".png", ".jpg"):
        with pytest.raises(UnusableImageError, match=encoding) as refused:
            frame_of_compressed(message(encoded(suffix, PICTURE[..., 1]), f"{encoding}; {suffix[1:]} compressed "))
        assert refused.value.kind == "encoding"
        if not encoding.startswith("bayer"):
            found = frame_of_compressed(message(encoded(suffix), f"{encoding}; {suffix[1:]} compressed bgr8"))
            assert np.abs(found.astype(int) - PICTURE).mean() < 3


def test_what_a_message_says_of_itself_is_shown_short_and_without_escapes() -> None:
    with pytest.raises(UnusableImageError) as refused:
        frame_of_compressed(message(b"nonsense", "\x1b[2J" + "x" * 10_000))
    assert len(str(refused.value)) < 400 and "\x1b" not in str(refused.value)


_NOISY = """
import ctypes, logging, os, random, sys
import cv2, numpy as np
from fanet_ros.frames.encoded_image import UndecodableError, decode_image
generator = random.Random(1)
pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
pictures = [cv2.imencode(kind, pixels)[1].tobytes() for kind in (".jpg", ".png")]
damaged = 0
for _ in range(500):
    data = bytearray(generator.choice(pictures))
    for _ in range(3):
        data[generator.randrange(30, len(data))] = generator.randrange(256)
    try:
        decode_image(bytes(data[: generator.randrange(60, 2 * len(data))]), cv2.IMREAD_COLOR)
    except UndecodableError:
        damaged += 1
assert damaged > 100
stream = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
ctypes.CDLL(None).fputs(b"said by a library\\n", stream)
print("said by Python", file=sys.stderr)
"""


def test_damaged_images_do_not_fill_the_terminal_and_all_others_are_heard() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", _NOISY], env=environment, capture_output=True, text=True, check=True)
    *noise, library, python = done.stderr.splitlines()
    assert len(noise) == 3 and all(line.startswith(("libpng", "Corrupt JPEG")) for line in noise)
    assert (library, python) == ("said by a library", "said by Python")
