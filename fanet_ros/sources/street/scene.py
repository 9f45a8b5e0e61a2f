"""What stands and moves in the street, in metres: an endless street from a seed, the same on every visit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fanet_ros.sources.street.facades import facade_height
from fanet_ros.sources.street.geometry import CameraPose
from fanet_ros.sources.street.ground import PAVEMENT_EDGE, ROAD_HALF_WIDTH
from fanet_ros.sources.street.vehicles import vehicle_size

CHUNK = 24.0
"""The street is laid out in pieces of this length, metres; each has random numbers of its own."""

NOMINAL_HEIGHT_M = 1.5
"""Mean height of the camera above the ground, metres."""

NOMINAL_PITCH_RAD = 0.03
"""Mean pitch of the camera, radians; the car nods by less than 0.008 about it."""

_LANE = 1.75  # middle of a lane from the middle of the road
_SPEED = 7.0  # mean speed of the camera, m/s


@dataclass(frozen=True)
class SceneObject:
    """One thing of the scene, at one moment.

    Attributes:
        kind: what it is, for example `parked_car` or `lamp_post`.
        class_name: the class its pixels are labelled with.
        x: middle along the street, metres.
        y: middle across the street, positive to the left, metres; for what lines the street, its front.
        z: height of its lower edge above the ground, metres.
        length: along the street, metres.
        width: across the street, metres.
        height: metres.
        facing: +1 looks or drives along the street as the camera does, -1 the other way.
        variant: a number that selects one of its kind's appearances.
        phase: where in its stride a person is, in [0, 1).
    """

    kind: str
    class_name: str
    x: float
    y: float
    z: float = 0.0
    length: float = 0.0
    width: float = 0.0
    height: float = 0.0
    facing: int = 1
    variant: int = 0
    phase: float = 0.0


@dataclass(frozen=True)
class _Traffic:
    """A row of moving slots, some of them taken: where slot n is at time t is known without history."""

    kind: str
    class_name: str
    y: float
    speed: float  # m/s along +x
    spacing: float  # metres between slots
    taken: float  # probability of a slot being taken
    size: tuple[float, float, float] | None  # None: as the variant of the vehicle has it
    stride: float = 1.0  # metres a person covers per stride or turn of the pedals
    spread: float = 0.0  # slots differ by this much across the street


class StreetScene:
    """The street of one seed: the camera's path, everything fixed, and everything that moves at a time.

    All positions are in the map frame of `street_geometry`: x along the street, y left, z up.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 1])
        self._phases = rng.uniform(0, 2 * math.pi, 6)
        self._green = float(rng.uniform(0.25, 0.6))  # how many lots are gardens, how many trees stand
        self._chunk = lru_cache(maxsize=64)(self._lay_out)
        self._slot = lru_cache(maxsize=1024)(self._draw_slot)
        walker, rider = (0.4, 0.55, 1.78), (1.75, 0.6, 1.76)
        ride = ROAD_HALF_WIDTH - 2.65
        self._traffic = (
            _Traffic("car", "car", _LANE, -8.5, 34.0, 0.6, None),
            _Traffic("rider", "bicyclist", -ride, 4.2, 42.0, 0.55, rider, 5.0, 0.1),
            _Traffic("rider", "bicyclist", ride, -4.6, 50.0, 0.5, rider, 5.0, 0.1),
            _Traffic("walker", "pedestrian", -7.9, 1.25, 13.0, 0.5, walker, 1.45, 0.6),
            _Traffic("walker", "pedestrian", -7.6, -1.35, 15.0, 0.5, walker, 1.5, 0.6),
            _Traffic("walker", "pedestrian", 7.9, -1.3, 13.0, 0.5, walker, 1.45, 0.6),
            _Traffic("walker", "pedestrian", 7.6, 1.2, 15.0, 0.5, walker, 1.4, 0.6),
        )

    def camera(self, time: float) -> CameraPose:
        """The pose of the camera `time` seconds after the start; it starts at x = 0 and never stops."""
        a, b, c, d, e, _ = self._phases
        x = _SPEED * time + 4.0 * (math.sin(time / 3.7 + a) - math.sin(a))
        y = -_LANE + 0.22 * math.sin(time / 2.1 + b) + 0.12 * math.sin(time / 0.9 + c)
        yaw = 0.012 * math.cos(time / 2.1 + b) + 0.006 * math.sin(time / 1.3 + d)
        pitch = NOMINAL_PITCH_RAD + 0.004 * math.sin(time * 5.1 + e) + 0.003 * math.sin(time * 1.9)
        return CameraPose(x, y, NOMINAL_HEIGHT_M + 0.012 * math.sin(time * 6.3 + c), yaw, pitch)

    def frontage(self, start: float, end: float) -> list[list[SceneObject]]:
        """What lines the street between two x: lots from far to near, each painted in its list's order."""
        lots = [lot for chunk in self._chunks(start, end) for lot in self._chunk(chunk)[0]]
        seen = [lot for lot in lots if lot[0].x + lot[0].length / 2 > start and lot[0].x < end]
        return sorted(seen, key=lambda lot: -lot[0].x)

    def objects(self, time: float, start: float, end: float) -> list[SceneObject]:
        """Everything on the road and its pavements at a time between two x, from far to near."""
        fixed = (thing for chunk in self._chunks(start, end) for thing in self._chunk(chunk)[1])
        found = [thing for thing in fixed if start < thing.x < end]
        for row, traffic in enumerate(self._traffic):
            found.extend(self._moving(row, traffic, time, start, end))
        leader = self._leader(time)
        if start < leader.x < end:
            found.append(leader)
        return sorted(found, key=lambda thing: -thing.x)

    def _chunks(self, start: float, end: float) -> range:
        return range(math.floor(start / CHUNK) - 1, math.floor(end / CHUNK) + 1)

    def _leader(self, time: float) -> SceneObject:
        """The car ahead: it falls back to 14 m, draws away out of sight, and another one takes its place."""
        turn = time / 60.0 + 0.5 + float(self._phases[5]) / (4 * math.pi)
        gap = 14.0 + 75.0 * (0.5 - 0.5 * math.cos(2 * math.pi * (turn - 0.5)))
        variant = int(self._rng(2, math.floor(turn)).integers(1 << 16))
        at = self.camera(time).x + gap
        return SceneObject("car", "car", at, -_LANE, 0.0, *vehicle_size(variant), 1, variant)

    def _moving(self, row: int, traffic: _Traffic, time: float, start: float, end: float) -> Iterator[SceneObject]:
        offset = traffic.speed * time
        for slot in range(
            math.floor((start - offset) / traffic.spacing) - 1, math.ceil((end - offset) / traffic.spacing) + 1
        ):
            taken, shift, sway, variant = self._slot(row, slot)
            x = offset + (slot + shift) * traffic.spacing
            if taken >= traffic.taken or not start < x < end:
                continue
            facing = 1 if traffic.speed > 0 else -1
            phase = (abs(offset) / traffic.stride + shift) % 1.0
            y = traffic.y + traffic.spread * sway
            size = traffic.size or vehicle_size(variant)
            yield SceneObject(traffic.kind, traffic.class_name, x, y, 0.0, *size, facing, variant, phase)

    def _draw_slot(self, row: int, slot: int) -> tuple[float, float, float, int]:
        rng = self._rng(10 + row, slot)
        return float(rng.random()), 0.6 * float(rng.random()), float(rng.uniform(-1, 1)), int(rng.integers(1 << 16))

    def _rng(self, stream: int, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, index + (1 << 40)])

    def _lay_out(self, chunk: int) -> tuple[list[list[SceneObject]], list[SceneObject]]:
        """The lots of one chunk and the things that stand on its pavements and along its kerbs."""
        rng, x0 = self._rng(3, chunk), chunk * CHUNK
        lots: list[list[SceneObject]] = []
        things: list[SceneObject] = []
        for side in (1, -1):
            split = float(rng.uniform(10, 14))
            for start, length in ((0.0, split), (split, CHUNK - split)):
                lots.append(self._lot(rng, side, x0 + start + length / 2, length))
            things.extend(self._kerbside(rng, side, x0))
        return lots, things

    def _lot(self, rng: np.random.Generator, side: int, x: float, length: float) -> list[SceneObject]:
        variant = int(rng.integers(1 << 16))
        height = facade_height(variant) * float(rng.uniform(0.95, 1.08))
        if rng.random() > self._green:
            y = side * (PAVEMENT_EDGE + float(rng.choice((0.0, 0.0, 0.3))))
            return [SceneObject("house", "building", x, y, 0.0, length, 9.0, height, -side, variant)]
        lot = [SceneObject("house", "building", x, side * 18.0, 0.0, length, 9.0, height, -side, variant)]
        for _ in range(int(rng.integers(1, 4))):
            at, deep = x + float(rng.uniform(-0.4, 0.4)) * length, side * float(rng.uniform(13.0, 15.5))
            lot.append(self._tree(rng, "garden_tree", at, deep, 1.0))
        lot[1:] = sorted(lot[1:], key=lambda tree: -tree.x)
        front, kind = side * PAVEMENT_EDGE, rng.random()
        if kind < 0.65:
            behind = side * (PAVEMENT_EDGE + 0.5)
            lot.append(SceneObject("hedge", "tree", x, behind, 0.0, length, 0.8, 1.7, -side, variant))
        if kind > 0.3:
            fence = "railing" if kind < 0.65 else "boards"
            lot.append(SceneObject(fence, "fence", x, front, 0.0, length, 0.1, 1.6, -side, variant))
        return lot

    def _tree(self, rng: np.random.Generator, kind: str, x: float, y: float, scale: float) -> SceneObject:
        size = scale * float(rng.uniform(0.8, 1.15))
        variant = int(rng.integers(1 << 16))
        return SceneObject(kind, "tree", x, y, 0.0, 6 * size, 6 * size, 8 * size, -1, variant)

    def _kerbside(self, rng: np.random.Generator, side: int, x0: float) -> Iterator[SceneObject]:
        kerb = side * (ROAD_HALF_WIDTH + 0.55)
        for at in (4.5, 16.5):
            if rng.random() < 0.2 + self._green:
                yield self._tree(rng, "tree", x0 + at + float(rng.uniform(-1, 1)), side * 7.0, 0.72)
        if (round(x0 / CHUNK) + (side > 0)) % 2 == 0:
            yield SceneObject("lamp_post", "pole", x0 + 11.0, kerb, 0.0, 0.16, 0.16, 7.0, -side)
        post = x0 + 21.0
        if rng.random() < 0.55:
            yield SceneObject("post", "pole", post, kerb, 0.0, 0.08, 0.08, 2.9)
            kind = int(rng.integers(1 << 16))
            yield SceneObject("sign", "signsymbol", post - 0.1, kerb, 2.1, 0.04, 0.8, 0.8, -1, kind)
        elif rng.random() < 0.4:
            yield SceneObject("post", "pole", post, kerb, 0.0, 0.11, 0.11, 2.4)
            lit = int(rng.integers(3))
            yield SceneObject("traffic_light", "signsymbol", post - 0.1, kerb, 2.3, 0.3, 0.42, 1.1, -1, lit)
        if rng.random() < 0.3:
            for bollard in range(4):
                at = x0 + 7.5 + 1.6 * bollard
                yield SceneObject("bollard", "pole", at, kerb, 0.0, 0.14, 0.14, 1.0)
        busy = float(rng.choice((0.0, 0.25, 0.5, 0.8)))
        for bay in range(4):
            variant, shift = int(rng.integers(1 << 16)), float(rng.uniform(-0.25, 0.25))
            if rng.random() < busy:
                at, y = x0 + 3.0 + 6.0 * bay + shift, side * (ROAD_HALF_WIDTH - 1.15)
                yield SceneObject("parked_car", "car", at, y, 0.0, *vehicle_size(variant), -side, variant)
