"""Overrides of QoS that rclpy would ignore or choke on, given to real nodes."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_harness import TIMEOUT_S, NodeProcess, Probe

from fanet_ros.errors import SettingError
from fanet_ros.ros.qos_overrides import check_overrides

pytestmark = pytest.mark.ros

PUBLISHED, SUBSCRIBED = ("~/mask", "~/stats"), ("image", "/robot/camera_info")


def refusal(probe: Probe, overrides: dict[str, object]) -> str:
    """Return what a node with the topics above says of overrides."""
    given = [Parameter(name, value=value) for name, value in overrides.items()]
    node = Node("eyes", context=probe.context, cli_args=["--ros-args", "-r", "image:=/cam"], parameter_overrides=given)
    try:
        check_overrides(node, publishers=PUBLISHED, subscriptions=SUBSCRIBED)
    except SettingError as error:
        return str(error)
    finally:
        node.destroy_node()
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("/cam.subscription.reliability", "reliable"),
        ("/cam.subscription.reliability", "BEST_EFFORT"),
        ("/cam.subscription.history", "keep_all"),
        ("/robot/camera_info.subscription.depth", 3),
        ("/eyes/mask.publisher.depth", 1000),
    ],
)
def test_what_can_apply_is_accepted(probe: Probe, name: str, value: object) -> None:
    assert refusal(probe, {f"qos_overrides.{name}": value, "other": 1}) == ""


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "/cam.subscription.reliability",
            "realiable",
            "QoS override of image: subscription.reliability: received 'real",
        ),
        ("/cam.subscription.reliability", True, "received True, expected one of reliable, best_effort"),
        (
            "/cam.subscription.relaibility",
            "reliable",
            "received the policy 'relaibility', expected one of history, depth",
        ),
        ("/cam.subscription.liveliness", "automatic", "received the policy 'liveliness'"),
        ("/cam.subscription.durability", "transient", "received 'transient'"),
        ("/cam.subscriber.reliability", "reliable", "received 'subscriber' before the last dot, expected publisher or"),
        ("/cam.reliability", "reliable", "before the last dot, expected publisher or subscription"),
        ("reliability", "reliable", "before the last dot, expected publisher or subscription"),
        ("/image.subscription.reliability", "reliable", "no topic '/image' that the node subscribes to"),
        ("cam.subscription.reliability", "reliable", "no topic 'cam' that the node subscribes to; did you mean /cam?"),
        (
            "/cam.publisher.reliability",
            "reliable",
            "no topic '/cam' that the node publishes; it publishes /eyes/mask, ",
        ),
        (
            "/mask.publisher.reliability",
            "reliable",
            "no topic '/mask' that the node publishes; did you mean /eyes/mask",
        ),
        (
            "/eyes/mask.publisher.depth",
            0,
            "QoS override of ~/mask: publisher.depth: received 0, expected a whole number",
        ),
        ("/eyes/mask.publisher.depth", 10**12, "expected a whole number from 1 to 1000"),
        ("/eyes/mask.publisher.depth", "5", "received '5', expected a whole number"),
        ("/eyes/mask.publisher.history", "keep_first", "expected one of keep_last, keep_all, system_default"),
    ],
)
def test_what_cannot_apply_is_refused_with_what_is_right(probe: Probe, name: str, value: object, text: str) -> None:
    told = refusal(probe, {f"qos_overrides.{name}": value})
    assert text in told
    assert told.endswith(
        "restart it with qos_overrides.TOPIC.subscription.reliability or the like, TOPIC in full and as "
        "it is after remapping"
    )


def test_all_faults_are_told_at_once(probe: Probe) -> None:
    told = refusal(probe, {"qos_overrides./a.publisher.depth": 1, "qos_overrides./cam.subscription.depth": -1})
    assert "'/a'" in told and "-1" in told


@pytest.mark.parametrize(
    ("executable", "topic"),
    [
        *(
            ("drivable_area_node", f"/{name}.subscription")
            for name in ("mask", "confidence", "camera_info", "label_info")
        ),
        ("drivable_area_node", "/drivable_area/free_space.publisher"),
        ("drivable_area_node", "/nowhere.publisher"),
        ("camera_node", "/camera/camera_info.publisher"),
        ("camera_node", "/image_raw.publisher"),
    ],
)
def test_nodes_that_start_once_end_with_one_clear_line(domain_id: int, executable: str, topic: str) -> None:
    node = NodeProcess(executable, **{f"qos_overrides.{topic}.reliability": "perhaps"})
    assert node.process.wait(TIMEOUT_S) == 2, node.output
    node.stop()
    assert "error: cannot start the node: QoS override" in node.output and "Traceback" not in node.output


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"qos_overrides./image.subscription.reliabilty": "reliable"}, "received the policy 'reliabilty'"),
        ({"qos_overrides.image.subscription.reliability": "reliable"}, "did you mean /image?"),
        ({"qos_overrides./segmentation/masks.publisher.depth": 1}, "did you mean /segmentation/mask?"),
        ({"qos_overrides./segmentation/label_info.publisher.depth": 0}, "QoS override of ~/label_info"),
    ],
)
def test_the_segmentation_node_waits_unconfigured(probe: Probe, parameters: dict[str, object], text: str) -> None:
    node = NodeProcess("segmentation_node", input_size="160x96", **parameters)
    probe.wait(lambda: text in node.output, "the refusal")
    assert probe.state() == "unconfigured"
    assert node.stop() == 0
