"""What the node does while its network is being built, and how fast it starts when that is done."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from ros_harness import RELIABLE, Probe, noise_picture, running
from sensor_msgs.msg import Image

from fanet_ros.resources import DEFAULT_WEIGHTS

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def building(probe: Probe) -> bool:
    """Whether a report told of the build, and as a warning."""
    statuses = [status for array in probe.received["/diagnostics"] for status in array.status]
    return any("building openvino fp32" in s.message and s.level == DiagnosticStatus.WARN for s in statuses)


def test_a_build_is_told_of_and_done_once(probe: Probe, empty_cache: Path) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    parameters = {"backend": "openvino", "precision": "fp32", "input_size": "160x96"}
    with running("segmentation_node", autostart=False, **parameters) as node:
        probe.wait_for("/diagnostics")  # what is said of a short build must not be lost to discovery
        assert probe.change_state("configure") and probe.change_state("activate")
        probe.wait(lambda: building(probe), "the build in diagnostics")
        probe.wait(lambda: "active: segments" in node.output, "activation")
        assert "built openvino fp32 in " in node.output
    assert list(empty_cache.glob("fanet_ros/*/openvino*/model.bin"))
    with running("segmentation_node", **parameters) as node:
        probe.wait(lambda: "active: segments" in node.output, "activation")
        assert "building" not in node.output


def test_a_build_ends_with_the_node(probe: Probe, empty_cache: Path) -> None:
    with running("segmentation_node", backend="openvino", precision="fp32", input_size="160x96") as node:
        probe.wait(lambda: "building openvino fp32" in node.output, "the build")
    assert "a build was given up because the node stops" in node.output
    assert not list(empty_cache.glob("fanet_ros/*/openvino*/model.bin"))


def test_a_node_that_was_active_can_build_again(probe: Probe, empty_cache: Path) -> None:
    with running("segmentation_node", backend="openvino", precision="fp32", input_size="160x96") as node:
        probe.wait(lambda: "active: segments" in node.output, "activation")
        assert probe.change_state("deactivate") and probe.change_state("cleanup")
        shutil.rmtree(empty_cache / "fanet_ros")
        assert probe.change_state("configure"), node.output
        assert node.output.count("built openvino fp32 in ") == 2


def test_with_a_cached_network_the_node_needs_no_torch(probe: Probe) -> None:
    """Memory and start-up time hang on it; /proc shows what a process has loaded."""
    probe.listen(Image, "/segmentation/mask")
    probe.listen(SegmentationStats, "/segmentation/stats")
    with running("segmentation_node", weights=str(DEFAULT_WEIGHTS), device="cpu") as node:
        camera = probe.publisher(Image, "/image")
        image = probe.image(noise_picture())
        probe.publish_until_answered(camera, image, "/segmentation/mask", "/segmentation/stats")
        stats = probe.answer("/segmentation/stats", image)
        assert (stats.backend, stats.precision) == ("openvino", "int8"), stats.reason
        loaded = Path(f"/proc/{node.process.pid}/maps").read_text()
        assert "openvino" in loaded and "libtorch" not in loaded
