"""What a parameter is: default, description, range, and when it may change.

The ROS parameters, the launch arguments, the YAML files in config/ and the tables in the docs all come from the
dataclasses in this folder; tests keep them equal.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.untrusted.text import printable, shown

ParameterValue = bool | int | float | str | tuple[str, ...]


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
    kind: str = "parameter"  # what messages call it
    one_will_do: bool = False  # of a list of strings: one without brackets is accepted, and numbers are read as texts

    def validate(self, value: object) -> ParameterValue:
        """Return `value` in the parameter's own type.

        Args:
            value: what the user set; an int is accepted where a float is expected, as YAML writes `1` for `1.0`. Of
                lists only the elements count: an empty one has no type in ROS, so it comes as a list of anything.

        Raises:
            SettingError: naming the parameter, the value received and what is allowed.
        """
        expected = type(self.default)
        if value is False and "off" in self.choices:
            value = "off"  # which YAML, and with it every argument and parameter file of ROS, reads as false
        if expected is float and type(value) is int:
            value = float(value)
        if self.one_will_do:
            value = _as_texts(value)
        if expected is tuple and not isinstance(value, str | bytes) and isinstance(value, Sequence):
            value = tuple(value)
        if type(value) is not expected or not isinstance(value, bool | int | float | str | tuple):
            kind = f"a {_TYPE_NAMES[expected]} {self.range_text}".strip()
            raise self._refusal(value, f"one of {', '.join(self.choices)}" if self.choices else kind)
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
                raise SettingError(f"{self.kind} '{self.name}': {error}") from None
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
        return SettingError(f"{self.kind} '{self.name}': received {shown(value)}, expected {expected}")


def _as_texts(value: object) -> object:
    """Return a list of strings where that is meant: `180` and `[0, 180]` are read as numbers by YAML.

    What is none of the numbers that are meant (90.0, true) is left to the check, which says what is.
    """
    if isinstance(value, str | int | float):
        value = [value]
    if isinstance(value, bytes) or not isinstance(value, Sequence):
        return value
    return [str(element) if isinstance(element, int | float) else element for element in value]


_TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean (true or false)",
    int: "whole number",
    float: "number",
    str: "string",
    tuple: "list of strings",
}


def parameter(default: Any, description: str, applies: Applies = Applies.AT_ONCE, **limits: Any) -> Any:
    """Declare one field of a Parameters class; its limits travel in the field's metadata."""
    return field(default=default, metadata={"description": description, "applies": applies, **limits})


class Parameters:
    """Base of the dataclasses of the nodes' parameters."""

    @classmethod
    def specs(cls) -> dict[str, ParameterSpec]:
        """Return one spec per parameter, by name, in declaration order."""
        assert is_dataclass(cls)
        defaults = cls()
        return {f.name: ParameterSpec(f.name, getattr(defaults, f.name), **f.metadata) for f in fields(cls)}


def unknown_parameter_hint(name: str, known: Collection[str]) -> str:
    """Return one sentence about a parameter name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known ones: {', '.join(known)}"
    return f"unknown parameter '{printable(name)}' is ignored; {hint}"
