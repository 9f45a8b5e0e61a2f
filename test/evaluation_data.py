"""A CamVid of a few tiny images in the SegNet edition's layout, and random weights for its classes, to evaluate."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from random_network import random_network

from fanet_ros.model.weights import save_weights

CLASSES = 11
WIDTH, HEIGHT = 64, 48


def write_camvid(folder: Path, images: Mapping[str, int]) -> Path:
    """Write splits with so many images each: coloured noise, and blocks of classes with some unknown pixels."""
    rng = np.random.default_rng(0)
    for split, count in images.items():
        lines = []
        for kind in (split, f"{split}annot"):
            (folder / kind).mkdir(parents=True)
        for number in range(count):
            name = f"{split}_{number}.png"
            coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
            image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            blocks = rng.integers(0, CLASSES + 1, (HEIGHT // 16, WIDTH // 16), np.uint8)  # 11 is void
            cv2.imwrite(str(folder / split / name), image)
            cv2.imwrite(str(folder / f"{split}annot" / name), np.kron(blocks, np.ones((16, 16), np.uint8)))
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


def write_weights(path: Path, classes: int = CLASSES, label_set: str = "camvid11") -> Path:
    """Write random weights and a card that names their label set."""
    save_weights(path, random_network("resnet18", classes).state_dict())
    path.with_suffix(".md").write_text(f"---\nlabel_set: {label_set}\n---\n")
    return path
