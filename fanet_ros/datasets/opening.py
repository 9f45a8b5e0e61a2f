"""Opens data sets by name, and says what is wrong with a folder that is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from fanet_ros.datasets import camvid, cityscapes, cocostuff, densepass, fold, folder, idd_lite, isprs, kitti_semantics
from fanet_ros.datasets.base import Dataset
from fanet_ros.datasets.label_formats import Unlabelled
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.matching import Pair, missing, unreadable_folder
from fanet_ros.datasets.options import option, read_options
from fanet_ros.errors import DatasetError
from fanet_ros.files import looked_for

LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        camvid.LAYOUT,
        idd_lite.LAYOUT,
        cityscapes.LAYOUT,
        cocostuff.LAYOUT,
        densepass.LAYOUT,
        kitti_semantics.LAYOUT,
        *isprs.LAYOUTS,
        folder.LAYOUT,  # the least specific last
    )
}
DATASETS = (*sorted(LAYOUTS), "street")
STREET_OPTIONS = (
    option("width", 640, "of the images in pixels", minimum=64, maximum=4096),
    option("height", 360, "of the images in pixels", minimum=64, maximum=4096),
    option("streets", 0, "how many; 0 for 60 to train and 20 to validate", minimum=0, maximum=1000),
    option("moments", 8, "of each street, 9 s apart", minimum=1, maximum=100),
    option("length", 1, "frames from each moment on, 10 a second: clips; 1: single images", minimum=1, maximum=90),
)

_SHOWN_ENTRIES = 6


def open_dataset(
    name: str,
    path: str | Path | None,
    split: str,
    options: Mapping[str, Any] | None = None,
    *,
    labelled: bool = True,
) -> Dataset:
    """Open the samples of one split; the files' presence is checked, their content is not (`fanet dataset check` does).

    Args:
        name: one of `DATASETS`.
        path: folder of the data set in its official layout; None for `street`, which is rendered.
        split: its name, as the data set has it.
        options: of this data set, by name, as values or as text (`{"eroded": True}` or `{"eroded": "true"}`); of any,
            `fold`.
        labelled: whether it has label files; without, every label is IGNORED.

    Raises:
        DatasetError: the data set, split or an option is unknown, or files are missing; says what was expected, what
            was found and what to do.
        LabelSetError: the label set of a `folder` is missing or malformed.
    """
    known = STREET_OPTIONS if name == "street" else layout_of(name).options
    values = read_options(name, (*known, fold.OPTION), options)
    part = values.pop("fold")
    if name == "street":
        from fanet_ros.datasets.street import StreetDataset  # it imports the street camera, which others do not need

        return fold.open_fold(StreetDataset(split, **values), part)
    return fold.open_fold(_open_files(layout_of(name), path, split, values, labelled), part)


def _open_files(
    layout: Layout, path: str | Path | None, split: str, values: Mapping[str, Any], labelled: bool
) -> Dataset:
    name, root = layout.name, dataset_folder(layout, path)
    if not labelled and layout is folder.LAYOUT:
        values = {**values, "labels": folder.NO_LABELS}
    found = find_split(layout, root, split, values)
    if not labelled:
        pairs = [pair._replace(labels=pair.image) for pair in found.pairs]
        found = replace(found, label_format=Unlabelled(), pairs=pairs)
    lacking = missing([file for pair in found.pairs for file in (pair.image, pair.labels)])
    if not found.pairs:
        raise DatasetError(
            f"{root} holds no images of {name}'s split {split}: expected {found.expected}{_unpack(name)}"
        )
    if lacking:
        raise DatasetError(_lacking(name, split, found.pairs, lacking))
    videos = None if found.videos is None else found.videos(found.pairs)
    return found.kind(name, split, found.label_set, found.pairs, found.label_format, videos)


def layout_of(name: str) -> Layout:
    """Return the layout of a data set on disk.

    Raises:
        DatasetError: there is no such data set.
    """
    if name not in LAYOUTS:
        raise DatasetError(f"unknown data set {name!r}; known are {', '.join(DATASETS)}")
    return LAYOUTS[name]


def dataset_folder(layout: Layout, path: str | Path | None) -> Path:
    """Return the folder of a data set, after a look at what is in it.

    Raises:
        DatasetError: there is no such folder, or it holds something else.
    """
    root = _existing(path, f"data set {layout.name} needs a folder with {layout.content}")
    if _looks_like(root, [layout]):
        return root
    other = _looks_like(root)
    if other:
        advice = f"it looks like data set {other}: use that name, or give another folder"
    else:
        inside = next((entry for entry in _subfolders(root) if _looks_like(entry, [layout])), None)
        advice = f"give {inside} instead" if inside else "unpack the data set there, or give its folder"
    raise DatasetError(f"{root} is no {layout.name}: expected {layout.content}; found {_entries(root)}; {advice}")


def detect_dataset(path: str | Path) -> str:
    """Return the name of the data set that a folder looks like.

    Raises:
        DatasetError: there is no such folder, or it looks like none.
    """
    root = _existing(path, "give the folder of a data set")
    name = _looks_like(root)
    if name:
        return name
    for entry in _subfolders(root):
        if name := _looks_like(entry):
            raise DatasetError(f"{root} is no data set, but {entry} looks like {name}; give that folder")
    raise DatasetError(
        f"{root} looks like none of the data sets {', '.join(LAYOUTS)}: found {_entries(root)}; docs/datasets.md shows "
        "their layouts"
    )


def find_split(layout: Layout, root: Path, split: str, options: Mapping[str, Any]) -> Found:
    """List the files of a split, present or not.

    Raises:
        DatasetError: there is no such split, or a folder or list of files cannot be read.
    """
    splits = layout.splits_in(root)
    parts = layout.combined.get(split, (split,))
    if not set(parts) <= set(splits):
        known = ", ".join([*splits, *layout.combined]) or "none"
        raise DatasetError(f"data set {layout.name} in {root} has no split {split!r}; it has {known}")
    try:
        found = [layout.find(root, part, options) for part in parts]
    except OSError as error:
        raise unreadable_folder(error) from None
    return replace(
        found[0],
        pairs=list(chain.from_iterable(part.pairs for part in found)),
        strays=list(chain.from_iterable(part.strays for part in found)),
        expected=" and ".join(part.expected for part in found),
    )


def _looks_like(root: Path, layouts: Collection[Layout] = tuple(LAYOUTS.values())) -> str:
    """The name of the first of some data sets that a folder looks like; empty where it looks like none."""
    for layout in layouts:
        with suppress(OSError):  # a folder that may not be read has nothing for us
            if layout.recognises(root):
                return layout.name
    return ""


def _lacking(name: str, split: str, pairs: Sequence[Pair], lacking: Sequence[Path]) -> str:
    gone = set(lacking)
    without_image = any(pair.image in gone for pair in pairs)
    kind = "images or their labels are missing" if without_image else "images have no labels"
    count = sum(pair.image in gone or pair.labels in gone for pair in pairs)
    return f"{count} of {len(pairs)} {kind} in {name}'s split {split}, for example {lacking[0]}{_unpack(name)}"


def _unpack(name: str) -> str:
    return "; unpack what is missing" if name != "folder" else "; add what is missing"


def _existing(path: str | Path | None, wanted: str) -> Path:
    if path is None or not str(path):
        raise DatasetError(f"no folder was given; {wanted}")
    root = Path(path).expanduser()
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}{looked_for(root)}; {wanted}")
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise unreadable_folder(error) from None
    return root


def _subfolders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir())


def _entries(root: Path) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    more = f" and {len(names) - _SHOWN_ENTRIES} more" if len(names) > _SHOWN_ENTRIES else ""
    return ", ".join(names[:_SHOWN_ENTRIES]) + more if names else "nothing"
