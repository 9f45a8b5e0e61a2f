"""Tiny data sets in their official layouts: real PNG, JPEG, TIFF and MATLAB files of a few pixels."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

WIDTH, HEIGHT = 12, 8

Labels = NDArray[np.uint8]


def rows_of(values: Iterable[int], width: int = WIDTH, height: int = HEIGHT) -> Labels:
    """Labels, uint8 (height, width), whose first rows hold one of the values each; the last value fills the rest."""
    labels = np.empty((height, width), np.uint8)
    for row, value in enumerate(values):
        labels[row:] = value
    return labels


def write(path: Path, pixels: np.ndarray, *parameters: int) -> Path:
    """Write an image in the format of its ending; (H, W, 3) is RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored), list(parameters))
    return path


def grey_png(path: Path, values: np.ndarray, bits: int) -> Path:
    """Write a grey PNG of 1, 2, 4 or 8 bits a pixel, which OpenCV does not."""
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)  # colour type 0: grey
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def write_image(path: Path, value: int = 90, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Write an image of one colour whose channels differ."""
    return write(path, np.full((height, width, 3), (value, value // 2, value // 3), np.uint8))


def write_tiff(path: Path, pixels: np.ndarray, compressed: bool = False) -> Path:
    """Write an RGB TIFF, plain or with LZW."""
    return write(path, pixels, cv2.IMWRITE_TIFF_COMPRESSION, 5 if compressed else 1)


def write_matrix(path: Path, **fields: object) -> Path:
    """Write a MATLAB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, fields)
    return path


def camvid_segnet(root: Path, labels: Labels | None = None) -> Path:
    """SegNet's edition with one image in train and val, two in test."""
    for split, names in {"train": ["0001TP_006690"], "val": ["0016E5_07959"], "test": ["Seq05VD_f00000", "x"]}.items():
        for name in names:
            write_image(root / split / f"{name}.png")
            write(
                root / f"{split}annot" / f"{name}.png",
                rows_of(range(12), height=12)[:HEIGHT] if labels is None else labels,
            )
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names]
        (root / f"{split}.txt").write_text("".join(lines) + "\n")
    return root


def camvid_original(root: Path, names: Iterable[str], colors: NDArray[np.uint8]) -> Path:
    """The original edition; every label file holds these colours, (H, W, 3)."""
    height, width = colors.shape[:2]
    for name in names:
        write_image(root / "701_StillsRaw_full" / f"{name}.png", width=width, height=height)
        write(root / "LabeledApproved_full" / f"{name}_L.png", colors)
    return root


def cityscapes(root: Path, labels: Labels | None = None, end: str = "labelIds") -> Path:
    """Two cities to train and one to validate, one image each."""
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau")):
        stem = f"{city}_000000_000019"
        write_image(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        folder = root / "gtFine" / split / city
        write(folder / f"{stem}_gtFine_{end}.png", rows_of((7, 8, 0)) if labels is None else labels)
        write(folder / f"{stem}_gtFine_instanceIds.png", np.zeros((HEIGHT, WIDTH), np.uint16))  # as distributed
        (folder / f"{stem}_gtFine_polygons.json").write_text("{}")
    return root


def kitti_semantics(root: Path, labels: Labels | None = None, images: int = 10) -> Path:
    """Ten images, of which every fifth is held out."""
    for number in range(images):
        write_image(root / "training/image_2" / f"{number:06d}_10.png", value=10 * number + 50)
        write(root / "training/semantic" / f"{number:06d}_10.png", rows_of((7, 8, 0)) if labels is None else labels)
    return root


def idd_lite(root: Path, labels: Labels | None = None, drives: int = 3) -> Path:
    """Some drives of two images each to train, one to validate."""
    for split, drive in [("train", f"{number}") for number in range(drives)] + [("val", "119")]:
        for name in (f"{drive}00_", f"{drive}01_"):
            write_image(root / "leftImg8bit" / split / drive / f"{name}image.jpg")
            ids = rows_of((0, 1, 2, 3, 4, 5, 6, 255)) if labels is None else labels
            write(root / "gtFine" / split / drive / f"{name}label.png", ids)
    return root


def densepass(root: Path) -> Path:
    """Two panoramas."""
    for number in (1, 2):
        write_image(root / "leftImg8bit" / "val" / f"{number}_.png", width=2048, height=400)
        labels = rows_of((0, 18, 255), width=2048, height=400)
        write(root / "gtFine" / "val" / f"{number}_labelTrainIds.png", labels)
    return root


def cocostuff_10k(root: Path, labels: Labels | None = None) -> Path:
    """Two images to train, one to test."""
    (root / "imageLists").mkdir(parents=True)
    for split, numbers in {"train": (77, 109), "test": (285,)}.items():
        names = [f"COCO_train2014_{number:012d}" for number in numbers]
        for name in names:
            write_image(root / "images" / f"{name}.jpg")
            matrix = rows_of((0, 1, 92, 182)) if labels is None else labels
            write_matrix(root / "annotations" / f"{name}.mat", S=matrix, names=np.array(["unlabeled"], object))
        (root / "imageLists" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


def cocostuff_164k(root: Path, labels: Labels | None = None) -> Path:
    """Two images to train, one to validate."""
    for split, numbers in {"train2017": (9, 25), "val2017": (139,)}.items():
        for number in numbers:
            write_image(root / "images" / split / f"{number:012d}.jpg")
            values = rows_of((255, 0, 91, 181)) if labels is None else labels
            write(root / "annotations" / split / f"{number:012d}.png", values)
    return root


ISPRS_COLORS = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0), (0, 0, 0))


def isprs_labels(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Labels, (height, width, 3), with a row of each colour in the classes' order, then black."""
    return np.array(ISPRS_COLORS, np.uint8)[rows_of(range(7), width, height)]


def potsdam(root: Path, tiles: Iterable[str], compressed: bool = False) -> Path:
    """These tiles in both orthophotos and with both kinds of labels."""
    for tile in tiles:
        pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
        write_tiff(root / "2_Ortho_RGB" / f"top_potsdam_{tile}_RGB.tif", pixels, compressed)
        write_tiff(root / "3_Ortho_IRRG" / f"top_potsdam_{tile}_IRRG.tif", pixels + 1, compressed)
        labels, eroded = isprs_labels(), isprs_labels()
        eroded[:, 0] = 0
        write_tiff(root / "5_Labels_all" / f"top_potsdam_{tile}_label.tif", labels, compressed)
        name = f"top_potsdam_{tile}_label_noBoundary.tif"
        write_tiff(root / "5_Labels_all_noBoundary" / name, eroded, compressed)
    return root


def vaihingen(root: Path, areas: Iterable[str]) -> Path:
    """These areas with both kinds of complete labels."""
    archive = "ISPRS_semantic_labeling_Vaihingen_ground_truth"
    for area in areas:
        name = f"top_mosaic_09cm_{area}"
        write_tiff(root / "top" / f"{name}.tif", np.full((HEIGHT, WIDTH, 3), int(area.removeprefix("area")), np.uint8))
        write_tiff(root / f"{archive}_COMPLETE" / f"{name}.tif", isprs_labels())
        eroded = isprs_labels()
        eroded[:, 0] = 0
        write_tiff(root / f"{archive}_eroded_COMPLETE" / f"{name}_noBoundary.tif", eroded)
    return root


OWN_CLASSES = "classes: [{name: floor, color: [1, 2, 3]}, {name: wall, color: [4, 5, 6]}]\n"


def own_folder(root: Path, images: Path, labels: Path, count: int = 3) -> Path:
    """One's own data, with these folders within `root`."""
    for number in range(count):
        write_image(root / images / f"frame{number}.jpg", 60 + number)
        write(root / labels / f"frame{number}.png", rows_of((0, 1, 255)))
    (root / "labels.yaml").write_text(OWN_CLASSES)
    return root
