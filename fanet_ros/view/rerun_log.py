"""Records as Rerun's entities. Runs in the viewer's process only, as all that imports rerun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import rerun as rr
from numpy.typing import NDArray

from fanet_ros.view.blueprint import blueprint
from fanet_ros.view.records import Record, RecordError, path_part

_TIMES: dict[str, Callable[[int], dict[str, Any]]] = {
    "stamp": lambda ns: {"timestamp": np.datetime64(ns, "ns")},  # of cameras
    "time": lambda ns: {"duration": np.timedelta64(ns, "ns")},  # of a video, from its start
    "number": lambda ns: {"sequence": ns},  # of images
}
"""What the stamps of records are, by the name of the time line."""

_POINT_RADIUS = 0.04  # metres
_FRUSTUM = 1.0  # metres from the camera to where its picture is drawn
_LINE = -1.5  # of its edges: negative is pixels
_ALMOST_OPAQUE = 0.99  # with 1 Rerun would not let through what is below unseen cells
_FREE, _TAKEN, _UNSEEN = (96, 168, 112, 255), (176, 48, 48, 255), (0, 0, 0, 0)


def _cell_colors() -> NDArray[np.uint8]:
    """Return RGBA by an occupancy grid's value, uint8 (256, 4): 0 is free, 100 is not, from 128 on (-1) unseen."""
    colors = np.empty((256, 4), np.uint8)
    shade = np.linspace(0, 1, 101)[:, None]
    colors[:101] = np.array(_FREE) * (1 - shade) + np.array(_TAKEN) * shade
    colors[101:] = _UNSEEN
    return colors


_CELL_COLORS = _cell_colors()


def _path(entity: str) -> str:
    """Return an entity's path as Rerun reads it: names of classes and nodes may have spaces and colons."""
    return rr.new_entity_path([part for part in entity.split("/") if part])


class RerunLog:
    """Logs records to one recording of Rerun."""

    def __init__(self, recording: Any) -> None:
        """Log to a `rerun.RecordingStream`."""
        self._recording = recording
        self._roots: list[str] = []
        self._timeline = "stamp"
        self._kinds: dict[str, Callable[[Record], None]] = {
            "layout": self._layout,
            "classes": self._classes,
            "picture": self._picture,
            "mask": self._mask,
            "camera": self._camera,
            "grid": self._grid,
            "points": self._points,
            "numbers": self._numbers,
            "text": self._text,
        }

    def log(self, record: Record) -> None:
        """Log a record at its time.

        Raises:
            RecordError: it is of no kind that is known, or its values are not those of its kind.
        """
        try:
            log = self._kinds[record.kind]
            self._recording.reset_time()
            if record.stamp_ns is not None:
                self._recording.set_time(self._timeline, **_TIMES[self._timeline](record.stamp_ns))
            log(record)
        except Exception as error:  # of Python, NumPy and Rerun, by what is wrong
            raise RecordError(f"record {record.kind!r} of {record.entity!r}: {type(error).__name__}: {error}") from None

    def _log(self, record: Record, *what: Any) -> None:
        self._recording.log(_path(record.entity), *what, static=record.stamp_ns is None)

    def _layout(self, record: Record) -> None:
        """Lay the views out; the values are the arguments of `blueprint`."""
        self._timeline = str(record.values["timeline"])
        self._recording.send_blueprint(blueprint(**record.values), make_active=True, make_default=True)
        self._roots = [f"{camera}/" if camera else "" for camera in record.values["cameras"]]
        for root in self._roots:
            self._recording.log(f"{root}world", rr.ViewCoordinates.FLU, static=True)

    def _classes(self, record: Record) -> None:
        """Take classes, [[id, name, [red, green, blue] or None], ...]."""
        infos = [rr.AnnotationInfo(id=i, label=name, color=color) for i, name, color in record.values["classes"]]
        unlabelled = rr.AnnotationInfo(id=255, label="unlabelled", color=(0, 0, 0, 0))
        self._log(record, rr.AnnotationContext([*infos, unlabelled]))
        for root in self._roots:
            for _, name, color in record.values["classes"]:
                if color:
                    line = rr.SeriesLines(colors=[tuple(color)], names=[name])
                    self._recording.log(_path(f"{root}shares/{path_part(name)}"), line, static=True)

    def _picture(self, record: Record) -> None:
        """Take a picture as an encoded file, of a type such as image/jpeg."""
        self._log(record, rr.EncodedImage(contents=bytes(record.body), media_type=record.values["type"]))

    def _mask(self, record: Record) -> None:
        """Take class ids, uint8 of height x width."""
        shape = (record.values["height"], record.values["width"])
        self._log(record, rr.SegmentationImage(np.frombuffer(record.body, np.uint8).reshape(shape)))

    def _camera(self, record: Record) -> None:
        """Take a camera's matrix (9 numbers by rows) and size, and where it is known its rotation (9) and position."""
        values = record.values
        matrix = np.array(values["k"], np.float64).reshape(3, 3)
        size = (values["width"], values["height"])
        lens = rr.Pinhole(image_from_camera=matrix, resolution=size, image_plane_distance=_FRUSTUM, line_width=_LINE)
        self._log(record, lens)
        if "rotation" in values:
            rotation = np.array(values["rotation"], np.float64).reshape(3, 3)
            self._log(record, rr.Transform3D(translation=values["position"], mat3x3=rotation))

    def _grid(self, record: Record) -> None:
        """Take the cells of an occupancy grid, int8 of height x width, with its cells' side and its corner's pose."""
        values = record.values
        if len(record.body) != values["width"] * values["height"]:
            raise ValueError(f"{len(record.body)} cells of {values['width']}x{values['height']}")
        grid = rr.GridMap(
            data=_CELL_COLORS[np.frombuffer(record.body, np.uint8)].tobytes(),
            format=rr.components.ImageFormat(
                width=values["width"], height=values["height"], color_model="RGBA", channel_datatype="U8"
            ),
            cell_size=values["resolution"],
            translation=values["position"],
            quaternion=rr.Quaternion(xyzw=values["quaternion"]),
            opacity=_ALMOST_OPAQUE,
        )
        self._log(record, grid)

    def _points(self, record: Record) -> None:
        """Take float32 x, y, z of `count` points, then, where `labelled`, a class id (uint8) for each."""
        count = record.values["count"]
        points = np.frombuffer(record.body, np.float32, 3 * count).reshape(count, 3)
        if record.values["labelled"]:
            looks = {"class_ids": np.frombuffer(record.body, np.uint8, count, 12 * count).astype(np.uint16)}
        else:
            looks = {"colors": record.values["color"]}
        self._log(record, rr.Points3D(points, radii=_POINT_RADIUS, **looks))

    def _numbers(self, record: Record) -> None:
        """Take numbers by the rest of their path below the entity."""
        for name, value in record.values.items():
            self._recording.log(_path(f"{record.entity}/{name}"), rr.Scalars(float(value)))

    def _text(self, record: Record) -> None:
        self._log(record, rr.TextLog(record.values["text"], level=record.values["level"]))
