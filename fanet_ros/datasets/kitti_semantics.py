"""KITTI semantics (Alhaija et al. 2018): 200 images of Karlsruhe with Cityscapes' label ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fanet_ros.datasets.cityscapes import label_ids_format
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files
from fanet_ros.datasets.options import option
from fanet_ros.model.labels import load_label_set

_SPLITS = ("train", "val")
_FILES = Files("training/image_2/*", "training/semantic/*")
_GUARD_RAIL_ID = 14

# The labels of the benchmark's test images are withheld. Of the others, every fifth is held out: each is of another
# scene, so neighbours are not alike.
_HELD_OUT_OF = 5


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cityscapes19")
    also = {_GUARD_RAIL_ID: label_set.id_of("fence")} if options["guard_rails"] else {}
    found = found_by(_FILES, root, label_set, label_ids_format(also))
    held_out = found.pairs[_HELD_OUT_OF - 1 :: _HELD_OUT_OF]
    if split == "val":
        return replace(found, pairs=held_out, strays=())  # train has them
    return replace(found, pairs=[pair for pair in found.pairs if pair not in held_out])


LAYOUT = Layout(
    name="kitti_semantics",
    content=str(_FILES),
    recognises=lambda root: (root / _FILES.images).parent.is_dir() and (root / _FILES.labels).parent.is_dir(),
    splits=_SPLITS,
    find=_find,
    combined={"trainval": _SPLITS},
    options=[option("guard_rails", False, "whether to read guard rails as fence; the benchmark ignores them")],
)
