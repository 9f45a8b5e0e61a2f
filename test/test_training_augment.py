import numpy as np
import pytest
import torch

from fanet_ros.datasets import IGNORED
from fanet_ros.settings import Size
from fanet_ros.training.augment import Augmentation
from fanet_ros.training.batches import Batch, Past
from fanet_ros.training.recipe_learning import AugmentationRecipe
from fanet_ros.training.sampling import Placer

CROP = Size(64, 48)


def recipe(**settings: object) -> AugmentationRecipe:
    return AugmentationRecipe.model_validate({"crop": str(CROP), "scale": [1, 1], "flip": 0, **settings})


def batch_of(images: np.ndarray, labels: np.ndarray, affines: np.ndarray) -> Batch:
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in (images, labels, affines))
    height, width = images.shape[1:3]
    inside = torch.tensor([[0, 0, width - 1, height - 1]] * len(images), dtype=torch.float32)
    return Batch(*tensors, torch.zeros(len(images), dtype=torch.int64), inside)


def same(count: int = 2) -> np.ndarray:
    return np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (count, 1, 1))


def random_batch(affines: np.ndarray, seed: int = 0) -> Batch:
    draw = np.random.default_rng(seed)
    shape = (len(affines), CROP.height, CROP.width)
    return batch_of(draw.integers(0, 256, (*shape, 3), np.uint8), draw.integers(0, 11, shape, np.uint8), affines)


def test_what_is_not_varied_stays_as_it_is() -> None:
    batch = random_batch(same())
    crops = Augmentation(recipe())(batch)
    np.testing.assert_allclose(crops.images.permute(0, 2, 3, 1), batch.images, atol=0.02)
    assert crops.images.dtype == torch.float32
    assert torch.equal(crops.labels, batch.labels)


def test_image_and_labels_move_together() -> None:
    """Blocks whose colour tells their class: wherever a crop shows a class's colour, its label has to be that class."""
    draw = np.random.default_rng(2)
    labels = draw.integers(0, 11, (2, 12, 16), np.uint8).repeat(8, 1).repeat(8, 2)  # 96 x 128
    setting = recipe(scale=[0.7, 2.0], rotation_deg=15, flip=0.5)
    placer = Placer(setting, seed=0)
    size = placer.window_size
    images, windows, affines = [], [], []
    for slot, truth in enumerate(labels):
        window, affine = placer.place(Size(128, 96), 0, slot)
        canvas = np.full((size.height * 3, size.width * 3), IGNORED, np.uint8)
        canvas[size.height : size.height + 96, size.width : size.width + 128] = truth
        top, left = window.top + size.height, window.left + size.width
        part = canvas[top : top + size.height, left : left + size.width]
        windows.append(part)
        images.append(np.where(part == IGNORED, 0, part * 20)[..., None].repeat(3, 2).astype(np.uint8))
        affines.append(affine)
    crops = Augmentation(setting)(batch_of(np.stack(images), np.stack(windows), np.stack(affines)))
    shown, known = crops.images[:, 0] / 20, crops.labels != IGNORED
    agree = (shown - crops.labels.float()).abs() < 0.05
    # between blocks, colours mix; within them, which is most of the crop, they agree
    assert agree[known].float().mean() > 0.6
    assert known.float().mean() > 0.5


def test_what_lies_beyond_the_image_is_ignored() -> None:
    affines = same()
    affines[:, 0, 2] = 10  # the image moves to the right
    crops = Augmentation(recipe())(random_batch(affines))
    assert (crops.labels[:, :, :10] == IGNORED).all()
    assert (crops.labels[:, :, 10:] != IGNORED).all()


@pytest.mark.parametrize(
    "setting",
    [
        {"brightness": 0.4},
        {"contrast": 0.4},
        {"saturation": 0.4},
        {"hue": 0.2},
        {"gamma": 0.4},
        {"grey": 1.0},
        {"blur": 1.0},
        {"noise": 1.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_colours_vary_from_step_to_step_and_labels_do_not(setting: dict[str, float]) -> None:
    augmentation = Augmentation(recipe(**setting))
    batch = random_batch(same())
    torch.manual_seed(1)
    first = augmentation(batch)
    torch.manual_seed(1)
    again = augmentation(batch)
    assert torch.equal(first.images, again.images)
    assert (first.images.permute(0, 2, 3, 1) - batch.images).abs().mean() > 1
    assert first.images.min() >= 0 and first.images.max() <= 255
    assert torch.equal(first.labels, batch.labels)
    if "grey" not in setting:
        assert not torch.equal(augmentation(batch).images, first.images)


def test_what_is_erased_is_ignored() -> None:
    torch.manual_seed(0)
    batch = random_batch(same(8))
    crops = Augmentation(recipe(erase=1.0))(batch)
    erased = crops.labels == IGNORED
    assert (erased.float().mean((1, 2)) > 0.005).all() and (erased.float().mean((1, 2)) < 0.2).all()
    assert (crops.images.permute(0, 2, 3, 1)[erased] == 0).all()
    assert torch.equal(crops.labels[~erased], batch.labels[~erased])


def test_what_lies_beyond_the_image_or_is_erased_is_not_visible() -> None:
    setting = recipe(scale=[0.4, 0.6], rotation_deg=20, flip=0.5)
    placer = Placer(setting, seed=0)
    size = placer.window_size
    windows, affines, inside = [], [], []
    for slot in range(6):
        window, affine = placer.place(Size(60, 40), 0, slot)
        image = np.zeros((size.height, size.width), np.uint8)
        image[max(0, -window.top) : 40 - window.top, max(0, -window.left) : 60 - window.left] = 200
        windows.append(image)
        affines.append(affine)
        inside.append([-window.left, -window.top, 59 - window.left, 39 - window.top])
    shown = np.stack(windows)
    batch = batch_of(shown[..., None].repeat(3, 3), np.where(shown, 1, IGNORED).astype(np.uint8), np.stack(affines))
    crops = Augmentation(setting, visible=True)(batch._replace(inside=torch.tensor(inside, dtype=torch.float32)))
    assert crops.visible is not None
    assert 0.1 < crops.visible.float().mean() < 0.9
    differs = (crops.visible == 1) != (crops.labels == 1)
    assert differs.float().mean() < 0.005  # at the border they may round otherwise
    erased = Augmentation(recipe(erase=1.0), visible=True)(random_batch(same(8)))
    assert torch.equal(erased.visible == 1, erased.labels != IGNORED)


def clip_of(batch: Batch) -> Batch:
    """The same image three times over."""
    images = batch.images[:, None].repeat(1, 2, 1, 1, 1)
    return batch._replace(past=Past(images, torch.ones(images.shape[:2], dtype=torch.bool)))


def test_all_frames_of_a_clip_are_varied_alike() -> None:
    colors = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2, "gamma": 0.4, "grey": 0.5, "blur": 0.5}
    augmentation = Augmentation(recipe(**colors, erase=0.5))
    affines = same(6)
    affines[:, 0, 2] = range(6)
    torch.manual_seed(0)
    crops = augmentation(clip_of(random_batch(affines)))
    assert crops.past is not None and crops.past.known.all()
    for frame in crops.past.images.unbind(1):
        torch.testing.assert_close(frame, crops.images)


def test_noise_is_in_all_frames_of_a_clip_or_in_none_and_new_in_each() -> None:
    batch = clip_of(random_batch(same(8)))
    torch.manual_seed(0)
    crops = Augmentation(recipe(noise=0.5))(batch)
    assert crops.past is not None
    clean = Augmentation(recipe())(batch).images
    frames = [crops.images, *crops.past.images.unbind(1)]
    noisy = [(frame != clean).flatten(1).any(1) for frame in frames]
    assert 0 < noisy[0].sum() < 8 and torch.equal(noisy[0], noisy[1]) and torch.equal(noisy[0], noisy[2])
    strengths = [(frame - clean)[noisy[0]].std() for frame in frames]
    assert max(strengths) < 1.1 * min(strengths)
    for one, other in ((0, 1), (1, 2)):
        assert ((frames[one] - frames[other]).flatten(1).abs().mean(1)[noisy[0]] > 1).all()


def test_single_images_are_varied_as_the_present_frames_of_clips() -> None:
    """What is drawn for a clip's present frame does not depend on how many frames came before it."""
    augmentation = Augmentation(recipe(brightness=0.4, grey=0.5, blur=0.5, erase=0.5))
    batch = random_batch(same(4))
    torch.manual_seed(2)
    alone = augmentation(batch)
    torch.manual_seed(2)
    clip = augmentation(clip_of(batch))
    assert alone.past is None
    assert torch.equal(alone.images, clip.images) and torch.equal(alone.labels, clip.labels)
