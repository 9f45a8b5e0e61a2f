"""What each training step sees, as a pure function of the iteration: so a resumed training sees what it would have.

Nothing here keeps random state. The samples of an iteration, and how each is varied, follow from the seed and the
iteration alone, whatever was read before, by however many workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import Window
from fanet_ros.settings import Size
from fanet_ros.training.recipe_learning import AugmentationRecipe


class Choice(NamedTuple):
    """One sample of a step.

    Attributes:
        part: which data set, 0 for the first.
        sample: which of its samples.
        slot: its place in the whole batch of all processes.
    """

    part: int
    sample: int
    slot: int


class SamplePlan:
    """Which samples belong to which step.

    Each data set is gone through in an order that is drawn anew each time, so every sample is seen equally often.
    Shares hold exactly in the long run: each step takes the whole number of samples that keeps up with them.
    """

    def __init__(self, lengths: Sequence[int], shares: Sequence[float], batch: int, seed: int) -> None:
        """Plan.

        Args:
            lengths: number of samples of each data set, at least 1; the first is the main one.
            shares: of the others, of all samples.
            batch: samples a step, over all processes.
            seed: of the orders.
        """
        self._lengths, self._shares, self._batch, self._seed = tuple(lengths), tuple(shares), batch, seed

    def step(self, iteration: int) -> list[Choice]:
        """Return the samples of a step, counted from 0."""
        before = self._taken(iteration)
        after = self._taken(iteration + 1)
        drawn = [
            (part, position)
            for part, (start, end) in enumerate(zip(before, after, strict=True))
            for position in range(start, end)
        ]
        # mixed, so that every process of a distributed training gets its share
        order = np.random.default_rng((self._seed, 1, iteration)).permutation(len(drawn))
        return [
            Choice(part, self._sample(part, position), slot)
            for slot, (part, position) in enumerate(drawn[i] for i in order)
        ]

    def _taken(self, iteration: int) -> list[int]:
        """How many samples of each data set the steps before this one have taken."""
        total = iteration * self._batch
        others = [math.floor(total * share + 1e-9) for share in self._shares]
        return [total - sum(others), *others]

    def _sample(self, part: int, position: int) -> int:
        turn, place = divmod(position, self._lengths[part])
        return int(_order(self._seed, part, turn, self._lengths[part])[place])


@lru_cache(maxsize=16)
def _order(seed: int, part: int, turn: int, length: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 2, part, turn)).permutation(length)


class Placement(NamedTuple):
    """How a sample becomes a crop.

    Attributes:
        window: the part of the image that is read; of the same size for all samples of a training.
        affine: float32 (2, 3), pixels of the window -> pixels of the crop.
    """

    window: Window
    affine: NDArray[np.float32]

    @property
    def of_image(self) -> NDArray[np.float64]:
        """The same for pixels of the whole image -> pixels of the crop, float64 (2, 3)."""
        matrix = self.affine.astype(np.float64)
        matrix[:, 2] -= matrix[:, :2] @ (self.window.left, self.window.top)
        return matrix


class Placer:
    """Draws scale, rotation, flip and position of crops."""

    def __init__(
        self, recipe: AugmentationRecipe, seed: int, scales: Sequence[tuple[float, float] | None] = (None,)
    ) -> None:
        """Prepare for data sets with ranges of scales of their own, the main one first; None for the recipe's."""
        self._recipe, self._seed = recipe, seed
        self._scales = [scale or recipe.scale for scale in scales]
        crop, angle = recipe.crop_size, math.radians(recipe.rotation_deg)
        # what a crop may cover of an image when it is shrunk the most, and a pixel for rounding
        smallest = min(scale[0] for scale in self._scales)
        width = _widest(crop.width, crop.height, angle) / smallest
        height = _widest(crop.height, crop.width, angle) / smallest
        self.window_size = Size(math.ceil(width) + 2, math.ceil(height) + 2)

    @property
    def crop_size(self) -> Size:
        """The crop in pixels."""
        return self._recipe.crop_size

    def place(self, image: Size, iteration: int, slot: int, part: int = 0) -> Placement:
        """Draw how the sample in a slot of a step becomes a crop; the crop overlaps its image as far as it can."""
        draw = np.random.default_rng((self._seed, 3, iteration, slot)).random(5)
        recipe, crop = self._recipe, self._recipe.crop_size
        smallest, largest = self._scales[part]
        scale = smallest * (largest / smallest) ** draw[0]
        angle = math.radians(recipe.rotation_deg) * (2 * draw[1] - 1)
        mirror = -1.0 if draw[2] < recipe.flip else 1.0
        center_x = _crop_center(image.width, crop.width, scale, draw[3])
        center_y = _crop_center(image.height, crop.height, scale, draw[4])
        left = round(center_x - (self.window_size.width - 1) / 2)
        top = round(center_y - (self.window_size.height - 1) / 2)
        linear = scale * np.array(
            [[mirror * math.cos(angle), -mirror * math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        source = np.array([center_x - left, center_y - top])
        target = np.array([(crop.width - 1) / 2, (crop.height - 1) / 2])
        affine = np.column_stack([linear, target - linear @ source]).astype(np.float32)
        return Placement(Window(left, top, *self.window_size), affine)


def _widest(side: float, other: float, angle: float) -> float:
    """The largest extent of a rectangle along the direction of a side, when it is turned by up to an angle, radians."""
    worst = min(angle, math.atan2(other, side))
    return side * math.cos(worst) + other * math.sin(worst)


def _crop_center(image: int, crop: int, scale: float, draw: float) -> float:
    """Where along one axis of the image the crop's centre lies: the crop within the image, or the image within it."""
    first, last = sorted((0.0, image * scale - crop))
    return (first + draw * (last - first) + crop / 2) / scale - 0.5


def disturbance_numbers(seed: int, iteration: int, slot: int) -> np.random.Generator:
    """Return the random numbers by which the frames of the sample in a slot of a step are disturbed."""
    return np.random.default_rng((seed, 5, iteration, slot))


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """Return the seed of torch's random numbers within one step of one process, 63 bits."""
    return int(np.random.SeedSequence((seed, 4, iteration, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
