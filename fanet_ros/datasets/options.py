"""Options of data sets: declared once, read from values or from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fanet_ros.errors import DatasetError, SettingError

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """One option of a data set; the type of `default` is its type.

    Attributes:
        default: bool, int or str.
        description: for people.
        choices: the allowed values of a str; empty for any.
        least: of an int.
        most: of an int.
    """

    default: bool | int | str
    description: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 0

    def expected(self) -> str:
        """Say which values are allowed."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, int):
            return f"a whole number from {self.least} to {self.most}"
        return " or ".join(self.choices) or "a text"


def read_option_words(words: Sequence[str]) -> dict[str, str]:
    """Read `KEY=VALUE` words.

    Raises:
        SettingError: a word has another form, or a key comes twice.
    """
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise SettingError(f"option: received {word!r}, expected KEY=VALUE, for example eroded=true")
        if key in options:
            raise SettingError(f"option: {key} is given twice, as {options[key]!r} and {value!r}; give it once")
        options[key] = value
    return options


def read_options(dataset: str, known: Mapping[str, Option], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the value of every option of a data set.

    Args:
        dataset: its name, for messages.
        known: its options by name.
        given: values by name, in the options' types or as text.

    Raises:
        DatasetError: an option is unknown, or its value not allowed.
    """
    values: dict[str, Any] = {name: option.default for name, option in known.items()}
    for name, value in (given or {}).items():
        if name not in known:
            raise DatasetError(
                f"data set {dataset} has no option {name!r}; it has {', '.join(known) if known else 'none'}"
            )
        values[name] = _read(known[name], value)
        if values[name] is None:
            raise DatasetError(
                f"option {name} of data set {dataset}: received {value!r}, expected {known[name].expected()}"
            )
    return values


def _read(option: Option, value: Any) -> bool | int | str | None:
    """Return the value in the option's type; None where it is not allowed."""
    if isinstance(option.default, bool):
        return value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
    if isinstance(option.default, int):
        try:
            number = int(str(value))
        except ValueError:
            return None
        return number if option.least <= number <= option.most else None
    text = str(value)
    return text if not option.choices or text in option.choices else None
