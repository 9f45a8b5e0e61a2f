"""The camera node as a process, over real DDS."""

import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import TIMEOUT_S, NodeProcess, Probe, pixels_of, running
from sensor_msgs.msg import CameraInfo, Image

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
