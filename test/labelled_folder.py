"""A tiny data set of kind `folder`, with exact or coarse labels."""

from pathlib import Path

import cv2
import numpy as np

from fanet_ros.model.labels import LabelSet, load_label_set, save_label_set

CAMVID = load_label_set("camvid11")
ROAD, SKY, TREE = (CAMVID.id_of(name) for name in ("road", "sky", "tree"))
EXACT = {name: [index] for index, name in enumerate(CAMVID.names)}
DRIVABLE = {"drivable": [ROAD], "not drivable": [index for index in range(11) if index != ROAD]}
MAPPING: dict[str, object] = {"drivable": "road", "not drivable": {"not": ["road"]}}


def write_folder(folder: Path, classes: dict[str, list[int]], mapping: dict[str, object] | None, dark: bool) -> Path:
    """Write images of sky above road and trees, with the ids of the classes that CamVid's ids are in.

    Args:
        folder: of the data set.
        classes: names, and CamVid's ids that each stands for.
        mapping: what they are in camvid11; None to leave that to the recipe.
        dark: whether another camera took them, with other colours.
    """
    colors = CAMVID.palette // 3 if dark else CAMVID.palette
    table = np.full(256, 255, np.uint8)
    for own, ids in enumerate(classes.values()):
        table[ids] = own
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    for index in range(6):
        truth = np.full((72, 96), SKY, np.uint8)
        truth[24 + 2 * index :] = ROAD
        truth[24 + 2 * index :, : 20 + 8 * index] = TREE
        cv2.imwrite(str(folder / f"images/train/{index}.png"), colors[truth][..., ::-1])
        cv2.imwrite(str(folder / f"labels/train/{index}.png"), table[truth])
    mappings = {} if mapping is None else {"camvid11": mapping}
    label_set = LabelSet("mine", tuple(classes), ((0, 0, 0),) * len(classes), {}, mappings)
    save_label_set(label_set, folder / "labels.yaml")
    return folder
