from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_camvid import make_tiny_camvid
from training_parts import part_of

from fanet_ros.datasets import IGNORED, open_dataset
from fanet_ros.datasets.soft_labels import SoftLabels, save_soft_labels
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.training.augment import Augmentation
from fanet_ros.training.batches import Part, SampleSettings, StepDataset, load_steps
from fanet_ros.training.losses import shrink_labels
from fanet_ros.training.recipe_learning import AugmentationRecipe
from fanet_ros.training.sampling import Placer, SamplePlan

CAMVID = load_label_set("camvid11")


@pytest.fixture
def steps(tmp_path: Path) -> tuple[Part, SamplePlan, Placer]:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid"), "train")
    recipe = AugmentationRecipe.model_validate({"crop": "64x48", "scale": [1, 2]})
    part = part_of(dataset)
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
        for field in range(4):
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


def test_clips_are_read_with_the_newest_of_their_earlier_frames_first(tmp_path: Path) -> None:
    """Frames of the tiny video differ in where their two colours meet, so each tells its number."""
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid", video=True), "train")
    recipe = AugmentationRecipe.model_validate({"crop": "96x72", "scale": [1, 1], "flip": 0})
    part = part_of(dataset, step=2)
    plan, placer = SamplePlan([6], [], batch=6, seed=0), Placer(recipe, seed=0)
    steps = StepDataset([part], plan, placer, 0, 1, SampleSettings(frames=3))
    batch = steps[0]
    assert batch.past is not None
    assert batch.past.images.shape == (6, 2, *batch.images.shape[1:]) and batch.past.images.dtype == torch.uint8
    for slot, choice in enumerate(plan.step(0)):
        window = placer.place(dataset.size(choice.sample), 0, slot).window
        expected = [
            dataset.read_window(index, window).image for index in (choice.sample - 2, choice.sample - 4) if index >= 0
        ]
        assert batch.past.known[slot].tolist() == [place < len(expected) for place in range(2)]
        for place in range(2):
            image = batch.past.images[slot, place].numpy()
            np.testing.assert_array_equal(image, expected[place] if place < len(expected) else np.zeros_like(image))
    (shared,) = load_steps(steps, 0, 1, workers=1, pin=False)
    assert shared.past is not None and torch.equal(shared.past.images, batch.past.images)
    alone = StepDataset([part], plan, placer, 0, 1)[0]
    assert alone.past is None and all(torch.equal(alone[field], batch[field]) for field in range(3))


def test_frames_are_disturbed_each_by_itself_and_labels_are_not(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid", train=24, video=True), "train")
    recipe = AugmentationRecipe.model_validate({"crop": "96x72", "scale": [1, 1]})
    part, plan = part_of(dataset), SamplePlan([24], [], batch=24, seed=0)
    clean, disturbed, again = (
        StepDataset([part], plan, Placer(recipe, seed=0), 0, 1, SampleSettings(2, share, seed=3))[0]
        for share in (0.0, 0.5, 0.5)
    )
    assert clean.past is not None and disturbed.past is not None
    assert torch.equal(disturbed.labels, clean.labels) and torch.equal(disturbed.images, again.images)
    present = (disturbed.images != clean.images).flatten(1).any(1)
    past = (disturbed.past.images != clean.past.images).flatten(1).any(1)
    for first, second in ((present, past), (present, ~past), (~present, past), (~present, ~past)):
        assert (first & second).any()


def test_soft_labels_are_read_beside_the_images_they_belong_to(tmp_path: Path) -> None:
    dataset = open_dataset("camvid", make_tiny_camvid(tmp_path / "camvid"), "train")
    for index, name in enumerate(dataset.names):
        truth = dataset.read_labels(index)
        save_soft_labels(tmp_path / "soft" / f"{name}.npz", np.eye(11)[truth].transpose(2, 0, 1))
    soft = SoftLabels(tmp_path / "soft", "{name}.npz", part_of(dataset).meaning)
    recipe = AugmentationRecipe.model_validate({"crop": "64x48", "scale": [0.8, 1.2], "rotation_deg": 5})
    parts = [part_of(dataset)._replace(soft=soft), part_of(dataset)]
    plan = SamplePlan([len(dataset)] * 2, [0.5], batch=4, seed=0)
    steps = StepDataset(parts, plan, Placer(recipe, 0, [None, (2.0, 2.0)]), 0, 1, SampleSettings(soft_divisor=2))
    batch = next(load_steps(steps, 0, 1, workers=1, pin=False))
    assert batch.soft is not None and batch.soft.shape == (4, 11, 24, 32) and batch.soft.dtype == torch.uint8
    crops = Augmentation(recipe)(batch)
    target = shrink_labels(crops.labels, 2)
    own = batch.parts == 0
    assert own.sum() == 2 and not batch.soft[~own].any()
    sure = own[:, None, None] & (batch.soft.amax(1) > 250)
    agree = batch.soft.argmax(1)[sure] == target[sure]
    assert sure.sum() > 500 and agree.float().mean() > 0.98
    assert not batch.soft.amax(1)[(target == IGNORED) & own[:, None, None]].float().mean() > 30


def test_each_data_set_has_its_own_scale() -> None:
    recipe = AugmentationRecipe.model_validate({"crop": "64x48", "scale": [0.5, 1]})
    placer = Placer(recipe, 0, [None, (3.0, 4.0)])
    scales = np.array(
        [[np.linalg.norm(placer.place(Size(200, 100), i, 0, part).affine[0, :2]) for part in (0, 1)] for i in range(40)]
    )
    assert 0.5 <= scales[:, 0].min() < 0.6 and 0.9 < scales[:, 0].max() <= 1
    assert scales[:, 1].min() >= 3 and scales[:, 1].max() <= 4
