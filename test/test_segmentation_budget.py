"""The node with a latency budget, as a process over real DDS."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from ros_harness import RELIABLE, Probe, diagnostics_values, noise_picture, running
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros

WINDOW = 30  # frames between two changes at least


def run_frames(probe: Probe, count: int, **parameters: object) -> tuple[list[SegmentationStats], list[Image], str]:
    """Run the node on one frame after the other and return what it said of them and printed."""
    probe.listen(SegmentationStats, "/segmentation/stats")
    probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size="320x192", **parameters) as node:
        camera = probe.publisher(Image, "/image")
        topics = ("/segmentation/stats", "/segmentation/mask")
        probe.publish_until_answered(camera, probe.image(noise_picture()), *topics)
        for _ in range(count):
            message = probe.image(noise_picture())
            camera.publish(message)
            for topic in topics:
                probe.answer(topic, message)
        seen = len(probe.received["/diagnostics"])
        probe.wait(lambda: len(probe.received["/diagnostics"]) > seen + 1, "diagnostics of all frames")
    return probe.received["/segmentation/stats"], probe.received["/segmentation/mask"], node.output


def node_status(probe: Probe) -> DiagnosticStatus:
    status = probe.diagnostic("segmentation: node")
    assert status is not None
    return status


def test_a_budget_that_cannot_be_kept_leads_to_the_smallest_size_and_a_warning(probe: Probe) -> None:
    stats, masks, output = run_frames(probe, 3 * WINDOW, latency_budget_ms=0.01)
    assert (stats[0].input_scale, stats[0].input_width, stats[0].input_height) == (1.0, 320, 192)
    assert (stats[-1].input_scale, stats[-1].input_width, stats[-1].input_height) == (0.5, 160, 96)
    assert {(mask.width, mask.height) for mask in masks} == {(120, 72)}, "the masks' size is the camera's all the time"
    assert "the input scale goes from 1 to 0.5: 95 % of the frames were up to" in output
    assert output.count("there is no smaller size") == 1
    status = node_status(probe)
    assert status.level == DiagnosticStatus.WARN
    assert "the latency budget is missed at the smallest input size: p95 of the age is" in status.message
    assert diagnostics_values(status)["input scale"] == "0.5"


def test_a_generous_budget_leaves_the_size_alone(probe: Probe) -> None:
    stats, _, output = run_frames(probe, 2 * WINDOW, latency_budget_ms=60_000.0)
    assert {(s.input_scale, s.input_width) for s in stats} == {(1.0, 320)}
    assert 0 < stats[-1].age_p95_ms < 60_000
    assert "the input scale" not in output
    status = node_status(probe)
    assert status.level == DiagnosticStatus.OK
    assert diagnostics_values(status)["latency budget (ms)"] == "60000"
    assert float(diagnostics_values(status)["age p95 of the worst camera (ms)"]) > 0
