"""Looks at every file of a data set, and says what is wrong and what is in it. It prints nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.decoding import read_rgb
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.matching import Pair
from fanet_ros.datasets.opening import dataset_folder, find_split, missing_files
from fanet_ros.datasets.options import read_options
from fanet_ros.datasets.soft_labels import SoftLabels
from fanet_ros.datasets.tiles import TileFiles, tile_pixels
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size

Progress = Callable[[str, int, int], None]
"""Is told the split, how many of its pairs are done, and how many there are."""

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


@dataclass
class SplitReport:
    """What a split holds, and what is wrong with it.

    Attributes:
        split: its name.
        label_set: what the ids mean.
        pairs: number of pairs that should be there.
        missing: images and labels that are not.
        strays: label files to which there is no image.
        damaged: one message for each file that cannot be read.
        mismatched: one message for each pair whose sizes differ.
        strangers: raw values that the data set does not know, the most frequent first.
        sizes: of the images that can be read, and how many there are.
        counts: int64 (256,), pixels with each label; those with `IGNORED` at its place.
        soft: one message for each file of soft labels that is missing or cannot be used.
        unlisted: why its files cannot be told, in words; nothing else is known of it then. Empty where they can.
    """

    split: str
    label_set: LabelSet
    pairs: int
    missing: list[Path] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)
    sizes: Counter[Size] = field(default_factory=Counter)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    soft: list[str] = field(default_factory=list)
    unlisted: str = ""

    @property
    def faulty(self) -> bool:
        """Whether something is wrong; classes that never occur are not."""
        faults = (self.missing, self.strays, self.damaged, self.mismatched, self.strangers, self.soft)
        return any((self.unlisted, *faults))

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
            "missing": [str(path) for path in self.missing],
            "labels_without_image": [str(path) for path in self.strays],
            "damaged": self.damaged,
            "mismatched": self.mismatched,
            "soft": self.soft,
            "unknown_values": [vars(stranger) | {"example": str(stranger.example)} for stranger in self.strangers],
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
            reports.append(_check(name, found[name], progress))
            reports[-1].soft = _soft_faults(soft, found[name].pairs)
    if not reports:
        places = ", or ".join(part.expected for part in found.values())
        raise DatasetError(f"{root} holds no images of {layout.name}: expected {places}; unpack the data set there")
    return reports


@dataclass
class _Look:
    """What one pair of files showed."""

    labels: Path
    damaged: list[str] = field(default_factory=list)
    mismatched: str = ""
    size: Size | None = None
    strangers: Mapping[str, int] = field(default_factory=dict)
    counts: NDArray[np.int64] | None = None


def _check(split: str, found: Found, progress: Progress) -> SplitReport:
    report = SplitReport(split, found.label_set, len(found.pairs), strays=list(found.strays))
    report.missing = missing_files(found.pairs)
    gone = set(report.missing)
    strangers: dict[str, Stranger] = {}
    progress(split, 0, len(found.pairs))
    for done, look in enumerate(_looks(found, gone), 1):
        report.damaged += look.damaged
        report.mismatched += [look.mismatched] if look.mismatched else []
        report.sizes.update([look.size] if look.size else [])
        if look.counts is not None:
            report.counts += look.counts
        for value, pixels in look.strangers.items():
            stranger = strangers.setdefault(value, Stranger(value, 0, 0, look.labels))
            stranger.pixels += pixels
            stranger.files += 1
        progress(split, done, len(found.pairs))
    report.strangers = sorted(strangers.values(), key=lambda stranger: -stranger.pixels)
    return report


def _soft_faults(soft: SoftLabels | None, pairs: Sequence[Pair]) -> list[str]:
    faults: list[str] = []
    if soft is None:
        return faults
    for pair in pairs:
        try:
            soft.read(pair.name)
        except DatasetError as error:
            faults.append(str(error))
    return faults


def _looks(found: Found, gone: set[Path]) -> Iterator[_Look]:
    """Look at all pairs in order, on several threads (decoding leaves Python's lock)."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    batch = threads * _AHEAD
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(found.pairs), batch):
            yield from pool.map(lambda pair: _look(pair, found, gone), found.pairs[start : start + batch])


def _look(pair: Pair, found: Found, gone: set[Path]) -> _Look:
    look = _Look(pair.labels)
    read_image = tile_pixels if issubclass(found.kind, TileFiles) else read_rgb
    image_shape: Sequence[int] | None = None
    if pair.image not in gone:
        try:
            image_shape = read_image(pair.image).shape
            look.size = Size(image_shape[1], image_shape[0])
        except DatasetError as error:
            look.damaged.append(str(error))
    if pair.labels in gone:
        return look
    try:
        raw = found.label_format.raw(pair.labels)
    except DatasetError as error:
        look.damaged.append(str(error))
        return look
    if image_shape is not None and tuple(raw.shape[:2]) != tuple(image_shape[:2]):
        look.mismatched = (
            f"{pair.labels} is {raw.shape[1]}x{raw.shape[0]} but its image {image_shape[1]}x{image_shape[0]}"
        )
    look.strangers = found.label_format.strangers(raw)
    look.counts = np.bincount(found.label_format.ids(raw).ravel(), minlength=256)
    return look
