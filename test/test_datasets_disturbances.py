import numpy as np
import pytest

from fanet_ros.datasets.disturbances import DISTURBANCES, disturb_some

IMAGE = np.random.default_rng(0).integers(0, 256, (72, 128, 3), np.uint8)


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_a_disturbance_changes_a_copy_and_follows_from_its_random_numbers(kind: str) -> None:
    before = IMAGE.copy()
    first, again, other = (DISTURBANCES[kind](IMAGE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(IMAGE, before)
    np.testing.assert_array_equal(first, again)
    assert first.shape == IMAGE.shape and first.dtype == np.uint8
    assert np.abs(first.astype(int) - IMAGE).mean() > 2
    assert not np.array_equal(first, other)


def test_disturbances_do_what_their_names_say() -> None:
    grey = np.full((360, 640, 3), 100, np.uint8)
    rng = np.random.default_rng(3)
    assert 14 < DISTURBANCES["noise"](grey, rng).std() < 41
    np.testing.assert_array_equal(DISTURBANCES["blur"](grey, rng), grey)  # nothing moves in it
    stripes = np.tile(np.array([0, 200], np.uint8), (100, 320))[..., None].repeat(3, 2)
    assert DISTURBANCES["blur"](stripes, rng).std() < 0.6 * stripes.std()
    gains = np.array([DISTURBANCES["flicker"](grey, rng).mean() / 100 for _ in range(20)])
    assert (np.abs(np.log2(gains)) > 0.65).all() and (gains < 1).any() and (gains > 1).any()
    covered = np.array([(DISTURBANCES["occlusion"](grey, rng) != 100).any(2).mean() for _ in range(40)])
    assert covered.min() > 0.02 and covered.max() < 0.35


def test_some_frames_are_disturbed() -> None:
    rng = np.random.default_rng(0)
    changed = sum(disturb_some(IMAGE, 0.3, rng) is not IMAGE for _ in range(200))
    assert 40 < changed < 80
    assert disturb_some(IMAGE, 0.0, rng) is IMAGE
