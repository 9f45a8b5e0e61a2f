"""Looks at every file of a data set, and says what is wrong and what is in it. It prints nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.decoding import exif_orientation, read_rgb
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.matching import Pair, missing
from fanet_ros.datasets.opening import dataset_folder, find_split
from fanet_ros.datasets.options import read_options
from fanet_ros.datasets.soft_labels import SoftLabels
from fanet_ros.datasets.tiles import TileFiles, tile_pixels
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size

Progress = Callable[[str, int, int], None]
"""Is told the split, how many of its pairs are done, and how many there are."""

FAULTS: Mapping[str, str] = {
    "missing": "missing files",
    "labels_without_image": "labels without an image",
    "damaged": "files that cannot be read",
    "mismatched": "labels of another size than their image",
    "soft": "soft labels that are missing or cannot be used",
}
"""What can be wrong with a file: names of `SplitReport.faults`, and titles for people."""

_MOST_THREADS = 4  # a tile takes some hundred megabytes while it is looked at
_AHEAD = 4  # pairs a thread: results must not pile up where the disk is faster than the caller


@dataclass
class Stranger:
    """A raw value of label files that the data set does not know.

    Attributes:
        value: as the file has it: a number, or a colour as `(R, G, B)`.
        pixels: how many have it in the whole split.
        files: in how many files it is.
        example: one of them.
    """

    value: str
    pixels: int
    files: int
    example: Path

    def __str__(self) -> str:
        return f"{self.value}: {self.pixels} pixels in {self.files} files, for example {self.example}"


@dataclass
class SplitReport:
    """What a split holds, and what is wrong with it.

    Attributes:
        split: its name.
        label_set: what the ids mean.
        pairs: number of pairs that should be there.
        unlisted: why its files cannot be told, in words; nothing else is known of it then. Empty where they can.
        faults: by the names of `FAULTS`, a path or a message for each file.
        strangers: raw values that the data set does not know, the most frequent first.
        turned: files that programs show turned or mirrored by their EXIF orientation, and which it is. They are read as
            their pixels lie in the file, so labels that were painted on what a program shows do not fit.
        sizes: of the images that can be read, and how many there are.
        counts: int64 (256,), pixels with each label; those with `IGNORED` at its place.
    """

    split: str
    label_set: LabelSet
    pairs: int
    unlisted: str = ""
    faults: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in FAULTS})
    strangers: list[Stranger] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    sizes: Counter[Size] = field(default_factory=Counter)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def faulty(self) -> bool:
        """Whether something is wrong; classes that never occur and EXIF orientations are not."""
        return any((self.unlisted, self.strangers, *self.faults.values()))

    @property
    def shares(self) -> dict[str, float]:
        """Share of all pixels for each class name, 0 to 1."""
        total = max(int(self.counts.sum()), 1)
        return {name: int(self.counts[index]) / total for index, name in enumerate(self.label_set.names)}

    @property
    def ignored(self) -> float:
        """Share of all pixels that is ignored, 0 to 1; it includes the strangers."""
        return int(self.counts[IGNORED]) / max(int(self.counts.sum()), 1)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes that never occur."""
        return tuple(name for index, name in enumerate(self.label_set.names) if not self.counts[index])

    def as_json(self) -> dict[str, Any]:
        """Return everything in types that json can write."""
        return {
            "split": self.split,
            "label_set": self.label_set.name,
            "pairs": self.pairs,
            "faulty": self.faulty,
            "unlisted": self.unlisted or None,
            **self.faults,
            "unknown_values": [vars(stranger) | {"example": str(stranger.example)} for stranger in self.strangers],
            "turned": self.turned,
            "sizes": {str(size): count for size, count in self.sizes.most_common()},
            "shares": self.shares,
            "ignored": self.ignored,
            "absent": list(self.absent),
        }


def check_dataset(
    layout: Layout,
    path: str | Path,
    split: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda split, done, total: None,
    soft: SoftLabels | None = None,
) -> list[SplitReport]:
    """Read every file of a data set.

    Args:
        layout: of the data set.
        path: its folder.
        split: the one to look at; all that there are if None.
        options: as for `open_dataset`.
        progress: is told how far it is.
        soft: soft labels of all samples, to be read as well; None for none.

    Returns:
        A report for each split of which there is at least one file, or whose files cannot be told.

    Raises:
        DatasetError: the folder is missing or of another data set, nothing of any split is there, or the files of
            none can be told.
        LabelSetError: the label set of a `folder` is missing or malformed.
    """
    values = read_options(layout.name, layout.options, options)
    root = dataset_folder(layout, path)
    names = layout.splits_in(root) if split is None else (split,)
    found: dict[str, Found] = {}
    faults: dict[str, DatasetError] = {}
    for name in names:
        try:
            found[name] = find_split(layout, root, name, values)
        except DatasetError as error:  # one list file that is damaged must not hide what is wrong with other splits
            faults[name] = error
    if faults and not found:
        raise next(iter(faults.values()))
    reports = []
    for name in names:
        if name in faults:
            label_set = next(iter(found.values())).label_set  # all splits have the same
            reports.append(SplitReport(name, label_set, 0, unlisted=str(faults[name])))
        elif found[name].pairs or found[name].strays:
            reports.append(_check(name, found[name], progress, soft))
    if not reports:
        places = ", or ".join(part.expected for part in found.values())
        raise DatasetError(f"{root} holds no images of {layout.name}: expected {places}; unpack the data set there")
    return reports


@dataclass
class _Look:
    """What one pair of files showed."""

    labels: Path
    size: Size | None = None
    damaged: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    strangers: Mapping[str, int] = field(default_factory=dict)
    counts: NDArray[np.int64] | int = 0


def _check(split: str, found: Found, progress: Progress, soft: SoftLabels | None) -> SplitReport:
    report = SplitReport(split, found.label_set, len(found.pairs))
    gone = missing([file for pair in found.pairs for file in (pair.image, pair.labels)])
    report.faults["missing"] = [str(path) for path in gone]
    report.faults["labels_without_image"] = [str(path) for path in found.strays]
    strangers: dict[str, Stranger] = {}
    progress(split, 0, len(found.pairs))
    for done, look in enumerate(_looks(found, set(gone), soft), 1):
        for name in ("damaged", "mismatched", "soft"):
            report.faults[name] += getattr(look, name)
        report.turned += look.turned
        report.sizes.update([look.size] if look.size else [])
        report.counts += look.counts
        for value, pixels in look.strangers.items():
            stranger = strangers.setdefault(value, Stranger(value, 0, 0, look.labels))
            stranger.pixels += pixels
            stranger.files += 1
        progress(split, done, len(found.pairs))
    report.strangers = sorted(strangers.values(), key=lambda stranger: -stranger.pixels)
    return report


def _looks(found: Found, gone: set[Path], soft: SoftLabels | None) -> Iterator[_Look]:
    """Look at all pairs in order, on several threads (decoding leaves Python's lock)."""
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    batch = threads * _AHEAD
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(found.pairs), batch):
            yield from pool.map(lambda pair: _look(pair, found, gone, soft), found.pairs[start : start + batch])


def _look(pair: Pair, found: Found, gone: set[Path], soft: SoftLabels | None) -> _Look:
    look = _Look(pair.labels)
    raw: NDArray[Any] | None = None
    try:
        if soft is not None:
            soft.read(pair.name)
    except DatasetError as error:
        look.soft.append(str(error))
    try:
        if pair.image not in gone:
            read_image = tile_pixels if issubclass(found.kind, TileFiles) else read_rgb
            height, width, _ = read_image(pair.image).shape
            look.size = Size(width, height)
    except DatasetError as error:
        look.damaged.append(str(error))
    try:
        if pair.labels not in gone:
            raw = found.label_format.raw(pair.labels)
    except DatasetError as error:
        look.damaged.append(str(error))
    for path in dict.fromkeys((pair.image, pair.labels)):
        orientation = 1 if path in gone else exif_orientation(path)
        if orientation != 1:
            look.turned.append(f"{path}: {orientation}")
    if raw is not None:
        size = Size(raw.shape[1], raw.shape[0])
        if look.size not in (None, size):
            look.mismatched.append(f"{pair.labels} is {size} but its image {look.size}")
        look.strangers = found.label_format.strangers(raw)
        look.counts = np.bincount(found.label_format.ids(raw).ravel(), minlength=256)
    return look
