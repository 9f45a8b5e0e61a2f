"""The ground projection and the usual way side by side, in a process of their own with one thread.

`python -m fanet_ros.benchmark.ground_worker` answers two requests: `start` and `run` (fanet_ros.benchmark.process).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.benchmark.ground_reference import PlainProjection
from fanet_ros.benchmark.process import Answer, serve
from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.classes import kinds_of
from fanet_ros.ground.pose import CameraPose
from fanet_ros.ground.projector import GroundProjector
from fanet_ros.ground.semantic_cloud import SemanticCloud
from fanet_ros.ground.settings import GroundSettings
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size
from fanet_ros.sources.base import Intrinsics
from fanet_ros.sources.street.camera import LABEL_SET, StreetCamera

Run = Callable[[NDArray[np.uint8]], object]

TABLES_FOR_CALIBRATION, TABLES_FOR_POSE = "tables, new calibration", "tables, new pose"
"""What is computed once: everything, and what depends on the pose alone."""

_FRAMES, _RATE_HZ = 4, 2.0  # half a second of the drive between them
_DISTORTION = (-0.3, 0.1, 0.001, -0.001, 0.0)  # of a common lens, for the time to build the tables


class _Worker:
    """The same masks of the street, and the same results, by both ways."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._builds: dict[str, Callable[[], object]] = {}
        self._masks: list[NDArray[np.uint8]] = []

    def start(self, width: int, height: int) -> Answer:
        """Film the street and build the tables.

        Returns:
            The time of one run of all results by both ways, ms.
        """
        cv2.setNumThreads(1)
        size = Size(width, height)
        street = StreetCamera(width, height, rate_hz=_RATE_HZ)
        self._masks = [np.ascontiguousarray(street.frame(index).labels) for index in range(_FRAMES)]
        filmed = street.pose(0)
        pose = CameraPose.from_parameters(0.0, 0.0, filmed.z, 0.0, filmed.pitch, 0.0)
        self._add_ours(street.intrinsics, pose, size)
        self._add_usual(street.intrinsics, pose, size)
        self._add_tables(street.intrinsics, pose, size)
        times = self.run(1)["times_ms"]
        return {"turn_ms": sum(times[name][-1] for name in self._runs)}

    def run(self, repeats: int) -> Answer:
        """Run all results in turns, after one round that does not count; then build the tables once.

        Returns:
            The wall times in ms, one per repeat, by what was done.
        """
        times: dict[str, list[float]] = {name: [] for name in self._runs}
        masks = cycle(self._masks)
        for repeat in range(repeats + 1):
            mask = next(masks)
            for name, run in self._runs.items():
                started = perf_counter()
                run(mask)
                if repeat:
                    times[name].append((perf_counter() - started) * 1e3)
        for name, build in self._builds.items():
            started = perf_counter()
            build()
            times[name] = [(perf_counter() - started) * 1e3]
        return {"times_ms": times}

    def _add_ours(self, intrinsics: Intrinsics, pose: CameraPose, size: Size) -> None:
        kinds, palette = _labels()
        projector = GroundProjector(CameraModel(_calibration(intrinsics, ())), pose, size, GroundSettings())
        cloud = SemanticCloud(projector.points_in_range, palette)
        confidence = np.full((size.height, size.width), 200, np.uint8)

        def everything(mask: NDArray[np.uint8]) -> None:
            view = projector.view(mask, kinds)
            view.drivable_mask()
            view.occupancy()
            view.scan()
            view.obstacle_points()
            cloud.fill(mask, confidence)

        self._runs |= {
            "drivable mask": lambda mask: projector.view(mask, kinds).drivable_mask(),
            "occupancy": lambda mask: projector.view(mask, kinds).occupancy(),
            "scan": lambda mask: projector.view(mask, kinds).scan(),
            "obstacle points": lambda mask: projector.view(mask, kinds).obstacle_points(),
            "semantic points": lambda mask: cloud.fill(mask, confidence),
            "all together": everything,
        }

    def _add_usual(self, intrinsics: Intrinsics, pose: CameraPose, size: Size) -> None:
        kinds, palette = _labels()
        plain = PlainProjection(intrinsics, pose, GroundSettings())
        confidence = np.full((size.height, size.width), 200, np.uint8)

        def everything(mask: NDArray[np.uint8]) -> None:
            points, kinds_there = plain.points(), kinds[mask]
            plain.drivable_mask(kinds_there)
            plain.occupancy(kinds_there, points)
            plain.scan(kinds_there, points)
            plain.obstacle_points(kinds_there, points)
            plain.semantic_points(mask, confidence, palette, points)

        self._runs |= {
            "usual drivable mask": lambda mask: plain.drivable_mask(kinds[mask]),
            "usual occupancy": lambda mask: plain.occupancy(kinds[mask], plain.points()),
            "usual scan": lambda mask: plain.scan(kinds[mask], plain.points()),
            "usual obstacle points": lambda mask: plain.obstacle_points(kinds[mask], plain.points()),
            "usual semantic points": lambda mask: plain.semantic_points(mask, confidence, palette, plain.points()),
            "usual all together": everything,
        }

    def _add_tables(self, intrinsics: Intrinsics, pose: CameraPose, size: Size) -> None:
        calibration = _calibration(intrinsics, _DISTORTION)
        known = CameraModel(calibration)
        build = partial(GroundProjector, pose=pose, mask_size=size, settings=GroundSettings())
        self._builds = {
            TABLES_FOR_CALIBRATION: lambda: build(CameraModel(calibration)),
            TABLES_FOR_POSE: lambda: build(known),
        }


def _labels() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels = load_label_set(LABEL_SET)
    return kinds_of(labels, drivable="drivable", flat="walkable", obstacle="obstacle"), labels.palette


def _calibration(k: Intrinsics, distortion: tuple[float, ...]) -> Calibration:
    matrix = (k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0)
    projection = (k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    return Calibration(k.width, k.height, "plumb_bob", distortion, matrix, identity, projection)


def main() -> None:
    """Serve until the parent has enough."""
    worker = _Worker()
    serve({"start": worker.start, "run": worker.run})


if __name__ == "__main__":
    main()
