"""One camera's frames as a video: when what is remembered of its past frames still belongs to the next one."""

from __future__ import annotations

from fanet_ros.settings import Size
from fanet_ros.video_memory import VideoMemory

CalibrationKey = tuple[object, ...]


class CameraVideo:
    """The memory of one camera, emptied wherever its video does not go on.

    Frames that were dropped or refused simply do not contribute. Used by the worker's thread, except for
    `see_calibration`.

    Attributes:
        resets: how often what was remembered had to be forgotten.
        last_reset: why it last was; empty before that.
    """

    def __init__(self, memory: VideoMemory) -> None:
        self._memory = memory
        self._last_stamp_ns: int | None = None
        self._size: Size | None = None
        self._calibration: CalibrationKey | None = None
        self._new_calibration: CalibrationKey | None = None
        self.resets = 0
        self.last_reset = ""

    @property
    def frames(self) -> int:
        """Past frames in the memory: those that the next one looks back at."""
        return self._memory.frames

    def see_calibration(self, calibration: CalibrationKey) -> None:
        """Take note of what the camera says of its lens and sensor; another one than before ends the video.

        Args:
            calibration: all that says where a point of the scene is seen; compared as a whole.
        """
        self._new_calibration = calibration

    def begin(self, stamp_ns: int, size: Size, max_gap_s: float) -> VideoMemory:
        """Return the memory for a frame that is about to be segmented, emptied if the video does not go on with it.

        Args:
            stamp_ns: of the frame, nanoseconds; 0 where the driver sets none, so that gaps and jumps are not seen.
            size: of the camera image.
            max_gap_s: seconds between two frames up to which the earlier one still counts.
        """
        reason = self._why_it_does_not_go_on(stamp_ns, size, max_gap_s)
        if reason and self._memory.frames:
            self._memory.reset()
            self.resets += 1
            self.last_reset = reason
        self._last_stamp_ns, self._size, self._calibration = stamp_ns or None, size, self._new_calibration
        return self._memory

    def end(self) -> None:
        """Forget all: the node stops listening to the camera."""
        self._memory.reset()
        self._last_stamp_ns = None

    def _why_it_does_not_go_on(self, stamp_ns: int, size: Size, max_gap_s: float) -> str:
        if self._size is not None and size != self._size:
            return f"the image size changed from {self._size} to {size}"
        if self._calibration is not None and self._new_calibration != self._calibration:
            return "the camera's calibration changed"
        if self._last_stamp_ns is None or not stamp_ns:
            return ""
        gap_s = (stamp_ns - self._last_stamp_ns) / 1e9
        if gap_s < 0:
            return f"the stamp jumped back by {-gap_s:.3f} s"
        if gap_s > max_gap_s:
            return f"{gap_s:.2f} s without a frame, more than temporal_max_gap ({max_gap_s:g})"
        return ""
