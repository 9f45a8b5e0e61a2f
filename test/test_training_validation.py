from pathlib import Path

import numpy as np
import pytest
import torch
from random_network import random_network
from tiny_camvid import make_tiny_camvid
from training_parts import part_of

from fanet_ros.datasets import open_dataset
from fanet_ros.labelling.postprocess import labels_from_logits
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.labels import load_label_set
from fanet_ros.reports.scores import Scorer
from fanet_ros.settings import Size
from fanet_ros.training.batches import Part
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe_data import ValidationPart
from fanet_ros.training.validation import Validation, Validator, spread

CAMVID = load_label_set("camvid11")
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def part(tmp_path: Path) -> Part:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid", val=5), "val")
    return part_of(dataset)


def validate(part: Part, pictures: int = 0, **settings: object) -> Validation:
    recipe = ValidationPart.model_validate({"dataset": "camvid", **settings})
    network = random_network("resnet18", classes=11).train()
    network.fam_4.up.eval()
    found = Validator(recipe, part, CAMVID, ALONE).run(network, torch.float32, pictures, lambda _: None)
    # left as it was, the part in eval mode included
    assert network.training and network.resnet.bn1.training and not network.fam_4.up.bn.training
    return found


def test_all_pixels_of_all_images_are_scored(part: Part) -> None:
    found = validate(part, input_size="128x96")
    assert found.name == "camvid-val"
    assert found.scores.frames == 5
    assert found.scores.pixels == 5 * 96 * 72
    assert found.pictures is None


def test_windows_cover_the_images(part: Part) -> None:
    found = validate(part, window="64x64")
    assert found.scores.frames == 5 * 4
    assert found.scores.pixels == 5 * 96 * 72


def test_a_limit_and_pictures_take_images_evenly(part: Part) -> None:
    assert spread(10, 0) == list(range(10))
    assert spread(10, 2) == [2, 7]
    assert spread(3, 9) == [0, 1, 2]
    found = validate(part, pictures=2, limit=3)
    assert found.scores.frames == 3
    assert found.pictures is not None and found.pictures.dtype == np.uint8 and found.pictures.shape[2] == 3


def test_a_network_for_video_looks_back_while_it_is_scored(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid", val=4, video=True), "val")
    recipe, network = ValidationPart.model_validate({"dataset": "camvid"}), random_network("resnet18", classes=11)
    part = part_of(dataset)
    found = Validator(recipe, part, CAMVID, ALONE, temporal_frames=3).run(network, torch.float32, 0, lambda _: None)
    graph, expected, state = FrameToLogits(network), Scorer(11), torch.zeros(1, 2, network.state_size)
    for index in range(4):
        sample = dataset.read(index)
        with torch.no_grad():
            logits, state = graph(torch.from_numpy(sample.image)[None], state)
        expected.add(labels_from_logits(logits[0].contiguous().numpy(), Size(96, 72)).labels, sample.labels)
    np.testing.assert_array_equal(found.scores.confusion, expected.scores().confusion)
    alone = Validator(recipe, part, CAMVID, ALONE).run(network, torch.float32, 0, lambda _: None)
    assert not np.array_equal(alone.scores.confusion, found.scores.confusion)
