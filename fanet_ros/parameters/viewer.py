"""The parameters of the viewer node."""

from __future__ import annotations

from dataclasses import dataclass

from fanet_ros.parameters.segmentation import check_cameras
from fanet_ros.parameters.specs import Applies, Parameters, parameter


@dataclass(frozen=True)
class ViewerParameters(Parameters):
    """The values of the viewer node's parameters; it reads them once, when it starts."""

    port: int = parameter(
        9090,
        "Port of the page on localhost; data goes over the next one. 0: no page, only `save`.",
        Applies.AT_START,
        minimum=0,
        maximum=65534,
    )
    browser: bool = parameter(
        True, "Open the page in this machine's browser, where there is a display.", Applies.AT_START
    )
    rate_hz: float = parameter(
        10.0, "Most pictures per second that are shown of a camera.", Applies.AT_START, minimum=0.1, maximum=60.0
    )
    confidence: bool = parameter(
        False,
        "Also show ~/confidence. The segmentation node computes it only then, which makes it a little slower.",
        Applies.AT_START,
    )
    image_transport: str = parameter(
        "raw",
        "raw subscribes to image, compressed to image/compressed, as the segmentation node does.",
        Applies.AT_START,
        choices=("raw", "compressed"),
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "The segmentation node's `cameras`; each gets a tab. Empty: one camera.",
        Applies.AT_START,
        check=check_cameras,
    )
    drivable_area: str = parameter(
        "drivable_area",
        "Name of the drivable-area node whose results are shown, with `cameras` NAME_CAMERA; its parameters tell where "
        "the camera is. Empty: none, and no view of the ground.",
        Applies.AT_START,
    )
    labels: str = parameter(
        "", "Label set with the classes' colours; empty: the shipped one that has these classes.", Applies.AT_START
    )
    save: str = parameter(
        "",
        "Also write what is shown to this file (.rrd, at most 100 MB), whether a browser looks or not; empty: none.",
        Applies.AT_START,
    )
