"""One's own data: a folder with images/ and labels/, for each split where there are several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED
from fanet_ros.datasets.files import Pair, images_in, pair_by_stem
from fanet_ros.datasets.label_formats import GreyIds, identity_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.options import Option
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet, load_label_set

IMAGES, LABELS, LABEL_SET_FILE = "images", "labels", "labels.yaml"
NO_LABELS = "none"  # the label set of images without labels
WHOLE = "all"  # the split of a folder without splits


def _recognises(path: Path) -> bool:
    return any(_is_a_split(entry) for entry in (path, *_not_hidden(path.iterdir())))


def _is_a_split(path: Path) -> bool:
    """Whether a folder holds images and labels, or one of the two, but not as other data sets do."""
    images_only = (path / IMAGES).is_dir() and not (path / "annotations").is_dir()
    return images_only or (path / LABELS).is_dir()


def _splits(path: Path) -> Sequence[str]:
    both = (path / IMAGES, path / LABELS)
    if any(images_in(folder) for folder in both):
        return (WHOLE,)
    inside = [entry for folder in both if folder.is_dir() for entry in folder.iterdir() if entry.is_dir()]
    around = [entry.parent for name in (IMAGES, LABELS) for entry in path.glob(f"*/{name}") if entry.is_dir()]
    around = [entry for entry in around if entry not in both]
    return sorted({entry.name for entry in _not_hidden([*inside, *around])}) or (WHOLE,)


def _not_hidden(entries: Iterable[Path]) -> list[Path]:
    """What editors and file managers keep, such as .ipynb_checkpoints, is nobody's split."""
    return [entry for entry in entries if not entry.name.startswith(".")]


def _folders(path: Path, split: str) -> tuple[Path, Path]:
    if split == WHOLE and not (path / WHOLE).is_dir() and not (path / IMAGES / WHOLE).is_dir():
        return path / IMAGES, path / LABELS
    if (path / split / IMAGES).is_dir() or (path / split / LABELS).is_dir():
        return path / split / IMAGES, path / split / LABELS
    return path / IMAGES / split, path / LABELS / split


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = _label_set(path, options["labels"])
    images, labels = _folders(path, split)
    image_files, label_files = images_in(images), images_in(labels)
    for files in (image_files, label_files):
        _refuse_twins(files)
    matched, lonely = pair_by_stem(image_files, label_files)
    pairs = [Pair(image, label, image.stem) for image, label in matched]
    pairs += [Pair(image, labels / f"{image.stem}.png", image.stem) for image in lonely]
    strays = sorted(set(label_files) - {pair.labels for pair in pairs})
    expected = f"{images.relative_to(path)}/* and {labels.relative_to(path)}/* with the same names"
    return Found(label_set, pairs, GreyIds(identity_table(len(label_set)), ignored=(IGNORED,)), expected, strays)


def _refuse_twins(files: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        twin = seen.setdefault(file.stem, file)
        if twin != file:
            raise DatasetError(f"{twin} and {file.name} have the same name but for its ending; keep one of them")


def _label_set(path: Path, given: str) -> LabelSet:
    if given == NO_LABELS:
        return LabelSet(NO_LABELS, (), (), {})
    if given:
        return load_label_set(given)
    own = path / LABEL_SET_FILE
    if not own.is_file():
        raise DatasetError(
            f"{path} has no {LABEL_SET_FILE}, which says what the ids mean: write it, with lines such as "
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
    options={
        "labels": Option("", f"label set by name or path of its YAML file, where the folder has no {LABEL_SET_FILE}")
    },
)
