"""What is remembered of one camera's last frames, for temporal fast attention (fanet_ros.model.temporal)."""

from __future__ import annotations

from typing import NamedTuple

from fanet_ros.errors import SettingError
from fanet_ros.settings import Size

MAX_TEMPORAL_FRAMES = 8
"""Frames that attention sees at most, the present one included: a memory then takes less than 1 MB (FANet-18, -34)."""


def check_temporal_frames(frames: int) -> None:
    """Check a number of frames that attention is to see, the present one included; 1 for single frames.

    Raises:
        SettingError: it is not from 1 to MAX_TEMPORAL_FRAMES.
    """
    if not 1 <= frames <= MAX_TEMPORAL_FRAMES:
        raise SettingError(f"temporal_frames: received {frames}, expected 1 (no memory) to {MAX_TEMPORAL_FRAMES}")


class VideoStates(NamedTuple):
    """What the memories of a backend for videos are like.

    Attributes:
        maker: tells them from another backend's.
        past_frames: that each holds, T - 1, at least 1.
        state_size: numbers that are kept of each (network.state_size).
    """

    maker: object
    past_frames: int
    state_size: int


class VideoMemory:
    """The contexts of one video's last frames; one for each camera, used with the backend that made it.

    This base holds nothing, which is all that single frames need; backends keep the contexts where they compute.

    Attributes:
        frames: how many past frames the next one will attend to, 0 to T - 1.
        looked_back: how many past frames the last one attended to.
        resets: how often frames had to be forgotten before their time.
        last_reset: why they last were; empty before that.
    """

    def __init__(self, maker: object, room: int = 0) -> None:
        """Begin with no frame.

        Args:
            maker: tells this backend's memories from another's.
            room: past frames it can hold, T - 1.
        """
        self._maker = maker
        self._room = room
        self.frames = self.looked_back = 0
        self._input_size: Size | None = None
        self.resets = 0
        self.last_reset = ""

    def reset(self, reason: str = "") -> None:
        """Forget all frames, as where a video has a cut or a camera was moved or silent for long.

        Args:
            reason: in words, to be counted and told; empty where a video simply ends.
        """
        if reason and self.frames:
            self.resets += 1
            self.last_reset = reason
        self.frames = 0

    def check(self, maker: object) -> None:
        """Check that the memory is one of `maker`'s.

        Raises:
            SettingError: it was made by another backend.
        """
        if maker is not self._maker:
            raise SettingError("this memory was made by another segmenter or backend; use new_memory() of this one")

    def enter(self, maker: object, input_size: Size) -> None:
        """Make ready for a frame; called by the backend before every run.

        Contexts are sums over all pixels that the network sees: those of another input size weigh more or less and
        belong to features of another scale, so they are forgotten.

        Raises:
            SettingError: the memory was made by another backend.
        """
        self.check(maker)
        if input_size != self._input_size:
            self.reset(f"the network's input size changed from {self._input_size} to {input_size}")
            self._input_size = input_size
        self.looked_back = self.frames

    def remember(self, *, is_finite: bool) -> None:
        """Count the frame whose contexts were just stored; called by the backend after every run.

        Args:
            is_finite: whether all that was stored is. A number that is not would spoil every frame from now on, so
                then all is forgotten.
        """
        if is_finite:
            self.frames = min(self.frames + 1, self._room)
        else:
            self.reset("what was to be remembered is not finite")
