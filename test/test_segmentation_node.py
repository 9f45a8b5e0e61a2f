"""The node as a process, over real DDS."""

import array
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from rclpy.qos import ReliabilityPolicy
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe, diagnostics_values, pixels_of, running
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from fanet_ros.render import Painter
from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

RNG = np.random.default_rng(7)
INPUT_SIZE = "160x96"  # small, so that tests are fast; the node does not care


def picture(width: int = 120, height: int = 72) -> np.ndarray:
    """Return a picture in which the network sees several classes."""
    return cv2.GaussianBlur(RNG.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 6)


@pytest.fixture
def probe(domain_id: int) -> Iterator[Probe]:
    probe = Probe(domain_id)
    yield probe
    probe.close()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(input_size=INPUT_SIZE)


def test_outputs_are_the_segmenters_byte_for_byte(probe: Probe, segmenter: Segmenter) -> None:
    for name in ("mask", "confidence", "overlay", "color_mask"):
        probe.listen(Image, f"/segmentation/{name}")
    probe.listen(SegmentationStats, "/segmentation/stats")
    painter = Painter(segmenter.label_set)
    with running("segmentation_node", input_size=INPUT_SIZE, overlay_alpha=0.25):
        camera = probe.publisher(Image, "/image")
        topics = [f"/segmentation/{n}" for n in ("mask", "confidence", "overlay", "color_mask", "stats")]
        probe.publish_until_answered(camera, probe.image(picture()), *topics)
        frames = [(picture(), "rgb8", 0), (picture(), "bgr8", 7), (picture(90, 64), "rgb8", 0), (picture(), "mono8", 3)]
        for pixels, encoding, padding in frames:
            if encoding == "mono8":
                pixels = pixels[..., :1]
            message = probe.image(pixels, encoding, padding)
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
                received = probe.answer(f"/segmentation/{name}", message)  # carries the camera's own stamp and frame
                assert received.encoding == wanted_encoding
                assert received.step == received.width * (1 if wanted_encoding == "mono8" else 3), "no row padding"
                np.testing.assert_array_equal(pixels_of(received), wanted, err_msg=f"{name} of {encoding}")
            stats = probe.answer("/segmentation/stats", message)
            assert (stats.backend, stats.device, stats.precision) == ("torch", "cpu", "fp32")
            assert (stats.input_width, stats.input_height) == (160, 96)
            ended = stats.frames_processed + stats.frames_dropped + stats.frames_skipped + stats.frames_rejected
            assert stats.frames_received == ended >= 2
            np.testing.assert_allclose(stats.class_shares, expected.class_shares(11), atol=1e-6)
            assert stats.inference_ms > 0 and stats.publish_ms > 0 and stats.wait_ms >= 0 and stats.decode_ms >= 0
            parts = stats.wait_ms + stats.decode_ms + stats.inference_ms + stats.publish_ms
            assert parts - 1 <= stats.age_ms < 60_000


def test_newest_frame_wins_under_overload(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    with running("segmentation_node", input_size="640x352"):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask", "/segmentation/stats")
        burst = [probe.image(picture(320, 180)) for _ in range(40)]
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
            probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask")
            assert probe.change_state("deactivate") is True
            probe.wait(lambda: probe.node.count_subscribers("/image") == 0, "the camera's subscription to end")
            probe.node.destroy_publisher(camera)
        assert probe.change_state("cleanup") is True
        assert probe.state() == "unconfigured"
        probe.wait(lambda: probe.node.count_publishers("/segmentation/mask") == 0, "the output topics to go")
        assert probe.change_state("shutdown") is True
        assert probe.state() == "finalized"
        assert node.is_alive


def test_bad_images_are_counted_reported_and_survived(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        good = picture()
        probe.publish_until_answered(camera, probe.image(good), "/segmentation/mask", "/segmentation/stats")
        masks = len(probe.received["/segmentation/mask"])

        def broken(**changes: object) -> Image:
            message = probe.image(good)
            for name, value in changes.items():
                setattr(message, name, value)
            return message

        bad = {
            "size": broken(height=0, width=0, step=0, data=array.array("B")),
            "buffer": broken(data=array.array("B", bytes(100))),
            "step": broken(step=1),
            "encoding": broken(encoding="holographic"),
        }
        for count, (kind, message) in enumerate(bad.items(), 1):
            camera.publish(message)
            # each is waited for through diagnostics, as a newer frame would replace one that still waits
            probe.wait(
                lambda kind=kind: (
                    (s := probe.diagnostic("segmentation: input")) is not None
                    and diagnostics_values(s).get(f"rejected: {kind}") == "1"
                ),
                f"diagnostics to count the {kind}",
            )
            status = probe.diagnostic("segmentation: input")
            assert status is not None and diagnostics_values(status)["rejected"] == str(count)
            assert node.is_alive
        assert len(probe.received["/segmentation/mask"]) == masks, "a bad image has no mask"
        message = probe.image(good)
        camera.publish(message)
        probe.answer("/segmentation/mask", message)
        assert probe.answer("/segmentation/stats", message).frames_rejected == len(bad)
    for text in ("size 0x0", "100 bytes of data, expected 25920", "step of 1 bytes", "'holographic'"):
        assert node.output.count(text) >= 1, text


def test_reports_of_one_kind_are_throttled(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask")
        for _ in range(50):
            message = probe.image(picture())
            message.step = 1
            camera.publish(message)
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask")
    assert 1 <= node.output.count("step of 1 bytes") < 10


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"backend": "tensorflow"}, "parameter 'backend': received 'tensorflow', expected one of auto, torch"),
        ({"overlay_alpha": "much"}, "parameter 'overlay_alpha': received 'much', expected a number"),
        ({"weights": "/nowhere/model.safetensors"}, "/nowhere/model.safetensors"),
        ({"labels": "kitti"}, "no label set 'kitti'"),
        ({"device": "cuda:77"}, "cuda:77"),
        ({"qos_overrides./image.subscription.reliability": "perhaps"}, "QoS override of /image"),
        ({"qos_overrides./segmentation/overlay.publisher.reliability": "perhaps"}, "QoS override of ~/overlay"),
    ],
)
def test_faults_at_start_are_explained_and_survived(probe: Probe, parameters: dict[str, object], text: str) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, **parameters) as node:
        probe.wait(
            lambda: (s := probe.diagnostic("segmentation: node")) is not None and s.level == DiagnosticStatus.ERROR,
            "the fault in diagnostics",
        )
        status = probe.diagnostic("segmentation: node")
        assert status is not None and text in status.message
        state = probe.state()
        assert state in ("unconfigured", "inactive")
        if state == "unconfigured":
            assert probe.change_state("configure") is False
            assert probe.node.count_publishers("/segmentation/mask") == 0, "a failed attempt leaves nothing behind"
        assert node.is_alive
    assert text in node.output


def test_a_fault_is_corrected_without_a_restart(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", input_size=INPUT_SIZE, backend="tensorflow"):
        assert probe.state() == "unconfigured"
        assert probe.change_state("configure") is False
        assert probe.set_parameter("backend", "torch") == (True, "")
        assert probe.change_state("configure") is True
        assert probe.change_state("activate") is True
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask")


def test_parameters_change_at_run_time_or_say_why_not(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/overlay")
    probe.listen(Image, "/segmentation/mask")
    probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    with running("segmentation_node", "-p", "overlay_alfa:=1.0", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        pixels = picture()
        probe.publish_until_answered(camera, probe.image(pixels), "/segmentation/overlay", "/segmentation/mask")
        for name, value, reason in (
            ("overlay_alpha", 2.0, "value: 2.0"),
            ("overlay_alpha", "much", "received 'much', expected a number"),
            ("output_size", "1x1", "received '1x1'"),
            ("backend", "torch", "deactivate and clean it up first"),
            ("autostart", False, "read-only"),
        ):
            accepted, why = probe.set_parameter(name, value)
            assert not accepted
            assert reason in why
        assert probe.get_parameter("overlay_alpha") == 0.5

        assert probe.set_parameter("overlay_alpha", 0.0) == (True, "")
        message = probe.image(pixels)
        camera.publish(message)
        np.testing.assert_array_equal(pixels_of(probe.answer("/segmentation/overlay", message)), pixels)

        assert probe.wait_for("/segmentation/label_info")[-1].threshold == 0.0
        assert probe.set_parameter("confidence_threshold", 1) == (True, ""), "1 is a number like 1.0"
        assert probe.wait_for("/segmentation/label_info", 2)[-1].threshold == 1.0
        assert probe.set_parameter("output_size", "64x48") == (True, "")
        message = probe.image(pixels)
        camera.publish(message)
        mask = pixels_of(probe.answer("/segmentation/mask", message))
        assert mask.shape == (48, 64)
        assert (mask == 255).mean() > 0.5, "hardly any pixel is certain"
    assert "unknown parameter 'overlay_alfa' is ignored; did you mean 'overlay_alpha'?" in node.output


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed_input(probe: Probe, segmenter: Segmenter, suffix: str) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", "-r", "image:=/front/image", input_size=INPUT_SIZE, image_transport="compressed"):
        camera = probe.publisher(CompressedImage, "/front/image/compressed")
        camera.publish(CompressedImage(header=probe.header(), format="jpeg", data=array.array("B", b"broken")))
        encoded = cv2.imencode(suffix, picture())[1]
        message = CompressedImage(header=probe.header(), format=suffix[1:], data=array.array("B", encoded.tobytes()))
        probe.publish_until_answered(camera, message, "/segmentation/mask")
        expected = segmenter.segment(cv2.imdecode(encoded, cv2.IMREAD_COLOR), "bgr8").labels
        np.testing.assert_array_equal(pixels_of(probe.answer("/segmentation/mask", message)), expected)


def test_label_info_reaches_late_subscribers(probe: Probe, segmenter: Segmenter) -> None:
    with running("segmentation_node", input_size=INPUT_SIZE):
        probe.publisher(Image, "/image")  # the node is active
        probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
        info = probe.wait_for("/segmentation/label_info")[-1]
        assert [c.class_name for c in info.class_map] == list(segmenter.label_set.names)
        assert info.threshold == 0.0


def test_nothing_is_computed_without_subscribers(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE):
        camera = probe.publisher(Image, "/image")
        for _ in range(5):
            camera.publish(probe.image(picture()))

        def values() -> dict[str, str]:
            status = probe.diagnostic("segmentation: input")
            return {} if status is None else diagnostics_values(status)

        probe.wait(lambda: values().get("skipped") == "5", "five skipped frames")
        assert values()["received"] == "5"
        inference = probe.diagnostic("segmentation: inference")
        assert inference is not None
        assert diagnostics_values(inference)["processed"] == "0"
        assert inference.message == "idle: nobody subscribes"


def test_a_silent_camera_becomes_an_error(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, input_timeout=0.5):
        probe.wait(
            lambda: (s := probe.diagnostic("segmentation: input")) is not None and s.level == DiagnosticStatus.ERROR,
            "the error",
        )
        status = probe.diagnostic("segmentation: input")
        assert status is not None and status.message.startswith("no image on /image for")


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_during_configure_end_the_node_cleanly(probe: Probe, number: int) -> None:
    node = NodeProcess("segmentation_node", input_size="1024x512")
    probe.wait(lambda: "segmentation" in probe.node.get_node_names(), "the node, which is configuring by now")
    assert node.stop(number) == 0, node.output
    assert "Traceback" not in node.output


def test_stamps_that_no_clock_gives_are_passed_on(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    with running("segmentation_node", input_size=INPUT_SIZE):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask", "/segmentation/stats")
        for seconds in (-5, 0, 2**31 - 1):
            message = probe.image(picture())
            message.header.stamp.sec, message.header.stamp.nanosec = seconds, 0
            camera.publish(message)
            probe.answer("/segmentation/mask", message)
            stats = probe.answer("/segmentation/stats", message)
            assert stats.frames_rejected == 0
            assert np.isnan(stats.age_ms) if seconds == 0 else np.sign(stats.age_ms) == -np.sign(seconds)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["-r", "__node:=bad-name"], "bad-name"), (["--params-file", "/nowhere.yaml"], "/nowhere.yaml")],
)
def test_wrong_arguments_are_one_clear_line(domain_id: int, arguments: list[str], text: str) -> None:
    node = NodeProcess("segmentation_node", *arguments)
    assert node.process.wait(60) == 2, node.output
    node.stop()
    assert "error: cannot start the node" in node.output and text in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_node_cleanly(probe: Probe, number: int) -> None:
    node = NodeProcess("segmentation_node", input_size=INPUT_SIZE)
    probe.publisher(Image, "/image")
    assert node.stop(number) == 0, node.output
    assert "Traceback" not in node.output


def test_corrupt_weights(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x00" * 64)
    with running("segmentation_node", weights=path) as node:
        assert probe.state() == "unconfigured"
    assert "broken.safetensors" in node.output


def test_losing_a_subscriber_stops_the_work(probe: Probe) -> None:
    subscription = probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE):
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(picture()), "/segmentation/mask")
        probe.node.destroy_subscription(subscription)

        def skipped() -> bool:
            camera.publish(probe.image(picture()))
            status = probe.diagnostic("segmentation: input")
            return status is not None and int(diagnostics_values(status)["skipped"]) > 0

        probe.wait(skipped, "frames to be skipped")
