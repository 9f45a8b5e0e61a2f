"""Light and lens of the street camera: the sky, the hour, exposure, optical blur and sensor noise."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.paint import noise
from fanet_ros.sources.street.raster import Canvas

_SHIFTS = 64  # the same grain, shifted by up to this many pixels, is never seen twice in a row
_GREY = 128
_DRIFT = 0.004  # of the clouds, image widths per second


class StreetLight:
    """What lies between the painted scene and the recorded image, for one seed and image size."""

    def __init__(self, seed: int, intrinsics: Intrinsics) -> None:
        rng = np.random.default_rng([seed, 4])
        self._seed = seed
        self._phases = rng.uniform(0, 2 * math.pi, 4)
        self._sky = _paint_sky(rng, intrinsics)
        width, height = intrinsics.width, intrinsics.height
        tile = (height + _SHIFTS, width + _SHIFTS)
        grain = rng.standard_normal((*tile, 1), np.float32) * 2.2 + rng.standard_normal((*tile, 3), np.float32) * 1.4
        self._grain = np.clip(grain + _GREY, 0, 255).round().astype(np.uint8)
        radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)))
        falloff = (255 * (1 - 0.1 * radius**2)).round().astype(np.uint8)
        self._vignette = cv2.cvtColor(falloff, cv2.COLOR_GRAY2RGB)

    def sides(self) -> tuple[float, float]:
        """Brightness of the left and the right side of the street: the sun shines on one of them."""
        return (1.12, 0.74) if self._phases[0] < math.pi else (0.74, 1.12)

    def sun(self, time: float) -> float:
        """How deep shadows are at a time, from 0 (overcast) to 1."""
        return min(1.0, max(0.0, 0.5 + 0.75 * math.sin(time / 17.0 + float(self._phases[1]))))

    def draw_sky(self, canvas: Canvas, time: float, class_id: int) -> None:
        """Fill the image above the horizon with sky that drifts slowly, and label it."""
        view = canvas.view
        bottom = min(canvas.labels.shape[0], max(0, math.floor(view.horizon) + 1))
        rows, columns = self._sky.shape[:2]
        width = view.intrinsics.width
        shift = round(view.pose.yaw * -view.intrinsics.fx + time * width * _DRIFT) % (columns - width)
        painted = min(bottom, rows)  # a camera that looks up sees more sky than there is: its top row goes on
        canvas.image[: bottom - painted] = self._sky[0, shift : shift + width]
        canvas.image[bottom - painted : bottom] = self._sky[rows - painted :, shift : shift + width]
        canvas.labels[:bottom] = class_id

    def expose(self, image: NDArray[np.uint8], frame: int, time: float) -> NDArray[np.uint8]:
        """Record a painted RGBA image as a new RGB one: lens, exposure and colour of the hour, sensor noise."""
        recorded = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), (3, 3), 0.55)
        cv2.multiply(recorded, self._vignette, recorded, 1 / 255)
        cv2.LUT(recorded, self._curve(time), recorded)
        rng = np.random.default_rng([self._seed, 5, frame])
        down, right = (int(offset) for offset in rng.integers(0, _SHIFTS, 2))
        height, width = image.shape[:2]
        grain = self._grain[down : down + height, right : right + width]
        return cv2.addWeighted(recorded, 1.0, grain, 1.0, -_GREY, recorded)

    def _curve(self, time: float) -> NDArray[np.uint8]:
        """A tone curve per channel, uint8 (1, 256, 3): warm and bright in sunshine, cool and dim without."""
        sun = self.sun(time)
        hour = math.sin(time / 41.0 + float(self._phases[2]))
        exposure = 1.0 + 0.08 * sun + 0.07 * math.sin(time / 7.0 + float(self._phases[3]))
        warm = 0.025 * (sun - 0.5) + 0.025 * hour
        gain = np.array((1 + warm, 1.0, 1 - warm)) * exposure
        level = np.arange(256)[:, None] / 255
        contrast = 1.0 + 0.12 * sun
        curve = np.clip(level * gain, 0, 1) ** contrast
        return (255 * curve).round().astype(np.uint8)[None]


def _paint_sky(rng: np.random.Generator, intrinsics: Intrinsics) -> NDArray[np.uint8]:
    """A bright, partly cloudy sky, RGBA; its last row is the horizon.

    It repeats after three image widths and is one width longer than that, so that any part of it is one slice.
    """
    width, height = intrinsics.width, round(intrinsics.height * 0.75)
    period, overlap, scale = 3 * width, width // 2, width / 640
    clouds = np.zeros((height, period + overlap), np.float32)
    for octave, (rows, columns) in enumerate(((26, 110), (13, 50), (6, 20), (3, 8))):
        cell = (max(1.0, rows * scale), max(1.0, columns * scale))
        clouds += noise(rng, height, period + overlap, [cell]) / 1.7**octave
    fade = np.linspace(0, 1, overlap, dtype=np.float32)  # the beginning goes on where the end stops
    clouds[:, :overlap] = clouds[:, :overlap] * fade + clouds[:, period:] * (1 - fade)
    clouds = np.hstack((clouds[:, :period], clouds[:, :width]))[..., None]
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    cover = np.clip(0.55 + 0.38 * clouds - 0.12 * up, 0, 1)
    blue = np.array((168, 200, 236), np.float32) * up + np.array((222, 232, 242), np.float32) * (1 - up)
    white = np.array((246, 247, 248), np.float32) - 16 * np.clip(clouds, -1, 1.5) * up
    sky = np.clip(blue * (1 - cover) + white * cover, 0, 255).astype(np.uint8)
    return cv2.cvtColor(sky, cv2.COLOR_RGB2RGBA)
