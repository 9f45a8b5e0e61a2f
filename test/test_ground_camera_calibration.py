"""Files of camera calibrations, as camera_calibration writes them and as others break them."""

import os
from pathlib import Path

import pytest

from fanet_ros.ground.camera_calibration import read_calibration
from fanet_ros.ground.errors import CalibrationError

TEXT = """\
image_width: 640
image_height: 480
camera_name: narrow
camera_matrix:
  rows: 3
  cols: 3
  data: [438.8, 0., 305.6, 0., 437.3, 243.7, 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.36, 0.13, 0.0004, -0.0004, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [393.6, 0., 322.8, 0., 0., 393.6, 241.1, 0., 0., 0., 1., 0.]
"""


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_camera_calibration_writes(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "narrow.yaml"
    path.write_text(TEXT)
    calibration = read_calibration(f"{prefix}{path}")
    assert calibration.image_size == (640, 480)
    assert calibration.distortion_model == "plumb_bob"
    assert calibration.d == (-0.36, 0.13, 0.0004, -0.0004, 0.0)
    assert (calibration.k[0], calibration.k[5], calibration.p[6]) == (438.8, 243.7, 241.1)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (TEXT, "", "None"),
        (TEXT, "[1, 2]", "1, 2"),
        (TEXT, "%YAML:1.0\n---\n" + TEXT, "found"),
        ("640", "wide", "image_width is 'wide'"),
        ("640", "1" * 29, "impossible"),
        ("640", "true", "image_width is True"),
        ("plumb_bob", "[1]", "distortion_model"),
        ("plumb_bob", "fish" * 10_000, "distortion model"),
        ("[-0.36, 0.13, 0.0004, -0.0004, 0]", "[-0.36]", "1 coefficients"),
        ("[-0.36, 0.13, 0.0004, -0.0004, 0]", "[.nan, 0, 0, 0, 0]", "finite"),
        ("[1, 0, 0, 0, 1, 0, 0, 0, 1]", "[1]", "r has 1 numbers"),
        ("438.8", "x", "camera_matrix"),
        ("438.8", "-438.8", "focal lengths in K"),
        ("393.6, 0., 322.8", "0., 0., 322.8", "focal lengths in P"),
        ("camera_matrix:", "camera:", "camera_matrix is None"),
        ("camera_name: narrow", "a: &a [1]\nb: *a", "references"),
        ("camera_name: narrow", "camera_name: " + "x" * 2_000_000, "larger than"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_few_words(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in TEXT
    path = tmp_path / "broken.yaml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(CalibrationError, match="broken.yaml") as refused:
        read_calibration(str(path))
    assert problem in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for location in (str(tmp_path), f"file://{tmp_path}/nothing", str(tmp_path / "pipe"), "/dev/zero", "x" * 100_000):
        with pytest.raises(CalibrationError) as refused:
            read_calibration(location)
        assert len(str(refused.value)) < 500
    with pytest.raises(CalibrationError, match="expected the path of a file or file:///PATH"):
        read_calibration("package://camera/left.yaml")
