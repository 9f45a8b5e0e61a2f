"""Compressed masks and pictures of the running node, over DDS."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import Probe, noise_picture, pixels_of, running
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"
TOPICS = ("/segmentation/mask/compressed", "/segmentation/overlay/compressed", "/segmentation/color_mask/compressed")


def test_compressed_topics_are_the_raw_ones(probe: Probe) -> None:
    segmenter = Segmenter(input_size=INPUT_SIZE)
    for topic in TOPICS:
        probe.listen(CompressedImage, topic)
    with running("segmentation_node", input_size=INPUT_SIZE, jpeg_quality=95):
        camera, pixels = probe.publisher(Image, "/image"), noise_picture()
        probe.publish_until_answered(camera, message := probe.image(pixels), *TOPICS)
        mask, overlay, colors = (probe.answer(topic, message) for topic in TOPICS)
        assert mask.header == overlay.header == colors.header == message.header
        expected = segmenter.segment(pixels).labels
        decoded = [cv2.imdecode(np.frombuffer(m.data, np.uint8), cv2.IMREAD_UNCHANGED) for m in (mask, overlay, colors)]
        np.testing.assert_array_equal(decoded[0], expected)
        assert np.abs(decoded[2][..., ::-1].astype(int) - segmenter.label_set.palette[expected]).mean() < 8
        probe.listen(Image, "/segmentation/overlay")  # the raw picture, beside the compressed one
        probe.publish_until_answered(camera, second := probe.image(pixels), "/segmentation/overlay", *TOPICS)
        raw = pixels_of(probe.answer("/segmentation/overlay", second))
        assert np.abs(decoded[1][..., ::-1].astype(int) - raw).mean() < 8
        assert probe.change_state("deactivate") and probe.change_state("activate"), "threads end and begin anew"
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(pixels), *TOPICS)
