"""Options of data sets, read from values or from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.parameters.specs import Applies, ParameterSpec, ParameterValue
from fanet_ros.untrusted.yaml_text import YamlError, parse_yaml


def option(name: str, default: bool | int | str, description: str, **limits: Any) -> ParameterSpec:
    """Declare an option; the limits are those of parameters."""
    return ParameterSpec(name, default, description, Applies.AT_START, kind="option", **limits)


def read_options(dataset: str, known: Sequence[ParameterSpec], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the value of every option of a data set.

    Args:
        dataset: its name, for messages.
        known: its options.
        given: values by name, in the options' types or as text.

    Raises:
        DatasetError: an option is unknown, or its value not allowed.
    """
    specs = {spec.name: spec for spec in known}
    values: dict[str, Any] = {name: spec.default for name, spec in specs.items()}
    for name, value in (given or {}).items():
        if name not in specs:
            raise DatasetError(f"data set {dataset} has no option {name!r}; it has {', '.join(specs) or 'none'}")
        try:
            values[name] = _read(specs[name], value)
        except SettingError as error:
            raise DatasetError(f"data set {dataset}: {error}") from None
    return values


def _read(spec: ParameterSpec, value: Any) -> ParameterValue:
    if isinstance(spec.default, str):
        return spec.validate(str(value))
    try:
        return spec.validate(parse_yaml(value) if isinstance(value, str) else value)
    except YamlError:
        return spec.validate(value)
