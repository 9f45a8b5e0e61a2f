import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fanet_ros.extras import COMMAND_LINE, what_to_install

ROOT = Path(__file__).resolve().parent.parent
IMPORTED_AS = {"pillow": "PIL", "rerun-sdk": "rerun"}


def extras() -> dict[str, list[str]]:
    """What setup.py offers, by name, without versions."""
    (found,) = (
        keyword.value
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "extras_require"
    )
    offered = eval(compile(ast.Expression(found), "setup.py", "eval"))
    return {name: [re.split("[=>;]", package)[0] for package in packages] for name, packages in offered.items()}


def test_every_optional_package_names_an_extra_that_has_it() -> None:
    offered = extras()
    for package in {package for packages in offered.values() for package in packages} - {"torch"}:
        advice = what_to_install(IMPORTED_AS.get(package, package))
        assert advice.startswith(f"{package}, which is not installed: pip install ")
        named = advice.partition("'.[")[2].partition("]'")[0]
        assert package in offered[named], advice


def test_a_command_line_of_older_packages_says_what_it_needs() -> None:
    code = "import importlib.metadata as m; m.version = lambda name: {'typer': '0.4.0'}.get(name, '99.0')\n"
    code += "import fanet_ros.commands.cli"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("pip install --user 'rich>=12.0' 'typer>=0.9'\n") and "Traceback" not in done.stderr


def test_the_bounds_of_packages_are_the_same_everywhere() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    bounds = re.findall(r"^([\w-]+>=[\d.]+)", (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8"), re.M)
    assert len(bounds) > 10
    assert [bound for bound in bounds if bound.lower() not in setup] == []
    for package, (major, minor) in COMMAND_LINE.items():
        assert f"{package}>={major}.{minor}".removesuffix(".0") in bounds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "extra", "arguments"),
    [
        ("kornia", "train", ["train", "--recipe", "config/train/camvid.yaml", "--data", "{empty}"]),
        ("tensorboard", "train", ["train", "--resume", "{empty}"]),
        ("psutil", "benchmark", ["benchmark", "--quick"]),
        ("matplotlib", "benchmark", ["benchmark", "--quick", "--plot", "x.png"]),
        ("lz4", "bags", ["segment", "{empty}/drive.mcap", "--input-size", "64x64"]),
        ("ray", "ray", ["segment", "{empty}/drive.mcap", "--ray", "auto"]),
        ("nncf", "calibrate", ["calibrate", "{empty}", "--input-size", "64x64", "--precision", "int8"]),
    ],
)
def test_a_command_without_a_package_says_how_to_get_it(
    missing: str, extra: str, arguments: list[str], tmp_path: Path
) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "drive.mcap").touch()
    code = f"import sys; sys.modules[{missing!r}] = None; from fanet_ros.commands.cli import main; main()"
    command = [sys.executable, "-c", code, *(argument.format(empty=tmp_path) for argument in arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "pip install " in line and f"pip install '.[{extra}]'" in line
    assert missing.lower() in line.lower()
