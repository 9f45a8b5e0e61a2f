import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fanet_ros.errors import FanetError
from fanet_ros.resources import DEFAULT_WEIGHTS, config_path, package_version, weights_path

ROOT = Path(__file__).resolve().parent.parent


def test_shipped_files_are_found() -> None:
    assert DEFAULT_WEIGHTS.stat().st_size > 1_000_000
    for name in ("labels/camvid11.yaml", "segment.yaml", "fastdds.xml", "segment.rviz"):
        assert config_path(name).is_file()


def test_missing_file_lists_the_folders_searched() -> None:
    with pytest.raises(FanetError, match=r"'config/nothing.yaml' not found in .*config"):
        config_path("nothing.yaml")


def test_an_install_space_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share" / "fanet_ros" / "config"
    folder.mkdir(parents=True)
    (folder / "only_here.yaml").write_text("")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/elsewhere:{tmp_path}")
    assert config_path("only_here.yaml") == folder / "only_here.yaml"


def test_package_xml_is_the_only_place_of_the_version() -> None:
    match = re.search(r"<version>(.+)</version>", (ROOT / "package.xml").read_text())
    assert match is not None and package_version() == match[1]
    assert match[1] in (ROOT / "CHANGELOG.rst").read_text()


def manifest() -> ET.Element:
    return ET.parse(ROOT / "package.xml").getroot()


def test_package_xml_names_every_ros_package_that_is_imported() -> None:
    named = {element.text for element in manifest() if element.tag.endswith("depend")}
    ours = [*ROOT.glob("fanet_ros/ros/**/*.py"), *ROOT.glob("launch/*.py")]
    imported = {
        name.partition(".")[0]
        for file in ours
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    elsewhere = {"fanet_ros", "cv2", "numpy", "typer", "rich", "psutil", "yaml"} | sys.stdlib_module_names
    assert {"geometry_msgs", "sensor_msgs", "launch"} <= imported
    assert imported - elsewhere <= named
    assert "tf2_ros_py" in named, "the module tf2_ros is in this package"


def test_package_xml_tells_the_terms_of_code_and_weights() -> None:
    code, weights = manifest().iter("license")
    assert code.text == "Apache-2.0" and (ROOT / code.attrib["file"]).is_file()
    assert "non-commercial" in (weights.text or "")
    assert "non-commercial" in (ROOT / weights.attrib["file"]).read_text(encoding="utf-8")


def test_weights_are_shipped_or_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert weights_path() == weights_path("") == weights_path("shipped") == weights_path(Path("shipped"))
    assert weights_path("shipped") == DEFAULT_WEIGHTS
    assert weights_path("~/mine.pth") == Path("/home/somebody/mine.pth")
    assert weights_path("./shipped") == Path("shipped"), "a file of that name has a path"
