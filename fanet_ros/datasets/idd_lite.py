"""IDD-Lite (Mishra et al. 2019): Indian roads with seven coarse classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.files import Pair
from fanet_ros.datasets.label_formats import GreyIds, identity_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.images import natural_key

SPLITS = ("train", "val")  # the images of test come without labels
IMAGES, LABELS = "leftImg8bit", "gtFine"
_IMAGE_END, _LABEL_END = "_image.jpg", "_label.png"


def _recognises(path: Path) -> bool:
    drives = (drive for split in SPLITS for drive in (path / IMAGES / split).glob("*") if drive.is_dir())
    first = next(drives, None)
    return first is not None and any(first.glob(f"*{_IMAGE_END}"))


def _splits(path: Path) -> Sequence[str]:
    return SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("idd7")
    pairs = []
    for image in sorted((path / IMAGES / split).glob(f"*/*{_IMAGE_END}"), key=natural_key):
        name, drive = image.name.removesuffix(_IMAGE_END), image.parent.name
        pairs.append(Pair(image, path / LABELS / split / drive / f"{name}{_LABEL_END}", f"{drive}/{name}"))
    strays = sorted(set((path / LABELS / split).glob(f"*/*{_LABEL_END}")) - {pair.labels for pair in pairs})
    expected = f"{IMAGES}/{split}/DRIVE/*{_IMAGE_END} and {LABELS}/{split}/DRIVE/*{_LABEL_END}"
    return Found(label_set, pairs, GreyIds(identity_table(len(label_set)), ignored=(IGNORED,)), expected, strays)


LAYOUT = Layout(
    name="idd_lite",
    content=f"{IMAGES}/SPLIT/DRIVE/*{_IMAGE_END} and {LABELS}/SPLIT/DRIVE/*{_LABEL_END}",
    recognises=_recognises,
    splits=_splits,
    find=_find,
)
