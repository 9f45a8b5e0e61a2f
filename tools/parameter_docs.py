"""Writes the nodes' YAML files in config/ and the tables in docs/interface.md from the dataclasses of the parameters.

Run `python tools/parameter_docs.py` in the source tree after changing one of those; a test fails where the files
differ from what it would write.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.specs import Applies, Parameters, ParameterSpec
from fanet_ros.parameters.viewer import ViewerParameters

TABLES: dict[str, type[Parameters]] = {
    "parameters": SegmentationParameters,
    "camera parameters": CameraParameters,
    "viewer parameters": ViewerParameters,
}
"""What stands in docs/interface.md between `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""


@dataclass(frozen=True)
class ParameterFile:
    """A YAML file with every parameter of one node.

    Attributes:
        parameters: of the node.
        node: what it is, in words.
        name: the node's usual full name.
        launch: launch file, and its arguments that start the node with a file, up to the file's name.
        topic: example of a topic that the node subscribes to.
    """

    parameters: type[Parameters]
    node: str
    name: str
    launch: str
    topic: str


FILES: dict[str, ParameterFile] = {
    "segment.yaml": ParameterFile(
        SegmentationParameters,
        node="segmentation node",
        name="/segmentation",
        launch="segment.launch.py params_file:=",
        topic="/camera/image_raw",
    ),
    "drivable_area.yaml": ParameterFile(
        DrivableAreaParameters,
        node="drivable-area node",
        name="/drivable_area",
        launch="segment.launch.py drivable_area:=true drivable_params_file:=",
        topic="/segmentation/mask",
    ),
}
"""The files in config/, by name."""

_HEADER = """\
# Every parameter of the {node} with its default. Copy what you change into a file of your own:
#   ros2 launch fanet_ros {launch}/path/to/yours.yaml
# [start] is fixed when the node starts, [configure] is read when it is configured,
# [at once] holds from the next frame after `ros2 param set`.
# `/**` stands for every node that is given the file; write the node's name ({name}) to mean one.
# QoS of any topic is overridden by parameters, too, for example
#   qos_overrides.{topic}.subscription.reliability: reliable
/**:
  ros__parameters:
"""


def yaml_text(file: ParameterFile) -> str:
    """Return the content of a YAML file."""
    entries = []
    for spec in file.parameters.specs().values():
        limits = f" ({spec.range_text})" if spec.range_text else ""
        comment = f"[{spec.applies.value}] {spec.description}{limits}"
        entries.append("\n".join(textwrap.wrap(comment, 106, initial_indent="    # ", subsequent_indent="    # ")))
        entries.append(f"    {spec.name}: {_yaml_value(spec)}\n")
    header = _HEADER.format(node=file.node, launch=file.launch, name=file.name, topic=file.topic)
    return header + "\n".join(entries)


def markdown_table(parameters: type[Parameters]) -> str:
    """Return a table in Markdown; the column `applies` is left out where all parameters are read at the start."""
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


def with_tables(text: str) -> str:
    """Return the text of docs/interface.md with every table between its two marks replaced."""
    for name, parameters in TABLES.items():
        start = f"<!-- {name}: written by python tools/parameter_docs.py -->"
        end = f"<!-- end of {name} -->"
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = f"{before}{start}\n{markdown_table(parameters)}\n{end}{after}"
    return text


def _yaml_value(spec: ParameterSpec) -> str:
    if isinstance(spec.default, bool):
        return str(spec.default).lower()
    if isinstance(spec.default, tuple):
        return f"[{', '.join(spec.default)}]"
    return f'"{spec.default}"' if isinstance(spec.default, str) else str(spec.default)


def main() -> None:
    """Write all of them in the source tree."""
    root = Path(__file__).resolve().parent.parent
    for name, file in FILES.items():
        (root / "config" / name).write_text(yaml_text(file), encoding="utf-8")
    interface = root / "docs" / "interface.md"
    interface.write_text(with_tables(interface.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
