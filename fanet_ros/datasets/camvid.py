"""CamVid (Brostow et al. 2009) in both of its public editions, as the 11 classes of the SegNet paper."""

from __future__ import annotations

from pathlib import Path

from fanet_ros.datasets.base import Dataset
from fanet_ros.datasets.files import GreyIds, Pair, PairedFiles, identity_table
from fanet_ros.errors import DatasetError
from fanet_ros.labels import load_label_set

LABEL_SET = "camvid11"
SPLITS = ("train", "val", "test", "trainval")


def open_camvid(path: Path, split: str) -> Dataset:
    """Open CamVid.

    Args:
        path: SegNet edition (480x360): the folder with train.txt, val.txt and the folders train/, trainannot/ and so
            on.
        split: one of `SPLITS`; trainval is train and val.

    Raises:
        DatasetError: the folder is no CamVid, or an incomplete one.
    """
    label_set = load_label_set(LABEL_SET)
    parts = ("train", "val") if split == "trainval" else (split,)
    pairs = [pair for part in parts for pair in _segnet_pairs(path, part)]
    return PairedFiles("camvid", split, label_set, pairs, GreyIds(identity_table(len(label_set))))


def _segnet_pairs(path: Path, part: str) -> list[Pair]:
    """The images of `<part>.txt`; only the last two parts of its paths count, as they begin with a foreign folder."""
    listing = path / f"{part}.txt"
    try:
        lines = listing.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DatasetError(f"{path} is no CamVid in the SegNet edition: {listing.name} is missing") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise DatasetError(f"line {number} of {listing} is {line!r}, expected the paths of an image and its labels")
        image, labels = (path / Path(*Path(word).parts[-2:]) for word in words)
        pairs.append(Pair(image, labels, image.stem))
    return pairs
