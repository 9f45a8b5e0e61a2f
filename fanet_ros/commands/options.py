"""Options that several commands have, and how a command takes many options in a few groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fanet_ros.errors import SettingError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import weights_path as weights_path  # an option's, to those who use it

_SPECS = SegmentationParameters.specs()


def node_option(name: str) -> Any:
    """Return an option that is a parameter of the node, too, with its description: so the two never differ."""
    return typer.Option(help=_SPECS[name].description, metavar="|".join(_SPECS[name].choices) or None)


def check_options(**values: object) -> None:
    """Check options that are parameters of the node.

    Raises:
        SettingError: a value is not allowed; says what is.
    """
    for name, value in values.items():
        _SPECS[name].validate(value)


Weights = Annotated[str, node_option("weights")]
Labels = Annotated[str, node_option("labels")]
Backend = Annotated[str, node_option("backend")]
Device = Annotated[str, node_option("device")]
Precision = Annotated[str, node_option("precision")]
InputSize = Annotated[str, node_option("input_size")]
Limit = Annotated[int, typer.Option(min=0, help="At most so many images, evenly spread; 0 for all.")]
DataFolder = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the data set lies.")]
DataOptions = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the data set; may be repeated.")
]


@dataclass(frozen=True)
class NetworkOptions:
    """What labels images; as for `Segmenter`."""

    weights: Weights = ""
    labels: Labels = ""
    backend: Backend = "auto"
    device: Device = "auto"


def read_option_words(words: Sequence[str] | None) -> dict[str, str]:
    """Read `KEY=VALUE` words.

    Raises:
        SettingError: a word has another form, or a key comes twice.
    """
    options: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise SettingError(f"option: received {word!r}, expected KEY=VALUE, for example eroded=true")
        if key in options:
            raise SettingError(f"option: {key} is given twice, as {options[key]!r} and {value!r}; give it once")
        options[key] = value
    return options


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Show typer the fields of the dataclasses that a command takes, each as an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for given in inspect.signature(command).parameters.values()
        for name, default, annotation in (
            _members(hints[given.name]) if given.name in groups else [(given.name, given.default, hints[given.name])]
        )
    ]

    @wraps(command)
    def take(**given: Any) -> None:
        built = {name: kind(**{f.name: given.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        command(**given, **built)

    take.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return take


def _members(group: Any) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(group, include_extras=True)
    return [(member.name, member.default, hints[member.name]) for member in fields(group)]
