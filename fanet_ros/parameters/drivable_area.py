"""Every setting of the drivable-area node, once: default, description, range, and when it may change."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from fanet_ros.errors import SettingError
from fanet_ros.ground.accumulate import check_window
from fanet_ros.ground.settings import MAX_METRES, GroundSettings, ground_faults
from fanet_ros.measured.raster import raster_fault
from fanet_ros.measured.settings import MeasuredSettings
from fanet_ros.parameters.specs import Applies, Parameters, parameter

_DEFAULTS = GroundSettings()
_MEASURED = MeasuredSettings()

GEOMETRIES = ("flat", "depth", "cloud")
"""Where heights come from."""


def check_frame_id(text: str) -> None:
    """Accept the name of a coordinate frame as TF knows it; raise SettingError for anything else."""
    if not text or text.startswith("/") or any(character.isspace() for character in text):
        raise SettingError(
            f"received {text!r}, expected the name of a frame without a leading slash, such as base_link"
        )


@dataclass(frozen=True)
class DrivableAreaParameters(Parameters):
    """The values of one node's parameters. Field order is the order of the YAML file and of the table in the docs."""

    base_frame: str = parameter(
        "base_link", "Frame of all outputs (REP 105); its x-y plane is parallel to the ground.", check=check_frame_id
    )
    ground_z: float = parameter(_DEFAULTS.ground_z, "Height of the ground in base_frame, metres; base_footprint: 0.")
    camera_height: float = parameter(
        0.0,
        "Height of the camera in base_frame, metres. 0: the whole pose comes from TF, and the next five do not count.",
        minimum=0.0,
        maximum=100.0,
    )
    camera_x: float = parameter(
        0.0, "Where the camera is in base_frame, metres forward.", minimum=-MAX_METRES, maximum=MAX_METRES
    )
    camera_y: float = parameter(
        0.0, "Where the camera is in base_frame, metres to the left.", minimum=-MAX_METRES, maximum=MAX_METRES
    )
    camera_roll: float = parameter(
        0.0,
        "Turn of the camera about its line of sight, radians, positive to the right (REP 103).",
        minimum=-math.pi,
        maximum=math.pi,
    )
    camera_pitch: float = parameter(
        0.0, "Tilt of the camera, radians, positive looks down (REP 103).", minimum=-math.pi / 2, maximum=math.pi / 2
    )
    camera_yaw: float = parameter(
        0.0, "Heading of the camera, radians, positive to the left (REP 103).", minimum=-math.pi, maximum=math.pi
    )
    rectified: bool = parameter(
        False, "Whether the masks are of rectified images (image_rect): then CameraInfo's P counts, without distortion."
    )
    mask_transport: str = parameter(
        "raw",
        "raw subscribes to mask, compressed to mask/compressed (PNG, without loss), for masks of another machine.",
        choices=("raw", "compressed"),
    )
    labels: str = parameter(
        "",
        "Label set (name or YAML file) with the groups below; empty: the shipped one whose classes label_info names.",
    )
    drivable_group: str = parameter("drivable", "Group of the label set whose classes are free space.")
    flat_group: str = parameter(
        "walkable",
        "Group of the classes that lie flat on the ground; what of it is not drivable is occupied where it is seen.",
    )
    obstacle_group: str = parameter(
        "obstacle",
        "Group of the classes that stand up: only their lowest visible points are on the ground, and what is behind "
        "them is unseen.",
    )
    geometry: str = parameter(
        "flat",
        "Where heights come from: flat (none: all ground is taken to be flat), depth (a depth image on `depth` with "
        "`depth/camera_info`), cloud (a lidar's or stereo camera's points on `points`).",
        Applies.AT_START,
        choices=GEOMETRIES,
    )
    sync_tolerance: float = parameter(
        0.05, "Seconds that mask and measured depth may lie apart.", minimum=0.0, maximum=10.0
    )
    step_height: float = parameter(
        _MEASURED.step_height,
        "With depth or cloud: what stands higher than this above the ground is an obstacle whatever its class, metres.",
        minimum=0.01,
        maximum=2.0,
    )
    clearance: float = parameter(
        _MEASURED.clearance,
        "With depth or cloud: what is higher than this above the ground is driven under, metres.",
        minimum=0.01,
        maximum=100.0,
    )
    depth_max: float = parameter(
        _MEASURED.depth_max,
        "With depth or cloud: measurements farther away than this do not count, metres. As far as the sensor sees the "
        "floor.",
        minimum=0.1,
        maximum=1000.0,
    )
    max_slope: float = parameter(
        _MEASURED.max_slope,
        "With depth or cloud: how steep ground may be, metres of height a metre.",
        minimum=0.0,
        maximum=1.0,
    )
    range_min: float = parameter(
        _DEFAULTS.range_min, "Nearest ground that counts, metres from base_frame.", minimum=0.0
    )
    range_max: float = parameter(
        _DEFAULTS.range_max, "Farthest ground that counts, metres from base_frame.", minimum=0.1, maximum=1000.0
    )
    grid_x_min: float = parameter(_DEFAULTS.grid_x_min, "Rear edge of ~/free_space, metres.")
    grid_x_max: float = parameter(_DEFAULTS.grid_x_max, "Front edge of ~/free_space, metres.")
    grid_y_min: float = parameter(_DEFAULTS.grid_y_min, "Right edge of ~/free_space, metres.")
    grid_y_max: float = parameter(_DEFAULTS.grid_y_max, "Left edge of ~/free_space, metres.")
    grid_resolution: float = parameter(
        _DEFAULTS.grid_resolution, "Side of a cell of ~/free_space, metres.", minimum=0.005, maximum=10.0
    )
    scan_angle_increment: float = parameter(
        _DEFAULTS.scan_angle_increment,
        "Angle between two beams of ~/obstacle_scan, radians.",
        minimum=0.0005,
        maximum=0.5,
    )
    min_obstacle_pixels: int = parameter(
        _DEFAULTS.min_obstacle_pixels,
        "Pixels in a row, away from the robot, that make an obstacle; more hides specks, and small things far away. "
        "With depth: points in a cell.",
        minimum=1,
        maximum=100,
    )
    accumulate: bool = parameter(
        False,
        "Sum ~/free_space up over time (log odds) in odom_frame, where TF gives that frame; else one frame at a time.",
    )
    odom_frame: str = parameter(
        "odom", "Frame that is fixed to the world for a while (REP 105), for accumulate.", check=check_frame_id
    )
    memory_s: float = parameter(
        2.0, "Seconds after which an accumulated observation counts a third.", minimum=0.05, maximum=3600.0
    )
    input_timeout: float = parameter(2.0, "Seconds without a mask after which diagnostics report ERROR.", minimum=0.1)

    def contradictions(self) -> list[str]:
        """Return why these values cannot work together whatever the camera is, one sentence for each reason."""
        found = ground_faults({field.name: getattr(self, field.name) for field in fields(GroundSettings)})
        if self.accumulate and not found:
            try:
                check_window(self.ground_settings())
            except SettingError as error:
                found.append(str(error))
        if self.accumulate and self.odom_frame == self.base_frame:
            found.append(
                f"odom_frame: received {self.odom_frame!r}, which is base_frame, too; accumulate needs a frame that "
                "the robot moves in, such as odom"
            )
        if 0 < self.camera_height <= self.ground_z:
            found.append(
                f"camera_height: received {self.camera_height:g}, expected more than ground_z ({self.ground_z:g}): the "
                "camera must be above the ground"
            )
        if self.geometry != "flat" and not found:
            found += self._measured_faults()
        return found

    def _measured_faults(self) -> list[str]:
        try:
            fault = raster_fault(self.ground_settings(), self.measured_settings())
        except SettingError as error:
            return [str(error)]
        if self.depth_max <= self.range_min:
            fault = f"depth_max: received {self.depth_max:g}, expected more than range_min ({self.range_min:g})"
        return [fault] if fault else []

    def measured_settings(self) -> MeasuredSettings:
        """Return what counts as an obstacle where heights are measured.

        Raises:
            SettingError: values that contradict each other.
        """
        return MeasuredSettings(
            self.step_height, self.clearance, self.depth_max, self.max_slope, self.min_obstacle_pixels
        )

    def ground_settings(self) -> GroundSettings:
        """Return what the projection needs.

        Raises:
            SettingError: values that contradict each other.
        """
        return GroundSettings(**{field.name: getattr(self, field.name) for field in fields(GroundSettings)})
