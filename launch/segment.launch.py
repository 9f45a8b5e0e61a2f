"""Start the segmentation node on a camera topic: ros2 launch fanet_ros segment.launch.py image:=/camera/image_raw.

With drivable_area:=true also the node that turns its masks into Nav2's inputs (docs/navigation.md). An argument that is
not given leaves the value of the parameter file in force. Show all: ros2 launch ... --show-args
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fanet_ros.errors import LabelSetError, SettingError
from fanet_ros.model.model_card import read_card
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.specs import ParameterSpec
from fanet_ros.parameters.viewer import ViewerParameters
from fanet_ros.resources import config_path
from fanet_ros.ros.transport import shipped_dds_environment
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


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the DDS settings, and the nodes (with RViz or the browser's view, where wanted)."""
    segmentation, ground = SegmentationParameters.specs(), DrivableAreaParameters.specs()
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "image",
                default_value=NOT_GIVEN,
                description="Topic of the camera's sensor_msgs/Image; relative names are inside `namespace`; {camera} "
                f"stands for each name in `cameras`. Not given: {IMAGE}, with `cameras` {IMAGE_OF_CAMERA}.",
            ),
            DeclareLaunchArgument(
                "cameras",
                default_value=NOT_GIVEN,
                description=f"{segmentation['cameras'].description} For example [front, left, right]. "
                "Not given: as params_file says.",
            ),
            *(_parameter_argument(segmentation[name], "params_file") for name in NODE_PARAMETERS),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(config_path("segment.yaml")),
                description="YAML file with the node's parameters.",
            ),
            DeclareLaunchArgument(
                "drivable_area",
                default_value="false",
                choices=BOOLEANS,
                description="Also start the node that turns masks into free space, obstacles and a scan for Nav2.",
            ),
            DeclareLaunchArgument(
                "camera_info",
                default_value=NOT_GIVEN,
                description="Topic of the camera's sensor_msgs/CameraInfo, with {camera} as in `image`. "
                "Not given: camera_info beside the image.",
            ),
            DeclareLaunchArgument(
                "depth",
                default_value=NOT_GIVEN,
                description="Topic of the depth camera's sensor_msgs/Image, for geometry:=depth, with {camera} as in "
                "`image`. Not given: depth beside the image.",
            ),
            DeclareLaunchArgument(
                "depth_camera_info",
                default_value=NOT_GIVEN,
                description="Topic of the depth camera's sensor_msgs/CameraInfo, likewise. Not given: camera_info "
                "beside `depth`; without that depth/camera_info beside the image.",
            ),
            DeclareLaunchArgument(
                "points",
                default_value=NOT_GIVEN,
                description="Topic of a lidar's or stereo camera's sensor_msgs/PointCloud2, for geometry:=cloud; "
                "cameras may share one, or have {camera} in it. Not given: points beside the image.",
            ),
            *(_parameter_argument(ground[name], "drivable_params_file") for name in GROUND_PARAMETERS),
            DeclareLaunchArgument(
                "drivable_params_file",
                default_value=str(config_path("drivable_area.yaml")),
                description="YAML file with the parameters of the drivable-area node.",
            ),
            DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of the nodes."),
            DeclareLaunchArgument(
                "node_name", default_value="segmentation", description="Name of the node and start of its topics."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value=NOT_GIVEN,
                choices=[NOT_GIVEN, *BOOLEANS],
                description="Whether the nodes' clock follows /clock. Not given: as the parameter files say.",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="false",
                choices=["auto", "true", "false"],
                description="Show what the nodes see and publish in RViz; auto: where RViz and a display are there.",
            ),
            DeclareLaunchArgument(
                "view",
                default_value="false",
                choices=BOOLEANS,
                description="Show what the nodes see and publish in a browser on this machine (docs/view.md); the "
                "address is in the log.",
            ),
            DeclareLaunchArgument(
                "view_port",
                default_value=str(ViewerParameters().port),
                description="Port of that page on localhost; data goes over the next one.",
            ),
            DeclareLaunchArgument(
                "view_confidence",
                default_value="false",
                choices=BOOLEANS,
                description=f"With view: {ViewerParameters.specs()['confidence'].description}",
            ),
            DeclareLaunchArgument(
                "enclave",
                default_value=NOT_GIVEN,
                description="SROS2: security enclave under which each node has its own, /fanet_ros for "
                "/fanet_ros/segmentation and so on (docs/security.md). Not given: none.",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error", "fatal"],
                description="Least severe messages that the nodes log.",
            ),
            OpaqueFunction(function=_transport),
            OpaqueFunction(function=_nodes),
        ]
    )


def _parameter_argument(spec: ParameterSpec, file: str) -> DeclareLaunchArgument:
    """Return the launch argument for a parameter of a node, with the description and choices of the parameter."""
    choices = BOOLEANS if isinstance(spec.default, bool) else list(spec.choices)
    return DeclareLaunchArgument(
        spec.name,
        default_value=NOT_GIVEN,
        choices=[NOT_GIVEN, *choices] if choices else None,
        description=f"{spec.description} Not given: as {file} says.",
    )


def _transport(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Set the DDS profile for what is launched from here on; the nodes set it themselves, and say where they cannot.

    Only when something is launched: it clears shared memory, which showing the arguments must not.
    """
    return [SetEnvironmentVariable(name, value) for name, value in shipped_dds_environment().variables.items()]


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Check all arguments first, so that a wrong one starts nothing."""
    argument = context.launch_configurations
    cameras = _cameras(argument["cameras"])
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
        own, image = f"{camera}/image".lstrip("/"), _image(argument, camera)
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
    if "labels" not in given and not _in_file(argument["drivable_params_file"], "labels"):
        given |= _labels_of_weights(argument)
    masks = "/".join(filter(None, (argument["node_name"], camera)))
    remappings = [
        ("mask", f"{masks}/mask"),  # and so mask/compressed, which the node names after it
        ("confidence", f"{masks}/confidence"),
        ("label_info", f"{argument['node_name']}/label_info"),
        *_measurements(argument, camera),
    ]
    name = _ground_name(camera)
    return _node(argument, "drivable_area_node", name, "drivable_params_file", given, remappings)


def _viewer(argument: Mapping[str, str], cameras: tuple[str, ...], shows_ground: bool) -> Node:
    labels = argument["labels"] or _labels_of_weights(argument).get("labels", "")
    transport = argument["image_transport"] or _in_file(argument["params_file"], "image_transport")
    _check_number("view_port", argument["view_port"], int)
    given = {
        **_given(argument, (), {}),
        "port": int(argument["view_port"]),
        "confidence": argument["view_confidence"] in ("true", "True"),
        "drivable_area": _ground_name("") if shows_ground else "",
        **({"labels": labels} if labels else {}),
        **({"image_transport": transport} if transport else {}),
        **({"cameras": list(cameras)} if cameras else {}),
    }
    remappings = [("label_info", f"{argument['node_name']}/label_info")]
    for camera in cameras or ("",):
        own = f"{camera}/" if camera else ""
        masks = "/".join(filter(None, (argument["node_name"], camera)))
        image, ground = _image(argument, camera), _ground_name(camera)
        remappings += [(f"{own}image", image), (f"{own}image/compressed", f"{image}/compressed")]
        remappings += [(f"{own}{name}", f"{masks}/{name}") for name in ("mask", "confidence", "stats")]
        remappings += [(f"{own}{name}", f"{ground}/{name}") for name in GROUND_OUTPUTS]
        remappings.append((f"{own}camera_info", dict(_measurements(argument, camera))["camera_info"]))
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


def _labels_of_weights(argument: Mapping[str, str]) -> dict[str, str]:
    """Return the label set that the segmentation node will have, where it need not be a shipped one."""
    labels = _in_file(argument["params_file"], "labels")
    weights = argument["weights"] or _in_file(argument["params_file"], "weights")
    if not labels and weights:
        with contextlib.suppress(LabelSetError):  # the segmentation node tells
            labels = read_card(Path(weights).expanduser()).label_set or ""
    return {"labels": labels} if labels else {}


def _in_file(path: str, name: str) -> str:
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


def _given(argument: Mapping[str, str], names: Iterable[str], specs: Mapping[str, ParameterSpec]) -> dict[str, Any]:
    """Return the arguments that were given, as parameters of their types."""
    given: dict[str, Any] = {}
    for name in (*names, "use_sim_time"):
        text = argument[name]
        if text == NOT_GIVEN:
            continue
        kind = type(specs[name].default) if name in specs else bool
        if kind is tuple:
            given[name] = _texts(name, text)
            continue
        if kind in (int, float):
            _check_number(name, text, kind)
        given[name] = ParameterValue(LaunchConfiguration(name), value_type=kind)
    return given


def _check_number(name: str, text: str, kind: type) -> None:
    """Refuse what is no number; launch's own refusal would not name the argument."""
    try:
        kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise SettingError(f"{name}: received {text!r}, expected {wanted}") from None


def _texts(name: str, text: str) -> list[str]:
    """Return one value, or those of a list in brackets."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = None
    values = values if isinstance(values, list) else [values]
    if not values or not all(isinstance(value, str | int) for value in values):
        raise SettingError(f"{name}: received {text!r}, expected one value, or one for each camera as in [0, 180, 0]")
    return [str(value) for value in values]


def _cameras(text: str) -> tuple[str, ...]:
    if text == NOT_GIVEN:
        return ()
    try:
        names = yaml.safe_load(text)
    except yaml.YAMLError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise SettingError(f"cameras: received {text!r}, expected a list of names such as [front, left, right]")
    return tuple(names)


def _image(argument: Mapping[str, str], camera: str) -> str:
    """Return the image topic of a camera."""
    return _of_camera("image", argument["image"] or (IMAGE_OF_CAMERA if camera else IMAGE), camera)


def _measurements(argument: Mapping[str, str], camera: str) -> list[tuple[str, str]]:
    """Return the topics of calibrations, depth and points: those given, or those beside the camera's images."""
    image = _image(argument, camera)

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


def _ground_name(camera: str) -> str:
    return "_".join(filter(None, ("drivable_area", camera)))


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
        ("/camera/image_raw", _image(argument, camera)),
        ("/segmentation/overlay", f"{masks}/overlay"),
        ("/segmentation/color_mask", f"{masks}/color_mask"),
    ]
    arguments = ["-d", str(config_path("segment.rviz"))]
    if shows_ground:
        ground = _ground_name(camera)
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
