"""What the launch files' arguments mean: parameters of nodes, and names of topics. All are words until here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import yaml

from fanet_ros.errors import LabelSetError, SettingError
from fanet_ros.model.model_card import read_card
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

# Parameters of the nodes that are arguments as well; fanet_ros/parameters/ describes them.
NODE_PARAMETERS = (
    "image_transport",
    "backend",
    "device",
    "precision",
    "weights",
    "labels",
    "input_size",
    "output_size",
    "rotation",
    "region",
    "max_rate_hz",
    "temporal_frames",
    "jpeg_quality",
    "latency_budget_ms",
    "autostart",
)
POSE_PARAMETERS = ("camera_height", "camera_x", "camera_y", "camera_roll", "camera_pitch", "camera_yaw")
GROUND_PARAMETERS = (
    "base_frame",
    *POSE_PARAMETERS,
    "mask_transport",
    "geometry",
    "depth_max",
    "rectified",
    "accumulate",
)
GROUND_OUTPUTS = ("free_space", "obstacle_scan", "obstacle_points", "obstacle_cloud")
BOOLEANS = ["true", "false", "True", "False"]
NOT_GIVEN = ""
IMAGE, IMAGE_OF_CAMERA = "/camera/image_raw", "/{camera}/image_raw"


def check_number(name: str, text: str, kind: type) -> None:
    """Refuse what is no number; launch's own refusal would not name the argument."""
    try:
        kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise SettingError(f"{name}: received {text!r}, expected {wanted}") from None


def one_or_several(name: str, text: str) -> list[str]:
    """Return one value, or those of a list in brackets."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = None
    values = values if isinstance(values, list) else [values]
    if not values or not all(isinstance(value, str | int) for value in values):
        raise SettingError(f"{name}: received {text!r}, expected one value, or one for each camera as in [0, 180, 0]")
    return [str(value) for value in values]


def camera_names(text: str) -> tuple[str, ...]:
    """Return the names in a list such as [front, left]; none where it is not given."""
    if text == NOT_GIVEN:
        return ()
    try:
        names = yaml.safe_load(text)
    except yaml.YAMLError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise SettingError(f"cameras: received {text!r}, expected a list of names such as [front, left, right]")
    return tuple(names)


def labels_of_weights(argument: Mapping[str, str]) -> dict[str, str]:
    """Return the label set that the segmentation node will have, where it need not be a shipped one."""
    labels = in_file(argument["params_file"], "labels")
    weights = argument["weights"] or in_file(argument["params_file"], "weights")
    if not labels and weights:
        with contextlib.suppress(LabelSetError):  # the segmentation node tells
            labels = read_card(Path(weights).expanduser()).label_set or ""
    return {"labels": labels} if labels else {}


def in_file(path: str, name: str) -> str:
    """Return what a parameter file sets a string to, for whatever node; empty where it does not."""
    try:
        sections = [read_yaml(Path(path))]
    except (YamlError, OSError, UnicodeDecodeError):
        return ""  # the node tells
    while sections:
        section = sections.pop()
        if isinstance(section, dict):
            parameters = section.get("ros__parameters")
            if isinstance(parameters, dict) and isinstance(parameters.get(name), str) and parameters[name]:
                return str(parameters[name])
            sections += [value for key, value in section.items() if key != "ros__parameters"]
    return ""


def image_topic(argument: Mapping[str, str], camera: str) -> str:
    """Return the image topic of a camera."""
    return _of_camera("image", argument["image"] or (IMAGE_OF_CAMERA if camera else IMAGE), camera)


def measurement_topics(argument: Mapping[str, str], camera: str) -> list[tuple[str, str]]:
    """Return the topics of calibrations, depth and points: those given, or those beside the camera's images."""
    image = image_topic(argument, camera)

    def topic(name: str, default: str, *, is_shared: bool = False) -> str:
        given = argument[name]
        return default if given == NOT_GIVEN else _of_camera(name, given, camera, is_shared=is_shared)

    depth = topic("depth", _beside(image, "depth"))
    depth_info = f"{depth}/camera_info" if argument["depth"] == NOT_GIVEN else _beside(depth, "camera_info")
    return [
        ("camera_info", topic("camera_info", _beside(image, "camera_info"))),  # where image_transport puts it
        ("depth", depth),
        ("depth/camera_info", topic("depth_camera_info", depth_info)),
        ("points", topic("points", _beside(image, "points"), is_shared=True)),
    ]


def _beside(topic: str, name: str) -> str:
    folder, slash, _ = topic.rpartition("/")
    return f"{folder}{slash}{name}"


def _of_camera(name: str, topic: str, camera: str, *, is_shared: bool = False) -> str:
    if camera and not is_shared and "{camera}" not in topic:
        raise SettingError(f"{name}: received '{topic}' for `cameras`, expected {{camera}} in it, for their names")
    if not camera and "{camera}" in topic:
        raise SettingError(
            f"{name}: received '{topic}' without `cameras`, expected their names, cameras:=[front, left]"
        )
    return topic.replace("{camera}", camera)


def ground_name(camera: str) -> str:
    """Return the name of the drivable-area node of a camera."""
    return "_".join(filter(None, ("drivable_area", camera)))
