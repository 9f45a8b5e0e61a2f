"""DensePASS (Ma et al. 2021): panoramas of 400x2048 pixels with the 19 classes of Cityscapes, to evaluate on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files
from fanet_ros.model.labels import load_label_set

_FILES = Files("leftImg8bit/val/*_.png", "gtFine/val/*_labelTrainIds.png")  # the only split with labels


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cityscapes19")
    return found_by(_FILES, root, label_set, GreyIds.of(label_set))


LAYOUT = Layout(
    name="densepass",
    content=str(_FILES),
    recognises=_FILES.any_there,
    splits=("val",),
    find=_find,
)
