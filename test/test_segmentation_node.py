"""The node as a process, over real DDS: what it makes of frames and requests."""

import array
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from fanet_ros.msg import SegmentationStats
from rclpy.qos import ReliabilityPolicy
from ros_harness import LATCHED, RELIABLE, Probe, diagnostics_values, noise_picture, pixels_of, running
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from fanet_ros.reports.render import Painter
from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"  # small, so that tests are fast; the node does not care


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(input_size=INPUT_SIZE)


@pytest.fixture(scope="module")
def _shared_node(shared_domain_id: int) -> Iterator[None]:
    with running("segmentation_node", input_size=INPUT_SIZE, overlay_alpha=0.25):
        yield


@pytest.fixture
def looking(_shared_node: None, shared_probe: Probe) -> Probe:
    """The other side of a node that several tests use: they only look at what it makes of their frames."""
    return shared_probe


def test_outputs_are_the_segmenters_byte_for_byte(looking: Probe, segmenter: Segmenter) -> None:
    for name in ("mask", "confidence", "overlay", "color_mask"):
        looking.listen(Image, f"/segmentation/{name}")
    looking.listen(SegmentationStats, "/segmentation/stats")
    painter = Painter(segmenter.label_set)
    camera = looking.publisher(Image, "/image")
    topics = [f"/segmentation/{n}" for n in ("mask", "confidence", "overlay", "color_mask", "stats")]
    looking.publish_until_answered(camera, looking.image(noise_picture()), *topics)
    frames = [
        (noise_picture(), "rgb8", 0),
        (noise_picture(), "bgr8", 7),
        (noise_picture(90, 64), "rgb8", 0),
        (noise_picture(), "mono8", 3),
    ]
    for pixels, encoding, padding in frames:
        if encoding == "mono8":
            pixels = pixels[..., :1]
        message = looking.image(pixels, encoding, padding)
        camera.publish(message)
        expected = segmenter.segment(pixels, encoding, confidence=True)
        assert len(np.unique(expected.labels)) > 1
        overlay, overlay_encoding = painter.overlay(pixels, encoding, expected.labels, 0.25)
        for name, wanted, wanted_encoding in (
            ("mask", expected.labels, "mono8"),
            ("confidence", expected.confidence, "mono8"),
            ("overlay", overlay, overlay_encoding),
            ("color_mask", segmenter.label_set.palette[expected.labels], "rgb8"),
        ):
            received = looking.answer(f"/segmentation/{name}", message)  # carries the camera's own stamp and frame
            assert received.encoding == wanted_encoding
            assert received.step == received.width * (1 if wanted_encoding == "mono8" else 3), "no row padding"
            np.testing.assert_array_equal(pixels_of(received), wanted, err_msg=f"{name} of {encoding}")
        stats = looking.answer("/segmentation/stats", message)
        assert (stats.backend, stats.device, stats.precision, stats.reason) == segmenter.backend_info
        assert (stats.input_width, stats.input_height) == (160, 96)
        ended = stats.frames_processed + stats.frames_dropped + stats.frames_skipped + stats.frames_rejected
        assert stats.frames_received == ended >= 2
        np.testing.assert_allclose(stats.class_shares, expected.class_shares(11), atol=1e-6)
        assert stats.inference_ms > 0 and stats.publish_ms > 0 and stats.wait_ms >= 0 and stats.decode_ms >= 0
        parts = stats.wait_ms + stats.decode_ms + stats.inference_ms + stats.publish_ms
        assert parts - 1 <= stats.age_ms < 60_000


def test_merged_classes_are_what_every_output_speaks_of(probe: Probe) -> None:
    segmenter = Segmenter(input_size=INPUT_SIZE, labels="drivable3")
    for name in ("mask", "confidence", "color_mask"):
        probe.listen(Image, f"/segmentation/{name}")
    probe.listen(SegmentationStats, "/segmentation/stats")
    probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    topics = [f"/segmentation/{n}" for n in ("mask", "confidence", "color_mask", "stats")]
    with running("segmentation_node", input_size=INPUT_SIZE, labels="drivable3"):
        camera, pixels = probe.publisher(Image, "/image"), noise_picture()
        probe.publish_until_answered(camera, probe.image(pixels), *topics)
        camera.publish(message := probe.image(pixels))
        expected = segmenter.segment(pixels, "rgb8", confidence=True)
        for name, wanted in (
            ("mask", expected.labels),
            ("confidence", expected.confidence),
            ("color_mask", segmenter.label_set.palette[expected.labels]),
        ):
            np.testing.assert_array_equal(pixels_of(probe.answer(f"/segmentation/{name}", message)), wanted)
        assert set(np.unique(expected.labels)) <= {0, 1, 2, 255}
        stats = probe.answer("/segmentation/stats", message)
        np.testing.assert_allclose(stats.class_shares, expected.class_shares(3), atol=1e-6)
        info = probe.wait_for("/segmentation/label_info")[-1]
        assert [(c.class_id, c.class_name) for c in info.class_map] == [
            (0, "drivable"),
            (1, "walkable"),
            (2, "obstacle"),
        ]


def test_newest_frame_wins_under_overload(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    with running("segmentation_node", input_size="640x352"):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask", "/segmentation/stats")
        burst = [probe.image(noise_picture(320, 180)) for _ in range(40)]
        for message in burst:
            camera.publish(message)
        last = burst[-1].header.stamp
        probe.wait(
            lambda: any(m.header.stamp == last for m in probe.received["/segmentation/stats"]),
            "the newest frame's mask",
        )
        stats = probe.received["/segmentation/stats"]
        sent = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in burst]
        answered = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in stats]
        processed = [sent.index(stamp) for stamp in answered if stamp in sent]
        assert processed == sorted(set(processed)), "each frame at most once, in order"
        final = stats[-1]
        assert final.frames_processed < final.frames_received, "a burst must overload the node"
        assert final.frames_dropped > 0 == final.frames_rejected
        assert final.frames_received == final.frames_processed + final.frames_dropped + final.frames_skipped


def test_lifecycle(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", input_size=INPUT_SIZE, autostart=False) as node:
        assert probe.state() == "unconfigured"
        assert probe.node.count_publishers("/segmentation/mask") == 0
        assert probe.change_state("activate") is False, "an impossible transition is refused"
        assert probe.change_state("configure") is True
        assert probe.state() == "inactive"
        assert probe.node.count_subscribers("/image") == 0, "an inactive node does not subscribe"
        for _ in range(2):
            assert probe.change_state("activate") is True
            assert probe.change_state("activate") is False
            camera = probe.publisher(Image, "/image")
            probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask")
            assert probe.change_state("deactivate") is True
            probe.wait(lambda: probe.node.count_subscribers("/image") == 0, "the camera's subscription to end")
            probe.node.destroy_publisher(camera)
        assert probe.change_state("cleanup") is True
        assert probe.state() == "unconfigured"
        probe.wait(lambda: probe.node.count_publishers("/segmentation/mask") == 0, "the output topics to go")
        assert probe.change_state("shutdown") is True
        assert probe.state() == "finalized"
        assert node.is_alive


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed_input(probe: Probe, segmenter: Segmenter, suffix: str) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", "-r", "image:=/front/image", input_size=INPUT_SIZE, image_transport="compressed"):
        camera = probe.publisher(CompressedImage, "/front/image/compressed")
        camera.publish(CompressedImage(header=probe.header(), format="jpeg", data=array.array("B", b"broken")))
        encoded = cv2.imencode(suffix, noise_picture())[1]
        message = CompressedImage(header=probe.header(), format=suffix[1:], data=array.array("B", encoded.tobytes()))
        probe.publish_until_answered(camera, message, "/segmentation/mask")
        expected = segmenter.segment(cv2.imdecode(encoded, cv2.IMREAD_COLOR), "bgr8").labels
        np.testing.assert_array_equal(pixels_of(probe.answer("/segmentation/mask", message)), expected)


def test_label_info_reaches_late_subscribers(looking: Probe, segmenter: Segmenter) -> None:
    looking.publisher(Image, "/image")  # the node is active
    looking.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    info = looking.wait_for("/segmentation/label_info")[-1]
    assert [c.class_name for c in info.class_map] == list(segmenter.label_set.names)
    assert info.threshold == 0.0


def test_nothing_is_computed_without_subscribers(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE):
        camera = probe.publisher(Image, "/image")

        def values() -> dict[str, str]:
            status = probe.diagnostic("segmentation: input")
            return {} if status is None else diagnostics_values(status)

        def five_are_skipped() -> bool:  # the first may be lost: discovery has two sides
            camera.publish(probe.image(noise_picture()))
            return int(values().get("skipped", 0)) >= 5

        probe.wait(five_are_skipped, "five skipped frames")
        assert values()["received"] == values()["skipped"]
        inference = probe.diagnostic("segmentation: inference")
        assert inference is not None
        assert diagnostics_values(inference)["processed"] == "0"
        assert inference.message == "idle: nobody subscribes"


def test_qos_is_overridden_by_parameters(probe: Probe) -> None:
    override = "qos_overrides./image.subscription.reliability:=reliable"
    with running("segmentation_node", "-p", override, input_size=INPUT_SIZE):
        probe.publisher(Image, "/image")
        (info,) = probe.node.get_subscriptions_info_by_topic("/image")
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_default_qos_and_namespace(probe: Probe) -> None:
    with running("segmentation_node", "-r", "__ns:=/front", input_size=INPUT_SIZE):
        probe.publisher(Image, "/front/image")
        (info,) = probe.node.get_subscriptions_info_by_topic("/front/image")
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        probe.wait(lambda: probe.node.count_publishers("/front/segmentation/mask"), "the mask topic")
        (info,) = probe.node.get_publishers_info_by_topic("/front/segmentation/mask")
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
        probe.wait(lambda: probe.diagnostic("front/segmentation: node"), "diagnostics under the full name")


def test_losing_a_subscriber_stops_the_work(looking: Probe) -> None:
    subscription = looking.listen(Image, "/segmentation/mask")
    looking.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    camera = looking.publisher(Image, "/image")
    looking.publish_until_answered(camera, looking.image(noise_picture()), "/segmentation/mask")
    looking.node.destroy_subscription(subscription)

    def skipped() -> int:
        status = looking.diagnostic("segmentation: input")
        return 0 if status is None else int(diagnostics_values(status)["skipped"])

    looking.wait(lambda: looking.diagnostic("segmentation: input"), "a report")
    before = skipped()

    def more_are_skipped() -> bool:
        camera.publish(looking.image(noise_picture()))
        return skipped() > before + 1

    looking.wait(more_are_skipped, "frames to be skipped")
