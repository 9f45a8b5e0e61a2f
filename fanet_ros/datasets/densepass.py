"""DensePASS (Ma et al. 2021): panoramas of 400x2048 pixels with the 19 classes of Cityscapes, to evaluate on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.files import Pair, images_in
from fanet_ros.datasets.label_formats import GreyIds, identity_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.model.labels import load_label_set

IMAGES, LABELS = "leftImg8bit", "gtFine"

_SPLIT = "val"  # the only one with labels
_LABELS_END = "_labelTrainIds.png"


def _recognises(path: Path) -> bool:
    return bool(images_in(path / IMAGES / _SPLIT) or _label_files(path))


def _label_files(path: Path) -> list[Path]:
    return [file for file in images_in(path / LABELS / _SPLIT) if file.name.endswith(_LABELS_END)]


def _splits(path: Path) -> Sequence[str]:
    return (_SPLIT,)


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cityscapes19")
    folder = path / LABELS / split
    pairs = []
    for image in images_in(path / IMAGES / split):
        name = image.stem.removesuffix("_")  # images are called 1_.png, labels 1_labelTrainIds.png
        pairs.append(Pair(image, folder / f"{name}{_LABELS_END}", name))
    strays = sorted(set(_label_files(path)) - {pair.labels for pair in pairs})
    expected = f"{IMAGES}/{split}/*_.png and {LABELS}/{split}/*{_LABELS_END}"
    return Found(label_set, pairs, GreyIds(identity_table(len(label_set))), expected, strays)


LAYOUT = Layout(
    name="densepass",
    content=f"{IMAGES}/{_SPLIT}/*_.png and {LABELS}/{_SPLIT}/*{_LABELS_END}",
    recognises=_recognises,
    splits=_splits,
    find=_find,
)
