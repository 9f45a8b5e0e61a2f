"""Start the segmentation node on a camera topic: ros2 launch fanet_ros segment.launch.py image:=/camera/image_raw.

An argument that is not given leaves the value of params_file in force. Show all: ros2 launch ... --show-args
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fanet_ros.errors import SettingError
from fanet_ros.parameters import SegmentationParameters
from fanet_ros.resources import config_path
from fanet_ros.ros.transport import shipped_dds_environment

# Parameters of the node that are arguments as well; fanet_ros/parameters.py describes them.
NODE_PARAMETERS = ("image_transport", "backend", "device", "precision", "weights", "labels", "input_size", "autostart")
BOOLEANS = ["true", "false", "True", "False"]
NOT_GIVEN = ""


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the DDS settings, and the node (with RViz, where wanted)."""
    dds = shipped_dds_environment(processes=1)
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "image",
                default_value="/camera/image_raw",
                description="Topic of the camera's sensor_msgs/Image; relative names are inside `namespace`.",
            ),
            *(_parameter_argument(name) for name in NODE_PARAMETERS),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(config_path("segment.yaml")),
                description="YAML file with the node's parameters.",
            ),
            DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of the node."),
            DeclareLaunchArgument(
                "node_name", default_value="segmentation", description="Name of the node and start of its topics."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value=NOT_GIVEN,
                choices=[NOT_GIVEN, *BOOLEANS],
                description="Whether the node's clock follows /clock. Not given: as params_file says.",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="false",
                choices=["auto", "true", "false"],
                description="Show camera, overlay and colour mask in RViz; auto: where RViz and a display are there.",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error", "fatal"],
                description="Least severe messages that the node logs.",
            ),
            # For what else is launched from here on; the nodes set it themselves, and say so where they cannot.
            *(SetEnvironmentVariable(name, value) for name, value in dds.variables.items()),
            OpaqueFunction(function=_segmentation),
            OpaqueFunction(function=_rviz),
        ]
    )


def _parameter_argument(name: str) -> DeclareLaunchArgument:
    """Return the launch argument for a parameter of the node, with the description and choices of the parameter."""
    spec = SegmentationParameters.specs()[name]
    choices = BOOLEANS if isinstance(spec.default, bool) else list(spec.choices)
    return DeclareLaunchArgument(
        name,
        default_value=NOT_GIVEN,
        choices=[NOT_GIVEN, *choices] if choices else None,
        description=f"{spec.description} Not given: as params_file says.",
    )


def _segmentation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    params_file = Path(argument["params_file"])
    if not params_file.is_file():
        raise SettingError(f"params_file: received '{params_file}', expected an existing YAML file")
    kinds = {"use_sim_time": bool}
    kinds |= {name: type(spec.default) for name, spec in SegmentationParameters.specs().items()}
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kinds[name])
        for name in (*NODE_PARAMETERS, "use_sim_time")
        if argument[name] != NOT_GIVEN
    }
    return [
        Node(
            package="fanet_ros",
            executable="segmentation_node",
            namespace=argument["namespace"],
            name=argument["node_name"],
            parameters=[str(params_file), given],
            remappings=[("image", argument["image"]), ("image/compressed", f"{argument['image']}/compressed")],
            ros_arguments=["--log-level", argument["log_level"]],
            output="screen",
            emulate_tty=True,
        )
    ]


def _rviz(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
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
    name = argument["node_name"]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=argument["namespace"],
            arguments=["-d", str(config_path("segment.rviz"))],
            # The names on the left are those in segment.rviz.
            remappings=[
                ("/camera/image_raw", argument["image"]),
                ("/segmentation/overlay", f"{name}/overlay"),
                ("/segmentation/color_mask", f"{name}/color_mask"),
            ],
            output="log",
        )
    ]
