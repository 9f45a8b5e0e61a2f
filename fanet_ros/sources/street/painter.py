"""Turns the objects of the street's scene into drawing: which picture and which faces each of them has."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from fanet_ros.model.labels import LabelSet
from fanet_ros.sources.street.facades import FACADES, FLOOR, make_facade, make_fence, make_skyline
from fanet_ros.sources.street.furniture import SIGN_KINDS, make_hedge, make_sign, make_traffic_light, make_tree
from fanet_ros.sources.street.geometry import Point
from fanet_ros.sources.street.ground import Ground
from fanet_ros.sources.street.paint import shaded
from fanet_ros.sources.street.people import FIGURE_SIZE, STAGES, make_rider, make_walker
from fanet_ros.sources.street.raster import Canvas, Texture
from fanet_ros.sources.street.scene import SceneObject, StreetScene
from fanet_ros.sources.street.vehicles import VEHICLES, Vehicle

_Design = TypeVar("_Design")

_BEHIND, _FRONTAGE_REACH, _OBJECT_REACH = 6.0, 125.0, 100.0  # metres from the camera along the street
_SKYLINE_AT, _SKYLINE_WIDTH, _SKYLINE_HEIGHT = 150.0, 400.0, 16.0
_POLE = (92, 96, 98)


class StreetPainter:
    """Paints the scene of one seed with the pictures of that seed."""

    def __init__(self, scene: StreetScene, label_set: LabelSet, light: tuple[float, float]) -> None:
        """Make every picture; `light` is the brightness of the left and the right side of the street."""
        rng = np.random.default_rng([scene.seed, 2])
        self._scene = scene
        self._ids = {name: label_set.id_of(name) for name in label_set.names}
        self._shadow_side = 1 if light[0] < light[1] else -1
        self._ground = Ground(rng)
        self._facades = [make_facade(rng, variant, light) for variant in range(FACADES)]
        trees = [make_tree(rng) for _ in range(6)]
        self._people = {"walker": [make_walker(rng) for _ in range(8)], "rider": [make_rider(rng) for _ in range(6)]}
        self._vehicles = [Vehicle(rng, variant) for variant in range(VEHICLES)]
        self._facing = {  # the camera
            "tree": trees,
            "garden_tree": trees,
            "sign": [make_sign(kind) for kind in range(SIGN_KINDS)],
            "traffic_light": [make_traffic_light(lit) for lit in range(3)],
        }
        self._along = {  # the street
            "hedge": [make_hedge(rng) for _ in range(3)],
            "railing": [make_fence(rng, iron=True)],
            "boards": [make_fence(rng, iron=False)],
        }
        self._skylines = make_skyline(rng, trees=False), make_skyline(rng, trees=True)

    def paint(self, canvas: Canvas, time: float, sun: float) -> None:
        """Draw all but the sky; `sun` in [0, 1] is how deep shadows are."""
        here = canvas.view.pose.x
        self._skyline(canvas)
        self._ground.draw(canvas, self._ids["road"], self._ids["pavement"])
        lots = self._scene.frontage(here, here + _FRONTAGE_REACH)
        things = self._scene.objects(time, here - _BEHIND, here + _OBJECT_REACH)
        self._shadows(canvas, lots, things, sun)
        for thing in itertools.chain(*lots, things):
            self._draw(canvas, thing)

    def _skyline(self, canvas: Canvas) -> None:
        at = canvas.view.pose.x + _SKYLINE_AT
        along, up = (0.0, -_SKYLINE_WIDTH, 0.0), (0.0, 0.0, _SKYLINE_HEIGHT)
        for texture, name, shift, lower in zip(self._skylines, ("building", "tree"), (0, 20), (0, 5), strict=True):
            corner = (at, _SKYLINE_WIDTH / 2 + shift, -float(lower))
            canvas.plane(corner, along, up, texture, self._ids[name])

    def _shadows(self, canvas: Canvas, lots: list[list[SceneObject]], things: list[SceneObject], sun: float) -> None:
        under = [_rectangle(car.x, car.y, car.length * 0.98, car.width) for car in things if car.class_name == "car"]
        canvas.shade(under, 0.45)
        if sun < 0.1:
            return
        cast, side = [], self._shadow_side
        for lot in lots:
            house = lot[0]
            if house.kind == "house" and house.y * side > 0 and abs(house.y) < 12:
                reach = side * house.height * 0.62
                x0, x1 = house.x - house.length / 2, house.x + house.length / 2
                skew = 2.5
                corners = [(x0, house.y), (x1, house.y), (x1 + skew, house.y - reach), (x0 + skew, house.y - reach)]
                cast.append([(x, y, 0.0) for x, y in corners])
        for thing in things:
            if thing.kind == "tree":
                cast.append(_disc(thing.x + 1.0, thing.y - side * 2.4, thing.width * 0.42))
            elif thing.class_name in ("pedestrian", "bicyclist"):
                cast.append(_rectangle(thing.x + 0.2, thing.y - side * 0.6, 0.35, 1.1))
        canvas.shade(cast, 1 - 0.42 * sun)

    def _draw(self, canvas: Canvas, thing: SceneObject) -> None:
        class_id = self._ids[thing.class_name]
        match thing.kind:
            case "house":
                self._house(canvas, thing, class_id)
            case "car" | "parked_car":
                vehicle = _variant_of(self._vehicles, thing)
                vehicle.draw(canvas, thing.x, thing.y, thing.facing < 0, class_id)
            case "walker" | "rider":
                figure = _variant_of(self._people[thing.kind], thing)
                stages = figure.back if thing.facing > 0 else figure.front
                _face(canvas, thing, FIGURE_SIZE, stages[int(thing.phase * STAGES) % STAGES], class_id)
            case "tree" | "garden_tree" | "sign" | "traffic_light":
                picture = _variant_of(self._facing[thing.kind], thing)
                _face(canvas, thing, (thing.width, thing.height), picture, class_id)
            case "hedge" | "railing" | "boards":
                corner, along = (thing.x - thing.length / 2, thing.y, 0.0), (thing.length, 0.0, 0.0)
                picture = _variant_of(self._along[thing.kind], thing)
                canvas.plane(corner, along, (0.0, 0.0, thing.height), picture, class_id)
            case "lamp_post":
                canvas.upright((thing.x, thing.y, 0.0), 0.24, 1.1, shaded(_POLE, 0.8), class_id)
                canvas.upright((thing.x, thing.y, 1.1), thing.width * 0.9, thing.height - 1.1, _POLE, class_id)
                arm = thing.y + 0.9 * thing.facing
                canvas.upright((thing.x, (thing.y + arm) / 2, thing.height - 0.1), 0.95, 0.09, _POLE, class_id)
                canvas.upright((thing.x, arm, thing.height - 0.16), 0.6, 0.14, (168, 170, 168), class_id)
            case "post":
                canvas.upright((thing.x, thing.y, 0.0), thing.width, thing.height, (112, 114, 114), class_id)
            case "bollard":
                canvas.upright((thing.x, thing.y, 0.0), thing.width, thing.height, (44, 46, 48), class_id)
                if thing.x - canvas.view.pose.x < 40:  # farther away its white band is thinner than a pixel
                    canvas.upright((thing.x, thing.y, 0.78), thing.width, 0.1, (196, 196, 190), class_id)

    def _house(self, canvas: Canvas, house: SceneObject, class_id: int) -> None:
        facade, side = _variant_of(self._facades, house), 1 if house.y > 0 else -1
        height, near = house.height, house.x - house.length / 2
        length = (house.length, 0.0, 0.0)
        deep = side * house.width / 2
        far, middle = near + house.length, house.y + deep
        eaves, top = [(near, house.y, height), (far, house.y, height)], height + FLOOR
        eye = canvas.view.pose
        if eye.z > height - abs(house.y - eye.y) * FLOOR / abs(deep):  # seen from above its slope
            canvas.polygon([*eaves, (far, middle, top), (near, middle, top)], facade.roof, class_id)
        if near > eye.x:
            back = house.y + 2 * deep
            left, right = (back, house.y) if side > 0 else (house.y, back)
            gable = [(near, house.y, height), (near, back, height), (near, middle, top)]
            canvas.polygon(gable, shaded(facade.roof, 0.8), class_id)
            across, up = (0.0, right - left, 0.0), (0.0, 0.0, height)
            canvas.plane((near, left, 0.0), across, up, facade.ends[side < 0], class_id)
        canvas.plane((near, house.y, 0.0), length, (0.0, 0.0, height), facade.fronts[side < 0], class_id)


def _variant_of(designs: Sequence[_Design], thing: SceneObject) -> _Design:
    return designs[thing.variant % len(designs)]


def _face(canvas: Canvas, thing: SceneObject, size: tuple[float, float], texture: Texture, class_id: int) -> None:
    """Draw a picture that looks back along the street, of this width and height in metres."""
    corner = (thing.x, thing.y + size[0] / 2, thing.z)
    canvas.plane(corner, (0.0, -size[0], 0.0), (0.0, 0.0, size[1]), texture, class_id)


def _rectangle(x: float, y: float, length: float, width: float) -> list[Point]:
    a, b = length / 2, width / 2
    return [(x - a, y - b, 0.0), (x + a, y - b, 0.0), (x + a, y + b, 0.0), (x - a, y + b, 0.0)]


def _disc(x: float, y: float, radius: float) -> list[Point]:
    angles = [math.tau * corner / 14 for corner in range(14)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle), 0.0) for angle in angles]
