"""Windows to varied crops, for a whole batch at once, on the device that trains; the operations are kornia's."""

from __future__ import annotations

from typing import NamedTuple

import kornia.augmentation as K
import torch
from kornia.geometry.transform import warp_affine
from torch import Tensor, nn

from fanet_ros.datasets import IGNORED
from fanet_ros.training.batches import Batch
from fanet_ros.training.recipe import AugmentationRecipe

_BLUR_KERNEL = (7, 7)
_BLUR_SIGMA = (0.3, 1.5)
_NOISE_SIGMA = 0.03
_ERASED_SHARE = (0.02, 0.15)


class Crops(NamedTuple):
    """What the network learns from.

    Attributes:
        images: float32 (N, 3, H, W), RGB in 0..255, as frames are before normalisation.
        labels: uint8 (N, H, W).
    """

    images: Tensor
    labels: Tensor


class Augmentation:
    """Warps windows to crops and varies their colours; draws from torch's global random numbers."""

    def __init__(self, recipe: AugmentationRecipe) -> None:
        self._size = (recipe.crop_size.height, recipe.crop_size.width)
        self._colors = _color_operations(recipe)
        self._erase = K.RandomErasing(scale=_ERASED_SHARE, p=recipe.erase) if recipe.erase else None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Crops:
        """Make crops on the device where the batch is. What lies beyond an image becomes black and is ignored."""
        images = batch.images.permute(0, 3, 1, 2).float() / 255  # (N, 3, h, w)
        images = warp_affine(images, batch.affines, self._size)  # (N, 3, H, W)
        for operation in self._colors:
            images = operation(images)
        # warping fills with zeros, so zero has to be IGNORED
        inverted = (IGNORED - batch.labels)[:, None].float()  # (N, 1, h, w)
        inverted = warp_affine(inverted, batch.affines, self._size, mode="nearest")
        if self._erase is not None:
            images = self._erase(images)
            inverted = self._erase(inverted, params=self._erase._params)
        labels = IGNORED - inverted[:, 0].round().to(torch.uint8)  # (N, H, W)
        return Crops(images.clamp(0, 1) * 255, labels)


def _color_operations(recipe: AugmentationRecipe) -> list[nn.Module]:
    """The operations a recipe asks for; what it does not ask for costs nothing."""
    operations: list[nn.Module] = []
    jitter = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    if any(jitter):
        operations.append(K.ColorJitter(*jitter, p=1.0))
    if recipe.gamma:
        operations.append(K.RandomGamma((1 - recipe.gamma, 1 + recipe.gamma), p=1.0))
    if recipe.grey:
        operations.append(K.RandomGrayscale(p=recipe.grey))
    if recipe.blur:
        operations.append(K.RandomGaussianBlur(_BLUR_KERNEL, _BLUR_SIGMA, p=recipe.blur))
    if recipe.noise:
        operations.append(K.RandomGaussianNoise(0.0, _NOISE_SIGMA, p=recipe.noise))
    return operations
