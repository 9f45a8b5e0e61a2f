"""The one reader of YAML that others may have written: label sets, model cards, recipes, metadata of recordings.

YAML can name a value and use it again, so 500 bytes may stand for gigabytes; it reads 1:59:59 as a number in base 60,
and a million brackets as a million levels. None of that is needed here, and all of it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from fanet_ros.files import check_has_end

MOST_BYTES = 1 << 20  # of a file; a label set of 255 classes has 20 kB, the metadata of a long recording 200 kB
DEEPEST = 40
MOST_DIGITS = 30


class YamlError(ValueError):
    """Text that is no YAML, or more than these files need; the message is one line."""


def read_yaml(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """Read a file.

    Args:
        path: of the file.
        most_bytes: it may have.

    Raises:
        YamlError: as `parse_yaml` does, or the file is larger, or no UTF-8.
        OSError: it cannot be read, or has no end (`files.check_has_end`).
    """
    check_has_end(path)
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise YamlError(f"it is larger than {most_bytes} bytes")
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise YamlError(f"it is no UTF-8 text ({error.reason} at byte {error.start})") from None


def parse_yaml(text: str) -> Any:
    """Read YAML: mappings, lists, texts, numbers, true, false and null; None for an empty text.

    Raises:
        YamlError: it is malformed, refers to a part of itself (&name, *name, <<), has tags of its own, gives a name
            twice, is nested deeper than 40 levels, or has a number of more than 30 digits; says where.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader that allows less)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise YamlError(f"{error.problem or error.context}{place}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter of dates that there are none of
        raise YamlError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            name = f"*{event.anchor}" if isinstance(event, yaml.AliasEvent) else f"&{event.anchor}"
            raise _refusal(f"references ({name[:40]}) are not read here; write the value out", event.start_mark)
        if self._depth >= DEEPEST:
            raise _refusal(f"it is nested deeper than {DEEPEST} levels", event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refusal("merge keys (<<) are not read here; write the values out", key.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise _refusal("a name is given twice", node.start_mark)
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        if len(text) > MOST_DIGITS:
            raise _refusal(f"a number of more than {MOST_DIGITS} digits", node.start_mark)
        return self.construct_yaml_int(node)


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


_INT = "tag:yaml.org,2002:int"
_Loader.add_constructor(_INT, _Loader.construct_number)
# as YAML 1.1 has them, without numbers in base 60
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, "tag:yaml.org,2002:float")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)
_FLOATS = (
    r"(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?",
    r"[0-9]+[eE][-+]?[0-9]+",
    r"\.(?:inf|Inf|INF)",
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(rf"[-+]?(?:{'|'.join(_FLOATS)})$|\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)
