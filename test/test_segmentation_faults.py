"""The node as a process, over real DDS: what it makes of faults, of users and of drivers."""

import array
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe, diagnostics_values, noise_picture, pixels_of, running
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"  # small, so that tests are fast; the node does not care


def test_bad_images_are_counted_reported_and_survived(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        good = noise_picture()
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


def test_compressed_images_are_pictures_or_refused(probe: Probe) -> None:
    """A few of each kind over DDS; test_encoded_image.py has all of them."""
    probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    picture = noise_picture(120, 72)
    grey = np.ascontiguousarray(picture[..., 0])

    def compressed(pixels: np.ndarray, words: str) -> CompressedImage:
        data = array.array("B", cv2.imencode(".png", pixels)[1].tobytes())
        return CompressedImage(header=probe.header(), format=words, data=data)

    refused = {
        "numbers such as distances": compressed(grey.astype(np.uint16) * 9, "16UC1; png compressed "),
        "16-bit grey image": compressed(grey.astype(np.uint16) * 9, "png"),
        "grey image of format 'nv12": compressed(grey, "nv12; png compressed "),
        "'\\x1b[2J\\nxxx": CompressedImage(format="\x1b[2J\n" + "x" * 100_000, data=array.array("B", b"none")),
    }
    with running("segmentation_node", image_transport="compressed", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(CompressedImage, "/image/compressed")
        for pixels, words in ((picture, "BAYER_RGGB8 ;PNG compressed bgr8"), (grey, "bayer_grbg8; png compressed ")):
            probe.publish_until_answered(camera, compressed(pixels, words), "/segmentation/mask")
        masks = len(probe.received["/segmentation/mask"])
        for reason, message in refused.items():
            camera.publish(message)
            probe.wait(
                lambda reason=reason: (
                    (status := probe.diagnostic("segmentation: input")) is not None
                    and status.level == DiagnosticStatus.WARN
                    and reason in status.message
                    and status.message.isprintable()
                ),
                f"diagnostics to say {reason}",
            )
        assert len(probe.received["/segmentation/mask"]) == masks, "what is refused has no mask"
    assert all(len(line) < 1000 and line.rstrip().isprintable() for line in node.output.splitlines())


def test_reports_of_one_kind_are_throttled(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask")
        for _ in range(50):
            message = probe.image(noise_picture())
            message.step = 1
            camera.publish(message)
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask")
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


def test_what_led_to_a_fault_is_logged_at_debug_level(probe: Probe) -> None:
    node = NodeProcess("segmentation_node", "--log-level", "segmentation:=debug", weights="/nowhere/model.safetensors")
    probe.wait(lambda: "cannot configure: /nowhere" in node.output, "the fault")
    assert node.stop() == 0
    before, told, _ = node.output.partition("cannot configure: /nowhere")
    assert told and "[DEBUG]" in before and "Traceback (most recent call last)" in before
    assert "_configure" in before, "the line of the code"


def test_a_fault_is_corrected_without_a_restart(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", input_size=INPUT_SIZE, backend="tensorflow"):
        assert probe.state() == "unconfigured"
        assert probe.change_state("configure") is False
        assert probe.set_parameter("backend", "torch") == (True, "")
        assert probe.change_state("configure") is True
        assert probe.change_state("activate") is True
        camera = probe.publisher(Image, "/image")
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask")


def test_parameters_change_at_run_time_or_say_why_not(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/overlay")
    probe.listen(Image, "/segmentation/mask")
    probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    with running("segmentation_node", "-p", "overlay_alfa:=1.0", input_size=INPUT_SIZE) as node:
        camera = probe.publisher(Image, "/image")
        pixels = noise_picture()
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


def test_a_silent_camera_becomes_an_error(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, input_timeout=0.5):
        probe.wait(
            lambda: (s := probe.diagnostic("segmentation: input")) is not None and s.level == DiagnosticStatus.ERROR,
            "the error",
        )
        status = probe.diagnostic("segmentation: input")
        assert status is not None and status.message.startswith("no image on /image for")


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
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/mask", "/segmentation/stats")
        for seconds in (-5, 0, 2**31 - 1):
            message = probe.image(noise_picture())
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
