"""The frame resizer for GPUs, against its formula and against the one for CPUs."""

import numpy as np
import pytest
import torch

from fanet_ros.frames.frame import CHANNELS, FrameResizer
from fanet_ros.frames.frame_torch import TorchFrameResizer
from fanet_ros.settings import Size

FRAME = np.random.default_rng(0).integers(0, 256, (50, 70, 4), np.uint8)
# the same, enlarged, one side only, shrunk less than by half, by 2 and more, by 3 with a rest, by unequal factors
SIZES = [Size(70, 50), Size(133, 97), Size(70, 77), Size(48, 39), Size(35, 25), Size(22, 16), Size(17, 24)]


def resize(frame: np.ndarray, encoding: str, size: Size) -> np.ndarray:
    resizer = TorchFrameResizer(Size(frame.shape[1], frame.shape[0]), encoding, size, torch.device("cpu"))
    result = resizer(torch.from_numpy(frame))
    assert result.dtype == torch.uint8 and result.is_contiguous()
    return result.numpy()


def exact(image: np.ndarray, size: Size) -> np.ndarray:
    """Block averages sampled bilinearly with aligned corners, pixel by pixel: (h, w, C) in double precision."""
    height, width, channels = image.shape
    block = max(1, int(min(width / size.width, height / size.height)))
    rows, columns = height // block, width // block
    whole = image[: rows * block, : columns * block].astype(float)
    averages = whole.reshape(rows, block, columns, block, channels).mean((1, 3))
    result = np.empty((size.height, size.width, channels))
    for i in range(size.height):
        for j in range(size.width):
            y = (i * (height - 1) / (size.height - 1) - (block - 1) / 2) / block
            x = (j * (width - 1) / (size.width - 1) - (block - 1) / 2) / block
            y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = averages[top, left] * (left + 1 - x) + averages[top, right] * (x - left)
            lower = averages[bottom, left] * (left + 1 - x) + averages[bottom, right] * (x - left)
            result[i, j] = upper * (top + 1 - y) + lower * (y - top)
    return result


@pytest.mark.parametrize("size", SIZES)
def test_matches_the_formula(size: Size) -> None:
    result = resize(FRAME, "rgba8", size)
    assert np.abs(result - exact(FRAME[..., :3], size)).max() <= 0.502


@pytest.mark.parametrize("encoding", CHANNELS)
@pytest.mark.parametrize("size", SIZES)
def test_matches_the_resizer_for_cpus(encoding: str, size: Size) -> None:
    frame = np.ascontiguousarray(FRAME[..., : CHANNELS[encoding]])
    expected = FrameResizer().to_network_input(frame, encoding, size)
    difference = np.abs(resize(frame, encoding, size).astype(int) - expected)
    # noise is the worst case for OpenCV's weights of 5 bits: 1/64 of 255 grey levels in each direction, and rounding
    assert difference.max() <= 9
    assert difference.mean() < 1.5


@pytest.mark.parametrize("size", SIZES)
def test_without_aligned_corners_it_matches_the_resizer_for_cpus_as_well(size: Size) -> None:
    frame = np.ascontiguousarray(FRAME[..., :3])
    expected = FrameResizer(align_corners=False).to_network_input(frame, "bgr8", size)
    resizer = TorchFrameResizer(Size(70, 50), "bgr8", size, torch.device("cpu"), align_corners=False)
    difference = np.abs(resizer(torch.from_numpy(frame)).numpy().astype(int) - expected)
    assert difference.max() <= 9
    assert difference.mean() < 1.5


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("size", SIZES)
def test_turned_frames_are_those_of_the_resizer_for_cpus(size: Size, rotation: int) -> None:
    frame = np.ascontiguousarray(FRAME[..., :3])
    expected = FrameResizer().to_network_input(frame, "bgr8", size, rotation)
    resizer = TorchFrameResizer(Size(70, 50), "bgr8", size, torch.device("cpu"), rotation=rotation)
    found = resizer(torch.from_numpy(frame))
    assert found.is_contiguous()
    difference = np.abs(found.numpy().astype(int) - expected)
    assert difference.max() <= 9
    assert difference.mean() < 1.5
