from collections import Counter

import numpy as np
import pytest

from fanet_ros.settings import Size
from fanet_ros.training.recipe_learning import AugmentationRecipe
from fanet_ros.training.sampling import Placer, SamplePlan, step_seed


def recipe(**settings: object) -> AugmentationRecipe:
    return AugmentationRecipe.model_validate({"crop": "64x48", **settings})


def test_every_sample_is_seen_once_before_any_is_seen_twice() -> None:
    plan = SamplePlan([10], [], batch=5, seed=3)
    seen = [choice.sample for iteration in range(4) for choice in plan.step(iteration)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_a_step_depends_on_the_seed_and_its_number_alone() -> None:
    plan = SamplePlan([10, 5], [0.3], batch=4, seed=3)
    forwards = [plan.step(iteration) for iteration in range(20)]
    again = SamplePlan([10, 5], [0.3], batch=4, seed=3)
    assert [again.step(iteration) for iteration in reversed(range(20))] == forwards[::-1]
    assert [SamplePlan([10, 5], [0.3], 4, seed=4).step(i) for i in range(20)] != forwards


def test_shares_hold_exactly_in_the_long_run() -> None:
    plan = SamplePlan([100, 7, 9], [0.25, 0.1], batch=6, seed=0)
    steps = [plan.step(iteration) for iteration in range(100)]
    assert all(len(step) == 6 for step in steps)
    assert all([choice.slot for choice in step] == list(range(6)) for step in steps)
    assert Counter(choice.part for step in steps for choice in step) == {0: 390, 1: 150, 2: 60}


def test_processes_share_out_all_data_sets() -> None:
    plan = SamplePlan([100, 100], [0.5], batch=4, seed=0)
    firsts = Counter(plan.step(iteration)[0].part for iteration in range(200))
    assert 60 < firsts[1] < 140


@pytest.mark.parametrize("image", [Size(200, 150), Size(64, 48), Size(30, 20)])
def test_a_crop_lies_in_the_image_or_the_image_in_the_crop(image: Size) -> None:
    placer = Placer(recipe(scale=[0.5, 2.0], flip=0.5), seed=1)
    mirrored = 0
    for iteration in range(200):
        window, affine = placer.place(image, iteration, 0)
        assert (window.width, window.height) == placer.window_size
        scale = abs(float(affine[0, 0]))
        assert 0.5 <= scale <= 2
        mirrored += affine[0, 0] < 0
        # the outer edges of the image's corner pixels, in the crop's
        corners = np.array([[-0.5, -0.5, 1], [image.width - 0.5, image.height - 0.5, 1]])
        corners[:, :2] -= (window.left, window.top)
        edges = np.sort(corners @ affine.T, axis=0) + 0.5
        for axis, side in ((0, 64), (1, 48)):
            first, last = edges[:, axis]
            if last - first >= side:
                assert first <= 1e-3 and last >= side - 1e-3
            else:
                assert first >= -1e-3 and last <= side + 1e-3
    assert 60 < mirrored < 140


@pytest.mark.parametrize("rotation", [0, 20, 45, 180])
def test_the_window_holds_all_that_a_crop_shows(rotation: float) -> None:
    placer = Placer(recipe(scale=[0.5, 2.0], rotation_deg=rotation), seed=1)
    for iteration in range(200):
        window, affine = placer.place(Size(1000, 800), iteration, 0)
        to_window = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))
        corners = to_window @ np.array([[0, 0, 1], [63, 0, 1], [0, 47, 1], [63, 47, 1]]).T
        assert corners[:2].min() >= 0
        assert corners[0].max() <= window.width - 1
        assert corners[1].max() <= window.height - 1


def test_scales_and_angles_fill_their_ranges() -> None:
    placer = Placer(recipe(scale=[0.5, 2.0], rotation_deg=10, flip=0), seed=1)
    linear = np.array([placer.place(Size(1000, 800), 0, slot).affine[:, :2] for slot in range(400)])
    scales = np.sqrt(np.abs(np.linalg.det(linear)))
    angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert np.median(scales) == pytest.approx(1, abs=0.1)
    assert scales.min() < 0.55 and scales.max() > 1.85
    assert angles.min() < -9 and angles.max() > 9 and np.abs(angles).max() <= 10.001


def test_seeds_of_steps_differ() -> None:
    seeds = {step_seed(seed, iteration, rank) for seed in (0, 1) for iteration in range(50) for rank in (0, 1)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
