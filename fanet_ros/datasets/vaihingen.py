"""ISPRS Vaihingen: 33 orthophotos of about 2000x2500 pixels at 9 cm, in infrared, red and green."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets import isprs
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.tiles import TileFiles

# The contest's division; its test areas are those whose labels it held back at first.
AREAS: Mapping[str, tuple[int, ...]] = {
    "train": (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37),
    "test": (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38),
}

_ARCHIVE = "ISPRS_semantic_labeling_Vaihingen"
_IMAGES = ("top", f"{_ARCHIVE}/top")
_LABELS = {  # folders with all labels, or with those of the training areas; end of the names
    False: ((f"{_ARCHIVE}_ground_truth_COMPLETE", "gts_for_participants", f"{_ARCHIVE}/gts_for_participants"), ""),
    True: ((f"{_ARCHIVE}_ground_truth_eroded_COMPLETE", "gts_eroded_for_participants"), "_noBoundary"),
}


def _recognises(path: Path) -> bool:
    if any(isprs.any_folder(path, folders) for folders, _ in _LABELS.values()):
        return True
    return any(any((path / folder).glob("top_mosaic_09cm_area*.tif")) for folder in _IMAGES)


def _splits(path: Path) -> Sequence[str]:
    return isprs.SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set, label_format = isprs.label_format(options)
    label_folders, label_end = _LABELS[options["eroded"]]
    areas = [f"area{area}" for area in AREAS[split]]
    files = ((area, f"top_mosaic_09cm_{area}.tif", f"top_mosaic_09cm_{area}{label_end}.tif") for area in areas)
    pairs = isprs.find_pairs(path, _IMAGES, label_folders, files)
    expected = f"top/top_mosaic_09cm_area*.tif and {label_folders[0]}/top_mosaic_09cm_area*{label_end}.tif"
    return Found(label_set, pairs, label_format, expected, kind=TileFiles)


LAYOUT = Layout(
    name="vaihingen",
    content=f"top/top_mosaic_09cm_area*.tif and {_ARCHIVE}_ground_truth_COMPLETE/ (or gts_for_participants/)",
    recognises=_recognises,
    splits=_splits,
    find=_find,
    options=isprs.OPTIONS,
)
