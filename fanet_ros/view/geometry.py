"""What navigation gets, live or recorded, as records; a message is what has the fields of ROS's: this needs no ROS."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.settings import Size
from fanet_ros.view.pictures import shown_size
from fanet_ros.view.records import Record

_MOST_POINTS = 50_000  # of a cloud that are shown
_MOST_CELLS = 4_000_000
_SCAN_COLOR = [255, 64, 64]
_OBSTACLE_COLOR = [255, 160, 0]
_FLOAT32, _UINT8 = 7, 2  # of sensor_msgs/PointField

_IDENTITY = CameraPose(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0))


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message's header, nanoseconds since the epoch."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def camera(entity: str, info: Any, pose: CameraPose | None) -> Record | None:
    """Return a sensor_msgs/CameraInfo as the camera's lens (without distortion), and its pose where it is known.

    Returns:
        None where the calibration holds no numbers.
    """
    k = np.array(info.k, np.float64).reshape(3, 3)
    if not (np.isfinite(k).all() and k[0, 0] > 0 and k[1, 1] > 0 and info.width and info.height):
        return None
    size = shown_size(Size(info.width, info.height))
    k[0] *= size.width / info.width
    k[1] *= size.height / info.height
    values: dict[str, Any] = {"k": k.ravel().tolist(), "width": size.width, "height": size.height}
    if pose is not None:
        values |= {"rotation": [x for row in pose.rotation for x in row], "position": list(pose.translation)}
    return Record("camera", entity, stamp_ns(info), values)


def grid(entity: str, message: Any, frame: CameraPose | None = None) -> Record:
    """Return a nav_msgs/OccupancyGrid.

    Args:
        entity: of the grid.
        message: the grid.
        frame: pose of its frame in the one that is shown; None: they are the same.

    Raises:
        FrameError: its size does not fit its data, or it is too large.
        PoseError: its origin is no pose.
    """
    info = message.info
    cells = np.array(message.data, np.int8)
    fits = 0 < cells.size <= _MOST_CELLS and cells.size == info.width * info.height
    if not (fits and 0 < info.resolution < math.inf):
        raise FrameError(
            f"grid of {info.width}x{info.height} cells of {info.resolution:g} m with {cells.size} values, expected one "
            f"for each and at most {_MOST_CELLS}"
        )
    p, q = info.origin.position, info.origin.orientation
    corner = CameraPose.from_transform((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
    corner = (frame or _IDENTITY).after(corner)
    values = {
        "width": int(info.width),
        "height": int(info.height),
        "resolution": float(info.resolution),
        "position": list(corner.translation),
        "quaternion": _quaternion(corner.base_from_optical),
    }
    return Record("grid", entity, stamp_ns(message), values, cells.tobytes())


def scan(entity: str, message: Any) -> Record:
    """Return the hits of a sensor_msgs/LaserScan as points in its frame; 50 000 points at most.

    Raises:
        FrameError: its angles are no numbers.
    """
    ranges = np.array(message.ranges, np.float32)
    if not (math.isfinite(message.angle_min) and math.isfinite(message.angle_increment)):
        raise FrameError(f"scan from {message.angle_min:g} in steps of {message.angle_increment:g}, expected radians")
    angles = message.angle_min + message.angle_increment * np.arange(len(ranges))
    hits = np.isfinite(ranges) & (ranges >= message.range_min) & (ranges <= message.range_max)
    (hit,) = np.nonzero(hits)
    hit = hit[:: max(1, -(-len(hit) // _MOST_POINTS))]
    points = np.zeros((len(hit), 3), np.float32)
    points[:, 0], points[:, 1] = ranges[hit] * np.cos(angles[hit]), ranges[hit] * np.sin(angles[hit])
    return _points(entity, stamp_ns(message), points, None, _SCAN_COLOR)


def cloud(entity: str, message: Any) -> Record:
    """Return a sensor_msgs/PointCloud2 with x, y and z (float32) and perhaps label (uint8); 50 000 points at most.

    Raises:
        FrameError: it has no such fields, or they do not fit its data.
    """
    fields = {field.name: field for field in message.fields}
    wanted = {"x": _FLOAT32, "y": _FLOAT32, "z": _FLOAT32}
    if "label" in fields and fields["label"].datatype == _UINT8:
        wanted["label"] = _UINT8
    count, step = message.width * message.height, message.point_step
    sizes = {_FLOAT32: 4, _UINT8: 1}
    for name, kind in wanted.items():
        field = fields.get(name)
        if field is None or field.datatype != kind or field.offset + sizes[kind] > step:
            raise FrameError(f"cloud without {name} of the type that is expected (x, y, z: float32)")
    data = np.frombuffer(message.data, np.uint8)
    if message.is_bigendian or message.row_step != step * message.width or data.size < count * step:
        raise FrameError(f"cloud of {count} points of {step} bytes with {data.size} bytes, or with gaps between rows")
    rows = data[: count * step].reshape(count, step)[:: max(1, -(-count // _MOST_POINTS))]
    column = {name: rows[:, fields[name].offset : fields[name].offset + sizes[kind]] for name, kind in wanted.items()}
    points = np.hstack([np.ascontiguousarray(column[name]).view("<f4") for name in "xyz"]).astype(np.float32)
    seen = np.isfinite(points).all(1)
    labels = column["label"][:, 0][seen] if "label" in column else None
    return _points(entity, stamp_ns(message), points[seen], labels, _OBSTACLE_COLOR)


def _points(
    entity: str, stamp: int, points: NDArray[np.float32], labels: NDArray[np.uint8] | None, color: list[int]
) -> Record:
    values = {"count": len(points), "labelled": labels is not None, "color": color}
    body = points.tobytes() + (b"" if labels is None else labels.tobytes())
    return Record("points", entity, stamp, values, body)


def _quaternion(rotation: NDArray[np.float64]) -> list[float]:
    """Return x, y, z, w of a rotation matrix (Bar-Itzhack's eigenvector, which needs no cases)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    k = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    values: list[float] = np.linalg.eigh(k)[1][:, -1].tolist()
    return values
