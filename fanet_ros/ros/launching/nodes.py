"""The nodes that segment.launch.py starts, with their parameters and remappings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import LogInfo
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fanet_ros.errors import SettingError
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.specs import ParameterSpec
from fanet_ros.resources import config_path
from fanet_ros.ros.launching.arguments import (
    GROUND_OUTPUTS,
    GROUND_PARAMETERS,
    NODE_PARAMETERS,
    NOT_GIVEN,
    POSE_PARAMETERS,
    camera_names,
    check_number,
    ground_name,
    image_topic,
    in_file,
    labels_of_weights,
    measurement_topics,
    one_or_several,
)


def nodes_of(argument: Mapping[str, str]) -> list[LaunchDescriptionEntity]:
    """Return what the arguments of segment.launch.py start; all are checked first, so that a wrong one starts nothing.

    Raises:
        SettingError: an argument is wrong.
    """
    cameras = camera_names(argument["cameras"])
    wants_ground = argument["drivable_area"] in ("true", "True")
    # "" is the one camera that has no name.
    nodes = [_segmentation(argument, cameras)]
    if wants_ground:
        nodes += [_drivable_area(argument, camera, len(cameras)) for camera in cameras or ("",)]
    if argument["view"] in ("true", "True"):
        nodes.append(_viewer(argument, cameras, wants_ground))
    return [*nodes, *_rviz(argument, cameras[0] if cameras else "", wants_ground)]


def _segmentation(argument: Mapping[str, str], cameras: tuple[str, ...]) -> Node:
    given = _given(argument, NODE_PARAMETERS, SegmentationParameters.specs())
    if cameras:
        given["cameras"] = list(cameras)
    remappings = []
    for camera in cameras or ("",):
        own, image = f"{camera}/image".lstrip("/"), image_topic(argument, camera)
        remappings += [(own, image), (f"{own}/compressed", f"{image}/compressed")]
    return _node(argument, "segmentation_node", argument["node_name"], "params_file", given, remappings)


def _drivable_area(argument: Mapping[str, str], camera: str, count: int) -> Node:
    posed = [name for name in POSE_PARAMETERS if argument[name] != NOT_GIVEN]
    if count > 1 and posed:
        raise SettingError(
            f"{posed[0]}: received {argument[posed[0]]!r} for {count} cameras, expected one camera; give each its pose "
            "by TF, or in drivable_params_file under its node's name, such as /drivable_area_front"
        )
    given = _given(argument, (*GROUND_PARAMETERS, "labels"), DrivableAreaParameters.specs())
    if "labels" not in given and not in_file(argument["drivable_params_file"], "labels"):
        given |= labels_of_weights(argument)
    masks = "/".join(filter(None, (argument["node_name"], camera)))
    remappings = [
        ("mask", f"{masks}/mask"),  # and so mask/compressed, which the node names after it
        ("confidence", f"{masks}/confidence"),
        ("label_info", f"{argument['node_name']}/label_info"),
        *measurement_topics(argument, camera),
    ]
    name = ground_name(camera)
    return _node(argument, "drivable_area_node", name, "drivable_params_file", given, remappings)


def _viewer(argument: Mapping[str, str], cameras: tuple[str, ...], shows_ground: bool) -> Node:
    labels = argument["labels"] or labels_of_weights(argument).get("labels", "")
    transport = argument["image_transport"] or in_file(argument["params_file"], "image_transport")
    check_number("view_port", argument["view_port"], int)
    given = {
        **_given(argument, (), {}),
        "port": int(argument["view_port"]),
        "confidence": argument["view_confidence"] in ("true", "True"),
        "drivable_area": ground_name("") if shows_ground else "",
        **({"labels": labels} if labels else {}),
        **({"image_transport": transport} if transport else {}),
        **({"cameras": list(cameras)} if cameras else {}),
    }
    remappings = [("label_info", f"{argument['node_name']}/label_info")]
    for camera in cameras or ("",):
        own = f"{camera}/" if camera else ""
        masks = "/".join(filter(None, (argument["node_name"], camera)))
        image, ground = image_topic(argument, camera), ground_name(camera)
        remappings += [(f"{own}image", image), (f"{own}image/compressed", f"{image}/compressed")]
        remappings += [(f"{own}{name}", f"{masks}/{name}") for name in ("mask", "confidence", "stats")]
        remappings += [(f"{own}{name}", f"{ground}/{name}") for name in GROUND_OUTPUTS]
        remappings.append((f"{own}camera_info", dict(measurement_topics(argument, camera))["camera_info"]))
    return Node(
        package="fanet_ros",
        executable="viewer_node",
        namespace=argument["namespace"],
        name="viewer",
        parameters=[given],
        remappings=remappings,
        ros_arguments=["--log-level", argument["log_level"], *_enclave(argument, "viewer")],
        output="screen",
        emulate_tty=True,
    )


def _node(
    argument: Mapping[str, str],
    executable: str,
    name: str,
    file_argument: str,
    given: dict[str, Any],
    remappings: list[tuple[str, str]],
) -> Node:
    params_file = Path(argument[file_argument])
    if not params_file.is_file():
        raise SettingError(f"{file_argument}: received '{params_file}', expected an existing YAML file")
    return Node(
        package="fanet_ros",
        executable=executable,
        namespace=argument["namespace"],
        name=name,
        parameters=[str(params_file), given],
        remappings=remappings,
        ros_arguments=["--log-level", argument["log_level"], *_enclave(argument, name)],
        output="screen",
        emulate_tty=True,
    )


def _enclave(argument: Mapping[str, str], name: str) -> list[str]:
    """Return what gives a node the enclave of its name; RViz has none of ours."""
    parent = argument["enclave"]
    if parent == NOT_GIVEN:
        return []
    if not parent.startswith("/"):
        raise SettingError(f"enclave: received '{parent}', expected an absolute name such as /fanet_ros")
    return ["--enclave", f"{parent.rstrip('/')}/{name}"]


def _rviz(argument: Mapping[str, str], camera: str, shows_ground: bool) -> list[LaunchDescriptionEntity]:
    wanted = argument["rviz"]
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if wanted == "false" or (wanted == "auto" and not has_display):
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        if wanted == "auto":
            return []
        return [LogInfo(msg="fanet_ros: RViz is not started, because the package 'rviz2' is not installed")]
    masks = "/".join(filter(None, (argument["node_name"], camera)))
    # The names on the left are those in segment.rviz and navigate.rviz.
    remappings = [
        ("/camera/image_raw", image_topic(argument, camera)),
        ("/segmentation/overlay", f"{masks}/overlay"),
        ("/segmentation/color_mask", f"{masks}/color_mask"),
    ]
    arguments = ["-d", str(config_path("segment.rviz"))]
    if shows_ground:
        ground = ground_name(camera)
        remappings += [
            ("/drivable_area/free_space", f"{ground}/free_space"),
            ("/drivable_area/obstacle_scan", f"{ground}/obstacle_scan"),
            ("/drivable_area/semantic_points", f"{ground}/semantic_points"),
            ("/drivable_area/obstacle_cloud", f"{ground}/obstacle_cloud"),
        ]
        arguments = ["-d", str(config_path("navigate.rviz"))]
        if argument["base_frame"] != NOT_GIVEN:
            arguments += ["-f", argument["base_frame"]]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=argument["namespace"],
            arguments=arguments,
            remappings=remappings,
            output="log",
        )
    ]


def _given(argument: Mapping[str, str], names: Iterable[str], specs: Mapping[str, ParameterSpec]) -> dict[str, Any]:
    """Return the arguments that were given, as parameters of their types."""
    given: dict[str, Any] = {}
    for name in (*names, "use_sim_time"):
        text = argument[name]
        if text == NOT_GIVEN:
            continue
        kind = type(specs[name].default) if name in specs else bool
        if kind is tuple:
            given[name] = one_or_several(name, text)
            continue
        if kind in (int, float):
            check_number(name, text, kind)
        given[name] = ParameterValue(LaunchConfiguration(name), value_type=kind)
    return given
