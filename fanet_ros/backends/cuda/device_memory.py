"""Memories of videos on the device that runs the network, which their contexts never leave."""

from __future__ import annotations

from typing import NamedTuple

import torch

from fanet_ros.video.video_memory import VideoMemory


class VideoStates(NamedTuple):
    """What a backend's memories are like.

    Attributes:
        maker: tells them from another backend's.
        past_frames: that each holds, T - 1, at least 1.
        state_size: numbers that are kept of each (network.state_size).
    """

    maker: object
    past_frames: int
    state_size: int


class DeviceMemory(VideoMemory):
    """A memory as one tensor.

    Attributes:
        state: float32, (T - 1, state size), on the device, as model.temporal.ContextMemory describes it; zeros where
            there was no frame yet. All that reads or writes it does so on one stream.
    """

    def __init__(self, states: VideoStates, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        """Begin with no frame.

        Args:
            states: what it is like.
            device: where it lies.
            stream: on which it is read and written; None on the CPU.
        """
        super().__init__(states.maker, states.past_frames)
        self._stream = stream
        with torch.cuda.stream(stream):
            self.state = torch.zeros(states.past_frames, states.state_size, device=device)

    @torch.inference_mode()
    def reset(self, reason: str = "") -> None:  # noqa: D102 (documented by VideoMemory)
        super().reset(reason)
        with torch.cuda.stream(self._stream):
            self.state.zero_()
