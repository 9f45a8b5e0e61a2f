"""KITTI semantics (Alhaija et al. 2018): 200 images of Karlsruhe with Cityscapes' label ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.cityscapes import label_ids_format
from fanet_ros.datasets.files import Pair, images_in, pair_by_stem
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.options import Option
from fanet_ros.model.labels import load_label_set

SPLITS = ("train", "val")
IMAGES, LABELS = "training/image_2", "training/semantic"
GUARD_RAIL_ID = 14

# The labels of the benchmark's test images are withheld. Of the others, every fifth is held out: each is of another
# scene, so neighbours are not alike.
_HELD_OUT_OF = 5


def _recognises(path: Path) -> bool:
    return (path / IMAGES).is_dir() and (path / LABELS).is_dir()


def _splits(path: Path) -> Sequence[str]:
    return SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    images, labels = images_in(path / IMAGES), images_in(path / LABELS)
    matched, lonely = pair_by_stem(images, labels)
    pairs = [Pair(image, label, image.stem) for image, label in matched]
    pairs += [Pair(image, path / LABELS / f"{image.stem}.png", image.stem) for image in lonely]
    strays = sorted(set(labels) - {pair.labels for pair in pairs})
    order = {image: place for place, image in enumerate(images)}
    chosen = [pair for pair in pairs if (order[pair.image] % _HELD_OUT_OF == _HELD_OUT_OF - 1) == (split == "val")]
    label_set = load_label_set("cityscapes19")
    return Found(
        label_set,
        chosen,
        label_ids_format({GUARD_RAIL_ID: label_set.id_of("fence")} if options["guard_rails"] else None),
        f"{IMAGES}/* and {LABELS}/*.png with the same names",
        strays if split == SPLITS[0] else (),
    )


LAYOUT = Layout(
    name="kitti_semantics",
    content=f"{IMAGES}/ and {LABELS}/",
    recognises=_recognises,
    splits=_splits,
    find=_find,
    combined={"trainval": SPLITS},
    options={"guard_rails": Option(False, "whether to read guard rails as fence; the benchmark ignores them")},
)
