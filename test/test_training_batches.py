from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_camvid import make_tiny_camvid

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.errors import DatasetError
from fanet_ros.labels import load_label_set
from fanet_ros.training.batches import Part, StepDataset, load_steps, translate_ids
from fanet_ros.training.recipe import AugmentationRecipe
from fanet_ros.training.sampling import Placer, SamplePlan

CAMVID, CITYSCAPES = load_label_set("camvid11"), load_label_set("cityscapes19")


def test_ids_are_translated_by_name() -> None:
    rename = {name: None for name in CAMVID.names if name not in CITYSCAPES.names}
    table = translate_ids(CAMVID, CITYSCAPES, {**rename, "pavement": "sidewalk"})
    assert table[CAMVID.id_of("road")] == CITYSCAPES.id_of("road")
    assert table[CAMVID.id_of("pavement")] == CITYSCAPES.id_of("sidewalk")
    assert table[CAMVID.id_of("tree")] == IGNORED
    assert (table[len(CAMVID) :] == IGNORED).all()


def test_classes_without_counterpart_are_told_of() -> None:
    with pytest.raises(DatasetError, match=r"class 'pavement' .*rename: \{pavement: NAME\}"):
        translate_ids(CAMVID, CITYSCAPES, {})
    with pytest.raises(DatasetError, match="no class 'lane'"):
        translate_ids(CAMVID, CAMVID, {"lane": "road"})


@pytest.fixture
def steps(tmp_path: Path) -> tuple[Part, SamplePlan, Placer]:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid"), "train")
    recipe = AugmentationRecipe.model_validate({"crop": "64x48", "scale": [1, 2]})
    part = Part(dataset, translate_ids(CAMVID, CAMVID, {}))
    return part, SamplePlan([len(dataset)], [], batch=4, seed=0), Placer(recipe, seed=0)


def test_workers_and_processes_change_nothing(steps: tuple[Part, SamplePlan, Placer]) -> None:
    part, plan, placer = steps
    whole = StepDataset([part], plan, placer, 0, 1)
    alone = list(load_steps(whole, 0, 5, workers=0, pin=False))
    shared = list(load_steps(whole, 2, 5, workers=2, pin=False))
    halves = [StepDataset([part], plan, placer, rank, 2) for rank in (0, 1)]
    for iteration, batch in enumerate(alone):
        assert batch.images.shape == (4, placer.window_size.height, placer.window_size.width, 3)
        assert batch.images.dtype == batch.labels.dtype == torch.uint8
        for field in range(3):
            if iteration >= 2:
                assert torch.equal(batch[field], shared[iteration - 2][field])
            for rank, half in enumerate(halves):
                assert torch.equal(batch[field][rank::2], half[iteration][field])


def test_windows_show_the_images(steps: tuple[Part, SamplePlan, Placer]) -> None:
    part, plan, placer = steps
    batch = StepDataset([part], plan, placer, 0, 1)[3]
    palette = CAMVID.palette
    known = batch.labels.numpy() != IGNORED
    assert 0.3 < known.mean() < 1
    np.testing.assert_array_equal(batch.images.numpy()[known], palette[batch.labels.numpy()[known]])
    assert not batch.images.numpy()[~known].any()


def test_an_error_of_a_worker_says_what_is_wrong(steps: tuple[Part, SamplePlan, Placer]) -> None:
    part, plan, placer = steps
    for pair in part.dataset.pairs:  # type: ignore[attr-defined]
        pair.image.write_bytes(b"\x89PNG")
    with pytest.raises(DatasetError, match="no readable image"):
        list(load_steps(StepDataset([part], plan, placer, 0, 1), 0, 1, workers=1, pin=False))
