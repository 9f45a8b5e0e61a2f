"""Camera images, masks and confidences as records: small, because a browser shows them and a server keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FanetError
from fanet_ros.frames.encoded_size import encoded_size
from fanet_ros.frames.frame import to_rgb
from fanet_ros.model.labels import load_label_set, shipped_label_sets
from fanet_ros.settings import Size
from fanet_ros.view.records import Record, path_part

_MOST_SIDE = 960  # of what is shown
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]


def shown_size(size: Size) -> Size:
    """Return the size at which a camera's pictures are shown: theirs, or at most 960 pixels a side."""
    scale = min(1.0, _MOST_SIDE / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def picture(entity: str, stamp_ns: int, frame: NDArray[np.uint8], encoding: str) -> Record:
    """Return a camera image as a JPEG.

    Args:
        entity: of the picture.
        stamp_ns: of the image.
        frame: uint8 (H, W, C).
        encoding: one of frames.frame.CHANNELS.
    """
    size = shown_size(Size(frame.shape[1], frame.shape[0]))
    shown = _resized(frame, size, cv2.INTER_AREA)
    bgr = shown if encoding == "bgr8" else cv2.cvtColor(to_rgb(shown, encoding), cv2.COLOR_RGB2BGR)
    return _jpeg(entity, stamp_ns, np.asarray(bgr, np.uint8))


def encoded_picture(entity: str, stamp_ns: int, data: bytes) -> Record | None:
    """Return a camera image that is a JPEG already as it is; None where it must be decoded first."""
    size = encoded_size(data)
    if size is None or not data.startswith(b"\xff\xd8") or shown_size(Size(*size)) != size:
        return None
    return Record("picture", entity, stamp_ns, {"type": "image/jpeg"}, data)


def confidence(entity: str, stamp_ns: int, pixels: NDArray[np.uint8], size: Size) -> Record:
    """Return a confidence, uint8 (H, W), at the size of the camera's image, as a JPEG."""
    return _jpeg(entity, stamp_ns, _resized(pixels, shown_size(size), cv2.INTER_AREA))


def mask(entity: str, stamp_ns: int, labels: NDArray[np.uint8], size: Size) -> Record:
    """Return a mask, uint8 (H, W), at the size of the camera's image; its class ids stay what they are."""
    shown = _resized(labels, shown_size(size), cv2.INTER_NEAREST)
    height, width = shown.shape
    return Record("mask", entity, stamp_ns, {"width": width, "height": height}, shown.tobytes())


def shares(entity: str, stamp_ns: int, labels: NDArray[np.uint8], names: Sequence[str]) -> Record:
    """Return which share of a mask's pixels each class has, in [0, 1]."""
    counts = np.bincount(labels.ravel(), minlength=256) / labels.size
    values = {path_part(name): float(share) for name, share in zip(names, counts, strict=False)}
    return Record("numbers", entity, stamp_ns, values)


def layout(
    cameras: Sequence[str],
    *,
    ground: bool = False,
    confidence: bool = False,
    plots: bool = False,
    classes: bool = True,
    live: bool = False,
    timeline: str = "stamp",
) -> Record:
    """Return how the views are laid out; `blueprint` says what the arguments are."""
    values = {"cameras": list(cameras), "ground": ground, "confidence": confidence, "plots": plots}
    return Record("layout", values={**values, "classes": classes, "live": live, "timeline": timeline})


def classes(names: Sequence[str], labels: str = "") -> Record:
    """Return the classes' names and colours, by id.

    Args:
        names: of the classes.
        labels: name or path of a label set with their colours; else, or where that has other classes, a shipped one
            that has these classes gives them, or the viewer itself.
    """
    for candidate in filter(None, (labels, *shipped_label_sets())):
        try:
            label_set = load_label_set(candidate)
        except FanetError:
            continue  # who reads it for more than its colours tells
        if label_set.names == tuple(names):
            colors: list[list[int] | None] = [list(color) for color in label_set.colors]
            break
    else:
        colors = [None] * len(names)
    return Record("classes", "/", None, {"classes": [*map(list, zip(range(len(names)), names, colors, strict=True))]})


def names_of(message: Any) -> tuple[str, ...]:
    """Return the class names by id that a vision_msgs/LabelInfo tells; an id between them that has none is its name."""
    told = {int(entry.class_id): str(entry.class_name) for entry in message.class_map}
    return tuple(told.get(number, str(number)) for number in range(min(255, max(told, default=-1) + 1)))


def _resized(pixels: NDArray[np.uint8], size: Size, how: int) -> NDArray[np.uint8]:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _jpeg(entity: str, stamp_ns: int, pixels: NDArray[np.uint8]) -> Record:
    _, encoded = cv2.imencode(".jpg", pixels, _QUALITY)
    return Record("picture", entity, stamp_ns, {"type": "image/jpeg"}, encoded.tobytes())
