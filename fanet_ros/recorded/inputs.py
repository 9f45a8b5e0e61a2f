"""What the paths of `fanet segment` stand for: images together, and everything that lies in a folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fanet_ros.errors import SettingError
from fanet_ros.recorded.names import Names, allot_names
from fanet_ros.recorded.recording import METADATA, find_recording, is_recording, name_of_results
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key
from fanet_ros.untrusted.text import printable

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"),
)
"""Files in folders with these endings count as videos, in upper or lower case."""

_STILLS = Path("images")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """What is segmented into one folder.

    Attributes:
        path: of an image, a folder of images, a video or a recording; of several images, what their results are called.
        images: several images that were given one by one; else empty.
        names: that its results may have; None for those of an input that is alone.
    """

    path: Path
    images: tuple[Path, ...] = ()
    names: Names | None = field(default=None, compare=False)

    @property
    def is_recording(self) -> bool:
        """Whether it is a recording."""
        return not self.images and _is_recording(self.path)

    @property
    def name(self) -> str:
        """The name by which its results are called."""
        try:
            return name_of_results(self.path) if self.is_recording else self.path.resolve().stem
        except (OSError, RuntimeError):  # a link to itself, or no working directory: the one who opens it says so
            return self.path.stem


def find_inputs(paths: Sequence[Path]) -> list[Input]:
    """Find what is to be segmented.

    Where all paths are images, they belong together. A folder stands for the images in it, and for every video and
    recording in it (not in its subfolders, but a recording may be a folder). A path of which nothing is known stands
    for itself: the one who opens it says what is wrong. What is met twice is segmented once.
    """
    if len(paths) > 1 and all(_is_image(path) for path in paths):
        return [Input(_STILLS, tuple(paths))]
    found = {absolute(given.path): given for path in reversed(paths) for given in reversed(_inputs_of(path))}
    inputs = list(reversed(found.values()))
    names = allot_names([given.name for given in inputs])
    return [replace(given, names=own) for given, own in zip(inputs, names, strict=True)]


def take_shard(inputs: Sequence[Input], shard: str) -> list[Input]:
    """Return one of several parts of the inputs, sorted by path; all parts together are all inputs, each once.

    Args:
        inputs: all of them, whichever part is wanted.
        shard: `I/N` for part I of N, where the first part is 0.

    Raises:
        SettingError: it has another form.
    """
    form = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", shard)
    number, parts = (int(form[1]), int(form[2])) if form else (0, 0)
    if number >= parts:
        raise SettingError(
            f"shard: received {shard!r}, expected I/N for part I of N, counted from 0: 0/4, 1/4, 2/4 and 3/4 are all"
        )
    return sorted(inputs, key=lambda given: str(absolute(given.path)))[number::parts]


def absolute(path: Path) -> Path:
    """Return an absolute path with links as they are; the same one where the working directory is gone."""
    try:
        return Path(os.path.abspath(path))
    except OSError:
        return path


def _inputs_of(path: Path) -> list[Input]:
    try:
        if not path.is_dir() or (is_recording(path) and (path / METADATA).exists()):
            return [Input(path)]
        content = sorted(sorted(path.iterdir()), key=natural_key)  # the same on all machines: a.mp4 and a.MP4
        together = find_recording(path).files if is_recording(path) else ()  # of a recorder that was killed
        parts = [Input(part) for part in content if part not in together and (is_recording(part) or _is_video(part))]
        itself = [Input(path)] if together or any(_is_image(part) for part in content) or not parts else []
    except OSError as error:
        _log.debug("%s cannot be looked at", printable(str(path)), exc_info=error)
        return [Input(path)]
    return [*itself, *parts]


def _is_recording(path: Path) -> bool:
    try:
        return is_recording(path)
    except OSError as error:
        _log.debug("%s cannot be looked at", printable(str(path)), exc_info=error)
        return False


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
