"""Turned cameras, regions and a limited rate, in the running node over DDS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_harness import RELIABLE, Probe, diagnostics_values, noise_picture, pixels_of, running
from sensor_msgs.msg import Image

from fanet_ros.frames.look import Look, read_region
from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"
REGION = "96x48+8+16"


def test_a_turned_camera_with_a_region_that_not_every_image_holds(probe: Probe) -> None:
    segmenter = Segmenter(input_size=INPUT_SIZE)
    topics = ("/segmentation/mask", "/segmentation/confidence")
    for topic in topics:
        probe.listen(Image, topic)
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, rotation=180, region=REGION) as node:
        camera, pixels = probe.publisher(Image, "/image"), noise_picture()
        probe.publish_until_answered(camera, message := probe.image(pixels), *topics)
        expected = segmenter.segment(pixels, confidence=True, look=Look(180, read_region(REGION)))
        mask, confidence = (pixels_of(probe.answer(topic, message)) for topic in topics)
        np.testing.assert_array_equal(mask, expected.labels)
        np.testing.assert_array_equal(confidence, expected.confidence)
        assert (mask != segmenter.segment(pixels).labels).mean() > 0.3
        camera.publish(probe.image(noise_picture(90, 64)))
        words = "image of size 90x64, but region is 96x48+8+16, which ends at column 104 and row 64"

        def is_told() -> bool:
            status = probe.diagnostic("segmentation: input")
            return status is not None and words in diagnostics_values(status).get("last rejection", "")

        probe.wait(is_told, "the refusal")
        assert words in node.output
        camera.publish(message := probe.image(pixels))
        np.testing.assert_array_equal(pixels_of(probe.answer(topics[0], message)), expected.labels)


def test_one_of_several_cameras_hangs_upside_down(probe: Probe) -> None:
    segmenter = Segmenter(input_size=INPUT_SIZE)
    for name in ("front", "rear"):
        probe.listen(Image, f"/segmentation/{name}/mask")
    with running("segmentation_node", input_size=INPUT_SIZE, cameras="[front, rear]", rotation="[0, 180]"):
        for name, look in (("front", Look()), ("rear", Look(180))):
            camera, pixels = probe.publisher(Image, f"/{name}/image"), noise_picture()
            probe.publish_until_answered(camera, message := probe.image(pixels), topic := f"/segmentation/{name}/mask")
            expected = segmenter.segment(pixels, look=look).labels
            assert (pixels_of(probe.answer(topic, message)) == expected).mean() > 0.999  # it may have run in a batch


def test_values_that_fit_no_camera_are_told_and_can_be_mended(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, rotation="[0, 180]", region="whole"):

        def is_told() -> bool:
            status = probe.diagnostic("segmentation: node")
            return status is not None and "rotation: received 2 values (0, 180) for one camera" in status.message

        probe.wait(is_told, "the fault")
        ok, reason = probe.set_parameter("rotation", 45)
        assert not ok and "expected 0, 90, 180 or 270" in reason
        assert probe.set_parameter("rotation", 180) == (True, "")
        assert probe.change_state("configure")


def test_more_frames_than_wanted_are_skipped(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, max_latency_ms=60000.0):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask")
        assert probe.set_parameter("max_rate_hz", 0.01) == (True, "")

        def values(part: str) -> dict[str, str]:
            status = probe.diagnostic(f"segmentation: {part}")
            return {} if status is None else diagnostics_values(status)

        def many_are_skipped() -> bool:
            camera.publish(probe.image(noise_picture()))
            return int(values("input").get("skipped", 0)) >= 20

        probe.wait(many_are_skipped, "twenty skipped frames")
        assert int(values("inference")["processed"]) <= 4
        status = probe.diagnostic("segmentation: inference")
        assert status is not None and status.level == DiagnosticStatus.OK, status.message
        assert probe.set_parameter("max_rate_hz", 0) == (True, "")
        camera.publish(message := probe.image(noise_picture()))
        probe.answer("/segmentation/mask", message)
