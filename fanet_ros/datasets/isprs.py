"""ISPRS' 2D semantic labelling contest: Potsdam and Vaihingen.

Potsdam has 38 orthophotos of 6000x6000 pixels at 5 cm, in RGB or IRRG; Vaihingen 33 of about 2000x2500 at 9 cm, in
infrared, red and green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.label_formats import ColorIds
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.matching import FolderContents, Pair
from fanet_ros.datasets.options import option
from fanet_ros.datasets.tiles import TileFiles, tile_pixels
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.parameters.specs import ParameterSpec

# The contest's divisions; the test tiles are those whose labels it held back at first.
POTSDAM: Mapping[str, Sequence[str]] = {
    "train": [f"{row}_{column}" for row in range(2, 8) for column in range(10 if row < 6 else 7, 13)],
    "test": ["2_13", "2_14", "3_13", "3_14", *(f"{row}_{n}" for row in (4, 5, 6) for n in (13, 14, 15)), "7_13"],
}
VAIHINGEN: Mapping[str, Sequence[str]] = {
    "train": [f"area{area}" for area in (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)],
    "test": [f"area{area}" for area in (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)],
}

_OPTIONS = (
    option("clutter", True, "whether clutter is the sixth class (label set isprs6) or ignored (isprs5)"),
    option("eroded", False, "whether to read the labels whose class borders are cut out, as the benchmark is scored"),
)
_CHANNELS = option(
    "channels", "rgb", "which orthophotos to read; infrared, red and green for irrg", choices=("rgb", "irrg")
)
_BOUNDARY, _CLUTTER = (0, 0, 0), (255, 0, 0)


def label_format(options: Mapping[str, Any]) -> tuple[LabelSet, ColorIds]:
    """Return the label set and the reader that the options ask for; the label sets' colours are the labels' own."""
    label_set = load_label_set("isprs6" if options["clutter"] else "isprs5")
    classes = {color: label for label, color in enumerate(label_set.colors)}
    return label_set, ColorIds({_BOUNDARY: IGNORED, _CLUTTER: IGNORED, **classes}, tile_pixels)


_PLAIN = "top"  # a folder's name that many folders have


@dataclass(frozen=True)
class _Files:
    """Where a kind of file of the tiles lies: in one of some folders, first of all where it should; `*` is the tile.

    Unpacking an archive often makes a folder of its name within one of its name.
    """

    folders: tuple[str, ...]
    file: str

    def __str__(self) -> str:
        return f"{self.folders[0]}/{self.file}"

    def path(self, root: Path, tile: str, present: FolderContents) -> Path:
        places = [path for folder in self.folders for path in (root / folder, root / folder / Path(folder).name)]
        return present.first([place / self.file.replace("*", tile) for place in places])

    def there(self, root: Path) -> bool:
        """Whether there is such a file, or a folder for them whose name says enough."""
        return any(
            (root / folder).is_dir() and (folder != _PLAIN or any((root / folder).rglob(self.file)))
            for folder in self.folders
        )


def _layout(
    name: str,
    tiles: Mapping[str, Sequence[str]],
    images: Mapping[str, _Files],
    labels: Mapping[bool, _Files],
    options: Sequence[ParameterSpec],
) -> Layout:
    """Describe one of the two.

    Args:
        name: of the data set.
        tiles: by split.
        images: by the option `channels`; the only ones where there is no such option.
        labels: by the option `eroded`.
        options: of the data set.
    """

    def find(root: Path, split: str, values: Mapping[str, Any]) -> Found:
        label_set, read = label_format(values)
        image, label = images[values.get("channels", "rgb")], labels[values["eroded"]]
        there = FolderContents()
        pairs = [Pair(image.path(root, tile, there), label.path(root, tile, there), tile) for tile in tiles[split]]
        if not any(pair.image in there or pair.labels in there for pair in pairs):
            pairs = []
        return Found(label_set, pairs, read, f"{image} and {label}", kind=TileFiles)

    return Layout(
        name=name,
        content=f"{' or '.join(map(str, images.values()))}, and {labels[False]}",
        recognises=lambda root: any(files.there(root) for files in (*images.values(), *labels.values())),
        splits=tuple(tiles),
        find=find,
        options=options,
    )


_ARCHIVE = "ISPRS_semantic_labeling_Vaihingen"

LAYOUTS = (
    _layout(
        "potsdam",
        POTSDAM,
        {
            "rgb": _Files(("2_Ortho_RGB",), "top_potsdam_*_RGB.tif"),
            "irrg": _Files(("3_Ortho_IRRG",), "top_potsdam_*_IRRG.tif"),
        },
        {  # folders with all labels, or with those of the training tiles
            False: _Files(("5_Labels_all", "5_Labels_for_participants"), "top_potsdam_*_label.tif"),
            True: _Files(
                ("5_Labels_all_noBoundary", "5_Labels_for_participants_no_Boundary"),
                "top_potsdam_*_label_noBoundary.tif",
            ),
        },
        (*_OPTIONS, _CHANNELS),
    ),
    _layout(
        "vaihingen",
        VAIHINGEN,
        {"rgb": _Files(("top", f"{_ARCHIVE}/top"), "top_mosaic_09cm_*.tif")},
        {
            False: _Files(
                (f"{_ARCHIVE}_ground_truth_COMPLETE", "gts_for_participants", f"{_ARCHIVE}/gts_for_participants"),
                "top_mosaic_09cm_*.tif",
            ),
            True: _Files(
                (f"{_ARCHIVE}_ground_truth_eroded_COMPLETE", "gts_eroded_for_participants"),
                "top_mosaic_09cm_*_noBoundary.tif",
            ),
        },
        _OPTIONS,
    ),
)
