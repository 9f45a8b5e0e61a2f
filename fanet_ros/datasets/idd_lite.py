"""IDD-Lite (Mishra et al. 2019): Indian roads with seven coarse classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.images import natural_key

_SPLITS = ("train", "val")  # the images of test come without labels
_FILES = Files("leftImg8bit/SPLIT/*/*_image.jpg", "gtFine/SPLIT/*/*_label.png")


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("idd7")
    found = found_by(_FILES.of(split), root, label_set, GreyIds.of(label_set))
    # by the numbers of the images, across drives, and of equal ones by drive: the order says which drives a fold holds
    # out, and has to be the same on every machine
    return replace(found, pairs=sorted(found.pairs, key=lambda pair: natural_key(pair.image)))


LAYOUT = Layout(
    name="idd_lite",
    content=str(_FILES),
    recognises=lambda root: _FILES.any_there(root, _SPLITS),
    splits=_SPLITS,
    find=_find,
)
