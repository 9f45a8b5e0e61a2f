"""Finds the files of data sets on disk: images, and the labels that belong to them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fanet_ros.errors import DatasetError
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_name_key
from fanet_ros.untrusted.text import shown

_ANY_IMAGE = "(?i:" + "|".join(map(re.escape, IMAGE_SUFFIXES)) + ")"


class Pair(NamedTuple):
    """The files of one sample, and its name."""

    image: Path
    labels: Path
    name: str


@dataclass(frozen=True)
class Files:
    """Where images and labels lie within a data set's folder, as patterns of paths.

    `SPLIT` stands for the split, the stars for the parts of a sample's name, the same in both. A last part that is only
    a star stands for an image file of any ending.

    Attributes:
        images: pattern of the images.
        labels: pattern of the labels.
    """

    images: str
    labels: str

    def __str__(self) -> str:
        return f"{self.images} and {self.labels}"

    def of(self, split: str) -> Files:
        """Return the patterns of a split."""
        return Files(self.images.replace("SPLIT", split), self.labels.replace("SPLIT", split))

    def pair(self, root: Path, name: str) -> Pair:
        """Return the files that belong to a name, present or not; where any ending will do, PNGs."""
        return Pair(root / _filled(self.images, name), root / _filled(self.labels, name), name)

    def find(self, root: Path) -> tuple[list[Pair], list[Path]]:
        """Return the pairs of all images in natural order, their labels present or not, and labels without an image.

        Raises:
            OSError: a folder cannot be read.
            DatasetError: two files differ only in their endings.
        """
        images, labels = matches(root, self.images), matches(root, self.labels, natural=False)
        pairs = [Pair(image, labels.get(name) or self.pair(root, name).labels, name) for name, image in images.items()]
        strays = [path for name, path in labels.items() if name not in images]
        return pairs, sorted(strays, key=lambda path: [natural_name_key(part) for part in path.parts])

    def any_there(self, root: Path, splits: Sequence[str] = ("",)) -> bool:
        """Whether there is an image or a label file of some split."""
        parts = (self.of(split) for split in splits)
        return any(matches(root, pattern) for part in parts for pattern in (part.images, part.labels))


def matches(root: Path, pattern: str, *, natural: bool = True) -> dict[str, Path]:
    """Return the paths that fit a pattern of `Files`, by what its stars stand for, joined by slashes.

    In natural order, or that of characters, which takes a fraction of the time.

    Raises:
        OSError: a folder cannot be read.
        DatasetError: two files differ only in their endings.
    """
    found = {"": root}
    parts = pattern.split("/")
    for depth, part in enumerate(parts, 1):
        if "*" not in part:
            found = {name: path / part for name, path in found.items()}
            continue
        ending = _ANY_IMAGE if part == "*" and depth == len(parts) else ""
        form = re.compile(r"(?!\.)" + re.escape(part).replace(r"\*", "(.*)") + ending)
        inside: dict[str, Path] = {}
        for name, folder in found.items():
            names = sorted(os.listdir(folder), key=natural_name_key if natural else None) if folder.is_dir() else ()
            for match in filter(None, map(form.fullmatch, names)):
                path = folder / match[0]
                twin = inside.setdefault(f"{name}/{match[1]}" if name else match[1], path)
                if twin is not path:
                    raise DatasetError(
                        f"{twin} and {path.name} have the same name but for its ending; keep one of them"
                    )
        found = inside
    return found


def _filled(pattern: str, name: str) -> str:
    """Put a name in the place of the stars."""
    ending = ".png" if pattern.endswith("/*") else ""
    for part in name.split("/"):
        pattern = pattern.replace("*", part, 1)
    return pattern + ending


class FolderContents:
    """Whether files exist, with one look into each folder: data sets have a hundred thousand files."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def __contains__(self, path: Path) -> bool:
        folder, _, name = str(path).rpartition("/")  # quicker than what Path has for it
        if folder not in self._names:
            self._names[folder] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        return name in self._names[folder]

    def first(self, paths: Sequence[Path]) -> Path:
        """Return the first of several paths that exists, or else the first of all."""
        return next((path for path in paths if path in self), paths[0])


def missing(paths: Sequence[Path]) -> list[Path]:
    """Return the files that do not exist.

    Raises:
        DatasetError: a folder cannot be read.
    """
    present = FolderContents()
    try:
        return [path for path in paths if path not in present]
    except OSError as error:
        raise unreadable_folder(error) from None


def unreadable_folder(error: OSError) -> DatasetError:
    """The error for a folder that may not be read."""
    return DatasetError(f"{error.filename} cannot be read: {error.strerror}; check its permissions")


class Line(NamedTuple):
    """A line of a list file."""

    number: int
    text: str


def read_lines(path: Path) -> list[Line]:
    """Read a list file: its lines that are not blank, counted from 1, without blanks around them.

    Raises:
        DatasetError: it cannot be read or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin a text with a byte order mark
    except FileNotFoundError:
        raise DatasetError(f"the list {path} is missing; unpack the data set again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {path}: {error}; save it as UTF-8 text") from None
    lines = (Line(number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [line for line in lines if line.text]


def two_files(line: Line, listing: Path, place: Callable[[str], Path]) -> tuple[Path, Path]:
    """Return the files, present or not, that a line with the paths of an image and of its labels names.

    Either may hold blanks; where the line can be divided in several ways, that with the most files present counts.

    Args:
        line: the two paths, with blanks or a tab between them.
        listing: that the line is of, for messages.
        place: where the file of a path is, or should be.

    Raises:
        DatasetError: there are no two paths.
    """
    gaps = re.finditer(r"\t+" if "\t" in line.text else r"\s+", line.text)
    divided = [(place(line.text[: gap.start()]), place(line.text[gap.end() :])) for gap in gaps]
    present = [sum(path.is_file() for path in both) for both in divided] if len(divided) > 1 else [1] * len(divided)
    if not any(present):
        raise DatasetError(
            f"line {line.number} of {listing} is {shown(line.text)}, expected the paths of an image and of its labels"
        )
    return divided[present.index(max(present))]
