"""What a backend is asked for: the labels of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanet_ros.frames.look import AS_IT_COMES, Look
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory


@dataclass(frozen=True)
class FrameRequest:
    """One frame to be segmented, alone or together with others.

    Attributes:
        frame: uint8, (H, W, C) or (H, W), as for fanet_ros.segmenter.Segmenter.segment.
        encoding: of the frame.
        output_size: of labels and confidence; None for the frame's own.
        confidence: whether the confidence is wanted, too.
        out: arrays to write to; None for new ones.
        memory: of the video whose next frame this is; None for a frame on its own.
        look: how the network looks at the frame. Backends are asked for whole frames, turned or not.
    """

    frame: NDArray[np.uint8]
    encoding: str
    output_size: Size | None = None
    confidence: bool = False
    out: LabelBuffers | None = None
    memory: VideoMemory | None = None
    look: Look = AS_IT_COMES

    @property
    def frame_size(self) -> Size:
        """Width and height of the frame."""
        return Size(self.frame.shape[1], self.frame.shape[0])

    @property
    def seen_size(self) -> Size:
        """Width and height of what the network looks at, upright; the frame must hold it (`look.check`)."""
        return self.look.seen_size(self.frame_size)

    @property
    def result_size(self) -> Size:
        """Width and height of labels and confidence."""
        return self.output_size or self.frame_size
