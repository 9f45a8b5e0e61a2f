"""The calibration of a camera from a file of ROS's camera_calibration, or of an ideal camera."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fanet_ros.ground.camera_model import Calibration, CameraModel
from fanet_ros.ground.errors import CalibrationError
from fanet_ros.sources.base import Intrinsics
from fanet_ros.untrusted.text import printable, shown
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

_HINT = "give the YAML file that camera_calibration writes (image_width, camera_matrix, ...)"


def calibration_of(k: Intrinsics, distortion: tuple[float, ...]) -> Calibration:
    """Return what the driver of a camera with these intrinsics and that distortion (plumb_bob) would tell."""
    matrix = (k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0)
    projection = (k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    return Calibration(k.width, k.height, "plumb_bob", distortion, matrix, identity, projection)


def read_calibration(location: str) -> Calibration:
    """Read a calibration as camera_calibration and camera_info_manager write it.

    Args:
        location: path of the YAML file, or its URL (file:///...), as drivers take it in `camera_info_url`.

    Raises:
        CalibrationError: there is no such file, or what it holds calibrates no camera.
    """
    scheme = re.match(r"(\w+)://", location)
    if scheme and scheme[1] != "file":
        raise CalibrationError(
            f"camera calibration: received {shown(location)}, expected the path of a file or file:///PATH"
        )
    path = Path(location.removeprefix("file://")).expanduser()
    name = printable(str(path))
    try:
        if not path.is_file():  # a pipe would never end
            raise CalibrationError(f"camera calibration: there is no file {name}; {_HINT}")
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        if isinstance(error, CalibrationError):
            raise
        reason = error if isinstance(error, YamlError) else getattr(error, "strerror", None) or error
        raise CalibrationError(f"camera calibration {name}: {reason}; {_HINT}") from None
    try:
        calibration = _parse(content)
        for rectified in (False, True):
            CameraModel(calibration, rectified=rectified)
    except CalibrationError as error:
        raise CalibrationError(f"{name}: {error}") from None
    return calibration


def _parse(content: Any) -> Calibration:
    if not isinstance(content, dict):
        raise CalibrationError(f"camera calibration: received {shown(content)}; {_HINT}")
    model = content.get("distortion_model", "plumb_bob")  # what ROS takes where older files name none
    if not isinstance(model, str):
        raise CalibrationError(f"camera calibration: distortion_model is {shown(model)}, expected a name")
    return Calibration(
        width=_side(content, "image_width"),
        height=_side(content, "image_height"),
        distortion_model=model,
        d=_numbers(content, "distortion_coefficients"),
        k=_numbers(content, "camera_matrix"),
        r=_numbers(content, "rectification_matrix"),
        p=_numbers(content, "projection_matrix"),
    )


def _side(content: dict[Any, Any], name: str) -> int:
    value = content.get(name)
    if type(value) is not int:
        raise CalibrationError(f"camera calibration: {name} is {shown(value)}, expected a number of pixels")
    return value


def _numbers(content: dict[Any, Any], name: str) -> tuple[float, ...]:
    matrix = content.get(name)
    data = matrix.get("data") if isinstance(matrix, dict) else None
    if not isinstance(data, list) or not all(type(number) in (int, float) for number in data):
        raise CalibrationError(
            f"camera calibration: {name} is {shown(matrix)}, expected {{rows: R, cols: C, data: [...]}} of numbers"
        )
    return tuple(map(float, data))
