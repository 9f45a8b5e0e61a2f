"""Writes config/segment.yaml and the README's parameter tables from the dataclasses that declare the parameters.

Run `python -m fanet_ros.parameter_docs` in the source tree after changing fanet_ros/parameters.py; a test fails where
the files differ from what it would write.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from fanet_ros.parameters import Applies, CameraParameters, Parameters, ParameterSpec, SegmentationParameters

TABLES: dict[str, type[Parameters]] = {"parameters": SegmentationParameters, "camera parameters": CameraParameters}
"""What stands in the README between `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""

_HEADER = """\
# Every parameter of the segmentation node with its default. Copy what you change into a file of your own:
#   ros2 launch fanet_ros segment.launch.py params_file:=/path/to/yours.yaml
# [start] is fixed when the node starts, [configure] is read when it is configured,
# [at once] holds from the next frame after `ros2 param set`.
# `/**` stands for every node that is given the file; write the node's name (/segmentation) to mean one.
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


def markdown_table(parameters: type[Parameters]) -> str:
    """Return a README table; the column `applies` is left out where all parameters are read at the start."""
    specs = parameters.specs().values()
    dynamic = any(spec.applies is not Applies.AT_START for spec in specs)
    columns = ["parameter", "default", *(["applies"] if dynamic else []), "description"]
    rows = [columns, ["---"] * len(columns)]
    for spec in specs:
        limits = f" ({spec.range_text})" if spec.range_text else ""
        description = f"{spec.description}{limits}".replace("|", "\\|")
        applies = [spec.applies.value] if dynamic else []
        rows.append([f"`{spec.name}`", f"`{_yaml_value(spec)}`", *applies, description])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_tables(readme: str) -> str:
    """Return the README's text with every table between its two marks replaced."""
    for name, parameters in TABLES.items():
        start = f"<!-- {name}: written by python -m fanet_ros.parameter_docs -->"
        end = f"<!-- end of {name} -->"
        before, rest = readme.split(start)
        _, after = rest.split(end)
        readme = f"{before}{start}\n{markdown_table(parameters)}\n{end}{after}"
    return readme


def _yaml_value(spec: ParameterSpec) -> str:
    if isinstance(spec.default, bool):
        return str(spec.default).lower()
    return f'"{spec.default}"' if isinstance(spec.default, str) else str(spec.default)


def main() -> None:
    """Write both files of the source tree."""
    root = Path(__file__).resolve().parent.parent
    (root / "config" / "segment.yaml").write_text(yaml_text(), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(with_tables(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
