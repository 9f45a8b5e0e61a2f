"""Videos, images and cameras as sources of frames, on real files."""

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SourceError
from fanet_ros.sources import FrameSource, Intrinsics, open_source
from fanet_ros.sources.images import ImageSource
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.video import V4l2Source, VideoSource

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)  # BGR


def plain(color, size=(48, 32)):
    return np.full((size[1], size[0], 3), color, np.uint8)


def write_video(path, frames=5, size=(64, 48), rate=20.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(plain((40 * number, 40 * number, 40 * number), size))
    writer.release()


def test_intrinsics_from_a_field_of_view():
    intrinsics = Intrinsics.from_fov(200, 100, 90.0)
    assert intrinsics.fx == intrinsics.fy == pytest.approx(100.0)
    assert (intrinsics.cx, intrinsics.cy) == (99.5, 49.5)


def test_a_video_plays_once_and_starts_over(tmp_path):
    write_video(tmp_path / "drive.mp4")
    with open_source(str(tmp_path / "drive.mp4")) as source:
        assert isinstance(source, VideoSource)
        assert source.rate_hz == pytest.approx(20.0)
        assert source.length == 5
        assert source.size == (64, 48)
        assert source.intrinsics is None, "a video carries no calibration"
        assert source.label_set is None
        frames = list(iter(source.read, None))
        assert [frame.name for frame in frames] == ["000000", "000001", "000002", "000003", "000004"]
        for number, frame in enumerate(frames):
            assert frame.encoding == "bgr8"
            assert frame.labels is None
            assert frame.image.shape == (48, 64, 3)
            assert abs(frame.image.mean() - 40 * number) < 8
        assert source.read() is None
        source.rewind()
        np.testing.assert_array_equal(source.read().image, frames[0].image)
        source.rewind()
        assert len(list(iter(source.read, None))) == 5
    with pytest.raises(SourceError, match="closed"):
        source.read()


@pytest.mark.parametrize("name", ["drive.mp4", "folder"])
def test_a_rewind_that_failed_is_tried_again_by_reading(tmp_path, name):
    path, away = tmp_path / name, tmp_path / "away"
    if path.suffix:
        write_video(path)
    else:
        path.mkdir()
        cv2.imwrite(str(path / "a.png"), plain(RED))
    source = open_source(str(path))
    first = source.read()
    path.rename(away)
    for attempt in (source.rewind, source.read, source.read):
        with pytest.raises(SourceError, match="there is no"):
            attempt()
    away.rename(path)
    again = source.read()
    assert again.name == first.name
    np.testing.assert_array_equal(again.image, first.image)
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read()


def test_frames_of_a_video_do_not_share_memory(tmp_path):
    write_video(tmp_path / "drive.mp4")
    with open_source(str(tmp_path / "drive.mp4")) as source:
        first = source.read().image
        kept = first.copy()
        source.read()
        np.testing.assert_array_equal(first, kept)


def test_a_folder_is_read_in_natural_order_whatever_the_sizes(tmp_path):
    for name, color, size in (
        ("frame10.png", BLUE, (20, 10)),
        ("frame2.JPG", GREEN, (40, 30)),
        ("frame1.png", RED, (48, 32)),
    ):
        cv2.imwrite(str(tmp_path / name), plain(color, size))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    source = open_source(str(tmp_path))
    assert isinstance(source, ImageSource)
    assert source.length == 3
    assert source.rate_hz is None
    assert source.size == (48, 32)
    frames = list(iter(source.read, None))
    assert [frame.name for frame in frames] == ["frame1", "frame2", "frame10"]
    assert [frame.image.shape[:2] for frame in frames] == [(32, 48), (30, 40), (10, 20)]
    for frame, color in zip(frames, (RED, GREEN, BLUE), strict=True):
        assert frame.encoding == "bgr8"
        np.testing.assert_allclose(frame.image[5, 5], color, atol=3)
    source.rewind()
    assert source.read().name == "frame1"
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read()


def test_a_single_grey_image_becomes_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((12, 16), 77, np.uint8))
    source = open_source(str(tmp_path / "grey.png"))
    frame = source.read()
    assert frame.name == "grey"
    assert frame.image.shape == (12, 16, 3)
    assert (frame.image == 77).all()
    assert source.read() is None
    assert source.length == 1


def test_a_damaged_image_is_skipped_with_a_warning(tmp_path, caplog, capfd):
    cv2.imwrite(str(tmp_path / "a.png"), plain(RED))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:20] + b"rubbish")
    (tmp_path / "c.png").touch()
    cv2.imwrite(str(tmp_path / "d.png"), plain(BLUE))
    with caplog.at_level(logging.WARNING):
        names = [frame.name for frame in iter(open_source(str(tmp_path)).read, None)]
    assert names == ["a", "d"]
    assert [Path(record.args[0]).name for record in caplog.records] == ["b.png", "c.png"]
    assert capfd.readouterr().err == ""


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), plain(RED))
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    frame = open_source(str(tmp_path)).read()
    assert frame is not None and frame.name == os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("whole_folder", [True, False])
def test_no_readable_image_at_all_is_an_error(tmp_path, whole_folder, capfd):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    with pytest.raises(SourceError, match="readable"):
        open_source(str(tmp_path if whole_folder else tmp_path / "bad.png"))
    assert capfd.readouterr().err == ""


def test_a_folder_without_images_says_what_images_are(tmp_path):
    with pytest.raises(SourceError, match=r"holds no images.*\.png"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("spec", ["missing.mp4", "missing.png", "no/such/folder", ""])
def test_a_missing_path_is_named_with_what_would_do(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=f"'{spec}'.*street"):
        open_source(spec)


@pytest.mark.parametrize("content", [b"", b"this is no video at all" * 50])
def test_a_file_that_is_no_video_is_refused_without_noise(tmp_path, content, capfd):
    (tmp_path / "drive.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"drive\.mp4.*complete"):
        open_source(str(tmp_path / "drive.mp4"))
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_video_without_permission_says_so(tmp_path):
    write_video(tmp_path / "drive.mp4")
    (tmp_path / "drive.mp4").chmod(0)
    with pytest.raises(SourceError, match="permissions"):
        open_source(str(tmp_path / "drive.mp4"))


@pytest.mark.parametrize(("spec", "device"), [("97", "/dev/video97"), ("/dev/video98", "/dev/video98")])
def test_a_missing_camera_is_named(spec, device, capfd):
    with pytest.raises(SourceError, match=f"no camera {device}; cameras on this machine"):
        open_source(spec)
    assert capfd.readouterr().err == ""


def test_a_device_that_is_no_camera_is_refused(tmp_path, capfd):
    with pytest.raises(SourceError, match="/dev/null"):
        open_source("/dev/null")
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="no camera device"):
        V4l2Source(str(tmp_path / "video0"))
    assert capfd.readouterr().err == ""


def test_a_number_is_a_camera_even_if_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("97.png", plain(RED))
    assert open_source("97.png").read().name == "97"
    with pytest.raises(SourceError, match="/dev/video97"):
        open_source("97")


def test_street_takes_size_and_seed():
    with open_source("street", width=160, height=120, seed=9) as source:
        assert isinstance(source, StreetCamera)
        assert isinstance(source, FrameSource)
        frame = source.read()
    assert frame.image.shape == (120, 160, 3)
    np.testing.assert_array_equal(frame.labels, StreetCamera(160, 120, seed=9).frame(0).labels)


def test_opencv_logs_as_before_after_a_refusal(tmp_path):
    level = cv2.utils.logging.getLogLevel()
    (tmp_path / "bad.png").write_bytes(b"rubbish")
    with pytest.raises(SourceError):
        open_source(str(tmp_path / "bad.png"))
    assert cv2.utils.logging.getLogLevel() == level
