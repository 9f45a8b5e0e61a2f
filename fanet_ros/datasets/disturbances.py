"""What goes wrong with single frames of a camera, drawn from given random numbers, to train on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def _noise(image: Image, rng: np.random.Generator) -> Image:
    """Sensor noise of a dark scene: Gaussian, standard deviation of 15 to 40 levels, each channel for itself."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(15, 40))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _blur(image: Image, rng: np.random.Generator) -> Image:
    """Motion blur: along a straight line of 2 to 5 % of the image's width, in any direction."""
    length = max(3.0, rng.uniform(0.02, 0.05) * image.shape[1])
    angle, side = rng.uniform(0, math.pi), 2 * math.ceil(length / 2) + 1
    reach = length / 2 * np.array([math.cos(angle), math.sin(angle)])
    start, end = (tuple(int(c) for c in ((side // 2 + sign * reach) * 16).round()) for sign in (-1, 1))
    kernel = np.zeros((side, side), np.uint8)
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, shift=4)
    return cv2.filter2D(image, -1, kernel / np.float32(kernel.sum()), borderType=cv2.BORDER_REPLICATE)


def _flicker(image: Image, rng: np.random.Generator) -> Image:
    """A wrong exposure: the light times 2^+-0.7 to 1.5."""
    gain = 2.0 ** (rng.uniform(0.7, 1.5) * rng.choice((-1, 1)))
    levels = np.clip(np.arange(256) * gain, 0, 255).round().astype(np.uint8)
    return cv2.LUT(image, levels)


def _occlusion(image: Image, rng: np.random.Generator) -> Image:
    """A grey rectangle over 10 to 30 % of the image, or a dark wiper from its lower edge up."""
    height, width = image.shape[:2]
    image = image.copy()
    grey = (int(rng.integers(20, 140)),) * 3
    if rng.random() < 0.5:
        share, aspect = rng.uniform(0.1, 0.3), 2.0 ** rng.uniform(-1, 1)
        half = (
            np.array([min(width, math.sqrt(share * aspect) * width), min(height, math.sqrt(share / aspect) * height)])
            / 2
        )
        center = rng.uniform(half, np.array([width, height]) - half)
        first, last = (tuple(int(c) for c in corner) for corner in (center - half, center + half))
        cv2.rectangle(image, first, last, grey, cv2.FILLED)
    else:
        foot, tip = rng.uniform(0.2, 0.8), rng.uniform(-0.2, 1.2)
        start, end = (int(foot * width), height), (int(tip * width), int(0.1 * height))
        cv2.line(image, start, end, (grey[0] // 3,) * 3, max(1, round(rng.uniform(0.06, 0.12) * width)))
    return image


DISTURBANCES: Mapping[str, Callable[[Image, np.random.Generator], Image]] = {
    "noise": _noise,
    "blur": _blur,
    "flicker": _flicker,
    "occlusion": _occlusion,
}
"""By name: an image, uint8 (H, W, 3), and random numbers -> the image as it is disturbed, a new one."""


def disturb_some(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Disturb an image by any of `DISTURBANCES` with a probability; otherwise return it as it is."""
    if rng.random() >= share:
        return image
    return DISTURBANCES[str(rng.choice(list(DISTURBANCES)))](image, rng)
