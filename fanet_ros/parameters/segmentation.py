"""The parameters of the segmentation node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanet_ros.errors import SettingError
from fanet_ros.frames.look import Look, check_regions, check_rotations, read_looks
from fanet_ros.parameters.specs import Applies, Parameters, parameter
from fanet_ros.settings import BACKENDS, PRECISIONS, check_device, check_input_size, check_output_size
from fanet_ros.video.video_memory import MAX_TEMPORAL_FRAMES

MAX_CAMERAS = 8
"""Of one node: more than one model serves at a useful rate."""


def check_cameras(names: tuple[str, ...]) -> None:
    """Accept at most 8 different names that can be one part of a topic's; raise SettingError for anything else."""
    if len(names) > MAX_CAMERAS:
        raise SettingError(f"received {len(names)} cameras, expected at most {MAX_CAMERAS}")
    for name in names:
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,49}", name) is None:
            raise SettingError(
                f"received the name {name!r}, expected a letter and then at most 49 letters, digits or underscores; "
                "another topic is chosen by remapping NAME/image"
            )
        if names.count(name) > 1:
            raise SettingError(f"received '{name}' {names.count(name)} times, expected different names")


@dataclass(frozen=True)
class SegmentationParameters(Parameters):
    """The values of one node's parameters. Field order is the order of the YAML file and of the table in the docs."""

    weights: str = parameter(
        "",
        "Checkpoint (.safetensors, .pth) of FANet, or any network (.onnx, OpenVINO's .xml) with a card "
        "(docs/networks.md); empty or `shipped`: the shipped FANet-18 for CamVid's 11 classes.",
        Applies.AT_CONFIGURE,
    )
    labels: str = parameter(
        "",
        "Label set: a shipped one (camvid11, ...) or the path of a YAML file, also one that merges the network's "
        "classes (drivable3); empty: what the weights' card names.",
        Applies.AT_CONFIGURE,
    )
    backend: str = parameter(
        "auto",
        "What runs the network; auto: tensorrt or torch on a CUDA GPU, else openvino or torch on the CPU.",
        Applies.AT_CONFIGURE,
        choices=BACKENDS,
    )
    device: str = parameter(
        "auto", "auto (a CUDA GPU if there is one), cpu, cuda or cuda:INDEX.", Applies.AT_CONFIGURE, check=check_device
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the network; auto: the fastest that passed the accuracy gate (docs/calibration.md).",
        Applies.AT_CONFIGURE,
        choices=PRECISIONS,
    )
    threads: int = parameter(
        0,
        "CPU threads of network and labels; 0: as many as the process may use.",
        Applies.AT_CONFIGURE,
        minimum=0,
        maximum=256,
    )
    input_size: str = parameter(
        "auto",
        "Size at which the network sees the image: auto (what the weights' card recommends, fitted to the camera's "
        "aspect ratio), camera (as it comes) or WIDTHxHEIGHT.",
        Applies.AT_CONFIGURE,
        check=check_input_size,
    )
    output_size: str = parameter(
        "camera",
        "Size of mask, colour mask and confidence: camera (pixel-aligned with the image) or WIDTHxHEIGHT.",
        check=check_output_size,
    )
    image_transport: str = parameter(
        "raw",
        "raw subscribes to image, compressed to image/compressed (JPEG or PNG).",
        Applies.AT_CONFIGURE,
        choices=("raw", "compressed"),
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "Names of several cameras for one model: NAME subscribes to NAME/image and publishes ~/NAME/mask and so on; "
        f"empty: one camera, image and ~/mask. At most {MAX_CAMERAS}.",
        Applies.AT_CONFIGURE,
        check=check_cameras,
    )
    rotation: tuple[str, ...] = parameter(
        (),
        "Degrees clockwise by which the camera's images must be turned to be upright: 0 (or nothing), 90, 180 or 270. "
        "The network sees them upright; all outputs are as the camera sees. One value for all cameras, or one for each "
        "in the order of `cameras`, such as [0, 180, 0].",
        Applies.AT_CONFIGURE,
        check=check_rotations,
        one_will_do=True,
    )
    region: tuple[str, ...] = parameter(
        (),
        "Part of the camera's images that the network looks at: WIDTHxHEIGHT+X+Y in their pixels, X and Y those of its "
        "upper left corner, as the camera sees; outside it masks are 255 (unlabelled) and confidence 0. `whole` (or "
        "nothing) is all. One value for all cameras, or one for each.",
        Applies.AT_CONFIGURE,
        check=check_regions,
        one_will_do=True,
    )
    max_rate_hz: float = parameter(
        0.0,
        "Frames of a camera that are worked on per second, evenly spread; the others are skipped before they are "
        "decoded. A rate that divides the camera's (10 of 30) has an even rhythm. 0: all.",
        minimum=0.0,
    )
    temporal_frames: int = parameter(
        1,
        "Frames of a camera that attention sees, the present one included (docs/video.md); 1: each frame by itself.",
        Applies.AT_CONFIGURE,
        minimum=1,
        maximum=MAX_TEMPORAL_FRAMES,
    )
    temporal_max_gap: float = parameter(
        1.0, "Seconds between two frames of a camera after which the earlier ones are forgotten.", minimum=0.0
    )
    confidence_threshold: float = parameter(
        0.0, "Pixels whose confidence is lower become 255 (unlabelled); 0 keeps all.", minimum=0.0, maximum=1.0
    )
    overlay_alpha: float = parameter(
        0.5, "Opacity of the class colours over the camera image.", minimum=0.0, maximum=1.0
    )
    jpeg_quality: int = parameter(
        80, "Quality of ~/overlay/compressed and ~/color_mask/compressed (JPEG).", minimum=1, maximum=100
    )
    latency_budget_ms: float = parameter(
        0.0,
        "Age in milliseconds that 95 % of the masks are to keep, from the camera's stamp to publication: the network "
        "sees smaller images where the full size is too slow; 0: always the full size.",
        Applies.AT_CONFIGURE,
        minimum=0.0,
    )
    input_timeout: float = parameter(2.0, "Seconds without an image after which diagnostics report ERROR.", minimum=0.1)
    min_rate_hz: float = parameter(
        1.0,
        "Diagnostics WARN when fewer masks per second are made while somebody subscribes; with max_rate_hz, 80 % of "
        "that are enough.",
        minimum=0.0,
    )
    max_latency_ms: float = parameter(
        500.0, "Diagnostics WARN when the median age of a frame at publication is higher.", minimum=0.0
    )
    autostart: bool = parameter(
        True, "Configure and activate at start; false leaves both to a lifecycle manager.", Applies.AT_START
    )

    def looks(self) -> tuple[Look, ...]:
        """Return how the network looks at each of the cameras.

        Raises:
            SettingError: there are other numbers of rotations or regions than of cameras.
        """
        return read_looks(self.rotation, self.region, max(1, len(self.cameras)))
