"""What a memory counts, and when it forgets."""

import pytest

from fanet_ros.errors import SettingError
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import MAX_TEMPORAL_FRAMES, VideoMemory, check_temporal_frames

SMALL, LARGE = Size(64, 32), Size(128, 64)
MAKER = object()


def test_as_many_frames_as_there_is_room_for_are_counted() -> None:
    memory = VideoMemory(MAKER, room=2)
    counts = [memory.frames]
    for _ in range(4):
        memory.enter(MAKER, SMALL)
        memory.remember(is_finite=True)
        counts.append(memory.frames)
    assert counts == [0, 1, 2, 2, 2]
    memory.reset()
    assert memory.frames == 0


def test_another_input_size_is_another_video() -> None:
    memory = VideoMemory(MAKER, room=3)
    for size, frames in ((SMALL, 0), (SMALL, 1), (LARGE, 0), (LARGE, 1), (SMALL, 0)):
        memory.enter(MAKER, size)
        assert memory.frames == frames
        memory.remember(is_finite=True)


def test_numbers_that_are_not_finite_are_forgotten() -> None:
    memory = VideoMemory(MAKER, room=3)
    memory.enter(MAKER, SMALL)
    memory.remember(is_finite=True)
    memory.remember(is_finite=False)
    assert memory.frames == 0


def test_a_memory_without_room_stays_empty() -> None:
    memory = VideoMemory(MAKER)
    memory.enter(MAKER, SMALL)
    memory.remember(is_finite=True)
    assert memory.frames == 0


def test_a_strangers_memory_is_refused() -> None:
    memory = VideoMemory(object(), room=1)
    with pytest.raises(SettingError, match="made by another segmenter or backend; use new_memory"):
        memory.enter(MAKER, SMALL)


@pytest.mark.parametrize("frames", [0, -1, MAX_TEMPORAL_FRAMES + 1])
def test_numbers_of_frames_out_of_range_are_refused(frames: int) -> None:
    check_temporal_frames(1)
    check_temporal_frames(MAX_TEMPORAL_FRAMES)
    with pytest.raises(SettingError, match=rf"temporal_frames: received {frames}, expected 1 \(no memory\) to 8"):
        check_temporal_frames(frames)
