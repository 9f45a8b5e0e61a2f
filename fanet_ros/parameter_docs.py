"""Writes config/segment.yaml and the README's parameter table from the one dataclass that declares the parameters.

Run `python -m fanet_ros.parameter_docs` in the source tree after changing fanet_ros/parameters.py; a test fails where
the files differ from what it would write.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from fanet_ros.parameters import ParameterSpec, SegmentationParameters

TABLE_START = "<!-- parameters: written by python -m fanet_ros.parameter_docs -->"
TABLE_END = "<!-- end of parameters -->"

_HEADER = """\
# Every parameter of the segmentation node with its default. Copy what you change into a file of your own:
#   ros2 launch fanet_ros segment.launch.py params_file:=/path/to/yours.yaml
# [start] is fixed when the node starts, [configure] is read when it is configured,
# [at once] holds from the next frame after `ros2 param set`.
# QoS of any topic is overridden by parameters, too, for example
#   qos_overrides./camera/image_raw.subscription.reliability: reliable
/**:
  ros__parameters:
"""


def yaml_text() -> str:
    """Return the content of config/segment.yaml."""
    entries = []
    for spec in SegmentationParameters.specs().values():
        limits = f" ({spec.range_text})" if spec.range_text else ""
        comment = f"[{spec.applies.value}] {spec.description}{limits}"
        entries.append("\n".join(textwrap.wrap(comment, 106, initial_indent="    # ", subsequent_indent="    # ")))
        entries.append(f"    {spec.name}: {_yaml_value(spec)}\n")
    return _HEADER + "\n".join(entries)


def markdown_table() -> str:
    """Return the README's table of parameters."""
    rows = ["| parameter | default | applies | description |", "|---|---|---|---|"]
    for spec in SegmentationParameters.specs().values():
        limits = f" ({spec.range_text})" if spec.range_text else ""
        cell = f"{spec.description}{limits}".replace("|", "\\|")
        rows.append(f"| `{spec.name}` | `{_yaml_value(spec)}` | {spec.applies.value} | {cell} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """Return the README's text with the table between its two marks replaced."""
    before, rest = readme.split(TABLE_START)
    _, after = rest.split(TABLE_END)
    return f"{before}{TABLE_START}\n{markdown_table()}\n{TABLE_END}{after}"


def _yaml_value(spec: ParameterSpec) -> str:
    if isinstance(spec.default, bool):
        return str(spec.default).lower()
    return f'"{spec.default}"' if isinstance(spec.default, str) else str(spec.default)


def main() -> None:
    """Write both files of the source tree."""
    root = Path(__file__).resolve().parent.parent
    (root / "config" / "segment.yaml").write_text(yaml_text(), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
