"""What a data set looks like on disk: each file of this folder that reads one describes it as a `Layout`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanet_ros.datasets.files import PairedFiles
from fanet_ros.datasets.label_formats import LabelFormat
from fanet_ros.datasets.matching import Files, Pair
from fanet_ros.datasets.videos import Videos
from fanet_ros.model.labels import LabelSet
from fanet_ros.parameters.specs import ParameterSpec


@dataclass(frozen=True)
class Found:
    """What belongs to a split.

    Attributes:
        label_set: of the data set.
        pairs: the files that should be there; some may be missing. Empty where the folder holds nothing of the split.
        label_format: of the label files.
        expected: where the split was looked for, for messages.
        strays: label files to which there is no image.
        kind: of the data set.
        videos: puts all pairs of the data set into the order of time; None for single images.
    """

    label_set: LabelSet
    pairs: Sequence[Pair]
    label_format: LabelFormat
    expected: str
    strays: Sequence[Path] = ()
    kind: type[PairedFiles] = PairedFiles
    videos: Callable[[Sequence[Pair]], Videos] | None = None


def found_by(files: Files, root: Path, label_set: LabelSet, label_format: LabelFormat) -> Found:
    """Return what the patterns of a split's files find.

    Raises:
        OSError: a folder cannot be read.
        DatasetError: two files differ only in their endings.
    """
    pairs, strays = files.find(root)
    return Found(label_set, pairs, label_format, str(files), strays)


@dataclass(frozen=True)
class Layout:
    """A data set's layout on disk.

    Attributes:
        name: of the data set, as `open_dataset` knows it.
        content: what its folder should hold, for messages.
        recognises: whether a folder looks like this data set, complete or not.
        splits: names of the splits that a folder may have, or what tells them; no sample is in two of them.
        find: lists a split's files, given the folder, the split and the value of every option.
        combined: splits that are others together.
        options: what they are.
    """

    name: str
    content: str
    recognises: Callable[[Path], bool]
    splits: Sequence[str] | Callable[[Path], Sequence[str]]
    find: Callable[[Path, str, Mapping[str, Any]], Found]
    combined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Sequence[ParameterSpec] = ()

    def splits_in(self, root: Path) -> Sequence[str]:
        """Return the names of the splits that a folder may have."""
        return self.splits(root) if callable(self.splits) else self.splits
