"""Our topics as kiwicampus' semantic segmentation layer reads them: its rules are in semantic_layer.py."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import Probe, running
from semantic_layer import Observation, SemanticLayer, Tile, stamp_of, xyz_of
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from fanet_ros.model.labels import load_label_set
from fanet_ros.resources import config_path
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.sources.street.scene import NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD

LABELS = load_label_set("camvid11")
ROAD, PAVEMENT, CAR = (LABELS.id_of(name) for name in ("road", "pavement", "car"))
COSTMAP = yaml.safe_load(config_path("nav2/semantic_layer.yaml").read_text())
COSTMAP = COSTMAP["local_costmap"]["local_costmap"]["ros__parameters"]
SOURCE = COSTMAP["semantic_layer"]["camera"]
RESOLUTION = COSTMAP["resolution"]


# -- the consumer itself ---------------------------------------------------------------------------------------------


def header(seconds: float) -> Header:
    stamp = Header(frame_id="base_link")
    stamp.stamp.sec, stamp.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
    return stamp


def image(values: NDArray[np.uint8], seconds: float = 1.0) -> Image:
    height, width = values.shape
    data = array.array("B", values.tobytes())
    return Image(header=header(seconds), height=height, width=width, encoding="mono8", step=width, data=data)


def cloud(points: NDArray[np.float32], seconds: float = 1.0) -> PointCloud2:
    height, width = points.shape[:2]
    padded = np.zeros((height, width, 5), np.float32)
    padded[..., 1:4] = points
    fields = [PointField(name=n, offset=4 + 4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate("xyz")]
    return PointCloud2(
        header=header(seconds),
        height=height,
        width=width,
        fields=fields,
        point_step=20,
        row_step=20 * width,
        data=array.array("B", padded.tobytes()),
    )


def tiles(
    labels: list[int], points: list[tuple[float, float, float]], confidence: list[int] | None = None, **settings: Any
) -> tuple[SemanticLayer, dict[Tile, int]]:
    """Show the layer one row of pixels; return it and the class of each tile."""
    layer = SemanticLayer({**SOURCE, **settings}, RESOLUTION)
    layer.on_label_info(label_info_message(LABELS, 0.0, header(0.5).stamp))
    row = np.array([labels], np.uint8)
    layer.on_mask(image(row))
    layer.on_confidence(image(np.array([confidence or [200] * len(labels)], np.uint8)))
    layer.on_cloud(cloud(np.array([points], np.float32)))
    (frame,) = layer.frames
    return layer, {tile: observation.class_id for tile, observation in frame.items()}


def test_pixels_without_ground_or_out_of_range_do_not_count() -> None:
    points = [(float("nan"),) * 3, (0.2, 0.0, 0.0), (7.9, 0.05, 0.0), (8.1, 0.05, 0.0), (2.05, -0.05, 0.0)]
    _, found = tiles([CAR, CAR, ROAD, CAR, PAVEMENT], points)
    assert found == {(79, 0): ROAD, (20, -1): PAVEMENT}


def test_of_several_pixels_on_a_tile_the_costliest_or_the_surest_counts() -> None:
    points = [(2.02, 0.02, 0.0), (2.05, 0.05, 0.0), (2.08, 0.08, 0.0)]
    labels, confidence = [ROAD, CAR, 255], [180, 90, 255]
    assert tiles(labels, points, confidence)[1] == {(20, 0): CAR}
    layer, found = tiles(labels, points, confidence, use_cost_selection=False)
    assert (found, layer.skipped_pixels) == ({}, 1), "an unlabelled pixel that is sure hides the others"


def test_sets_that_the_layer_cannot_use_are_dropped() -> None:
    layer = SemanticLayer(SOURCE, RESOLUTION)
    ground = np.full((2, 3, 3), 2.0, np.float32)
    labels = np.full((2, 3), ROAD, np.uint8)

    def show(mask: NDArray[np.uint8], stamps: tuple[float, float, float]) -> None:
        layer.on_mask(image(mask, stamps[0]))
        layer.on_confidence(image(mask, stamps[1]))
        layer.on_cloud(cloud(ground, stamps[2]))

    show(labels, (1.0, 1.0, 1.0))
    assert layer.dropped == {"no label info yet": 1}
    layer.on_label_info(label_info_message(LABELS, 0.0, header(1.5).stamp))
    show(labels[:1], (2.0, 2.0, 2.0))
    assert layer.dropped["mask and cloud differ in size"] == 1
    show(labels, (3.0, 3.0, 3.2))
    assert layer.frames == [] and layer.dropped.total() == 2, "stamps too far apart are no set at all"
    show(labels, (4.0, 4.05, 4.09))
    assert len(layer.frames) == 1


def test_a_class_without_a_type_is_told() -> None:
    layer = SemanticLayer({**SOURCE, "class_types": ["free"]}, RESOLUTION)
    layer.on_label_info(label_info_message(LABELS, 0.0, header(1.0).stamp))
    assert layer.unknown_classes == [name for name in LABELS.names if name != "road"]


# -- our nodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.ros
def test_our_topics_fill_the_layers_tiles(probe: Probe) -> None:
    layer = SemanticLayer(SOURCE, RESOLUTION)
    layer.subscribe(probe.node)
    probe.listen(CameraInfo, "/camera/camera_info")
    probe.listen(Image, "/segmentation/mask")
    probe.listen(Image, "/segmentation/confidence")
    probe.listen(PointCloud2, "/drivable_area/semantic_points")
    probe.listen(LabelInfo, "/segmentation/label_info")
    remapped = {
        **{name: f"/segmentation/{name}" for name in ("mask", "confidence", "label_info")},
        "camera_info": "/camera/camera_info",
    }
    remappings = [argument for name, topic in remapped.items() for argument in ("-r", f"{name}:={topic}")]
    pose = {"camera_height": NOMINAL_HEIGHT_M, "camera_pitch": NOMINAL_PITCH_RAD}
    network = {"backend": "openvino", "precision": "fp32", "input_size": "256x160", "threads": 1}

    def with_stamps_of_images() -> list[dict[Tile, Observation]]:
        images = {stamp_of(info) for info in probe.received["/camera/camera_info"]}
        return [frame for frame in layer.frames if {observation.stamp_s for observation in frame.values()} <= images]

    with (
        running("segmentation_node", "-r", "image:=/camera/image_raw", **network),
        running("drivable_area_node", *remappings, **pose),
        running("camera_node", width=240, height=150, rate_hz=5.0, wait_for_subscribers=1),
    ):
        # with stamps of the camera's: of its first images the probe may see nothing
        probe.wait(lambda: len(with_stamps_of_images()) >= 4, "four sets of messages that the layer accepts")

    assert layer.unknown_classes == []
    assert set(layer.dropped) <= {"no label info yet"}
    for mask in (*probe.received["/segmentation/mask"], *probe.received["/segmentation/confidence"]):
        assert (mask.encoding, mask.step, len(mask.data)) == ("mono8", mask.width, mask.width * mask.height)
    for points in probe.received["/drivable_area/semantic_points"]:
        assert (points.width, points.height, points.header.frame_id) == (240, 150, "base_link")
        assert points.row_step == points.width * points.point_step
        assert len(points.data) == points.height * points.row_step
        assert np.isnan(xyz_of(points)[:240]).all(), "the top row sees no ground"
    for frame in layer.frames:
        assert {observation.class_id for observation in frame.values()} <= set(range(len(LABELS)))
        ahead = [o.class_id for (x, y), o in frame.items() if 50 <= x < 70 and -5 <= y < 5]
        assert ahead.count(ROAD) > 0.8 * len(ahead) > 20, "the lane ahead of the car"
