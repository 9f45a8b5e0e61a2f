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
        0, "Width of the images in pixels; 0: the source's own.", Applies.AT_START, minimum=0, maximum=MAX_SIDE
    )
    height: int = parameter(
        0, "Height of the images in pixels; 0: the source's own.", Applies.AT_START, minimum=0, maximum=MAX_SIDE
    )
    frame_id: str = parameter(
        "camera_optical_frame",
        "Coordinate frame of the images: the camera's optical frame (REP 103).",
        Applies.AT_START,
    )
    loop: bool = parameter(True, "Start over at the end of the source; false: end the node.", Applies.AT_START)
    seed: int = parameter(0, "Seed of the procedural street.", Applies.AT_START, minimum=0, maximum=2**31 - 1)
    frames: int = parameter(
        0, "End the node after that many images; 0: never.", Applies.AT_START, minimum=0, maximum=2**31 - 1
    )
    wait_for_subscribers: int = parameter(
        0, "Start when that many nodes subscribe to ~/image_raw.", Applies.AT_START, minimum=0, maximum=100
    )
