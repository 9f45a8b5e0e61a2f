import cv2
import numpy as np
import pytest

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.frames.frame import CHANNELS, FrameResizer, check_frame, fit_input_size
from fanet_ros.settings import Size

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("encoding", CHANNELS)
def test_good_frames_pass(encoding: str) -> None:
    check_frame(np.zeros((4, 6, CHANNELS[encoding]), np.uint8), encoding)
    check_frame(np.zeros((4, 6), np.uint8), "mono8")


@pytest.mark.parametrize(
    ("frame", "encoding", "message"),
    [
        (np.zeros((4, 6, 3), np.uint8), "yuv422", "encoding 'yuv422', expected one of rgb8"),
        (np.zeros((4, 6, 3), np.float32), "rgb8", "array of float32, expected a uint8 array"),
        ([[1, 2, 3]], "rgb8", "received list"),
        (np.zeros((4, 6, 4), np.uint8), "rgb8", r"shape \(4, 6, 4\), expected \(height, width, 3\) for rgb8"),
        (np.zeros((4, 6), np.uint8), "rgb8", r"\(4, 6\)"),
        (np.zeros((0, 6, 3), np.uint8), "rgb8", r"\(0, 6, 3\)"),
        (np.broadcast_to(np.uint8(0), (2, 8193)), "mono8", "size 8193x2, expected 1 to 8192 pixels a side"),
        (np.broadcast_to(np.uint8(0), (8000, 8000)), "mono8", "at most 33.6 million in all"),
    ],
)
def test_bad_frames_are_refused(frame: object, encoding: str, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        check_frame(frame, encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "recommended", "frame", "expected"),
    [
        ("camera", Size(720, 540), Size(641, 361), Size(641, 361)),
        ("512x256", Size(720, 540), Size(640, 360), Size(512, 256)),
        ("auto", Size(720, 540), Size(480, 360), Size(720, 544)),  # 4:3 as recommended, next multiple of 8
        ("auto", Size(720, 540), Size(1920, 1080), Size(832, 464)),  # same area at 16:9
        ("auto", None, Size(1920, 1080), Size(968, 544)),  # no card: shrink to about 1024x512
        ("auto", None, Size(320, 240), Size(320, 240)),  # no card: never enlarge
        ("auto", Size(720, 540), Size(1, 5000), Size(32, 8192)),  # absurd cameras get a legal size
    ],
)
def test_input_size(setting: str, recommended: Size | None, frame: Size, expected: Size) -> None:
    assert fit_input_size(setting, recommended, frame) == expected


def test_input_size_keeps_the_aspect_ratio() -> None:
    for frame in (Size(640, 360), Size(1280, 1024), Size(360, 640), Size(2048, 1024)):
        size = fit_input_size("auto", Size(720, 540), frame)
        assert size.width / size.height == pytest.approx(frame.width / frame.height, rel=0.02)


def test_bad_input_size() -> None:
    with pytest.raises(SettingError, match="'big'"):
        fit_input_size("big", None, Size(640, 360))


def test_rgb_frame_of_the_right_size_is_passed_through() -> None:
    frame = RNG.integers(0, 256, (16, 24, 3), np.uint8)
    assert FrameResizer().to_network_input(frame, "rgb8", Size(24, 16)) is frame


def test_read_only_memory_is_copied_for_torch() -> None:
    frame = np.frombuffer(bytes(16 * 24 * 3), np.uint8).reshape(16, 24, 3)
    assert FrameResizer().to_network_input(frame, "rgb8", Size(24, 16)).flags.writeable


@pytest.mark.parametrize("size", [Size(24, 16), Size(48, 32), Size(6, 4), Size(17, 9)])
def test_every_encoding_gives_the_same_network_input(size: Size) -> None:
    rgb = RNG.integers(0, 256, (16, 24, 3), np.uint8)
    resizer = FrameResizer()
    expected = resizer.to_network_input(rgb, "rgb8", size).copy()
    assert expected.shape == (size.height, size.width, 3)
    alpha = np.full((16, 24, 1), 77, np.uint8)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    for encoding, frame in {
        "bgr8": bgr,
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([bgr, alpha], 2),
    }.items():
        np.testing.assert_array_equal(resizer.to_network_input(frame, encoding, size), expected, err_msg=encoding)


@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 1)])
def test_mono_becomes_grey(shape: tuple[int, ...]) -> None:
    frame = RNG.integers(0, 256, shape, np.uint8)
    result = FrameResizer().to_network_input(frame, "mono8", Size(24, 16))
    np.testing.assert_array_equal(result, np.repeat(frame.reshape(16, 24, 1), 3, 2))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "bgra8"])
def test_padded_rows_change_nothing(encoding: str) -> None:
    channels = CHANNELS[encoding]
    frame = RNG.integers(0, 256, (16, 24, channels), np.uint8)
    padded = np.zeros((16, 40, channels), np.uint8)
    padded[:, :24] = frame
    for size in (Size(24, 16), Size(30, 20)):
        expected = FrameResizer().to_network_input(frame, encoding, size).copy()
        np.testing.assert_array_equal(FrameResizer().to_network_input(padded[:, :24], encoding, size), expected)


def test_buffers_are_allocated_once() -> None:
    resizer = FrameResizer()
    frame = RNG.integers(0, 256, (16, 24, 3), np.uint8)
    first = resizer.to_network_input(frame, "bgr8", Size(48, 32))
    assert resizer.to_network_input(frame, "bgr8", Size(48, 32)) is first


@pytest.mark.parametrize("size", [Size(64, 48), Size(200, 150), Size(47, 31), Size(33, 25)])
def test_frame_and_input_share_their_corners(size: Size) -> None:
    """A linear ramp stays the linear ramp between the same corner values, however it is resized."""
    columns, rows = np.meshgrid(np.linspace(0, 200, 150), np.linspace(0, 55, 100))
    frame = np.round(columns + rows).astype(np.uint8)
    result = FrameResizer().to_network_input(frame, "mono8", size)[..., 0].astype(float)
    expected = np.linspace(0, 200, size.width)[None] + np.linspace(0, 55, size.height)[:, None]
    inner = (slice(2, -2), slice(2, -2))  # blocks of averaged pixels do not reach beyond the frame's border
    assert np.abs(result - expected)[inner].max() < 1.5
    assert abs((result - expected)[inner].mean()) < 0.1, "half an input pixel would be more"


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    checkerboard = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    result = FrameResizer().to_network_input(checkerboard, "mono8", Size(16, 16))
    assert result.min() >= 120 and result.max() <= 135


@pytest.mark.parametrize("size", [Size(64, 32), Size(50, 31), Size(160, 120), Size(23, 17)])
def test_without_aligned_corners_a_frame_is_resized_as_most_networks_expect(size: Size) -> None:
    frame = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)
    found = FrameResizer(align_corners=False).to_network_input(frame, "rgb8", size)
    area = min(80 / size.width, 60 / size.height) >= 2
    expected = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)
    assert np.abs(found.astype(int) - expected).max() <= (12 if area else 0)
    aligned = FrameResizer().to_network_input(frame, "rgb8", size)
    assert area or np.abs(aligned.astype(int) - expected).max() > 5


def test_a_network_of_one_size_takes_no_other() -> None:
    fixed = Size(512, 256)
    assert fit_input_size("auto", None, Size(640, 360), fixed=fixed) == fixed
    assert fit_input_size("512x256", None, Size(640, 360), fixed=fixed) == fixed
    for setting in ("camera", "640x360"):
        with pytest.raises(SettingError, match="takes images of 512x256 only"):
            fit_input_size(setting, None, Size(640, 360), fixed=fixed)
    assert fit_input_size("auto", Size(500, 300), Size(640, 360), step=32) == Size(512, 288)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("size", [Size(60, 40), Size(31, 35)])
def test_a_turned_frame_is_what_turning_it_first_would_give(rotation: int, size: Size) -> None:
    upright = cv2.GaussianBlur(RNG.integers(0, 256, (80, 120, 3), np.uint8), (0, 0), 4)
    expected = FrameResizer().to_network_input(upright, "bgr8", size)
    found = FrameResizer().to_network_input(np.rot90(upright, rotation // 90).copy(), "bgr8", size, rotation)
    assert np.abs(found.astype(int) - expected).max() <= 3  # sampling points are rounded to 1/32 of a pixel
