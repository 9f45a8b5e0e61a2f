"""Cityscapes (Cordts et al. 2016) with its fine annotations, as the 19 classes of its benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED, Frame
from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files, Pair, matches
from fanet_ros.datasets.videos import Videos
from fanet_ros.model.labels import load_label_set

# Ids of *_labelIds.png in the order of the label set, which is that of *_labelTrainIds.png.
CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

_SPLITS = ("train", "val", "test")
_IMAGES = "leftImg8bit/SPLIT/*/*_leftImg8bit.png"
_LABEL_IDS = Files(_IMAGES, "gtFine/SPLIT/*/*_gtFine_labelIds.png")
_TRAIN_IDS = Files(_IMAGES, "gtFine/SPLIT/*/*_gtFine_labelTrainIds.png")
_LAST_ID = 33  # the others up to it are known and not evaluated

_SEQUENCES = "leftImg8bit_sequence"  # snippets of 30 frames, 17 a second; the labelled one is the 20th
_FRAMES_BEFORE = 19  # of a snippet, before the labelled one
_NUMBER = re.compile(r"_(\d+)$")


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("cityscapes19")
    by_id, by_train_id = _LABEL_IDS.of(split), _TRAIN_IDS.of(split)
    if matches(root, by_train_id.labels) and not matches(root, by_id.labels):
        found = found_by(by_train_id, root, label_set, GreyIds.of(label_set))
    else:
        found = found_by(by_id, root, label_set, label_ids_format())
    return replace(found, videos=_Snippets)


def label_ids_format(also: Mapping[int, int] | None = None) -> GreyIds:
    """Return what reads label files with Cityscapes' own ids, *_labelIds.png, as the 19 classes.

    Args:
        also: ids that the benchmark ignores -> the class that they are read as; None for none.
    """
    read = {**{label: index for index, label in enumerate(CLASS_IDS)}, **(also or {})}
    return GreyIds(read, [label for label in (*range(_LAST_ID + 1), IGNORED) if label not in read])


class _Snippets(Videos):
    """The frames before the labelled ones, in a folder of their own; names end with the number of the frame."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        numbers = (_NUMBER.search(pair.name) for pair in pairs)
        self.frames = [
            Frame(pair.name, int(number[1]) if number else 0) for pair, number in zip(pairs, numbers, strict=True)
        ]
        self._first = {video: max(0, number - _FRAMES_BEFORE) for video, number in self.frames}
        self._images = {pair.name: pair.image for pair in pairs}

    def before(self, frame: Frame) -> Frame | None:  # noqa: D102 (documented by Videos)
        video, number = frame
        return Frame(video, number - 1) if number > self._first[video] else None

    def path(self, frame: Frame) -> Path:  # noqa: D102 (documented by Videos)
        image = self._images[frame.video]
        city, split, root = image.parent, image.parents[1], image.parents[3]
        name = _NUMBER.sub(f"_{frame.number:06d}", Path(frame.video).name)
        return root / _SEQUENCES / split.name / city.name / f"{name}_leftImg8bit.png"


LAYOUT = Layout(
    name="cityscapes",
    content=str(_LABEL_IDS),
    recognises=lambda root: _LABEL_IDS.any_there(root, _SPLITS) or _TRAIN_IDS.any_there(root, _SPLITS),
    splits=_SPLITS,
    find=_find,
)
