"""What the node says of a camera that is silent, as a process over real DDS."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import qos_profile_sensor_data
from ros_harness import RELIABLE, Probe, noise_picture, running
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.ros import watchdog

pytestmark = pytest.mark.ros

PARAMETERS = {"input_size": "160x96", "input_timeout": 0.5}


def test_publishers_are_called_by_their_full_names() -> None:
    def name(namespace: str, node: str) -> str:
        return watchdog._name(SimpleNamespace(node_namespace=namespace, node_name=node))

    assert name("/", "camera") == "/camera"
    assert name("/robot/front", "camera") == "/robot/front/camera"
    assert name("_NODE_NAMESPACE_UNKNOWN_", "_NODE_NAME_UNKNOWN_") == "an unknown node"


@pytest.fixture
def listening(probe: Probe) -> Probe:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    return probe


def level_is(probe: Probe, level: bytes, text: str = "", camera: str = "") -> Callable[[], bool]:
    """Whether the newest status of the camera's input has that level, and its message contains a text."""

    def check() -> bool:
        status = probe.diagnostic(f"segmentation: {camera}: input" if camera else "segmentation: input")
        return status is not None and status.level == level and text in status.message

    return check


def wait_for_error(probe: Probe, text: str, camera: str = "") -> None:
    probe.wait(level_is(probe, DiagnosticStatus.ERROR, text, camera), f"an error with '{text}'")


def wait_until_well(probe: Probe, publisher: object, camera: str = "") -> None:
    """Publish until the node is content."""
    well = level_is(probe, DiagnosticStatus.OK, "images arrive", camera)

    def publish_and_check() -> bool:
        publisher.publish(probe.image(noise_picture()))  # type: ignore[attr-defined]
        return well()

    probe.wait(publish_and_check, "diagnostics to be content again")


def test_a_qos_mismatch_names_publisher_and_cure_and_recovers_by_itself(listening: Probe) -> None:
    override = "qos_overrides./image.subscription.reliability:=reliable"
    with running("segmentation_node", "-p", override, **PARAMETERS) as node:
        camera = listening.node.create_publisher(Image, "/image", qos_profile_sensor_data)
        wait_for_error(listening, "/probe (best effort publisher and reliable subscription)")
        wait_for_error(listening, "start the node with qos_overrides./image.subscription.reliability:=best_effort")
        listening.node.destroy_publisher(camera)
        wait_for_error(listening, "nobody publishes it")
        wait_until_well(listening, listening.publisher(Image, "/image", RELIABLE))
        listening.received["/diagnostics"].clear()
        wait_for_error(listening, "/probe publishes it, but nothing arrives")
        seen = len(listening.received["/diagnostics"])
        listening.wait(lambda: len(listening.received["/diagnostics"]) > seen + 2, "more reports of the silence")
    stops, returns = (node.output.count(text) for text in ("no image on /image for", "images on /image arrive again"))
    assert stops >= 2 and returns == stops - 1, "one line each time that the images stop or return"


def test_a_topic_of_a_like_name_is_pointed_out(listening: Probe) -> None:
    cameras = [listening.node.create_publisher(Image, topic, 10) for topic in ("/front/image_raw", "/depth")]
    with running("segmentation_node", "-r", "image:=/front/image", **PARAMETERS):
        wait_for_error(listening, "no image on /front/image for")
        wait_for_error(
            listening,
            "nobody publishes it; /front/image_raw (or /depth) is published: start the node with -r "
            "image:=/front/image_raw, or launch it with image:=/front/image_raw",
        )
    assert len(cameras) == 2


def test_what_our_nodes_publish_is_proposed_to_nobody(listening: Probe) -> None:
    """Another segmentation node's overlay is named as the camera's topic would be; it is no camera."""
    ours = ("mask", "confidence", "overlay", "color_mask", "front/overlay", "overlay/compressed", "drivable_mask")
    kinds = {name: CompressedImage if name.endswith("compressed") else Image for name in ours}
    outputs = [listening.node.create_publisher(kind, f"/image/{name}", 10) for name, kind in kinds.items()]
    with running("segmentation_node", **PARAMETERS):
        listening.wait(lambda: listening.node.count_subscribers("/image"), "the node")
        seen = len(listening.received["/diagnostics"])
        wait_for_error(listening, "no image on /image for")
        listening.wait(lambda: len(listening.received["/diagnostics"]) > seen + 3, "reports after discovery")
        status = listening.diagnostic("segmentation: input")
        assert status is not None and status.message.endswith(": nobody publishes it")
    assert len(outputs) == len(ours)


def test_the_topic_of_a_named_camera_is_proposed_as_launch_takes_it(listening: Probe) -> None:
    camera = listening.node.create_publisher(Image, "/robot/front/image_color", 10)
    with running("segmentation_node", cameras="[front]", **PARAMETERS):
        text = (
            "start the node with -r front/image:=/robot/front/image_color, or launch it with "
            "image:=/robot/{camera}/image_color"
        )
        wait_for_error(listening, text, "front")
    listening.node.destroy_publisher(camera)


def test_the_hint_can_be_followed_for_compressed_images(listening: Probe) -> None:
    camera = listening.node.create_publisher(CompressedImage, "/front/jpeg/compressed", 10)
    with running("segmentation_node", image_transport="compressed", **PARAMETERS):
        wait_for_error(listening, "/front/jpeg/compressed is published: start the node with -r image:=/front/jpeg")
    with running("segmentation_node", "-r", "image:=/front/jpeg", image_transport="compressed", **PARAMETERS):
        listening.wait(camera.get_subscription_count, "the node to follow the hint")


def test_the_other_transport_is_pointed_out(listening: Probe) -> None:
    camera = listening.node.create_publisher(CompressedImage, "/image/compressed", 10)
    with running("segmentation_node", **PARAMETERS):
        wait_for_error(listening, "/image/compressed is published: set the parameter image_transport to compressed")
    listening.node.destroy_publisher(camera)
    listening.received["/diagnostics"].clear()
    camera = listening.node.create_publisher(Image, "/image", 10)
    with running("segmentation_node", image_transport="compressed", **PARAMETERS):
        wait_for_error(listening, "/image is published: set the parameter image_transport to raw")


def test_a_publisher_of_another_type_is_named(listening: Probe) -> None:
    camera = listening.node.create_publisher(CompressedImage, "/image", 10)
    with running("segmentation_node", **PARAMETERS):
        wait_for_error(
            listening, "/probe publishes sensor_msgs/msg/CompressedImage there, where sensor_msgs/msg/Image is expected"
        )
    listening.node.destroy_publisher(camera)


def test_each_camera_is_watched_by_itself(listening: Probe) -> None:
    with running("segmentation_node", cameras="[front,left]", **PARAMETERS) as node:
        wait_for_error(listening, "no image on /front/image", "front")
        front = listening.publisher(Image, "/front/image")
        wait_until_well(listening, front, "front")
        wait_for_error(listening, "no image on /left/image", "left")
        left = listening.publisher(Image, "/left/image")
        wait_until_well(listening, left, "left")
    assert "images on /front/image arrive again" in node.output
    assert "images on /left/image arrive again" in node.output
