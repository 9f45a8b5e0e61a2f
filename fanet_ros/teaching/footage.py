"""What unlabelled footage is made of: streams of frames that follow each other, in files of every kind."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SourceError
from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.recorded.recording import find_recording, is_recording
from fanet_ros.sources import open_source
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key
from fanet_ros.untrusted.text import printable

_VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")  # looked for in folders

_log = logging.getLogger(__name__)


class Shot(NamedTuple):
    """One frame.

    Attributes:
        stream: of which it is part.
        read: returns its pixels, uint8 (H, W, C), and their encoding; None for an image that cannot be used, of which
            the log tells.
    """

    stream: str
    read: Callable[[], tuple[NDArray[np.uint8], str] | None]


class Footage(ABC):
    """A file or folder with one or several streams.

    Attributes:
        path: of the file or folder.
        streams: name -> number of frames, for videos as the container claims.
    """

    path: Path
    streams: dict[str, int]

    @abstractmethod
    def shots(self) -> Iterator[Shot]:
        """Play all streams once, from their beginning.

        Raises:
            SourceError: a file cannot be read.
        """


def open_footage(paths: Sequence[Path], topics: Sequence[str], scratch: Path) -> list[Footage]:
    """Open images, videos, recordings, and folders of any of these.

    Args:
        paths: of the user.
        topics: of recordings; empty for all camera images.
        scratch: a folder with room for a file of a recording that has to be unpacked.

    Raises:
        SourceError: there is nothing to read, or it cannot be read; says what and why.
    """
    footage: list[Footage] = []
    names: set[str] = set()
    for path in paths:
        try:
            if not path.exists():
                raise SourceError(f"{path} does not exist; give images, videos, folders of these, or recordings")
            found = list(_find(path))
        except OSError as error:
            raise SourceError(
                f"cannot read {error.filename or path}: {error.strerror}; check its permissions"
            ) from None
        if not found:
            raise SourceError(f"the folder {path} holds no images, videos or recordings, nor does a folder in it")
        for file in found:
            name = _free_name(file, names)
            footage.append(_Recorded(file, name, topics, scratch) if is_recording(file) else _Played(file, name))
    return footage


def fingerprint(footage: Sequence[Footage]) -> list[list[object]]:
    """Return what has to be the same for work to go on: files with sizes and times of change."""
    found: list[list[object]] = []
    for each in footage:
        files = sorted(each.path.iterdir()) if each.path.is_dir() else [each.path]
        for file in files:
            status = file.lstat()  # a link may lead nowhere
            found.append([os.fsencode(file.absolute()).decode(errors="replace"), status.st_size, status.st_mtime_ns])
    return found


def _find(path: Path) -> Iterator[Path]:
    """Yield what can be opened: the path itself, or what a folder of folders holds, in natural order."""
    if not path.is_dir() or is_recording(path):
        yield path
        return
    entries = sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=natural_key)
    if any(entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file() for entry in entries):
        yield path
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():  # a link may lead back here
            yield from _find(entry)
        elif entry.suffix.lower() in _VIDEO_SUFFIXES or is_recording(entry):
            yield entry


def _free_name(path: Path, taken: set[str]) -> str:
    """Return a name for files made from this footage, different from all others."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.resolve().stem).strip("_")[:80] or "footage"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name


class _Played(Footage):
    """An image, a folder of images or a video."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self._name = path, name
        with open_source(str(path)) as source:
            length = source.length
            if length is None:
                if not path.is_file():
                    raise SourceError(f"{path} has no end, so no frames can be chosen from it; record a video first")
                length = sum(1 for _ in iter(source.read, None))
        self.streams = {name: length}

    def shots(self) -> Iterator[Shot]:
        with open_source(str(self.path)) as source:
            for frame in iter(source.read, None):
                yield Shot(self._name, lambda frame=frame: (frame.image, frame.encoding))  # type: ignore[misc]


class _Recorded(Footage):
    """The camera images of a recording, each topic a stream."""

    def __init__(self, path: Path, name: str, topics: Sequence[str], scratch: Path) -> None:
        try:  # what recordings need and nothing else does
            from fanet_ros.recorded.survey import survey
            from fanet_ros.recorded.topics import camera_names, choose_topics
        except ModuleNotFoundError as error:
            raise SourceError(
                f"reading recordings needs {error.name}, which is not installed: pip install rosbags mcap"
            ) from None
        self.path, self._scratch = path, scratch
        self._recording = find_recording(path)
        found = survey(self._recording, scratch)
        for note in found.notes:
            _log.warning("%s", note)
        chosen = tuple(choose_topics(found.images, found.others, topics, keep_originals=False).prefixes)
        cameras = {topic: re.sub(r"[^A-Za-z0-9_-]+", "_", name) for topic, name in camera_names(chosen).items()}
        self._streams = {topic: name if len(chosen) == 1 else f"{name}.{cameras[topic]}" for topic in chosen}
        self.streams = {
            stream: sum(counts[topic] for counts in found.counts) for topic, stream in self._streams.items()
        }

    def shots(self) -> Iterator[Shot]:
        from fanet_ros.recorded.messages import frame_of, read_image
        from fanet_ros.recorded.opening import open_storage

        def read(data: bytes, type_name: str, topic: str) -> tuple[NDArray[np.uint8], str] | None:
            try:
                return frame_of(read_image(data, type_name), type_name)
            except UnusableImageError as error:
                _log.warning("left out an image of %s in %s: %s", printable(topic), self.path.name, error)
                return None

        for file in self._recording.files:
            with open_storage(self._recording, file, self._scratch) as storage:
                for schema, channel, message in storage.messages(tuple(self._streams)):
                    yield Shot(
                        self._streams[channel.topic],
                        lambda m=message, s=schema, c=channel: read(m.data, s.name if s else "", c.topic),  # type: ignore[misc]
                    )
