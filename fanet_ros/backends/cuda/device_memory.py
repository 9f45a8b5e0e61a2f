"""Memories of videos on the device that runs the network, which their contexts never leave."""

from __future__ import annotations

import torch

from fanet_ros.video.video_memory import VideoMemory, VideoStates


class DeviceMemory(VideoMemory):
    """A memory as one tensor.

    Attributes:
        state: float32, (T - 1, state size), on the device, as model.temporal describes it; zeros where
            there was no frame yet. All that reads or writes it does so on one stream.
    """

    def __init__(self, states: VideoStates, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        """Begin with no frame; it lies on a device and is read and written on a stream, None on the CPU."""
        super().__init__(states.maker, states.past_frames)
        self._stream = stream
        with torch.cuda.stream(stream):
            self.state = torch.zeros(states.past_frames, states.state_size, device=device)

    @torch.inference_mode()
    def reset(self, reason: str = "") -> None:  # noqa: D102 (documented by VideoMemory)
        super().reset(reason)
        with torch.cuda.stream(self._stream):
            self.state.zero_()
