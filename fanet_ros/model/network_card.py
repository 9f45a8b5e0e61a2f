"""What a card says of a network that is not FANet: all that its file cannot show."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fanet_ros.errors import SettingError
from fanet_ros.untrusted.text import shown

_ORDERS = ("rgb", "bgr")
_LAYOUTS = ("nchw", "nhwc")
_WHITE = 255.0
_NARROWEST, _WIDEST = 0.4, 600.0  # between black and white, of what networks are trained with: 1 to 255


@dataclass(frozen=True)
class NetworkCard:
    """How pixels become the network's numbers, and its numbers labels: input = (pixel * scale - mean) / std.

    Attributes:
        mean: of each channel, in the network's order; None where the card does not say.
        std: likewise, above 0.
        scale: of pixels of 0 to 255, above 0.
        channel_order: of the network's input, `rgb` or `bgr`.
        layout: of the network's input, `nchw` or `nhwc`, where its file leaves that open; empty if it is not said.
        align_corners: where the network's answer lies on the image, as torch's interpolate has it.
        output: name of the output that is the answer; empty for the only one.
    """

    FIELDS: ClassVar = ("mean", "std", "scale", "channel_order", "layout", "align_corners", "output")

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    scale: float | None = None
    channel_order: str = "rgb"
    layout: str = ""
    align_corners: bool = False
    output: str = ""

    @property
    def says_nothing_of_pixels(self) -> bool:
        """Whether mean, std and scale are all missing."""
        return self.mean is None and self.std is None and self.scale is None

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return offset and divisor of each channel: input = (pixel - offset) / divisor.

        Without a scale it follows from mean and std: those above 1 are of pixels of 0 to 255, others of 0 to 1.

        Raises:
            SettingError: the three do not fit each other.
        """
        mean, std = self.mean or (0.0, 0.0, 0.0), self.std or (1.0, 1.0, 1.0)
        scale = self.scale or (1.0 if max(*mean, *std) > 1 else 1 / _WHITE)
        spans = [_WHITE * scale / each for each in std]
        # in grey values; below one is a mean of pixels of 0 to 1
        plausible = all(each == 0 or 1 <= each / scale <= 1.001 * _WHITE for each in mean)
        if not plausible or not all(_NARROWEST <= span <= _WIDEST for span in spans):
            raise SettingError(
                f"mean {_listed(mean)}, std {_listed(std)} and scale {scale:.6g} do not fit each other: black and "
                f"white would become {-mean[0] / std[0]:.4g} and {(_WHITE * scale - mean[0]) / std[0]:.4g}; the "
                "network's input is (pixel * scale - mean) / std, with pixels of 0 to 255"
            )
        return tuple(each / scale for each in mean), tuple(each / scale for each in std)


def parse_network_card(content: Mapping[str, Any]) -> NetworkCard:
    """Read the fields of a card's front matter; those it lacks keep their defaults.

    Raises:
        SettingError: a field is malformed; says what was received and what is expected.
    """
    found = {name: content[name] for name in NetworkCard.FIELDS if content.get(name) is not None}
    readers: dict[str, Callable[[str, Any], Any]] = {
        "mean": _three,
        "std": lambda name, value: _three(name, value, positive=True),
        "scale": _scale,
        "channel_order": lambda name, value: _choice(name, value, _ORDERS),
        "layout": lambda name, value: _choice(name, value, _LAYOUTS),
        "align_corners": _boolean,
        "output": _text,
    }
    return NetworkCard(**{name: readers[name](name, value) for name, value in found.items()})


def _three(name: str, value: Any, *, positive: bool = False) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value] * 3
    valid = len(numbers) == 3 and all(_is_number(n) and (n > 0 if positive else n >= 0) for n in numbers)
    if not valid:
        kind = "numbers above 0" if positive else "numbers of 0 or more"
        raise SettingError(
            f"{name}: received {shown(value)}, expected three {kind}, one a channel: [0.485, 0.456, 0.406]"
        )
    return tuple(float(n) for n in numbers)


def _scale(name: str, value: Any) -> float:
    divisor = re.fullmatch(r"1 ?/ ?(\d{1,3}(\.\d{1,9})?)", value) if isinstance(value, str) else None
    if divisor is not None and float(divisor[1]):
        value = 1 / float(divisor[1])
    if not _is_number(value) or not 0 < value <= 1:
        raise SettingError(
            f"{name}: received {shown(value)}, expected what pixels of 0 to 255 are multiplied by: 1, or "
            "1/255 for 0 to 1"
        )
    return float(value)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value.lower() not in choices:
        raise SettingError(f"{name}: received {shown(value)}, expected {' or '.join(choices)}")
    return value.lower()


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"{name}: received {shown(value)}, expected true or false")
    return value


def _text(name: str, value: Any) -> str:
    if type(value) is int:  # exporters name outputs by numbers, which YAML takes for numbers
        return str(value)
    if not isinstance(value, str):
        raise SettingError(
            f"{name}: received {shown(value)}, expected the name of one of the network's outputs, in quotes if it "
            "looks like something else"
        )
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"
