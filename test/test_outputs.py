from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.lifecycle import LifecycleNode
from ros_harness import LATCHED, Probe
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from fanet_ros.model.labels import load_label_set
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.segmentation.outputs import CameraOutputs
from fanet_ros.ros.topics import Outputs, latched
from fanet_ros.segmenter import Segmentation
from fanet_ros.settings import Size

pytestmark = pytest.mark.ros

FRAME = np.zeros((4, 6, 3), np.uint8)
RESULT = Segmentation(np.full((4, 6), 3, np.uint8), None, Size(32, 32))


@pytest.fixture
def node(probe: Probe) -> Iterator[LifecycleNode]:
    # not called segmentation, so that no other test takes what is left of it in DDS for the real node
    node = LifecycleNode("outputs", context=probe.context)
    yield node
    node.destroy_node()


@pytest.mark.parametrize("name", ["mask", "overlay", "color_mask"])
def test_only_what_is_subscribed_to_is_computed_and_published(
    probe: Probe, node: LifecycleNode, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = CameraOutputs(node, load_label_set("camvid11"))
    node.trigger_configure()
    node.trigger_activate()
    assert outputs.wanted() == frozenset()
    probe.listen(Image, f"/outputs/{name}")
    probe.wait(outputs.wanted, "the subscription")
    assert outputs.wanted() == {name}

    painted: list[str] = []
    for method in ("overlay", "color_mask"):
        original = getattr(outputs._painter, method)

        def spy(*arguments: object, _original: object = original, _method: str = method) -> object:
            painted.append(_method)
            return _original(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(outputs._painter, method, spy)
    published: list[str] = []
    for topic, publisher in outputs._publishers.items():
        monkeypatch.setattr(publisher, "publish", lambda message, topic=topic: published.append(topic))

    outputs.publish_images(outputs.wanted(), probe.header(), FRAME, "rgb8", RESULT, SegmentationParameters())
    assert published == [name]
    assert painted == {"mask": [], "overlay": ["overlay"], "color_mask": ["color_mask"]}[name]


def test_each_camera_has_topics_of_its_own(probe: Probe, node: LifecycleNode) -> None:
    front, left = (CameraOutputs(node, load_label_set("camvid11"), camera) for camera in ("front", "left"))
    node.trigger_configure()
    node.trigger_activate()
    probe.listen(Image, "/outputs/left/mask")
    probe.wait(left.wanted, "the subscription")
    assert (front.wanted(), left.wanted()) == (frozenset(), {"mask"})
    shape = Size(6, 4)
    buffers = [outputs.label_buffers(frozenset(), shape).labels for outputs in (front, left)]
    assert not np.may_share_memory(*buffers), "frames of both may be in work at the same time"
    left.publish_images(left.wanted(), probe.header(), FRAME, "rgb8", RESULT, SegmentationParameters())
    assert probe.wait_for("/outputs/left/mask")[0].width == 6


def test_what_is_latched_reaches_late_subscribers(probe: Probe, node: LifecycleNode) -> None:
    label_info = Outputs(node, {"label_info": (LabelInfo, latched())})
    node.trigger_configure()
    node.trigger_activate()
    label_info.publish("label_info", LabelInfo(threshold=0.25))
    probe.listen(LabelInfo, "/outputs/label_info", LATCHED)
    assert probe.wait_for("/outputs/label_info")[0].threshold == 0.25
    assert label_info.subscribers("label_info") == 1
    label_info.destroy()
    probe.wait(lambda: probe.node.count_publishers("/outputs/label_info") == 0, "the topic to go")


def test_destroyed_outputs_leave_the_graph(probe: Probe, node: LifecycleNode) -> None:
    outputs = CameraOutputs(node, load_label_set("camvid11"))
    assert probe.node.count_publishers("/outputs/stats") == 1
    outputs.destroy()
    probe.wait(lambda: probe.node.count_publishers("/outputs/stats") == 0, "the topic to go")
