"""One camera's frames as a video: when what is remembered of its past frames still belongs to the next one."""

from __future__ import annotations

from dataclasses import dataclass

from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory


@dataclass(frozen=True)
class Shot:
    """What two frames of one video have in common, and when one was taken.

    Attributes:
        stamp_ns: nanoseconds; 0 where the driver sets none, so that gaps and jumps cannot be seen.
        size: of the camera image.
        calibration: all that says where a point of the scene is seen, as bytes to be compared; None if unknown.
    """

    stamp_ns: int
    size: Size
    calibration: bytes | None = None


class CameraVideo:
    """The memory of one camera, emptied wherever its video does not go on.

    Frames that were dropped, refused or lost simply do not contribute: the next one is compared with the last that is
    remembered. Used by the worker's thread.

    Attributes:
        memory: its counts may be read by any thread.
    """

    def __init__(self, memory: VideoMemory) -> None:
        self.memory = memory
        self._last: Shot | None = None
        self._present: Shot | None = None

    def begin(self, shot: Shot, max_gap_s: float) -> VideoMemory:
        """Return the memory for a frame that is about to be segmented, emptied if the video does not go on with it.

        Args:
            shot: of the frame.
            max_gap_s: seconds between two frames up to which the earlier one still counts.
        """
        reason = _why_it_does_not_go_on(self._last, shot, max_gap_s) if self._last is not None else ""
        if reason:
            self.memory.reset(reason)
        self._present = shot
        return self.memory

    def remember(self) -> None:
        """Note that the frame of the last `begin` is in the memory now."""
        self._last = self._present

    def end(self) -> None:
        """Forget all: the node stops listening to the camera."""
        self._last = None
        self.memory.reset()


def _why_it_does_not_go_on(last: Shot, shot: Shot, max_gap_s: float) -> str:
    if shot.size != last.size:
        return f"the image size changed from {last.size} to {shot.size}"
    if None not in (last.calibration, shot.calibration) and shot.calibration != last.calibration:
        return "the camera's calibration changed"
    if not last.stamp_ns or not shot.stamp_ns:
        return ""
    gap_s = (shot.stamp_ns - last.stamp_ns) / 1e9
    if gap_s < 0:
        return f"the stamp jumped back by {-gap_s:.3f} s"
    if gap_s > max_gap_s:
        return f"{gap_s:.2f} s without a frame, more than temporal_max_gap ({max_gap_s:g})"
    return ""
