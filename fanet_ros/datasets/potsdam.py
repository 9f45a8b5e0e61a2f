"""ISPRS Potsdam: 38 orthophotos of 6000x6000 pixels at 5 cm, in RGB or IRRG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets import isprs
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.options import Option
from fanet_ros.datasets.tiles import TileFiles

# The contest's division; its test tiles are those whose labels it held back at first.
# Row -> columns of the tiles, which are called row_column.
_TILES: Mapping[str, Mapping[int, Sequence[int]]] = {
    "train": {
        2: (10, 11, 12),
        3: (10, 11, 12),
        4: (10, 11, 12),
        5: (10, 11, 12),
        6: (7, 8, 9, 10, 11, 12),
        7: (7, 8, 9, 10, 11, 12),
    },
    "test": {2: (13, 14), 3: (13, 14), 4: (13, 14, 15), 5: (13, 14, 15), 6: (13, 14, 15), 7: (13,)},
}

_IMAGES = {"rgb": ("2_Ortho_RGB", "RGB"), "irrg": ("3_Ortho_IRRG", "IRRG")}  # folder, end of the names
_LABELS = {  # folders with all labels, or with those of the training tiles; end of the names
    False: (("5_Labels_all", "5_Labels_for_participants"), "label"),
    True: (("5_Labels_all_noBoundary", "5_Labels_for_participants_no_Boundary"), "label_noBoundary"),
}


def tiles(split: str) -> list[str]:
    """Return the names of a split's tiles, such as `2_10`."""
    return [f"{row}_{column}" for row, columns in _TILES[split].items() for column in columns]


def _recognises(path: Path) -> bool:
    return isprs.any_folder(path, [folder for folder, _ in _IMAGES.values()]) or any(
        isprs.any_folder(path, folders) for folders, _ in _LABELS.values()
    )


def _splits(path: Path) -> Sequence[str]:
    return isprs.SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set, label_format = isprs.label_format(options)
    image_folder, image_end = _IMAGES[options["channels"]]
    label_folders, label_end = _LABELS[options["eroded"]]
    files = (
        (tile, f"top_potsdam_{tile}_{image_end}.tif", f"top_potsdam_{tile}_{label_end}.tif") for tile in tiles(split)
    )
    pairs = isprs.find_pairs(path, [image_folder], label_folders, files)
    expected = f"{image_folder}/top_potsdam_*_{image_end}.tif and {label_folders[0]}/top_potsdam_*_{label_end}.tif"
    return Found(label_set, pairs, label_format, expected, kind=TileFiles)


LAYOUT = Layout(
    name="potsdam",
    content="2_Ortho_RGB/top_potsdam_*_RGB.tif (or 3_Ortho_IRRG/) and 5_Labels_all/top_potsdam_*_label.tif",
    recognises=_recognises,
    splits=_splits,
    find=_find,
    options={
        **isprs.OPTIONS,
        "channels": Option("rgb", "which orthophotos to read; infrared, red and green for irrg", ("rgb", "irrg")),
    },
)
