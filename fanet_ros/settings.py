"""Values shared by the command line and the node's parameters, and how their text forms are read."""

from __future__ import annotations

import re
from typing import NamedTuple

from fanet_ros.errors import SettingError

BACKENDS = ("auto", "torch", "openvino", "tensorrt")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")

# Below 32 the deepest feature (1/64) of an image is a single sample of padding; above 8192 nothing would be real time.
MIN_SIDE = 32
MAX_SIDE = 8192
MAX_PIXELS = 2**25  # 8K video (7680x4320) fits; labels are computed from about 100 bytes a pixel


class Size(NamedTuple):
    """Width and height of an image in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def read_size(text: str) -> Size:
    """Read `WIDTHxHEIGHT`, for example `640x360`.

    Raises:
        SettingError: for any other form, a side outside [32, 8192] pixels, or more than 2^25 pixels in all.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise SettingError(f"received {text!r}, expected WIDTHxHEIGHT in pixels, for example 640x360")
    size = Size(int(match[1]), int(match[2]))
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise SettingError(f"received {text!r}, expected both sides between {MIN_SIDE} and {MAX_SIDE} pixels")
    if size.width * size.height > MAX_PIXELS:
        raise SettingError(f"received {text!r}, expected at most {MAX_PIXELS / 1e6:.1f} million pixels in all")
    return size


def check_input_size(text: str) -> None:
    """Accept `auto`, `camera` or WIDTHxHEIGHT; raise SettingError for anything else."""
    if text not in ("auto", "camera"):
        _read_size_or(text, "auto, camera")


def check_output_size(text: str) -> None:
    """Accept `camera` or WIDTHxHEIGHT; raise SettingError for anything else."""
    if text != "camera":
        _read_size_or(text, "camera")


def check_device(text: str) -> None:
    """Accept `auto`, `cpu`, `cuda` or `cuda:INDEX`; raise SettingError for anything else."""
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", text) is None:
        raise SettingError(f"received {text!r}, expected auto, cpu, cuda or cuda:INDEX")


def _read_size_or(text: str, words: str) -> Size:
    try:
        return read_size(text)
    except SettingError as error:
        raise SettingError(f"{error}; or {words}") from None
