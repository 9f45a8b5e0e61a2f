"""One's own data: a folder with images/ and labels/, for each split where there are several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.layout import Found, Layout, found_by
from fanet_ros.datasets.matching import Files
from fanet_ros.datasets.options import option
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet, load_label_set

IMAGES, LABELS, LABEL_SET_FILE = "images", "labels", "labels.yaml"
NO_LABELS = "none"  # the label set of images without labels
WHOLE = "all"  # the split of a folder without splits

_FLAT = Files(f"{IMAGES}/*", f"{LABELS}/*")
_OUTER, _INNER = Files(f"SPLIT/{IMAGES}/*", f"SPLIT/{LABELS}/*"), Files(f"{IMAGES}/SPLIT/*", f"{LABELS}/SPLIT/*")


def _recognises(root: Path) -> bool:
    return any(_is_a_split(entry) for entry in (root, *_not_hidden(root.iterdir())))


def _is_a_split(path: Path) -> bool:
    """Whether a folder holds images and labels, or one of the two, but not as other data sets do."""
    images_only = (path / IMAGES).is_dir() and not (path / "annotations").is_dir()
    return images_only or (path / LABELS).is_dir()


def _splits(root: Path) -> Sequence[str]:
    if _FLAT.any_there(root):
        return (WHOLE,)
    both = (root / IMAGES, root / LABELS)
    inside = [entry for folder in both if folder.is_dir() for entry in folder.iterdir() if entry.is_dir()]
    around = [entry.parent for name in (IMAGES, LABELS) for entry in root.glob(f"*/{name}") if entry.is_dir()]
    around = [entry for entry in around if entry not in both]
    return sorted({entry.name for entry in _not_hidden([*inside, *around])}) or (WHOLE,)


def _not_hidden(entries: Iterable[Path]) -> list[Path]:
    """What editors and file managers keep, such as .ipynb_checkpoints, is nobody's split."""
    return [entry for entry in entries if not entry.name.startswith(".")]


def _files(root: Path, split: str) -> Files:
    if split == WHOLE and not (root / WHOLE).is_dir() and not (root / IMAGES / WHOLE).is_dir():
        return _FLAT
    outer = (root / split / IMAGES).is_dir() or (root / split / LABELS).is_dir()
    return (_OUTER if outer else _INNER).of(split)


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = _label_set(root, options["labels"])
    return found_by(_files(root, split), root, label_set, GreyIds.of(label_set))


def _label_set(root: Path, given: str) -> LabelSet:
    if given == NO_LABELS:
        return LabelSet(NO_LABELS, (), (), {})
    if given:
        return load_label_set(given)
    own = root / LABEL_SET_FILE
    if not own.is_file():
        raise DatasetError(
            f"{root} has no {LABEL_SET_FILE}, which says what the ids mean: write it, with lines such as "
            "'classes: [{name: road, color: [128, 64, 128]}]', or name a label set by option labels"
        )
    return load_label_set(str(own))


LAYOUT = Layout(
    name="folder",
    content=f"{IMAGES}/ and {LABELS}/, or these for each split, as {IMAGES}/train/ or train/{IMAGES}/; and "
    f"{LABEL_SET_FILE}",
    recognises=_recognises,
    splits=_splits,
    find=_find,
    options=[
        option("labels", "", f"label set by name or path of its YAML file, where the folder has no {LABEL_SET_FILE}")
    ],
)
