import numpy as np
import pytest

from fanet_ros.model.labels import load_label_set
from fanet_ros.reports.render import BACKGROUND, Painter, contact_sheet, legend

LABELS = load_label_set("camvid11")
RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 11, (20, 30), np.uint8)


def test_color_mask_is_the_palette() -> None:
    painter = Painter(LABELS)
    rgb = painter.color_mask(MASK).copy()
    np.testing.assert_array_equal(rgb, LABELS.palette[MASK])
    np.testing.assert_array_equal(painter.color_mask(MASK, "bgr8"), rgb[..., ::-1])


def test_unlabelled_is_black_in_the_color_mask() -> None:
    assert not Painter(LABELS).color_mask(np.full((4, 4), 255, np.uint8)).any()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_overlay_blends(alpha: float, encoding: str) -> None:
    frame = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    overlay, result_encoding = Painter(LABELS).overlay(frame, encoding, MASK, alpha)
    colors = LABELS.palette[MASK] if encoding == "rgb8" else LABELS.palette[MASK][..., ::-1]
    expected = alpha * colors.astype(float) + (1 - alpha) * frame
    assert result_encoding == encoding
    assert np.abs(overlay - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("encoding", "channels", "result"), [("rgba8", 4, "rgb8"), ("bgra8", 4, "bgr8"), ("mono8", 1, "rgb8")]
)
def test_overlay_of_other_encodings(encoding: str, channels: int, result: str) -> None:
    frame = RNG.integers(0, 256, (20, 30, channels), np.uint8)
    overlay, result_encoding = Painter(LABELS).overlay(frame, encoding, MASK, 0.0)
    assert result_encoding == result
    np.testing.assert_array_equal(overlay, frame[..., :3] if channels == 4 else np.repeat(frame, 3, 2))


def test_overlay_leaves_unlabelled_pixels_alone_and_the_frame_untouched() -> None:
    frame = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    before = frame.copy()
    mask = MASK.copy()
    mask[5:10] = 255
    overlay, _ = Painter(LABELS).overlay(frame, "rgb8", mask, 0.7)
    np.testing.assert_array_equal(overlay[5:10], frame[5:10])
    assert (overlay[:5] != frame[:5]).any()
    np.testing.assert_array_equal(frame, before)


def test_overlay_of_a_padded_frame_and_a_mask_of_another_size() -> None:
    padded = RNG.integers(0, 256, (20, 40, 3), np.uint8)
    overlay, _ = Painter(LABELS).overlay(padded[:, :30], "rgb8", np.full((5, 6), 3, np.uint8), 1.0)
    assert overlay.shape == (20, 30, 3)
    assert (overlay == LABELS.palette[3]).all()


def test_buffers_are_reused_and_follow_the_size() -> None:
    painter = Painter(LABELS)
    assert painter.color_mask(MASK) is painter.color_mask(MASK)
    assert painter.color_mask(np.zeros((3, 4), np.uint8)).shape == (3, 4, 3)


def test_legend_and_contact_sheet_show_every_class_and_sample() -> None:
    picture = legend(LABELS, 600)
    for color in LABELS.colors:
        assert (picture == color).all(2).any(), color
    red, green, blue = (np.full((40, 80, 3), color, np.uint8) for color in ([255, 0, 0], [0, 255, 0], [0, 0, 255]))
    sheet = contact_sheet([(red, green, blue), (blue, red, green)], LABELS, picture_width=100)
    assert sheet.shape[1] == 300
    np.testing.assert_array_equal(sheet[-25, [50, 150, 250]], [[0, 0, 255], [255, 0, 0], [0, 255, 0]])
    np.testing.assert_array_equal(sheet[-75, [50, 150, 250]], [[255, 0, 0], [0, 255, 0], [0, 0, 255]])


def test_a_narrow_strip_does_not_make_a_tower_of_the_sheet() -> None:
    strip = np.full((8000, 2, 3), 255, np.uint8)
    sheet = contact_sheet([(strip,)], LABELS, ("camera",), picture_width=400)
    assert len(sheet) < 1000 and (sheet[-1, 0] == 255).all() and (sheet[-1, 1:] == BACKGROUND).all()
