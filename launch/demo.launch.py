"""Start a camera and the segmentation node: ros2 launch fanet_ros demo.launch.py [source:=/path/to/video.mp4].

The camera plays a procedural street unless another source is given. All arguments of segment.launch.py work here, too,
except `image` and `cameras`; drivable_area:=true knows where the street's camera is, and geometry:=depth or cloud
turns on its depth camera or lidar.
Show all: ros2 launch fanet_ros demo.launch.py --show-args
"""

from collections.abc import Mapping
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fanet_ros.errors import SettingError
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.ros.transport import shipped_dds_environment
from fanet_ros.sources.street.scene import NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD

# Parameters of the camera node that are arguments as well; fanet_ros/parameters/ describes them.
CAMERA_PARAMETERS = (
    "source",
    "rate_hz",
    "width",
    "height",
    "frame_id",
    "calibration",
    "horizontal_fov",
    "loop",
    "seed",
    "lidar",
)
BOOLEANS = ["true", "false", "True", "False"]
NOT_GIVEN = ""
MEASURED_BY = {"depth": "depth", "cloud": "points"}  # the topic that each geometry needs
STREET_POSE = {"camera_height": str(NOMINAL_HEIGHT_M), "camera_pitch": str(NOMINAL_PITCH_RAD)}


def generate_launch_description() -> LaunchDescription:
    """Return the camera, and segment.launch.py on its images."""
    return LaunchDescription(
        [
            *(_camera_argument(name) for name in CAMERA_PARAMETERS),
            # The camera node's parameter `depth`: the argument of that name is segment.launch.py's topic.
            DeclareLaunchArgument(
                "depth_sensor",
                default_value=NOT_GIVEN,
                choices=[NOT_GIVEN, *CameraParameters.specs()["depth"].choices],
                description=f"{CameraParameters.specs()['depth'].description} Not given: registered where geometry is "
                "depth, else off.",
            ),
            DeclareLaunchArgument("namespace", default_value="", description="ROS namespace of both nodes."),
            # auto, where segment.launch.py alone has false: a demo is there to be looked at.
            DeclareLaunchArgument(
                "rviz",
                default_value="auto",
                choices=["auto", "true", "false"],
                description="Show camera, overlay and colour mask in RViz; auto: where RViz and a display are there.",
            ),
            OpaqueFunction(function=_transport),
            # Whatever may raise comes before what starts a process: launch would end and leave it behind.
            OpaqueFunction(function=_check),
            OpaqueFunction(function=_pose),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(Path(__file__).with_name("segment.launch.py"))),
                launch_arguments={"image": "camera/image_raw", "cameras": NOT_GIVEN}.items(),
            ),
            OpaqueFunction(function=_camera),
        ]
    )


def _transport(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Set the DDS profile for what is launched from here on; the nodes set it themselves, and say where they cannot."""
    dds = shipped_dds_environment(processes=2)
    return [SetEnvironmentVariable(name, value) for name, value in dds.variables.items()]


def _camera_argument(name: str) -> DeclareLaunchArgument:
    """Return the launch argument for a parameter of the camera node, with the parameter's description."""
    spec = CameraParameters.specs()[name]
    return DeclareLaunchArgument(
        name,
        default_value=NOT_GIVEN,
        choices=[NOT_GIVEN, *BOOLEANS] if isinstance(spec.default, bool) else None,
        description=f"{spec.description} Not given: {'empty' if spec.default == '' else spec.default}.",
    )


def _given(context: LaunchContext) -> dict[str, ParameterValue]:
    """Return the camera's parameters among the arguments; raises where one is wrong."""
    argument = context.launch_configurations
    given = {
        name: _read(name, argument[name], type(CameraParameters.specs()[name].default))
        for name in CAMERA_PARAMETERS
        if argument[name] != NOT_GIVEN
    }
    return given | _sensors(argument, given)


def _sensors(argument: Mapping[str, str], given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Return the parameters that turn on what the geometry needs, unless the user gives them or its topic."""
    geometry, sensor = argument.get("geometry", NOT_GIVEN), argument["depth_sensor"]
    needed = MEASURED_BY.get(geometry, NOT_GIVEN)
    is_elsewhere = argument.get(needed, NOT_GIVEN) != NOT_GIVEN
    if needed and not is_elsewhere and not _plays_street(argument):
        raise SettingError(
            f"geometry: received '{geometry}' for {argument['source']}, which measures no distances; give the topic of "
            f"those that belong to it, {needed}:=/your/topic, or leave source out for the street"
        )
    found: dict[str, ParameterValue] = {}
    if not sensor and geometry == "depth" and not is_elsewhere:
        sensor = "registered"
    if sensor:
        found["depth"] = ParameterValue(sensor, value_type=str)
    if geometry == "cloud" and not is_elsewhere and "lidar" not in given:
        found["lidar"] = ParameterValue(True, value_type=bool)
    return found


def _plays_street(argument: Mapping[str, str]) -> bool:
    return argument["source"] in (NOT_GIVEN, CameraParameters.specs()["source"].default)


def _check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    _given(context)
    return []


def _camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    enclave = context.launch_configurations["enclave"]
    return [
        Node(
            package="fanet_ros",
            executable="camera_node",
            namespace=context.launch_configurations["namespace"],
            name="camera",
            parameters=[_given(context)],
            # segment.launch.py, which comes before, has checked it
            ros_arguments=["--enclave", f"{enclave.rstrip('/')}/camera"] if enclave else [],
            output="screen",
            emulate_tty=True,
        )
    ]


def _pose(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Set the pose of the street's camera for the drivable-area node, unless the user gives one."""
    argument = context.launch_configurations
    if not _plays_street(argument) or any(argument.get(name, NOT_GIVEN) != NOT_GIVEN for name in STREET_POSE):
        return []
    return [SetLaunchConfiguration(name, value) for name, value in STREET_POSE.items()]


def _read(name: str, text: str, kind: type) -> ParameterValue:
    """Return an argument as a parameter of its type; launch's own refusal would not name the argument."""
    if kind in (int, float):
        try:
            kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise SettingError(f"{name}: received {text!r}, expected {expected}") from None
    return ParameterValue(LaunchConfiguration(name), value_type=kind)
