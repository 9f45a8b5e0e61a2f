"""CamVid (Brostow et al. 2009) in both of its public editions, as the 11 classes of the SegNet paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED, Frame
from fanet_ros.datasets.decoding import read_rgb
from fanet_ros.datasets.files import Pair, images_in, read_names
from fanet_ros.datasets.label_formats import Color, ColorIds, GreyIds, identity_table
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.videos import LabelledVideos
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.sources.images import natural_key

SPLITS = ("train", "val", "test")
IMAGES, LABELS = "701_StillsRaw_full", "LabeledApproved_full"  # folders of the original edition

_SEGNET_VOID = 11
_NAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)")  # drive and number of the frame, 30 a second
_LONGEST_GAP = 33  # frames: labels are a second apart, give or take a frame, or less

# The colours of the original edition's 32 classes (label_colors.txt), grouped as usual for the 11 of the SegNet paper.
GROUPS: Mapping[str, Mapping[str, Color]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Wall": (64, 192, 0),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
        "Bridge": (0, 128, 64),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {"Road": (128, 64, 128), "LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64)},
    "pavement": {"Sidewalk": (0, 0, 192), "ParkingBlock": (64, 192, 128), "RoadShoulder": (128, 128, 192)},
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "signsymbol": {"SignSymbol": (192, 128, 128), "Misc_Text": (128, 128, 64), "TrafficLight": (0, 64, 64)},
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
_VOID: Color = (0, 0, 0)


def _recognises(path: Path) -> bool:
    if _is_original(path):
        return True
    return any(
        (path / f"{part}annot").is_dir() or ((path / f"{part}.txt").is_file() and (path / part).is_dir())
        for part in SPLITS
    )


def _is_original(path: Path) -> bool:
    return (path / IMAGES).is_dir() or (path / LABELS).is_dir()


def _splits(path: Path) -> Sequence[str]:
    return SPLITS


def _find(path: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("camvid11")
    return _find_original(path, split, label_set) if _is_original(path) else _find_segnet(path, split, label_set)


def _find_segnet(path: Path, split: str, label_set: LabelSet) -> Found:
    """The images of `<split>.txt`; only the last two parts of its paths count, as they begin with a foreign folder."""
    listing = path / f"{split}.txt"
    pairs = []
    for number, words in enumerate(read_names(listing) if listing.exists() else [], 1):
        if len(words) != 2:
            raise DatasetError(
                f"entry {number} of {listing} is {' '.join(words)!r}, expected the paths of an image and its labels"
            )
        image, labels = (path / Path(*Path(word).parts[-2:]) for word in words)
        pairs.append(Pair(image, labels, image.stem))
    label_format = GreyIds(identity_table(len(label_set)), ignored=(_SEGNET_VOID, IGNORED))
    expected = f"the list {listing.name} with lines 'image labels'"
    return Found(label_set, pairs, label_format, expected, videos=_drives)


def _find_original(path: Path, split: str, label_set: LabelSet) -> Found:
    listing = path / f"{split}.txt"
    if listing.exists():
        names = [Path(words[0]).stem for words in read_names(listing)]
    else:
        files = {f"{image.stem}.png" for image in images_in(path / IMAGES)}
        files |= {f"{label.stem.removesuffix('_L')}.png" for label in images_in(path / LABELS)}
        names = [file.stem for file in sorted(map(Path, files), key=natural_key) if split_of(file.stem) == split]
    pairs = [Pair(path / IMAGES / f"{name}.png", path / LABELS / f"{name}_L.png", name) for name in names]
    colors = {color: label_set.id_of(name) for name, members in GROUPS.items() for color in members.values()}
    return Found(
        label_set,
        pairs,
        ColorIds({**colors, _VOID: IGNORED}, read_rgb),
        f"{IMAGES}/*.png and {LABELS}/*_L.png",
        videos=_drives,
    )


def _drives(pairs: Sequence[Pair]) -> LabelledVideos:
    """The labelled frames of a drive as a video, 1 s apart (in val, 1/15 s); other names are single images."""
    frames = []
    for pair in pairs:
        match = _NAME.fullmatch(pair.name)
        frames.append(Frame(pair.name, 0) if match is None else Frame(match[1], int(match[2])))
    return LabelledVideos(frames, [pair.image for pair in pairs], _LONGEST_GAP)


def split_of(name: str) -> str:
    """Return the split of an image by its name, such as `0016E5_07959`: the usual division into 367, 101 and 233.

    It takes whole drives where it can: 0006R0 and the first half of 0001TP to train, Seq05VD and the other half of
    0001TP to test; of 0016E5 the seconds that are labelled at 15 Hz to val and the rest to train.

    Raises:
        DatasetError: the image is of no drive of CamVid.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DatasetError(
            f"the image {name} is of no known drive of CamVid, so its split is unknown; remove it, or write the names "
            "of each split's images to train.txt, val.txt and test.txt in the data set's folder"
        )
    drive, frame = match[1], int(match[2])
    if drive == "0001TP":
        return "train" if frame <= 8520 else "test"
    if drive == "0016E5":
        return "val" if 7959 <= frame <= 8159 else "train"
    return "train" if drive == "0006R0" else "test"


LAYOUT = Layout(
    name="camvid",
    content=f"train.txt, val.txt, train/, trainannot/ and so on (SegNet's edition), or {IMAGES}/ and {LABELS}/ (the "
    "original)",
    recognises=_recognises,
    splits=_splits,
    find=_find,
    combined={"trainval": ("train", "val")},
)
