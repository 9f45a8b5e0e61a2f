"""Windows to varied crops, for a whole batch at once, on the device that trains; the operations are kornia's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import kornia.augmentation as K
import torch
from kornia.geometry.transform import warp_affine
from torch import Tensor

from fanet_ros.datasets import IGNORED
from fanet_ros.training.batches import Batch, Past
from fanet_ros.training.recipe_learning import AugmentationRecipe

_BLUR_KERNEL = (7, 7)
_BLUR_SIGMA = (0.3, 1.5)
_NOISE_SIGMA = 0.03
_ERASED_SHARE = (0.02, 0.15)


class Crops(NamedTuple):
    """What the network learns from.

    Attributes:
        images: float32 (N, 3, H, W), RGB in 0..255, as frames are before normalisation.
        labels: uint8 (N, H, W).
        visible: uint8 (N, H, W), 0 beyond the image and where a rectangle was erased, else 1; None if not asked for.
        past: the same crops of the frames before, images float32 (N, T - 1, 3, H, W); None for single images.
    """

    images: Tensor
    labels: Tensor
    visible: Tensor | None = None
    past: Past | None = None


class Augmentation:
    """Warps windows to crops and varies their colours; draws from torch's global random numbers.

    All frames of a clip are varied in the same way, as one camera would have seen them in another place and light; only
    noise, where a clip has any, is new in every frame.
    """

    def __init__(self, recipe: AugmentationRecipe, *, visible: bool = False) -> None:
        """Prepare the operations; crops tell what is `visible` where asked to, which only soft labels need."""
        self._tells_visible = visible
        self._size = (recipe.crop_size.height, recipe.crop_size.width)
        self._colors = _color_operations(recipe)
        self._erase = K.RandomErasing(scale=_ERASED_SHARE, p=recipe.erase) if recipe.erase else None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Crops:
        """Make crops on the device where the batch is. What lies beyond an image becomes black and is ignored."""
        images = self._warp(batch.images, batch.affines)
        frames = () if batch.past is None else batch.past.images.unbind(1)
        earlier = [self._warp(frame, batch.affines) for frame in frames]
        for operation in self._colors:
            images = operation(images)
            earlier = [operation(frame, params=operation._params) for frame in earlier]
        # warping fills with zeros, so zero has to be IGNORED
        inverted = (IGNORED - batch.labels)[:, None].float()  # (N, 1, h, w)
        inverted = warp_affine(inverted, batch.affines, self._size, mode="nearest")
        visible = _inside(batch, self._size)[:, None].float() if self._tells_visible else None
        if self._erase is not None:
            images = self._erase(images)
            earlier = [self._erase(frame, params=self._erase._params) for frame in earlier]
            inverted = self._erase(inverted, params=self._erase._params)
            if visible is not None:
                visible = self._erase(visible, params=self._erase._params)
        labels = IGNORED - inverted[:, 0].round().to(torch.uint8)  # (N, H, W)
        past = batch.past and Past(torch.stack(earlier, 1).clamp(0, 1) * 255, batch.past.known)
        shown = None if visible is None else visible[:, 0].to(torch.uint8)
        return Crops(images.clamp(0, 1) * 255, labels, shown, past)

    def _warp(self, windows: Tensor, affines: Tensor) -> Tensor:
        images = windows.permute(0, 3, 1, 2).float() / 255  # (N, 3, h, w)
        return warp_affine(images, affines, self._size)  # (N, 3, H, W)


def _inside(batch: Batch, size: tuple[int, int]) -> Tensor:
    """Which pixels of the crops lie within their images, bool (N, H, W)."""
    affines = batch.affines
    y, x = torch.meshgrid(*(torch.arange(side, device=affines.device) for side in size), indexing="ij")
    crop = torch.stack([x, y]).flatten(1) - affines[:, :, 2:]  # (N, 2, H * W)
    window = torch.linalg.inv(affines[:, :, :2]) @ crop
    first, last = batch.inside[:, :2, None] - 0.5, batch.inside[:, 2:, None] + 0.5
    return ((window >= first) & (window <= last)).all(1).unflatten(1, size)


class _GaussianNoise(K.IntensityAugmentationBase2D):
    """New noise for every frame; drawn where the images are, as kornia's own noise is drawn on the CPU and copied."""

    def apply_transform(  # noqa: D102 (documented by kornia)
        self,
        input: Tensor,  # noqa: A002 (kornia's name)
        params: Mapping[str, Tensor],
        flags: Mapping[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        return input + _NOISE_SIGMA * torch.randn_like(input)


def _color_operations(recipe: AugmentationRecipe) -> list[K.IntensityAugmentationBase2D]:
    """The operations a recipe asks for; what it does not ask for costs nothing."""
    operations: list[K.IntensityAugmentationBase2D] = []
    jitter = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    if any(jitter):
        operations.append(K.ColorJitter(*jitter, p=1.0))
    if recipe.tint:
        operations.append(K.RandomRGBShift(recipe.tint, recipe.tint, recipe.tint, p=1.0))
    if recipe.gamma:
        operations.append(K.RandomGamma((1 - recipe.gamma, 1 + recipe.gamma), p=1.0))
    if recipe.grey:
        operations.append(K.RandomGrayscale(p=recipe.grey))
    if recipe.blur:
        operations.append(K.RandomGaussianBlur(_BLUR_KERNEL, _BLUR_SIGMA, p=recipe.blur))
    if recipe.noise:
        operations.append(_GaussianNoise(p=recipe.noise))
    return operations
