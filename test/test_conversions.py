import array

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from fanet_ros.frames.frame import CHANNELS
from fanet_ros.frames.image_encoding import png_of
from fanet_ros.model.labels import load_label_set
from fanet_ros.ros.conversions import (
    ImageMessageWriter,
    UnusableImageError,
    _without_padding,
    frame_from_image,
    label_info_message,
)
from fanet_ros.ros.ground.messages import ids_from_image

pytestmark = pytest.mark.ros
RNG = np.random.default_rng(0)


def image(height: int, width: int, encoding: str, step: int, size: int | None = None) -> Image:
    size = step * height if size is None else size
    data = array.array("B", RNG.integers(0, 256, size, np.uint8).tobytes())
    return Image(height=height, width=width, encoding=encoding, step=step, data=data)


@pytest.mark.parametrize("encoding", CHANNELS)
@pytest.mark.parametrize("padding", [0, 5])
def test_plain_encodings_are_views_of_the_message(encoding: str, padding: int) -> None:
    channels = CHANNELS[encoding]
    step = 6 * channels + padding
    message = image(4, 6, encoding, step)
    frame, result_encoding = frame_from_image(message)
    assert result_encoding == encoding
    assert frame.shape == (4, 6, channels)
    rows = np.frombuffer(message.data, np.uint8).reshape(4, step)[:, : 6 * channels]
    np.testing.assert_array_equal(frame.reshape(4, -1), rows)
    message.data[step] ^= 0xFF
    assert frame[1, 0, 0] == message.data[step], "a view, not a copy"


def test_last_row_may_lack_its_padding() -> None:
    frame, _ = frame_from_image(image(4, 6, "rgb8", 32, size=3 * 32 + 18))
    assert frame.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (Image(), "size", "size 0x0"),
        (image(0, 6, "rgb8", 18), "size", "size 6x0"),
        (image(4, 6, "rgb8", 17), "step", "step of 17 bytes, expected at least 18"),
        (image(4, 6, "rgb8", 18, size=71), "buffer", "71 bytes of data, expected 72"),
        (Image(height=4, width=6, encoding="rgb8", step=18), "buffer", "0 bytes of data"),
        (Image(height=2**32 - 1, width=2**32 - 1, encoding="mono8", step=2**32 - 1), "size", "expected 1 to 8192"),
        (image(4, 6, "", 18), "encoding", "encoding ''"),
        (image(4, 6, "holographic", 18), "encoding", "encoding 'holographic'"),
        (image(4, 6, "bayer_rggb8", 6, size=3), "buffer", "3 bytes of data, expected 24"),
        (image(4, 6, "bayer_rggb8", 1), "step", "step of 1 bytes, expected at least 6"),
        (image(4, 6, "16UC3", 12), "step", "step of 12 bytes, expected at least 36"),
        (image(4, 6, "16UC1", 12), "encoding", "'16UC1': numbers such as distances, and no picture"),
        (image(4, 6, "32FC1", 24), "encoding", "'32FC1': numbers such as distances, and no picture"),
        (image(4, 6, "\x1b[2J" + "x" * 100_000, 24), "encoding", r"^.{,900}$"),
        (image(4, 6, "yuv422", 11), "step", "step of 11 bytes, expected at least 12"),
    ],
)
def test_unusable_images_are_refused_with_kind_and_reason(message: Image, kind: str, text: str) -> None:
    with pytest.raises(UnusableImageError, match=text) as error:
        frame_from_image(message)
    assert error.value.kind == kind and str(error.value).isprintable()


def test_other_encodings_go_through_cv_bridge() -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
    grey = np.full((8, 8), 100, np.uint8)
    message = image(8, 8, "bayer_rggb8", 8)
    message.data = array.array("B", grey.tobytes())
    frame, encoding = frame_from_image(message)
    assert encoding == "bgr8"
    np.testing.assert_array_equal(frame, np.full((8, 8, 3), 100))


@pytest.mark.parametrize(("padding", "is_bigendian"), [(5, 0), (0, 1), (48, 1)])
def test_padding_and_byte_order_reach_no_cv_bridge_that_ignores_them(padding: int, is_bigendian: int) -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
    raw = cv2.GaussianBlur(RNG.integers(0, 256, (16, 24), np.uint8), (0, 0), 2)
    plain = Image(height=16, width=24, encoding="bayer_rggb8", step=24, data=array.array("B", raw.tobytes()))
    rows = np.zeros((16, 24 + padding), np.uint8)
    rows[:, :24] = raw
    padded = Image(height=16, width=24, encoding="bayer_rggb8", step=24 + padding, is_bigendian=is_bigendian)
    padded.data = array.array("B", rows.tobytes())
    expected, _ = frame_from_image(plain)
    np.testing.assert_array_equal(frame_from_image(padded)[0], expected)


def test_sixteen_bit_samples_are_swapped_and_packed() -> None:
    samples = RNG.integers(0, 2**16, (3, 4), np.uint16)
    rows = np.zeros((3, 12), np.uint8)
    rows[:, :8] = samples.astype(">u2").view(np.uint8)
    message = Image(height=3, width=4, encoding="mono16", step=12, is_bigendian=1)
    message.data = array.array("B", rows.tobytes())
    packed = _without_padding(message)
    assert (packed.step, packed.is_bigendian) == (8, 0)
    np.testing.assert_array_equal(np.frombuffer(packed.data, "<u2").reshape(3, 4), samples)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 12)])
def test_compressed_images(suffix: str, tolerance: int) -> None:
    picture = cv2.GaussianBlur(RNG.integers(0, 256, (40, 60, 3), np.uint8), (0, 0), 4)
    data = array.array("B", cv2.imencode(suffix, picture)[1].tobytes())
    frame, encoding = frame_from_image(CompressedImage(format=suffix[1:], data=data))
    assert encoding == "bgr8"
    assert np.abs(frame.astype(int) - picture).max() <= tolerance


def test_a_rotation_in_the_file_is_ignored() -> None:
    """The mask must match the camera's calibration, which knows nothing of EXIF."""
    jpeg = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
    rotated = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(rotated, np.uint8), cv2.IMREAD_COLOR).shape == (60, 40, 3), (
        "the EXIF data is valid"
    )
    frame, _ = frame_from_image(CompressedImage(format="jpeg", data=array.array("B", rotated)))
    assert frame.shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_huge_compressed_images_are_refused_before_they_are_decoded(suffix: str) -> None:
    data = cv2.imencode(suffix, np.zeros((2, 9000), np.uint8))[1]
    with pytest.raises(UnusableImageError, match="size 9000x2") as error:
        frame_from_image(CompressedImage(format=suffix[1:], data=array.array("B", data.tobytes())))
    assert error.value.kind == "size"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 no jpeg", b"hello"])
def test_broken_compressed_images(data: bytes) -> None:
    with pytest.raises(UnusableImageError, match="format 'jpeg'"):
        frame_from_image(CompressedImage(format="jpeg", data=array.array("B", data)))


def png(pixels: NDArray[np.generic]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (png(np.zeros((4, 6, 3), np.uint8)), "encoding", "expected a PNG of 8-bit grey"),
        (png(np.zeros((4, 6), np.uint16)), "encoding", "expected a PNG of 8-bit grey"),
        (bytes(cv2.imencode(".jpg", np.zeros((4, 6), np.uint8))[1]), "encoding", "expected a PNG of 8-bit grey"),
        (b"", "encoding", "0 bytes of format 'mono8; png compressed '"),
        (png(np.zeros((4, 6), np.uint8))[:40], "compression", "cannot be decoded"),
        (png(np.zeros((4, 6), np.uint8))[:20], "encoding", "20 bytes"),
        (png(np.zeros((2, 9000), np.uint8)), "size", "9000x2"),
        (png(np.zeros((4, 6), np.uint8)).replace(b"\0\0\0\6\0\0\0\4", b"\0\1\0\0\0\1\0\0", 1), "size", "65536x65536"),
    ],
)
def test_masks_that_are_no_grey_png_are_refused(data: bytes, kind: str, words: str) -> None:
    with pytest.raises(UnusableImageError, match=words) as error:
        ids_from_image(CompressedImage(format="mono8; png compressed ", data=array.array("B", data)))
    assert error.value.kind == kind


def test_a_compressed_mask_is_the_mask() -> None:
    mask = RNG.integers(0, 256, (40, 60), np.uint8)
    message = CompressedImage(format="mono8; png compressed ", data=array.array("B", png_of(mask).tobytes()))
    np.testing.assert_array_equal(ids_from_image(message), mask)


def test_writer_fills_one_message_and_keeps_the_header() -> None:
    writer = ImageMessageWriter()
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 12, 345
    pixels = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    message = writer.write(header, pixels, "rgb8")
    assert (message.height, message.width, message.step, message.encoding) == (4, 6, 18, "rgb8")
    assert message.header == header
    np.testing.assert_array_equal(frame_from_image(message)[0], pixels)
    buffer = message.data
    assert writer.write(header, pixels // 2, "bgr8").data is buffer, "allocated once"
    smaller = writer.write(header, pixels[:2, :, 0], "mono8")
    assert (smaller.step, len(smaller.data)) == (6, 12)


def test_writer_takes_padded_rows_out() -> None:
    pixels = RNG.integers(0, 256, (4, 10), np.uint8)[:, :6]
    message = ImageMessageWriter().write(Header(), pixels, "mono8")
    assert message.step == 6
    np.testing.assert_array_equal(frame_from_image(message)[0][..., 0], pixels)


def test_label_info_names_every_class() -> None:
    labels = load_label_set("camvid11")
    message = label_info_message(labels, 0.25, Header().stamp)
    assert [(c.class_id, c.class_name) for c in message.class_map] == list(enumerate(labels.names))
    assert message.threshold == 0.25
