from pathlib import Path

import pytest

from fanet_ros.errors import SettingError
from fanet_ros.reports.output_files import check_can_write


def test_a_file_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    check_can_write("json", tmp_path / "new.json")
    (tmp_path / "old.json").write_text("old")
    check_can_write("json", tmp_path / "old.json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path / "no" / "a.json", f"json: there is no folder {tmp_path}/no; make it first"),
        (tmp_path, f"json: {tmp_path} is a folder; give the name of a file"),
        (Path("/dev/null"), "json: /dev/null is a device or the like; give the name of a file"),
        (Path("/proc/a.json"), "json: /proc cannot be written: .*; give another folder"),  # not even by root
        (tmp_path / ("a" * 255), f"json: {tmp_path} cannot be written: File name too long"),
    ):
        with pytest.raises(SettingError, match=text):
            check_can_write("json", path)
