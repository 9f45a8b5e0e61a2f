"""What the pages say can be followed: links lead somewhere, arguments and parameters exist, code compiles."""

import ast
import re
from pathlib import Path

import pytest
import typer

from fanet_ros.commands.cli import app
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.viewer import ViewerParameters

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
NODES = {
    "segmentation": SegmentationParameters,
    "camera": CameraParameters,
    "drivable_area": DrivableAreaParameters,
    "viewer": ViewerParameters,
}


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target} in {page.name}"
        assert not anchor or anchor in anchors(file), f"{target} in {page.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_arguments_and_parameters_exist(page: Path) -> None:
    text = page.read_text()
    files = [*(ROOT / "launch").glob("*.launch.py"), ROOT / "fanet_ros" / "ros" / "launching" / "arguments.py"]
    launch = "".join(file.read_text() for file in files)
    for command in re.findall(r"ros2 launch fanet_ros [^\n`#]*", text):
        for name in re.findall(r"(\w+):=", command):
            assert f'"{name}"' in launch, f"{name} in: {command}"
    for node, parameters in re.findall(r"(\w+?)(?:_node|\.node)\b([^\n`#]*)", text):
        for name in re.findall(r"-p (\w+):=", parameters):
            assert name in NODES[node].specs(), f"{name} of {node}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_compiles(page: Path) -> None:
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        ast.parse(code)


def test_the_readme_is_short_and_begins_with_what_to_type() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 130
    beginning = "\n".join(lines[:40])
    for words in ("ros2 launch fanet_ros", "make demo", "**Needs**", "non-commercial", "CamVid"):
        assert words in beginning


@pytest.mark.parametrize("page", [*PAGES, ROOT / "fanet_ros" / "weights" / "fanet18_camvid11.md"], ids=lambda p: p.name)
def test_commands_have_the_options_they_are_given(page: Path) -> None:
    text = re.sub(r"^# in commit [^`]*", "", page.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    root = typer.main.get_command(app)
    for line in re.findall(r"(?<![\w/-])fanet ([a-z]+ [^\n`#|]*)", text):
        words = line.split()
        command = root
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if command is root:
            continue  # prose
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0].rstrip(".,;:)") in {*known, "--help"}, f"fanet {line}"
