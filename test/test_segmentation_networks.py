"""The node with networks that are not FANet, as a process over real DDS."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fanet_ros.msg import SegmentationStats
from foreign_networks import Kind, own_labels, picture, write_network
from ros_harness import LATCHED, Probe, pixels_of, running
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

WINDOW = 30  # frames between two changes of the latency budget at least


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_two_cameras_get_the_networks_own_labels(probe: Probe, tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind())
    cameras = ("front", "left")
    probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    for name in cameras:
        probe.listen(Image, f"/segmentation/{name}/mask")
        probe.listen(Image, f"/segmentation/{name}/confidence")
    with running("segmentation_node", weights=weights, cameras="[front,left]") as node:
        frame = picture(192, 128)
        for name in cameras:
            message = probe.image(frame)
            topics = [f"/segmentation/{name}/{what}" for what in ("mask", "confidence")]
            probe.publish_until_answered(probe.publisher(Image, f"/{name}/image"), message, *topics)
            mask, confidence = (pixels_of(probe.answer(topic, message)) for topic in topics)
            assert (mask == own_labels(network, frame, mask.shape)).mean() >= 0.999
            assert confidence.std() > 5
        assert len(probe.wait_for("/segmentation/label_info")[-1].class_map) == 19
        assert "openvino on cpu" in node.output


def test_merged_classes_of_probabilities(probe: Probe, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind("softmax"))
    frame = picture(192, 128)
    segmenter = Segmenter(weights, labels="drivable3", backend="openvino")
    expected = segmenter.segment(frame, confidence=True)
    segmenter.close()
    topics = [f"/segmentation/{what}" for what in ("mask", "confidence")]
    for topic in topics:
        probe.listen(Image, topic)
    probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    with running("segmentation_node", weights=weights, labels="drivable3"):
        message = probe.image(frame)
        probe.publish_until_answered(probe.publisher(Image, "/image"), message, *topics)
        for topic, wanted in zip(topics, (expected.labels, expected.confidence), strict=True):
            np.testing.assert_array_equal(pixels_of(probe.answer(topic, message)), wanted)
        names = [each.class_name for each in probe.wait_for("/segmentation/label_info")[-1].class_map]
    assert names == ["drivable", "walkable", "obstacle"] and len(np.unique(expected.labels)) > 1


def test_labels_alone_have_no_confidence_which_is_said_once(probe: Probe, tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind("argmax_keep", stride=1, fixed=True))
    for what in ("mask", "confidence", "overlay"):
        probe.listen(Image, f"/segmentation/{what}")
    with running("segmentation_node", weights=weights, confidence_threshold=0.5) as node:
        camera, frame = probe.publisher(Image, "/image"), picture(192, 128)
        message = probe.image(frame)
        probe.publish_until_answered(camera, message, "/segmentation/mask", "/segmentation/overlay")
        mask = pixels_of(probe.answer("/segmentation/mask", message))
        assert (mask == own_labels(network, frame, mask.shape)).mean() >= 0.999
        assert node.output.count("there is no confidence") == 1
    assert not probe.received["/segmentation/confidence"]


def test_a_latency_budget_shrinks_a_network_of_open_size(probe: Probe, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind())
    probe.listen(SegmentationStats, "/segmentation/stats")
    with running("segmentation_node", weights=weights, input_size="320x192", latency_budget_ms=0.01):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture(192, 128)), "/segmentation/stats")
        for _ in range(2 * WINDOW):
            message = probe.image(picture(192, 128))
            camera.publish(message)
            last = probe.answer("/segmentation/stats", message)
        assert (last.input_width, last.input_height) == (160, 96)


def test_with_a_fixed_size_a_latency_budget_is_refused_and_the_node_lives(probe: Probe, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(fixed=True))
    with running("segmentation_node", weights=weights, latency_budget_ms=50.0) as node:
        probe.wait(lambda: "set latency_budget_ms to 0" in node.output, "the refusal")
        assert probe.state() == "unconfigured"
        assert probe.set_parameter("latency_budget_ms", 0.0) == (True, "")
        assert probe.change_state("configure")
        assert probe.change_state("activate")
        probe.listen(Image, "/segmentation/mask")
        message = probe.image(picture(192, 128))
        probe.publish_until_answered(probe.publisher(Image, "/image"), message, "/segmentation/mask")
        assert len(np.unique(pixels_of(probe.answer("/segmentation/mask", message)))) > 2
