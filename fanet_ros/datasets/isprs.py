"""What the two data sets of ISPRS' 2D semantic labelling contest share: colours, classes and options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.files import FolderContents, Pair
from fanet_ros.datasets.label_formats import Color, ColorIds
from fanet_ros.datasets.options import Option
from fanet_ros.datasets.tiles import tile_pixels
from fanet_ros.model.labels import LabelSet, load_label_set

SPLITS = ("train", "test")
OPTIONS: Mapping[str, Option] = {
    "clutter": Option(True, "whether clutter is the sixth class (label set isprs6) or ignored (isprs5)"),
    "eroded": Option(False, "whether to read the labels whose class borders are cut out, as the benchmark is scored"),
}

_BOUNDARY: Color = (0, 0, 0)
_CLUTTER: Color = (255, 0, 0)


def label_format(options: Mapping[str, Any]) -> tuple[LabelSet, ColorIds]:
    """Return the label set and the reader that the options ask for; the label sets' colours are the labels' own."""
    label_set = load_label_set("isprs6" if options["clutter"] else "isprs5")
    colors = {_BOUNDARY: IGNORED, _CLUTTER: IGNORED}
    return label_set, ColorIds(colors | {color: label for label, color in enumerate(label_set.colors)}, tile_pixels)


def find_pairs(
    root: Path, image_folders: Sequence[str], label_folders: Sequence[str], tiles: Iterable[tuple[str, str, str]]
) -> list[Pair]:
    """Return the files of a split's tiles, present or not; nothing where not one of them is there.

    Args:
        root: of the data set.
        image_folders: where images may lie, within it; the first is where they should.
        label_folders: likewise, of labels.
        tiles: name of each, of its image file and of its label file.
    """
    present = FolderContents()
    pairs = [
        Pair(
            present.first(_candidates(root, image_folders, image)),
            present.first(_candidates(root, label_folders, labels)),
            name,
        )
        for name, image, labels in tiles
    ]
    return pairs if any(pair.image in present or pair.labels in present for pair in pairs) else []


def any_folder(root: Path, folders: Sequence[str]) -> bool:
    """Whether one of these folders exists."""
    return any((root / folder).is_dir() for folder in folders)


def _candidates(root: Path, folders: Sequence[str], name: str) -> list[Path]:
    """Where a file may lie; unpacking an archive often makes a folder of its name within one of its name."""
    return [path / name for folder in folders for path in (root / folder, root / folder / Path(folder).name)]
