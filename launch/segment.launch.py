"""Start the segmentation node on a camera topic: ros2 launch fanet_ros segment.launch.py image:=/camera/image_raw.

With drivable_area:=true also the node that turns its masks into Nav2's inputs (docs/navigation.md). An argument that is
not given leaves the value of the parameter file in force. Show all: ros2 launch ... --show-args
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable

from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.specs import ParameterSpec
from fanet_ros.parameters.viewer import ViewerParameters
from fanet_ros.resources import config_path
from fanet_ros.ros.launching.arguments import (
    BOOLEANS,
    GROUND_PARAMETERS,
    IMAGE,
    IMAGE_OF_CAMERA,
    NODE_PARAMETERS,
    NOT_GIVEN,
)
from fanet_ros.ros.launching.nodes import nodes_of
from fanet_ros.ros.transport import shipped_dds_environment


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
            OpaqueFunction(function=lambda context: nodes_of(context.launch_configurations)),
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
