"""The camera node as a process, over real DDS."""

import math
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_harness import RELIABLE, TIMEOUT_S, NodeProcess, Probe, diagnostics_values, pixels_of, running
from sensor_msgs.msg import CameraInfo, Image

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.sources import open_source

pytestmark = pytest.mark.ros


def test_street_camera_with_truth_and_calibration(probe: Probe) -> None:
    topics = ("/camera/image_raw", "/camera/labels", "/camera/camera_info")
    probe.listen(Image, topics[0])
    probe.listen(Image, topics[1])
    probe.listen(CameraInfo, topics[2])
    with running(
        "camera_node", seed=3, width=160, height=96, rate_hz=20, frames=5, wait_for_subscribers=1, frame_id="eye"
    ) as node:
        for topic in topics:
            probe.wait_for(topic, 4)
        probe.wait(lambda: not node.is_alive, "the node to end after its last frame")
    images, labels, infos = (probe.received[topic] for topic in topics)
    with open_source("street", width=160, height=96, seed=3) as street:
        truth = {frame.image.tobytes(): frame for frame in (street.read() for _ in range(5)) if frame is not None}
        intrinsics = street.intrinsics
    assert len(images) == 5, "it waited for its subscriber, so every frame arrives"
    assert len(labels) >= 4, "labels are sent only to a subscriber it has seen; the first may be missed"
    by_stamp = {(m.header.stamp.sec, m.header.stamp.nanosec): m for m in labels}
    for image in images:
        frame = truth[pixels_of(image).tobytes()]
        assert (image.encoding, image.header.frame_id) == ("rgb8", "eye")
        label = by_stamp.get((image.header.stamp.sec, image.header.stamp.nanosec))
        if label is not None:
            assert label.encoding == "mono8"
            np.testing.assert_array_equal(pixels_of(label), frame.labels)
    info = infos[-1]
    assert (info.width, info.height, info.header.frame_id) == (160, 96, "eye")
    assert (info.k[0], info.k[4], info.k[2], info.k[5]) == (
        intrinsics.fx,
        intrinsics.fy,
        intrinsics.cx,
        intrinsics.cy,
    )
    assert info.p[0] == info.k[0] and info.r[0] == info.k[8] == 1.0 and len(info.d) == 5


def write_pictures(folder: Path, count: int) -> list[np.ndarray]:
    pictures = [np.full((48, 64, 3), 40 * (i + 1), np.uint8) for i in range(count)]
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return pictures


def test_a_folder_loops(probe: Probe, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 2)
    probe.listen(Image, "/camera/image_raw")
    with running("camera_node", source=tmp_path, rate_hz=50.0, wait_for_subscribers=1):
        messages = probe.wait_for("/camera/image_raw", 5)[:5]
    seen = [int(pixels_of(m)[0, 0, 0]) for m in messages]
    assert seen == [int(pictures[i % 2][0, 0, 0]) for i in range(5)]


def test_without_looping_the_node_ends_with_its_source(probe: Probe, tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    probe.listen(Image, "/camera/image_raw")
    with running("camera_node", source=tmp_path, rate_hz=50.0, loop=False, wait_for_subscribers=1) as node:
        probe.wait(lambda: not node.is_alive, "the node to end")
    assert len(probe.received["/camera/image_raw"]) == 3
    assert "has ended after 3 frames" in node.output


CALIBRATION = """\
image_width: 64
image_height: 48
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 31, 0, 61, 23, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.1, 0.01, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [59, 0, 31, 0, 0, 60, 23, 0, 0, 0, 1, 0]}
"""


def test_no_calibration_is_made_up(probe: Probe, tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    probe.listen(Image, "/camera/image_raw")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("camera_node", source=tmp_path) as node:
        probe.wait_for("/camera/image_raw", 2)
        assert probe.node.count_publishers("/camera/camera_info") == 0
        assert "camera_info is not published" in node.output and "WARN" in node.output
        probe.wait(lambda: probe.diagnostic("camera: source"), "its diagnostics")
    values = diagnostics_values(probe.diagnostic("camera: source"))
    assert values["calibration"] == "unknown: no camera_info"


def test_a_calibration_is_read_from_a_file_and_not_used_for_another_size(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION)
    folder = tmp_path / "images"
    folder.mkdir()
    write_pictures(folder, 1)
    cv2.imwrite(str(folder / "9.png"), np.zeros((24, 32, 3), np.uint8))
    probe.listen(Image, "/camera/image_raw")
    probe.listen(CameraInfo, "/camera/camera_info")
    with running("camera_node", source=folder, calibration=f"file://{path}", rate_hz=20.0) as node:
        probe.wait_for("/camera/camera_info", 2)
        probe.wait(lambda: "images of 32x24 come without ~/camera_info" in node.output, "a warning of the other size")
    info = probe.received["/camera/camera_info"][0]
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    assert list(info.d) == [-0.1, 0.01, 0, 0, 0] and list(info.k)[:3] == [60, 0, 31] and info.p[5] == 60
    sizes = {(m.header.stamp.sec, m.header.stamp.nanosec): m.width for m in probe.received["/camera/image_raw"]}
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in probe.received["/camera/camera_info"]]
    assert {sizes[stamp] for stamp in stamps if stamp in sizes} == {64}


def test_a_field_of_view_that_is_asked_for_is_called_an_estimate(probe: Probe, tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    probe.listen(CameraInfo, "/camera/camera_info")
    with running("camera_node", source=tmp_path, horizontal_fov=math.pi / 2) as node:
        info = probe.wait_for("/camera/camera_info")[0]
        assert "estimates" in node.output
    assert info.k[0] == info.k[4] == pytest.approx(32.0)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"calibration": "{folder}/other.yaml"}, "is of images of 640x480"),
        ({"calibration": "/nowhere.yaml"}, "there is no file /nowhere.yaml"),
        ({"calibration": "{folder}/other.yaml", "horizontal_fov": 1.0}, "both are given"),
        ({"source": "street", "horizontal_fov": 1.0}, "knows its own calibration"),
        ({"horizontal_fov": 60.0}, "received 60.0, expected a value from 0 to 3"),
        ({"source": "{folder}/pipe.mp4"}, "pipe.mp4"),
        ({"source": "{folder}/pipe.png"}, "pipe.png"),
        ({"source": "{folder}/zero.png"}, "zero.png"),
        ({"source": "/dev/zero"}, "/dev/zero"),
        ({"source": "x" * 20_000}, "there is no source"),
    ],
)
def test_what_cannot_be_played_is_one_short_line(
    domain_id: int, tmp_path: Path, given: dict[str, object], problem: str
) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "other.yaml").write_text(CALIBRATION.replace("64", "640").replace("48", "480"))
    for name in ("pipe.mp4", "pipe.png"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    given = {name: str(value).format(folder=tmp_path) for name, value in given.items()}
    node = NodeProcess("camera_node", **{"source": tmp_path, **given})
    assert node.process.wait(TIMEOUT_S) == 2
    node.stop()
    assert problem in node.output
    assert "Traceback" not in node.output and len(node.output) < 2000


def test_a_lost_source_is_an_error_until_it_is_back(probe: Probe, tmp_path: Path) -> None:
    folder, away = tmp_path / "drive", tmp_path / "away"
    folder.mkdir()
    write_pictures(folder, 2)
    probe.listen(Image, "/camera/image_raw")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)

    def is_level(level: bytes) -> bool:
        status = probe.diagnostic("camera: source")
        return status is not None and status.level == level

    with running("camera_node", source=folder, rate_hz=50.0) as node:
        probe.wait_for("/camera/image_raw")
        folder.rename(away)
        probe.wait(lambda: is_level(DiagnosticStatus.ERROR), "an error")
        away.rename(folder)
        probe.wait(lambda: is_level(DiagnosticStatus.OK), "its end")
        seen = len(probe.received["/camera/image_raw"])
        probe.wait_for("/camera/image_raw", seen + 2)
    assert node.output.count("[ERROR]") == 1 and "images come again" in node.output


def test_frames_are_named_after_the_node_and_parameters_stay(probe: Probe, tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    probe.listen(Image, "/front/left/image_raw")
    with running("camera_node", "-r", "__ns:=/front", "-r", "__node:=left", source=tmp_path):
        image = probe.wait_for("/front/left/image_raw")[0]
        assert image.header.frame_id == "front/left_optical_frame"
        for name, spec in CameraParameters.specs().items():
            is_set, reason = probe.set_parameter(name, spec.default, node="/front/left")
            assert not is_set and "read-only" in reason


def test_wrong_parameters_are_one_clear_line(domain_id: int) -> None:
    node = NodeProcess("camera_node", rate_hz=-1.0, seed="x", frame=3)
    assert node.process.wait(TIMEOUT_S) == 2
    node.stop()
    assert "parameter 'rate_hz': received -1.0, expected a value from 0 to 1000" in node.output
    assert "parameter 'seed': received 'x', expected a whole number" in node.output
    assert "unknown parameter 'frame' is ignored; did you mean 'frames'?" in node.output
    assert "Traceback" not in node.output


def test_a_source_that_cannot_be_opened_is_one_clear_line(domain_id: int) -> None:
    node = NodeProcess("camera_node", source="/nowhere/drive.mp4")
    assert node.process.wait(TIMEOUT_S) == 2
    assert node.stop() == 2
    assert "/nowhere/drive.mp4" in node.output
    assert "Traceback" not in node.output


def test_repeated_signals_end_it_cleanly(probe: Probe) -> None:
    """Ctrl-C in a terminal reaches a launched node twice: from the terminal and from the launch system."""
    with running("camera_node", rate_hz=20.0) as camera:
        probe.listen(Image, "/camera/image_raw")
        probe.wait_for("/camera/image_raw")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # two of one number may count once
            camera.process.send_signal(number)
        camera.process.wait(TIMEOUT_S)
