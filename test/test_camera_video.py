"""When a camera's memory still belongs to its next frame."""

from __future__ import annotations

import pytest

from fanet_ros.settings import Size
from fanet_ros.video.camera_video import CameraVideo, Shot
from fanet_ros.video.video_memory import VideoMemory

SIZE = Size(64, 48)
MAKER = object()
S = 10**9


@pytest.fixture
def video() -> CameraVideo:
    """A video of three frames, 0.1 s apart, the last at 10.2 s."""
    video = CameraVideo(VideoMemory(MAKER, room=7))
    for stamp in (10 * S, 10 * S + S // 10, 10 * S + S // 5):
        show(video, stamp)
    assert (video.memory.frames, video.memory.resets) == (3, 0)
    return video


def show(
    video: CameraVideo, stamp_ns: int, size: Size = SIZE, calibration: bytes | None = b"lens 1", is_lost: bool = False
) -> None:
    """Do what the node and the backend do with a frame."""
    memory = video.begin(Shot(stamp_ns, size, calibration), 1.0)
    if not is_lost:
        memory.enter(MAKER, Size(32, 32))
        memory.remember(is_finite=True)
        video.remember()


def test_a_frame_that_is_not_too_late_goes_on(video: CameraVideo) -> None:
    show(video, 11 * S)
    assert (video.memory.frames, video.memory.resets) == (4, 0)


@pytest.mark.parametrize(
    ("stamp_ns", "size", "reason"),
    [
        (9 * S, SIZE, "the stamp jumped back by 1.200 s"),
        (10 * S + S // 5 - 1, SIZE, "the stamp jumped back"),
        (12 * S, SIZE, "1.80 s without a frame, more than temporal_max_gap (1)"),
        (10 * S + S // 4, Size(48, 64), "the image size changed from 64x48 to 48x64"),
    ],
)
def test_what_ends_a_video(video: CameraVideo, stamp_ns: int, size: Size, reason: str) -> None:
    show(video, stamp_ns, size)
    assert (video.memory.frames, video.memory.resets) == (1, 1), "the frame itself begins anew"
    assert reason in video.memory.last_reset


def test_another_calibration_ends_it_and_the_same_does_not(video: CameraVideo) -> None:
    show(video, 10 * S + S // 4)
    assert video.memory.frames == 4
    show(video, 10 * S + S // 3, calibration=b"lens 2")
    assert (video.memory.frames, video.memory.last_reset) == (1, "the camera's calibration changed")


def test_an_unknown_calibration_ends_nothing(video: CameraVideo) -> None:
    show(video, 10 * S + S // 4, calibration=None)
    show(video, 10 * S + S // 3)
    assert (video.memory.frames, video.memory.resets) == (5, 0)


def test_without_stamps_gaps_cannot_be_seen(video: CameraVideo) -> None:
    show(video, 0)
    show(video, 0)
    assert video.memory.frames == 5
    show(video, 50 * S)
    assert video.memory.frames == 6, "how long ago the last frame was is not known"


def test_lost_frames_do_not_bridge_a_gap(video: CameraVideo) -> None:
    for tenth in range(3, 20):
        show(video, 10 * S + tenth * S // 10, is_lost=True)
    assert (video.memory.frames, video.memory.resets) == (0, 1), "what is 1.1 s old is forgotten, whatever came since"
    show(video, 12 * S)
    assert video.memory.frames == 1


def test_what_the_backend_forgets_is_told_too(video: CameraVideo) -> None:
    memory = video.begin(Shot(10 * S + S // 4, SIZE), 1.0)
    memory.enter(MAKER, Size(16, 16))
    assert (video.memory.frames, video.memory.resets) == (0, 1)
    assert video.memory.last_reset == "the network's input size changed from 32x32 to 16x16"
    memory.remember(is_finite=True)
    memory.remember(is_finite=False)
    assert (video.memory.frames, video.memory.resets) == (0, 2)


def test_the_end_of_an_activation_ends_it(video: CameraVideo) -> None:
    video.end()
    assert video.memory.frames == 0
    show(video, S)
    assert (video.memory.frames, video.memory.resets) == (1, 0), "a new activation is no reset"
