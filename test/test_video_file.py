import logging
import os
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SettingError
from fanet_ros.files import plain_name
from fanet_ros.reports import video_file
from fanet_ros.reports.video_file import VideoFile


@contextmanager
def room_on_the_disk(most_bytes: int) -> Iterator[None]:
    """What a full disk, a quota and the largest file of FAT32 have in common: writing fails in the midst of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def facts(path: Path) -> tuple[int, float, tuple[int, ...]]:
    with plain_name(path) as name:
        video = cv2.VideoCapture(name)
    count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    found, image = video.read()
    assert found
    return round(count), rate, image.shape[:2]


@pytest.fixture(params=["_PyAv", "_Ffmpeg", "_OpenCv"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every encoder that this machine has; the first of them that is there is what users get."""
    if request.param == "_PyAv":
        pytest.importorskip("av", reason="PyAV is not installed")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    if request.param == "_Ffmpeg" and not video_file._ffmpeg():
        pytest.skip("no ffmpeg that encodes H.264 is on the PATH")
    if request.param == "_OpenCv":
        monkeypatch.setattr(video_file, "_ffmpeg", lambda: "")
    return str(request.param)


@pytest.mark.parametrize("rate", [0.01, 1.0, 14.985, 29.97, 30.0, 65.536, 66.667, 119.88, 999.999, 1000.0])
def test_any_frame_rate(tmp_path: Path, encoder: str, rate: float) -> None:
    video = VideoFile(tmp_path / "a.mp4", 64, 48, rate)
    for shade in range(5):
        video.write(np.full((48, 64, 3), 40 * shade, np.uint8))
    video.close()
    count, found, size = facts(tmp_path / "a.mp4")
    assert (count, size) == (5, (48, 64))
    assert found == pytest.approx(rate, rel=1e-4)
    assert (video.codec == "H.264") == (encoder != "_OpenCv")


@pytest.mark.parametrize(
    ("rate", "found"), [(0.0, 0.01), (-5.0, 0.01), (90000.0, 1000.0), (float("nan"), 30.0), (float("inf"), 30.0)]
)
def test_rates_that_no_video_has(tmp_path: Path, rate: float, found: float) -> None:
    video = VideoFile(tmp_path / "a.mp4", 64, 48, rate)
    video.write(np.zeros((48, 64, 3), np.uint8))
    video.close()
    assert facts(tmp_path / "a.mp4")[1] == pytest.approx(found)


def test_odd_and_other_sizes(tmp_path: Path, encoder: str) -> None:
    video = VideoFile(tmp_path / "a.mp4", 65, 47, 10)
    for size in ((47, 65), (94, 130), (10, 10)):
        video.write(np.full((*size, 3), (200, 40, 90), np.uint8))
    video.close()
    assert facts(tmp_path / "a.mp4")[0::2] == (3, (46, 64))
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    np.testing.assert_allclose(capture.read()[1].mean((0, 1)), (90, 40, 200), atol=12)


@pytest.mark.parametrize("name", [b"caf\xe9", b"cam:front", b"drive%03d", b"[a] b"])
def test_any_name(tmp_path: Path, encoder: str, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name) / os.fsdecode(name.replace(b"\xe9", b"e") + b".mp4")
    path.parent.mkdir()
    video = VideoFile(path, 64, 48, 10)
    video.write(np.zeros((48, 64, 3), np.uint8))
    video.close()
    assert facts(path)[0] == 1 and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_video_that_is_cut_off_is_removed_and_said(
    tmp_path: Path, encoder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with room_on_the_disk(50_000), pytest.raises(SettingError, match="is the disk full, a quota reached") as first:
        video = VideoFile(tmp_path / "a.mp4", 320, 240, 10)
        for _ in range(200):
            video.write(noise)
        video.close()
    assert not any(tmp_path.iterdir())
    assert capfd.readouterr().err == ""
    if encoder != "_OpenCv":  # which tells nothing until it is closed
        with pytest.raises(SettingError) as again:
            video.close()
        assert str(again.value) == str(first.value)


def test_no_folder(tmp_path: Path, encoder: str) -> None:
    with pytest.raises(SettingError, match="a.mp4"):
        video = VideoFile(tmp_path / "none" / "a.mp4", 64, 48, 10)
        video.write(np.zeros((48, 64, 3), np.uint8))
        video.close()


def test_an_ffmpeg_that_cannot_encode_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "av", None)
    video_file._ffmpeg.cache_clear()
    try:
        with caplog.at_level(logging.DEBUG):
            assert VideoFile(tmp_path / "a.mp4", 64, 48, 10).codec.startswith("MPEG-4")
        assert "cannot encode H.264" in caplog.text
    finally:
        video_file._ffmpeg.cache_clear()
