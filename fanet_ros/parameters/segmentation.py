"""Every setting of our nodes, once: default, description, range, and when it may change.

The ROS parameters, the launch arguments, config/segment.yaml and the tables in the README all come from these
dataclasses; tests keep them equal.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.settings import BACKENDS, MAX_SIDE, PRECISIONS, check_device, check_input_size, check_output_size
from fanet_ros.video_memory import MAX_TEMPORAL_FRAMES

ParameterValue = bool | int | float | str | tuple[str, ...]

MAX_CAMERAS = 8
"""Of one node: more than one model serves at a useful rate."""


class Applies(Enum):
    """When a new value of a parameter takes effect."""

    AT_START = "start"  # read-only: fixed when the node is created
    AT_CONFIGURE = "configure"  # settable while unconfigured, read on the configure transition
    AT_ONCE = "at once"  # settable always, used from the next frame on


@dataclass(frozen=True)
class ParameterSpec:
    """What ROS needs to declare one parameter and to refuse a wrong value with a reason."""

    name: str
    default: ParameterValue
    description: str
    applies: Applies
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None  # of a string or of a tuple of strings

    def validate(self, value: object) -> ParameterValue:
        """Return `value` in the parameter's own type.

        Args:
            value: what the user set; an int is accepted where a float is expected, as YAML writes `1` for `1.0`. Of
                lists only the elements count: an empty one has no type in ROS, so it comes as a list of anything.

        Raises:
            SettingError: naming the parameter, the value received and what is allowed.
        """
        expected = type(self.default)
        if expected is float and type(value) is int:
            value = float(value)
        if expected is tuple and not isinstance(value, str | bytes) and isinstance(value, Sequence):
            value = tuple(value)
        if type(value) is not expected or not isinstance(value, bool | int | float | str | tuple):
            raise self._refusal(value, f"a {_TYPE_NAMES[expected]}")
        if isinstance(value, tuple) and not all(isinstance(element, str) for element in value):
            raise self._refusal(list(value), f"a {_TYPE_NAMES[expected]}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refusal(value, "a finite number")
        if isinstance(value, bool | int | float):
            too_small = self.minimum is not None and value < self.minimum
            too_large = self.maximum is not None and value > self.maximum
            if too_small or too_large:
                raise self._refusal(value, f"a value {self.range_text}")
        if self.choices and value not in self.choices:
            raise self._refusal(value, f"one of {', '.join(self.choices)}")
        if self.check is not None:
            try:
                self.check(value)
            except SettingError as error:
                raise SettingError(f"parameter '{self.name}': {error}") from None
        return value

    @property
    def range_text(self) -> str:
        """The allowed values in words; empty where every value of the type is allowed."""
        if self.choices:
            return " | ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return ""

    def _refusal(self, value: object, expected: str) -> SettingError:
        return SettingError(f"parameter '{self.name}': received {value!r}, expected {expected}")


_TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean",
    int: "whole number",
    float: "number",
    str: "string",
    tuple: "list of strings",
}


def parameter(default: Any, description: str, applies: Applies, **limits: Any) -> Any:
    """Declare one field of a Parameters class; its limits travel in the field's metadata."""
    return field(default=default, metadata={"description": description, "applies": applies, **limits})


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


class Parameters:
    """Base of the dataclasses below, and of those of other nodes."""

    @classmethod
    def specs(cls) -> dict[str, ParameterSpec]:
        """Return one spec per parameter, by name, in declaration order."""
        assert is_dataclass(cls)
        defaults = cls()
        return {f.name: ParameterSpec(f.name, getattr(defaults, f.name), **f.metadata) for f in fields(cls)}


@dataclass(frozen=True)
class SegmentationParameters(Parameters):
    """The values of one node's parameters. Field order is the order of the YAML file and the README table."""

    weights: str = parameter(
        "",
        "Checkpoint (.safetensors, .pth) to run; empty: the shipped FANet-18 for CamVid's 11 classes.",
        Applies.AT_CONFIGURE,
    )
    labels: str = parameter(
        "",
        "Label set: a shipped one (camvid11, ...) or the path of a YAML file; empty: what the weights' card names.",
        Applies.AT_CONFIGURE,
    )
    backend: str = parameter(
        "auto",
        "What runs the network; auto: tensorrt or torch on a CUDA GPU, else openvino or torch on the CPU.",
        Applies.AT_CONFIGURE,
        choices=BACKENDS,
    )
    device: str = parameter(
        "auto",
        "auto (a CUDA GPU if there is one), cpu, cuda or cuda:INDEX.",
        Applies.AT_CONFIGURE,
        check=check_device,
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
        Applies.AT_ONCE,
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
    temporal_frames: int = parameter(
        1,
        "Frames of a camera that attention sees, the present one included (docs/video.md); 1: each frame by itself.",
        Applies.AT_CONFIGURE,
        minimum=1,
        maximum=MAX_TEMPORAL_FRAMES,
    )
    temporal_max_gap: float = parameter(
        1.0,
        "Seconds between two frames of a camera after which the earlier ones are forgotten.",
        Applies.AT_ONCE,
        minimum=0.0,
    )
    confidence_threshold: float = parameter(
        0.0,
        "Pixels whose confidence is lower become 255 (unlabelled); 0 keeps all.",
        Applies.AT_ONCE,
        minimum=0.0,
        maximum=1.0,
    )
    overlay_alpha: float = parameter(
        0.5, "Opacity of the class colours over the camera image.", Applies.AT_ONCE, minimum=0.0, maximum=1.0
    )
    latency_budget_ms: float = parameter(
        0.0,
        "Age in milliseconds that 95 % of the masks are to keep, from the camera's stamp to publication: the network "
        "sees smaller images where the full size is too slow; 0: always the full size.",
        Applies.AT_CONFIGURE,
        minimum=0.0,
    )
    input_timeout: float = parameter(
        2.0, "Seconds without an image after which diagnostics report ERROR.", Applies.AT_ONCE, minimum=0.1
    )
    min_rate_hz: float = parameter(
        1.0,
        "Diagnostics WARN when fewer masks per second are made while somebody subscribes.",
        Applies.AT_ONCE,
        minimum=0.0,
    )
    max_latency_ms: float = parameter(
        500.0,
        "Diagnostics WARN when the median age of a frame at publication is higher.",
        Applies.AT_ONCE,
        minimum=0.0,
    )
    autostart: bool = parameter(
        True, "Configure and activate at start; false leaves both to a lifecycle manager.", Applies.AT_START
    )


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


def unknown_parameter_hint(name: str, known: Collection[str]) -> str:
    """Return one sentence about a parameter name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known ones: {', '.join(known)}"
    return f"unknown parameter '{name}' is ignored; {hint}"
