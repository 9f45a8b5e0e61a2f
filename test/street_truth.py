"""What is true of the street, from its scene and plain geometry: points of pixels, footprints, free cells."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import CameraPose
from fanet_ros.sources.street.scene import SceneObject
from fanet_ros.sources.street.vehicles import VEHICLES, vehicle_size

Floats = NDArray[np.float64]

_OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_OVERHEAD = 1.9  # what begins above this many metres stands on nothing: signs, traffic lights
_TRUNK = 0.4  # width of a tree's trunk when the tree is 8 m high, metres
_PICTURE = 0.1  # thickness of people, metres
_LAMP_FOOT = 0.24  # a lamp post's foot is painted wider than its post, metres


class Footprint(NamedTuple):
    """A rectangle of the map frame in which something stands, metres."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    top: float
    kind: str = "box"


class GroundGrid(NamedTuple):
    """Square cells on the ground, metres; x ahead of the point below the camera, y to its left."""

    x_min: float
    y_min: float
    columns: int
    rows: int
    resolution: float

    def centres(self) -> Floats:
        """Middles of the cells, float64 (rows, columns, 2): rows along y, columns along x, as in OccupancyGrid."""
        x = self.x_min + (np.arange(self.columns) + 0.5) * self.resolution
        y = self.y_min + (np.arange(self.rows) + 0.5) * self.resolution
        return np.stack(np.meshgrid(x, y), axis=-1)


def map_from_optical(pose: CameraPose) -> Floats:
    """R = Rz(yaw) Ry(pitch) Rx(roll), apart from the street's own rotation on purpose."""
    axes = (((0, 0, 1.0), pose.yaw), ((0, 1.0, 0), pose.pitch), ((1.0, 0, 0), pose.roll))
    yaw, pitch, roll = (cv2.Rodrigues(np.array(axis) * angle)[0] for axis, angle in axes)
    return yaw @ pitch @ roll @ _OPTICAL_FROM_BODY.T


def points_of(depth: NDArray[np.float32], intrinsics: Intrinsics, pose: CameraPose) -> Floats:
    """Where in the map frame the pixels' surfaces are, float64 (H, W, 3); not finite in the sky."""
    k = intrinsics
    u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
    rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=-1)
    with np.errstate(invalid="ignore"):
        return (rays * depth[..., None]) @ map_from_optical(pose).T + (pose.x, pose.y, pose.z)


def scene_objects(camera: StreetCamera, index: int, behind: float = 6.0, ahead: float = 60.0) -> list[SceneObject]:
    """All that stands in the street at the instant of a frame, from `behind` to `ahead` metres about the camera."""
    here = camera.pose(index).x
    lots = camera.scene.frontage(here - behind, here + ahead)
    things = camera.scene.objects(index / camera.rate_hz, here - behind, here + ahead)
    return [*itertools.chain(*lots), *things]


def footprints(camera: StreetCamera, index: int) -> list[Footprint]:
    """Where nobody can drive, 6 m behind to 60 m ahead: what stands more than 0.15 m high.

    Cars are full boxes, trees are trunks; what begins overhead is left out.
    """
    return [
        footprint_of(thing)
        for thing in scene_objects(camera, index)
        if thing.z < _OVERHEAD and thing.z + thing.height > 0.15
    ]


def footprint_of(thing: SceneObject) -> Footprint:
    """The rectangle that a thing stands on."""
    length, width, height = thing.length, thing.width, thing.height
    match thing.kind:
        case "car" | "parked_car":
            length, width, height = vehicle_size(thing.variant % VEHICLES)  # the scene's size may be another's
        case "tree" | "garden_tree":
            length = width = _TRUNK * thing.height / 8
        case "lamp_post":
            length = width = _LAMP_FOOT
        case "walker" | "rider":
            length = _PICTURE  # painted as a picture that faces back along the street: there is nothing before it
    x, y, top = thing.x, thing.y, thing.z + height
    if thing.kind in ("house", "hedge", "railing", "boards"):  # its y is that of its front
        y += math.copysign(width / 2, y)
    return Footprint(x - length / 2, x + length / 2, y - width / 2, y + width / 2, top, thing.kind)


def free_cells(objects: list[Footprint], grid: GroundGrid, pose: CameraPose) -> NDArray[np.bool_]:
    """Whether cells are truly free, bool (rows, columns): no part of a footprint lies in one.

    The grid turns with the camera's yaw alone: its frame is that of a robot on flat ground below the camera.
    """
    s, c = math.sin(pose.yaw), math.cos(pose.yaw)
    turn = np.array([[c, -s], [s, c]])  # grid to map
    centres = grid.centres() @ turn.T + (pose.x, pose.y)
    free = np.ones(centres.shape[:2], bool)
    half_cell = grid.resolution / 2 * (abs(s) + abs(c))  # half of a turned cell's extent along any axis of the other
    for box in objects:
        half = np.array([box.x_max - box.x_min, box.y_max - box.y_min]) / 2
        away = centres - ((box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2)
        # two rectangles are apart if they are apart along an axis of the one or of the other; touching is no overlap
        apart = np.any(np.abs(away) > half + half_cell - 1e-9, axis=-1)
        apart |= np.any(np.abs(away @ turn) > half @ np.abs(turn) + grid.resolution / 2 - 1e-9, axis=-1)
        free &= apart
    return free
