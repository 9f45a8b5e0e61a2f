"""From a frame to the network's input on a GPU: the twin of frames.frame.FrameResizer, made of torch functions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fanet_ros.frames.look import turned_size
from fanet_ros.settings import Size

_BLUE_FIRST = ("bgr8", "bgra8")
_COLOURS = 3


class TorchFrameResizer:
    """Resizes frames of one size and encoding to one network input, on one device.

    The geometry is that of FrameResizer: corners aligned, or edges; the average of whole blocks of pixels where a
    frame shrinks to half or less, then bilinear sampling. Values are exact up to the last rounding,
    where OpenCV rounds twice and samples with weights of 5 bits: the two differ by a few grey levels at edges.
    """

    def __init__(
        self,
        frame_size: Size,
        encoding: str,
        input_size: Size,
        device: torch.device,
        *,
        align_corners: bool = True,
        rotation: int = 0,
    ) -> None:
        """Prepare what all frames share.

        Args:
            frame_size: of the frames, pixels.
            encoding: of the frames, one of fanet_ros.frames.frame.CHANNELS.
            input_size: of the result, pixels.
            device: where frames lie and results are made.
            align_corners: as for FrameResizer.
            rotation: degrees clockwise by which frames are turned.
        """
        self._turned_size = input_size
        self._quarters = rotation // 90
        self._input_size = input_size = turned_size(input_size, rotation)  # before turning
        self._align_corners = align_corners
        self._encoding = encoding
        self._same_size = frame_size == input_size
        ratio = min(frame_size.width / input_size.width, frame_size.height / input_size.height)
        self._block = max(1, math.floor(ratio))
        self._grid: Tensor | None = None  # (1, h, w, 2), where to sample the block averages
        if self._block > 1:
            columns = _sampling_line(frame_size.width, input_size.width, self._block, device, align_corners)
            rows = _sampling_line(frame_size.height, input_size.height, self._block, device, align_corners)
            self._grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]

    def __call__(self, frame: Tensor) -> Tensor:
        """Resize a frame and convert it to RGB; the device does nothing that a CUDA graph could not capture.

        Args:
            frame: uint8, (H, W, C) with the encoding's channels.

        Returns:
            uint8, (input_size.height, input_size.width, 3), RGB, contiguous.
        """
        image = frame[..., :_COLOURS].permute(2, 0, 1)  # (1 or 3, H, W); the fourth channel is alpha
        if not self._same_size:
            # uint8 conversion cuts off, so half a grey level more makes it round
            image = self._resize(image[None].float())[0].add_(0.5)
        if self._encoding in _BLUE_FIRST:
            image = image.flip(0)
        if self._quarters:
            image = torch.rot90(image, -self._quarters, (1, 2))
        result = torch.empty(
            (self._turned_size.height, self._turned_size.width, _COLOURS), dtype=torch.uint8, device=frame.device
        )
        return result.copy_(image.permute(1, 2, 0))  # one channel becomes three

    def _resize(self, image: Tensor) -> Tensor:
        if self._grid is None:
            shape = (self._input_size.height, self._input_size.width)
            return F.interpolate(image, shape, mode="bilinear", align_corners=self._align_corners)
        averages = F.avg_pool2d(image, self._block)  # pixels beyond the last whole block are left out
        return F.grid_sample(averages, self._grid, mode="bilinear", padding_mode="border", align_corners=True)


def _sampling_line(frame_side: int, input_side: int, block: int, device: torch.device, align_corners: bool) -> Tensor:
    """Where the input's pixels lie among block averages, as grid_sample counts: -1 the first average, 1 the last."""
    averages = frame_side // block
    # input pixel i lies at frame pixel i * (frame side - 1) / (input side - 1), or (i + 0.5) * frame side / input side
    # - 0.5, and average j at frame pixel j * block + (block - 1) / 2
    pixel = torch.arange(input_side, dtype=torch.float64)
    if align_corners:
        in_frame = pixel * ((frame_side - 1) / (input_side - 1))
    else:
        in_frame = (pixel + 0.5) * (frame_side / input_side) - 0.5
    in_averages = (in_frame - (block - 1) / 2) / block
    return (2 * in_averages / (averages - 1) - 1).to(device, torch.float32)
