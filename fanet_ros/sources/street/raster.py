"""Draws polygons and textured planes into an image and its label image with one and the same mask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.street.geometry import Point, View, clip
from fanet_ros.sources.street.surfaces import Surfaces

Color = tuple[int, int, int]

_SHIFT = 4  # fractional bits of polygon corners
_SAMPLING = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_SOLID = 128  # a texel this opaque covers its pixel, in the image as in the labels


class Texture:
    """An RGBA picture with copies reduced along either axis, made when first needed.

    Halving the axes independently (a rip map) keeps walls seen at a grazing angle sharp without flicker.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        """Keep an RGBA picture, uint8 (H, W, 4), colours not premultiplied by opacity."""
        self.opaque = bool(picture[..., 3].min() == 255)
        self.height, self.width = picture.shape[:2]
        self._levels = {(0, 0): picture}

    def level(self, across: float, down: float) -> NDArray[np.uint8]:
        """Return the copy to use where `across` and `down` texels fall on one pixel along u and v."""
        return self._level(_halvings(across, self.width), _halvings(down, self.height))

    def _level(self, across: int, down: int) -> NDArray[np.uint8]:
        key = (across, down)
        if key not in self._levels:
            wider = across >= down  # halve the finer axis of the next finer copy: each copy costs little
            finer = self._level(across - 1, down) if wider else self._level(across, down - 1)
            self._levels[key] = self._reduce(finer, (max(1, self.width >> across), max(1, self.height >> down)))
        return self._levels[key]

    def _reduce(self, full: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        if self.opaque:
            return cv2.resize(full, size, interpolation=cv2.INTER_AREA)
        # Averages of colour are weighted by opacity, or transparent texels would darken the outline.
        weight = full[..., 3:].astype(np.float32) + 0.5
        weighted = cv2.resize(full[..., :3] * weight, size, interpolation=cv2.INTER_AREA)
        total = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 1)
        return np.dstack([weighted / total, np.clip(total - 0.5, 0, 255)]).round().astype(np.uint8)


def _halvings(ratio: float, size: int) -> int:
    return min(max(0, round(math.log2(max(ratio, 1e-3)) - 0.2)), size.bit_length() - 1)


class Canvas:
    """An image and its labels while a frame is painted, farthest things first.

    Every drawing call writes colour, class and surface through one and the same mask, so they agree in every pixel.

    Attributes:
        view: pinhole and pose; without roll.
        image: RGB and a meaningless fourth channel, uint8 (H, W, 4): OpenCV warps four channels faster than three.
        labels: class ids, uint8 (H, W), 255 where nothing was drawn.
        surfaces: the plane that each pixel shows, for its depth; None unless asked for.
    """

    def __init__(self, view: View, *, depth: bool = False) -> None:
        size = (view.intrinsics.height, view.intrinsics.width)
        self.view = view
        self.image = np.zeros((*size, 4), np.uint8)
        self.labels = np.full(size, 255, np.uint8)
        self.surfaces = Surfaces(view.intrinsics) if depth else None

    def polygon(self, points: Sequence[Point], color: Color, class_id: int) -> None:
        """Fill a convex planar polygon: map-frame corners in metres, RGB colour, class id."""
        corners = [self.view.point(point) for point in points]
        visible = clip(corners)
        pixels = self.view.pixels(visible)
        if self._box(pixels) is None:
            return
        fixed = _fixed(pixels)
        cv2.fillConvexPoly(self.image, fixed, color, cv2.LINE_8, _SHIFT)
        cv2.fillConvexPoly(self.labels, fixed, class_id, cv2.LINE_8, _SHIFT)
        if self.surfaces is not None:
            cv2.fillConvexPoly(self.surfaces.ids, fixed, self.surfaces.add(corners, visible), cv2.LINE_8, _SHIFT)

    def upright(self, foot: Point, width: float, height: float, color: Color, class_id: int) -> None:
        """Fill an upright rectangle that looks back along the street: middle of its lower edge, metres."""
        x, y, z = foot
        right, left, top = y - width / 2, y + width / 2, z + height
        self.polygon([(x, left, z), (x, right, z), (x, right, top), (x, left, top)], color, class_id)

    def plane(self, corner: Point, along: Point, up: Point, texture: Texture, class_id: int) -> None:
        """Draw a texture on a parallelogram in space; texels less than half opaque let through what is behind.

        Args:
            corner: where the texture's bottom left corner is, map frame, metres.
            along: from there to its bottom right corner, metres.
            up: from there to its top left corner, metres.
            texture: what to draw.
            class_id: label of the pixels it covers.
        """
        view = self.view
        start, a, b = view.point(corner), view.direction(along), view.direction(up)
        top_left = _add(start, b)
        corners = [start, _add(start, a), _add(top_left, a), top_left]
        visible = clip(corners)
        pixels = view.pixels(visible)
        box = self._box(pixels)
        if box is None:
            return
        left, top, right, bottom = box
        middle = _middle(visible)
        texels = texture.level(texture.width / self._span(middle, a), texture.height / self._span(middle, b))
        from_image = self._to_texels(top_left, a, b, texels.shape, left, top)
        if from_image is None:
            return
        size = (right - left, bottom - top)
        drawn = cv2.warpPerspective(texels, from_image, size, flags=_SAMPLING, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(mask, _fixed(pixels, left, top), 1, cv2.LINE_8, _SHIFT)
        if not texture.opaque:
            opacity = cv2.extractChannel(drawn, 3)
            mask &= cv2.threshold(opacity, _SOLID - 1, 1, cv2.THRESH_BINARY)[1]
        cv2.copyTo(drawn, mask, self.image[top:bottom, left:right])
        where = mask.view(np.bool_)
        np.copyto(self.labels[top:bottom, left:right], np.uint8(class_id), where=where)
        if self.surfaces is not None:
            surface = np.uint16(self.surfaces.add(corners, visible))
            np.copyto(self.surfaces.ids[top:bottom, left:right], surface, where=where)

    def shade(self, polygons: Iterable[Sequence[Point]], factor: float) -> None:
        """Darken the image (not the labels) once under any of these convex polygons, map frame, metres."""
        mask = np.zeros(self.labels.shape, np.uint8)
        for points in polygons:
            pixels = self.view.pixels(clip([self.view.point(point) for point in points]))
            if self._box(pixels) is not None:
                cv2.fillConvexPoly(mask, _fixed(pixels), 255, cv2.LINE_8, _SHIFT)
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            return
        area = np.s_[top : top + height, left : left + width]
        image = self.image[area]
        cv2.copyTo(cv2.convertScaleAbs(image, alpha=factor), mask[area], image)

    def _to_texels(
        self, top_left: Point, a: Point, b: Point, shape: tuple[int, ...], left: int, top: int
    ) -> NDArray[np.float64] | None:
        """Homography from pixels of the box at (left, top) to texels; None if the plane is seen edge on."""
        rows, columns = shape[:2]
        k = self.view.intrinsics
        ax, ay, az = a[0] / columns, a[1] / columns, a[2] / columns
        bx, by, bz = -b[0] / rows, -b[1] / rows, -b[2] / rows
        ox, oy, oz = (o + 0.5 * (p + q) for o, p, q in zip(top_left, (ax, ay, az), (bx, by, bz), strict=True))
        # Texel (s, t) lies at o + a s + b t; with rays r = (u - cx, v - cy, 1) scaled by the focal lengths,
        # (s, t, 1) is proportional to the inverse of [a b o] times r: the cross products below are its rows.
        s_row = (by * oz - bz * oy, bz * ox - bx * oz, bx * oy - by * ox)
        t_row = (oy * az - oz * ay, oz * ax - ox * az, ox * ay - oy * ax)
        w_row = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
        if abs(ox * w_row[0] + oy * w_row[1] + oz * w_row[2]) < 1e-12:
            return None
        shift_u, shift_v = (left - k.cx) / k.fx, (top - k.cy) / k.fy
        return np.array([(x / k.fx, y / k.fy, x * shift_u + y * shift_v + z) for x, y, z in (s_row, t_row, w_row)])

    def _box(self, pixels: Sequence[tuple[float, float]]) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of the pixels a polygon may touch, or None if it touches none."""
        if len(pixels) < 3:
            return None
        us, vs = zip(*pixels, strict=True)
        rows, columns = self.labels.shape
        left, top = max(0, math.floor(min(us))), max(0, math.floor(min(vs)))
        right, bottom = min(columns, math.ceil(max(us)) + 1), min(rows, math.ceil(max(vs)) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _span(self, at: Point, edge: Point) -> float:
        """Length in pixels of an edge of the optical frame, linearised where it is seen."""
        x, y, z = at
        scale = self.view.intrinsics.fx / z
        return max(scale * math.hypot(edge[0] - edge[2] * x / z, edge[1] - edge[2] * y / z), 1e-3)


def _add(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _middle(points: Sequence[Point]) -> Point:
    count = len(points)
    return sum(p[0] for p in points) / count, sum(p[1] for p in points) / count, sum(p[2] for p in points) / count


def _fixed(pixels: Sequence[tuple[float, float]], left: int = 0, top: int = 0) -> NDArray[np.int32]:
    """Pixel coordinates from (left, top) on as the fixed point numbers that OpenCV's fill functions take."""
    one = 1 << _SHIFT
    return np.array([(round((u - left) * one), round((v - top) * one)) for u, v in pixels], np.int32)
