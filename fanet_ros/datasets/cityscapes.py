"""Cityscapes (Cordts et al. 2016) with its fine annotations, as the 19 classes of its benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED, Frame
from fanet_ros.datasets.files import Pair
from fanet_ros.datasets.label_formats import GreyIds, identity_table, value_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.videos import Videos
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.images import natural_key

SPLITS = ("train", "val", "test")
IMAGES, LABELS = "leftImg8bit", "gtFine"
SEQUENCES = "leftImg8bit_sequence"  # snippets of 30 frames, 17 a second; the labelled one is the 20th
FRAMES_BEFORE = 19  # of a snippet, before the labelled one

# Ids of *_labelIds.png in the order of the label set, which is that of *_labelTrainIds.png.
CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
LAST_ID = 33  # the others up to it are known and not evaluated

_NUMBER = re.compile(r"_(\d+)$")
_IMAGE_END, _LABEL_IDS_END, _TRAIN_IDS_END = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


def _recognises(path: Path) -> bool:
    splits = [path / folder / split for folder in (IMAGES, LABELS) for split in SPLITS]
    cities = (entry for split in splits if split.is_dir() for entry in split.iterdir() if entry.is_dir())
    first = next(cities, None)  # IDD-Lite's folders have the same names, its files others
    return first is not None and not any(first.glob("*_image.jpg")) and not any(first.glob("*_label.png"))


def _splits(path: Path) -> Sequence[str]:
    return SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cityscapes19")
    images = sorted((path / IMAGES / split).glob(f"*/*{_IMAGE_END}"), key=natural_key)
    labels = set((path / LABELS / split).glob(f"*/*{_LABEL_IDS_END}"))
    end = _LABEL_IDS_END
    label_format = label_ids_format()
    if not labels:
        train_ids = set((path / LABELS / split).glob(f"*/*{_TRAIN_IDS_END}"))
        if train_ids:
            labels, end, label_format = train_ids, _TRAIN_IDS_END, GreyIds(identity_table(len(label_set)))
    pairs = []
    for image in images:
        name = image.name.removesuffix(_IMAGE_END)
        city = image.parent.name
        pairs.append(Pair(image, path / LABELS / split / city / f"{name}{end}", f"{city}/{name}"))
    strays = sorted(labels - {pair.labels for pair in pairs})
    expected = f"{IMAGES}/{split}/CITY/*{_IMAGE_END} and {LABELS}/{split}/CITY/*{end}"
    return Found(label_set, pairs, label_format, expected, strays, videos=_Snippets)


def label_ids_format(also: Mapping[int, int] | None = None) -> GreyIds:
    """Return what reads label files with Cityscapes' own ids, *_labelIds.png, as the 19 classes.

    Args:
        also: ids that the benchmark ignores -> the class that they are read as; None for none.
    """
    read = {**{label: index for index, label in enumerate(CLASS_IDS)}, **(also or {})}
    return GreyIds(value_table(read), [label for label in (*range(LAST_ID + 1), IGNORED) if label not in read])


class _Snippets(Videos):
    """The frames before the labelled ones, in a folder of their own; names end with the number of the frame."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        numbers = (_NUMBER.search(pair.name) for pair in pairs)
        self._frames = [
            Frame(pair.name, int(number[1]) if number else 0) for pair, number in zip(pairs, numbers, strict=True)
        ]
        self._images = {pair.name: pair.image for pair in pairs}

    def frame(self, index: int) -> Frame:  # noqa: D102 (documented by Videos)
        return self._frames[index]

    def past(self, index: int, count: int, step: int) -> list[Frame]:  # noqa: D102 (documented by Videos)
        video, number = self._frames[index]
        most = min(count, FRAMES_BEFORE // step, number // step)
        return [Frame(video, number - step * back) for back in range(1, most + 1)]

    def path(self, frame: Frame) -> Path:  # noqa: D102 (documented by Videos)
        city = self._images[frame.video].parent
        split, root = city.parent, city.parent.parent.parent
        name = _NUMBER.sub(f"_{frame.number:06d}", Path(frame.video).name)
        return root / SEQUENCES / split.name / city.name / f"{name}{_IMAGE_END}"


LAYOUT = Layout(
    name="cityscapes",
    content=f"{IMAGES}/SPLIT/CITY/*{_IMAGE_END} and {LABELS}/SPLIT/CITY/*{_LABEL_IDS_END}",
    recognises=_recognises,
    splits=_splits,
    find=_find,
)
