"""CamVid (Brostow et al. 2009) in both of its public editions, as the 11 classes of the SegNet paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet_ros.datasets.base import IGNORED, Frame
from fanet_ros.datasets.decoding import read_rgb
from fanet_ros.datasets.label_formats import Color, ColorIds, GreyIds
from fanet_ros.datasets.layout import Found, Layout
from fanet_ros.datasets.matching import Files, Line, Pair, matches, read_lines, two_files
from fanet_ros.datasets.videos import LabelledVideos
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.images import natural_key

SPLITS = ("train", "val", "test")

_ORIGINAL = Files("701_StillsRaw_full/*.png", "LabeledApproved_full/*_L.png")
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


def _is_original(root: Path) -> bool:
    return any((root / pattern).parent.is_dir() for pattern in (_ORIGINAL.images, _ORIGINAL.labels))


def _recognises(root: Path) -> bool:
    return _is_original(root) or any(
        (root / f"{part}annot").is_dir() or ((root / f"{part}.txt").is_file() and (root / part).is_dir())
        for part in SPLITS
    )


def _find(root: Path, split: str, options: Mapping[str, Any]) -> Found:
    label_set = load_label_set("camvid11")
    listing = root / f"{split}.txt"
    lines = read_lines(listing) if listing.exists() else None
    if not _is_original(root):
        expected = f"the list {listing.name} with lines 'image labels'"
        read = GreyIds.of(label_set, ignored=(_SEGNET_VOID, IGNORED))
        return Found(label_set, _listed_pairs(root, listing, lines or []), read, expected, videos=_drives)
    if lines is not None:
        names = [Path(line.text.split()[0]).stem for line in lines]
    else:
        there = {**matches(root, _ORIGINAL.images), **matches(root, _ORIGINAL.labels)}
        names = [name for name in sorted(there, key=lambda name: natural_key(Path(name))) if split_of(name) == split]
    pairs = [_ORIGINAL.pair(root, name) for name in names]
    colors = {color: label_set.id_of(name) for name, members in GROUPS.items() for color in members.values()}
    return Found(label_set, pairs, ColorIds({**colors, _VOID: IGNORED}, read_rgb), str(_ORIGINAL), videos=_drives)


def _listed_pairs(root: Path, listing: Path, lines: Sequence[Line]) -> list[Pair]:
    """The files of SegNet's lists: of their paths the last two parts count, as they begin with a foreign folder."""
    found = [two_files(line, listing, lambda name: root / Path(*Path(name).parts[-2:])) for line in lines]
    return [Pair(image, labels, image.stem) for image, labels in found]


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
    content=f"train.txt, val.txt, train/, trainannot/ and so on (SegNet's edition), or {_ORIGINAL} (the original)",
    recognises=_recognises,
    splits=SPLITS,
    find=_find,
    combined={"trainval": ("train", "val")},
)
