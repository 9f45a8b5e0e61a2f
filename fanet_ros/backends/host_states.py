"""Memories of videos in ordinary memory, and their way into and out of a run of the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory, VideoStates


class HostMemory(VideoMemory):
    """A memory as one array.

    Attributes:
        state: float32, (1, T - 1, state size), as model.temporal describes it; zeros where there was no
            frame yet.
    """

    def __init__(self, states: VideoStates) -> None:
        super().__init__(states.maker, states.past_frames)
        self.state = np.zeros((1, states.past_frames, states.state_size), np.float32)

    def reset(self, reason: str = "") -> None:  # noqa: D102 (documented by VideoMemory)
        super().reset(reason)
        self.state.fill(0)


class HostStates:
    """The states before and after one run, single frame or batch, in buffers that are allocated once.

    A memory keeps one array, and all memories share a spare one: the network reads the one and writes the other, then
    they change places. Only batches are copied, as their states must lie side by side.
    """

    def __init__(self, states: VideoStates) -> None:
        self._of, self._shape = states, (states.past_frames, states.state_size)
        self._blank = np.zeros((1, *self._shape), np.float32)  # of frames without a memory
        self._spare = np.empty_like(self._blank)
        self._batch = np.empty((2, 0, *self._shape), np.float32)  # before and after

    def new_memory(self) -> HostMemory:
        """Return an empty memory."""
        return HostMemory(self._of)

    def gather(
        self, memories: Sequence[VideoMemory | None], input_size: Size
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the network is to read and where it is to write, both (N, T - 1, state size).

        Args:
            memories: one for each frame of the run; None for a frame that has none.
            input_size: of the run; a memory of another size is reset.

        Raises:
            SettingError: a memory was made by another backend.
        """
        states = [self._enter(memory, input_size) for memory in memories]
        if len(states) == 1:
            return states[0], self._spare
        if self._batch.shape[1] != len(states):
            self._batch = np.empty((2, len(states), *self._shape), np.float32)
        before, after = self._batch
        for row, state in zip(before, states, strict=True):
            row[:] = state[0]
        return before, after

    def keep(self, memories: Sequence[VideoMemory | None]) -> None:
        """Give the memories of the last `gather` what the network wrote; called when it has run."""
        for index, memory in enumerate(memories):
            if memory is None:
                continue
            assert isinstance(memory, HostMemory)
            if len(memories) == 1:
                memory.state, self._spare = self._spare, memory.state
            else:
                memory.state[0] = self._batch[1, index]
            # the newest frame is the only one that was not checked before; a sum is finite where all its terms are
            memory.remember(is_finite=bool(np.isfinite(memory.state[0, 0].sum())))

    def _enter(self, memory: VideoMemory | None, input_size: Size) -> NDArray[np.float32]:
        if memory is None:
            return self._blank
        memory.enter(self._of.maker, input_size)
        assert isinstance(memory, HostMemory)
        return memory.state
