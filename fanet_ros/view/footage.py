"""What `fanet segment` has written, as records: a video's or images' results, or a recording with masks in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.extras import what_to_install
from fanet_ros.files import looked_for, read_bounded
from fanet_ros.frames.encoded_image import UndecodableError, decode_image
from fanet_ros.recorded.inputs import VIDEO_SUFFIXES
from fanet_ros.recorded.recording import is_recording
from fanet_ros.settings import Size
from fanet_ros.sources import open_source
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key
from fanet_ros.untrusted.text import printable
from fanet_ros.view import pictures
from fanet_ros.view.pace import Pace
from fanet_ros.view.records import Record

_SUMMARY = "summary.json"
_MOST_SUMMARY_BYTES = 16 << 20
_MOST_IMAGE_BYTES = 256 << 20
_SEEN = "world/camera"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Footage:
    """What is shown.

    Attributes:
        layout: of the views.
        records: by their times; made while they are read.
        note: what the user should know; empty if nothing.
    """

    layout: Record
    records: Iterator[Record]
    note: str = ""


def open_footage(path: Path, rate_hz: float, start_s: float) -> Footage:
    """Open a folder that `fanet segment` has written, or a recording with masks.

    Args:
        path: of it.
        rate_hz: most moments per second of footage; images that are no video are all shown.
        start_s: seconds to leave out at the start, likewise.

    Raises:
        SourceError: it is neither, or cannot be read.
    """
    try:
        return _open(path, rate_hz, start_s)
    except OSError as error:
        raise SourceError(f"{printable(str(path))} cannot be read: {error.strerror}") from error


def _open(path: Path, rate_hz: float, start_s: float) -> Footage:
    name = printable(str(path))
    if not path.exists():
        raise SourceError(f"{name} does not exist{looked_for(path)}; give a folder that fanet segment has written")
    if is_recording(path) and not (path / _SUMMARY).is_file():
        return _recording(path, {}, rate_hz, start_s)
    if not path.is_dir():
        raise SourceError(f"{name} is no recording; segment it first: fanet segment {name}, then fanet view segmented")
    if not (path / _SUMMARY).is_file():
        return _open(_only_result(path), rate_hz, start_s)
    summary = _read_summary(path / _SUMMARY)
    bags = [entry for entry in sorted(path.iterdir()) if is_recording(entry)]
    if bags:
        return _recording(bags[0], summary, rate_hz, start_s)
    if (path / "overlay.mp4").is_file():
        return _video(path, summary, Pace(rate_hz, start_s))
    return _images(path, summary)


def _only_result(path: Path) -> Path:
    results = sorted(summary.parent for summary in path.glob(f"*/{_SUMMARY}"))
    if len(results) == 1:
        return results[0]
    if results:
        names = ", ".join(printable(str(result)) for result in results[:10])
        raise SourceError(f"{printable(str(path))} holds {len(results)} results; give one of them: {names}")
    raise SourceError(f"{printable(str(path))} holds nothing that fanet segment has written (no {_SUMMARY})")


def _read_summary(path: Path) -> Mapping[str, Any]:
    try:
        summary = json.loads(read_bounded(path, _MOST_SUMMARY_BYTES))
        if isinstance(summary, dict) and isinstance(summary.get("class_shares", {}), dict):
            return summary
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{printable(str(path))} cannot be read: {error}") from None
    raise SourceError(f"{printable(str(path))} is no summary of fanet segment")


def _recording(path: Path, summary: Mapping[str, Any], rate_hz: float, start_s: float) -> Footage:
    try:  # what recordings need and nothing else does
        from fanet_ros.view.recording import open_recording
    except ModuleNotFoundError as error:
        raise SourceError(f"reading recordings needs {what_to_install(error.name)}") from error
    layout, records = open_recording(path, str(summary.get("topics", "")), lambda: Pace(rate_hz, start_s))
    return Footage(layout, records)


def _names(summary: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, summary.get("class_shares", {})))


def _video(folder: Path, summary: Mapping[str, Any], pace: Pace) -> Footage:
    source = Path(str(summary.get("source", "")))
    has_masks = next(folder.glob("*_mask.png"), None) is not None
    if not has_masks:
        note = "no masks were written (fanet segment --masks writes them), so the overlay is shown"
        source = folder / "overlay.mp4"
    elif source.suffix.lower() not in VIDEO_SUFFIXES or not os.path.isfile(source):  # false for any nonsense
        note = f"the video {printable(str(source))} is no longer there, so masks are shown over their overlay"
        source = folder / "overlay.mp4"
    else:
        note = ""

    def read() -> Iterator[Record]:
        tolerant = _Tolerant()
        yield pictures.classes(_names(summary))
        with open_source(str(source.absolute())) as video:
            interval_ns = round(1e9 / (video.rate_hz or 30.0))
            for number, frame in enumerate(iter(video.read, None)):
                stamp = number * interval_ns
                if not pace.wants(stamp):
                    continue
                yield pictures.picture(f"{_SEEN}/image", stamp, frame.image, frame.encoding)
                mask = folder / f"{number:06d}_mask.png"
                if has_masks and mask.is_file():
                    size = Size(frame.image.shape[1], frame.image.shape[0])
                    yield from tolerant.records(partial(_mask, mask, stamp, size, _names(summary)))
        tolerant.tell(folder)

    return Footage(pictures.layout([""], classes=has_masks, timeline="time"), read(), note)


def _images(folder: Path, summary: Mapping[str, Any]) -> Footage:
    masks = sorted(folder.glob("*_mask.png"), key=natural_key)
    if not masks:
        raise SourceError(f"{printable(str(folder))} holds neither masks nor a video nor a recording")
    source = Path(str(summary.get("source", "")))
    originals = {}
    if os.path.isdir(source):  # false for any nonsense
        originals = {file.stem: file for file in source.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES}
    elif os.path.isfile(source):
        originals = {source.stem: source}

    def show(number: int, mask: Path) -> Iterator[Record]:
        stem = mask.name.removesuffix("_mask.png")
        image = _read_image(originals.get(stem, folder / f"{stem}_overlay.png"), cv2.IMREAD_COLOR)
        yield pictures.picture(f"{_SEEN}/image", number, image, "bgr8")
        yield from _mask(mask, number, Size(image.shape[1], image.shape[0]), _names(summary))

    def read() -> Iterator[Record]:
        tolerant = _Tolerant()
        yield pictures.classes(_names(summary))
        for number, mask in enumerate(masks):
            yield from tolerant.records(partial(show, number, mask))
        tolerant.tell(folder)

    note = (
        ""
        if originals
        else "the images are not where they were, or were given one by one, so masks are shown over their overlays"
    )
    return Footage(pictures.layout([""], timeline="number"), read(), note)


class _Tolerant:
    """Shows what can be read, and counts what cannot: one damaged file hides no other."""

    def __init__(self) -> None:
        self._refused: list[SourceError] = []

    def records(self, show: Callable[[], Iterator[Record]]) -> Iterator[Record]:
        """Yield the records of one moment, as far as it can be read."""
        try:
            yield from show()
        except SourceError as error:
            _log.debug("a picture is not shown", exc_info=error)
            self._refused.append(error)

    def tell(self, folder: Path) -> None:
        """Say how many could not be read, and why the first."""
        if self._refused:
            where = printable(str(folder))
            _log.warning("%d pictures of %s could not be shown; first: %s", len(self._refused), where, self._refused[0])


def _mask(path: Path, stamp: int, size: Size, names: tuple[str, ...]) -> Iterator[Record]:
    labels = _read_image(path, cv2.IMREAD_UNCHANGED)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise SourceError(f"{printable(str(path))} is no mask: {labels.dtype} {labels.shape}, expected 8-bit grey")
    yield pictures.shares("shares", stamp, labels, names)
    yield pictures.mask(f"{_SEEN}/classes", stamp, labels, size)


def _read_image(path: Path, how: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(decode_image(read_bounded(path, _MOST_IMAGE_BYTES), how))
    except OSError as error:
        raise SourceError(f"{printable(str(path))} cannot be read: {error.strerror}") from None
    except UndecodableError as error:
        raise SourceError(f"{printable(str(path))} cannot be read: {error}") from None
