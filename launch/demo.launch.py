"""Start a camera and the segmentation node: ros2 launch fanet_ros demo.launch.py [source:=/path/to/video.mp4].

The camera plays a procedural street unless another source is given. All arguments of segment.launch.py work here, too,
except `image`. Show all: ros2 launch fanet_ros demo.launch.py --show-args
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fanet_ros.errors import SettingError
from fanet_ros.parameters import CameraParameters
from fanet_ros.ros.transport import shipped_dds_environment

# Parameters of the camera node that are arguments as well; fanet_ros/parameters.py describes them.
CAMERA_PARAMETERS = ("source", "rate_hz", "width", "height", "frame_id", "loop", "seed")
BOOLEANS = ["true", "false", "True", "False"]
NOT_GIVEN = ""


def generate_launch_description() -> LaunchDescription:
    """Return the camera, and segment.launch.py on its images."""
    dds = shipped_dds_environment(processes=2)
    return LaunchDescription(
        [
            *(_camera_argument(name) for name in CAMERA_PARAMETERS),
            DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of both nodes."),
            # auto, where segment.launch.py alone has false: a demo is there to be looked at.
            DeclareLaunchArgument(
                "rviz",
                default_value="auto",
                choices=["auto", "true", "false"],
                description="Show camera, overlay and colour mask in RViz; auto: where RViz and a display are there.",
            ),
            # For what else is launched from here on; the nodes set it themselves, and say so where they cannot.
            *(SetEnvironmentVariable(name, value) for name, value in dds.variables.items()),
            OpaqueFunction(function=_camera),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(Path(__file__).with_name("segment.launch.py"))),
                launch_arguments={"image": "camera/image_raw"}.items(),
            ),
        ]
    )


def _camera_argument(name: str) -> DeclareLaunchArgument:
    """Return the launch argument for a parameter of the camera node, with the parameter's description."""
    spec = CameraParameters.specs()[name]
    return DeclareLaunchArgument(
        name,
        default_value=NOT_GIVEN,
        choices=[NOT_GIVEN, *BOOLEANS] if isinstance(spec.default, bool) else None,
        description=f"{spec.description} Not given: {spec.default}.",
    )


def _camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    given = {
        name: _read(name, argument[name], type(CameraParameters.specs()[name].default))
        for name in CAMERA_PARAMETERS
        if argument[name] != NOT_GIVEN
    }
    return [
        Node(
            package="fanet_ros",
            executable="camera_node",
            namespace=argument["namespace"],
            name="camera",
            parameters=[given],
            output="screen",
            emulate_tty=True,
        )
    ]


def _read(name: str, text: str, kind: type) -> ParameterValue:
    """Return an argument as a parameter of its type; launch's own refusal would not name the argument."""
    if kind in (int, float):
        try:
            kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise SettingError(f"{name}: received {text!r}, expected {expected}") from None
    return ParameterValue(LaunchConfiguration(name), value_type=kind)
