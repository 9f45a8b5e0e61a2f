"""The parameters of the camera node."""

from __future__ import annotations

from dataclasses import dataclass

from fanet_ros.parameters.specs import Applies, Parameters, parameter
from fanet_ros.settings import MAX_SIDE


@dataclass(frozen=True)
class CameraParameters(Parameters):
    """The values of the camera node's parameters; it reads them once, when it starts."""

    source: str = parameter(
        "street", "street (procedural), the path of a video or an image folder, or a V4L2 device.", Applies.AT_START
    )
    rate_hz: float = parameter(
        0.0,
        "Images per second; 0: the source's own rate, or 30 if it has none.",
        Applies.AT_START,
        minimum=0.0,
        maximum=1000.0,
    )
    width: int = parameter(
        0,
        "Width in pixels of the street's images, or asked of a V4L2 camera; 0: its own. Files keep their size.",
        Applies.AT_START,
        minimum=0,
        maximum=MAX_SIDE,
    )
    height: int = parameter(0, "Height in pixels, likewise.", Applies.AT_START, minimum=0, maximum=MAX_SIDE)
    frame_id: str = parameter(
        "",
        "Coordinate frame of the images: the camera's optical frame (REP 103); empty: the node's full name and "
        "_optical_frame, such as camera_optical_frame or front/camera_optical_frame.",
        Applies.AT_START,
    )
    calibration: str = parameter(
        "",
        "The camera's calibration: path or file:// URL of the YAML file that camera_calibration writes, of the "
        "images' size. Without it and horizontal_fov, footage has no camera_info.",
        Applies.AT_START,
    )
    horizontal_fov: float = parameter(
        0.0,
        "Horizontal field of view in radians, for a camera_info where there is no calibration: a lens without "
        "distortion is assumed, so distances are estimates. 0: not known.",
        Applies.AT_START,
        minimum=0.0,
        maximum=3.0,
    )
    loop: bool = parameter(True, "Start over at the end of the source; false: end the node.", Applies.AT_START)
    seed: int = parameter(0, "Seed of the procedural street.", Applies.AT_START, minimum=0, maximum=2**31 - 1)
    depth: str = parameter(
        "off",
        "Depth camera of the street: off, registered (every pixel is the image's pixel) or aside (5 cm to the right, "
        "with a frame and a size of its own). It measures as stereo cameras do: with noise, steps and holes.",
        Applies.AT_START,
        choices=("off", "registered", "aside"),
    )
    lidar: bool = parameter(False, "Lidar of the street: 16 rings, 0.3 m above the camera.", Applies.AT_START)
    frames: int = parameter(
        0, "End the node after that many images; 0: never.", Applies.AT_START, minimum=0, maximum=2**31 - 1
    )
    wait_for_subscribers: int = parameter(
        0, "Start when that many nodes subscribe to ~/image_raw.", Applies.AT_START, minimum=0, maximum=100
    )
