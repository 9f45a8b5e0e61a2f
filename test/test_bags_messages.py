from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fanet_ros.frames.frame import CHANNELS
from fanet_ros.frames.image_messages import ENCODINGS, UnusableImageError
from fanet_ros.recorded.messages import COMPRESSED_IMAGE, IMAGE, frame_of

RNG = np.random.default_rng(0)


def image(height: int, width: int, encoding: str, step: int, size: int | None = None) -> Any:
    data = RNG.integers(0, 256, step * height if size is None else size, np.uint8)
    data.flags.writeable = False  # as rosbags gives it
    return SimpleNamespace(height=height, width=width, encoding=encoding, step=step, data=data)


@pytest.mark.parametrize("encoding", CHANNELS)
@pytest.mark.parametrize("padding", [0, 5])
def test_plain_encodings_are_views_of_the_message(encoding: str, padding: int) -> None:
    channels = CHANNELS[encoding]
    step = 6 * channels + padding
    message = image(4, 6, encoding, step)
    frame, result_encoding = frame_of(message, IMAGE)
    assert (result_encoding, frame.shape) == (encoding, (4, 6, channels))
    np.testing.assert_array_equal(frame.reshape(4, -1), message.data.reshape(4, step)[:, : 6 * channels])
    assert np.shares_memory(frame, message.data)


def test_last_row_may_lack_its_padding() -> None:
    assert frame_of(image(4, 6, "rgb8", 32, size=3 * 32 + 18), IMAGE)[0].shape == (4, 6, 3)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    ("encoding", "pattern"),
    [("bayer_rggb8", "rggb"), ("bayer_bggr8", "bggr"), ("bayer_gbrg8", "gbrg"), ("bayer_grbg8", "grbg")],
)
def test_bayer(encoding: str, pattern: str, padding: int) -> None:
    color = {"b": 10, "g": 120, "r": 230}
    cell = np.array([color[c] for c in pattern], np.uint8).reshape(2, 2)
    message = image(8, 8, encoding, 8 + padding)
    message.data = np.pad(np.tile(cell, (4, 4)), ((0, 0), (0, padding)), constant_values=99).reshape(-1)
    frame, result_encoding = frame_of(message, IMAGE)
    assert result_encoding == "bgr8"
    np.testing.assert_array_equal(frame[2:6, 2:6], np.broadcast_to([10, 120, 230], (4, 4, 3)))


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv(encoding: str, order: str, padding: int) -> None:
    values = {"y": 145, "u": 54, "v": 34}  # pure green in BT.601
    pair = np.array([values[c] for c in order], np.uint8)
    message = image(4, 6, encoding, 12 + padding)
    message.data = np.pad(np.tile(pair, (4, 3)), ((0, 0), (0, padding))).reshape(-1)
    frame, result_encoding = frame_of(message, IMAGE)
    assert result_encoding == "bgr8"
    assert np.abs(frame.astype(int) - [0, 255, 0]).max() <= 3


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (image(0, 0, "rgb8", 0), "size", "size 0x0"),
        (image(4, 6, "rgb8", 17), "step", "step of 17 bytes, expected at least 18"),
        (image(4, 6, "rgb8", 18, size=71), "buffer", "71 bytes of data, expected 72"),
        (image(4, 6, "", 18), "encoding", "encoding ''"),
        (image(4, 6, "16UC1", 12), "encoding", "encoding '16UC1', expected one of rgb8"),
        (image(4, 6, "bayer_rggb8", 6, size=3), "buffer", "3 bytes of data, expected 24"),
        (image(4, 6, "yuv422", 11), "step", "step of 11 bytes, expected at least 12"),
        (image(4, 5, "yuv422", 10), "size", "size 5x4, which encoding 'yuv422' cannot have"),
        (image(1, 8, "bayer_rggb8", 8), "size", "size 8x1"),
    ],
)
def test_unusable_images_are_refused_with_kind_and_reason(message: Any, kind: str, text: str) -> None:
    with pytest.raises(UnusableImageError, match=text) as error:
        frame_of(message, IMAGE)
    assert error.value.kind == kind


def test_sizes_that_no_camera_has_are_refused_before_memory_is_taken() -> None:
    message = SimpleNamespace(height=2**32 - 1, width=2**32 - 1, encoding="mono8", step=2**32 - 1, data=np.zeros(9))
    with pytest.raises(UnusableImageError, match="expected 1 to 8192"):
        frame_of(message, IMAGE)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_compressed_images(ending: str) -> None:
    picture = np.full((16, 24, 3), (200, 60, 20), np.uint8)
    data = cv2.imencode(ending, picture)[1].reshape(-1)
    data.flags.writeable = False
    frame, encoding = frame_of(SimpleNamespace(format="", data=data), COMPRESSED_IMAGE)
    assert encoding == "bgr8"
    assert np.abs(frame.astype(int) - picture).max() <= 4


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"", "buffer", "without data"),
        (b"no picture at all", "compression", "17 bytes of format 'jpeg' cannot be decoded, expected JPEG or PNG"),
        (
            b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0",
            "size",
            "60000x60000",
        ),
    ],
)
def test_unusable_compressed_images(data: bytes, kind: str, text: str) -> None:
    with pytest.raises(UnusableImageError, match=text) as error:
        frame_of(SimpleNamespace(format="jpeg", data=np.frombuffer(data, np.uint8)), COMPRESSED_IMAGE)
    assert error.value.kind == kind


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_ros_layer_reads_the_same_from_the_same_bytes(encoding: str) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    import array

    from sensor_msgs.msg import Image

    from fanet_ros.ros import conversions

    message = image(8, 8, encoding, 8 * 4 + 4)
    theirs = Image(height=8, width=8, encoding=encoding, step=message.step, data=array.array("B", message.data))
    try:
        expected, expected_encoding = conversions.frame_from_image(theirs)
    except conversions.UnusableImageError as error:
        pytest.skip(f"the installed cv_bridge does not know it: {error}")
    frame, result_encoding = frame_of(message, IMAGE)
    assert result_encoding == expected_encoding
    np.testing.assert_array_equal(frame, expected)
