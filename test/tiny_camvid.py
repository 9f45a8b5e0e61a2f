"""A tiny CamVid in the layout of the SegNet edition, whose classes a network can learn from their colours."""

from pathlib import Path

import cv2
import numpy as np

from fanet_ros.model.labels import load_label_set


def make_tiny_camvid(
    folder: Path, train: int = 6, val: int = 2, width: int = 96, height: int = 72, video: bool = False
) -> Path:
    """Write images whose left part is sky and whose right part is another class, in the classes' own colours.

    As a video, their names are those of frames of one drive, a second apart.
    """
    colors = load_label_set("camvid11").palette
    for part, count in (("train", train), ("val", val)):
        (folder / part).mkdir(parents=True)
        (folder / f"{part}annot").mkdir()
        lines = []
        for index in range(count):
            labels = np.zeros((height, width), np.uint8)
            labels[:, (index + 1) * width // (count + 2) :] = 1 + index % 10
            name = f"0001TP_{30 * index:06d}" if video else f"{index}"
            cv2.imwrite(str(folder / part / f"{name}.png"), colors[labels][..., ::-1])
            cv2.imwrite(str(folder / f"{part}annot" / f"{name}.png"), labels)
            lines.append(f"/SegNet/CamVid/{part}/{name}.png /SegNet/CamVid/{part}annot/{name}.png\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    return folder


TINY_RECIPE = """
name: tiny
data:
  train: {dataset: camvid}
  validation: [{dataset: camvid}]
augmentation: {crop: 64x64, scale: [0.8, 1.5], rotation_deg: 5, brightness: 0.2, saturation: 0.2, noise: 0.5}
loss: {class_weights: log, resolution: 4}
optimizer: {kind: adamw, rate: 1.0e-3, weight_decay: 0.01, warm_up: 2, average: 0.9}
run: {iterations: 6, batch: 2, validate_every: 4, save_every: 3, overlays: 1}
"""


def write_tiny_recipe(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY_RECIPE)
    return path
