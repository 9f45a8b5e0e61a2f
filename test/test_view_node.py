"""The viewer node over DDS, with a stand-in for the process that serves the page."""

from __future__ import annotations

import array
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import MapMetaData, OccupancyGrid
from ros_harness import LATCHED, Probe, noise_picture, running
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan
from view_stand_in import StandIn
from vision_msgs.msg import LabelInfo, VisionClass

from fanet_ros.model.labels import load_label_set

pytestmark = pytest.mark.ros

NAMES = load_label_set("camvid11").names


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    return StandIn(tmp_path)


@pytest.fixture
def probe(domain_id: int) -> Any:
    probe = Probe(domain_id)
    yield probe
    probe.close()


def of(stand_in: StandIn, kind: str, entity: str) -> list[list[Any]]:
    return [record for record in stand_in.records if record[:2] == [kind, entity]]


def label_info() -> LabelInfo:
    return LabelInfo(class_map=[VisionClass(class_id=i, class_name=name) for i, name in enumerate(NAMES)])


def test_nothing_is_subscribed_to_while_nobody_looks(stand_in: StandIn, probe: Probe) -> None:
    labels = probe.node.create_publisher(LabelInfo, "label_info", LATCHED)
    labels.publish(label_info())
    publishers = {
        name: probe.node.create_publisher(kind, name, 10)
        for name, kind in (("image", Image), ("mask", Image), ("stats", SegmentationStats), ("confidence", Image))
    }
    publishers["/diagnostics"] = probe.node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def subscribed() -> set[str]:
        return {name for name, publisher in publishers.items() if publisher.get_subscription_count()}

    def publish(seconds: float) -> None:
        picture = probe.image(noise_picture())
        picture.header.stamp.sec, picture.header.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
        mask = probe.image(np.full(picture_size, 3, np.uint8), "mono8")
        mask.header = picture.header
        publishers["image"].publish(picture)
        publishers["mask"].publish(mask)
        stats = SegmentationStats(header=picture.header, inference_ms=12.5, frames_processed=round(seconds * 20))
        publishers["stats"].publish(stats)
        status = DiagnosticStatus(level=DiagnosticStatus.WARN, name="eyes: input", message="no image")
        status.hardware_id = "fanet_ros"
        publishers["/diagnostics"].publish(DiagnosticArray(header=picture.header, status=[status]))

    picture_size = noise_picture().shape[:2]
    with running("viewer_node", drivable_area='""', rate_hz=10.0) as node:
        probe.wait(lambda: "look at http://" in node.output, "the address of the page")
        probe.wait(lambda: of(stand_in, "classes", "/"), "the classes")
        assert subscribed() == set(), "nobody looks"

        stand_in.set("watched", True)
        probe.wait(lambda: subscribed() >= {"mask", "stats", "/diagnostics"}, "subscriptions")
        assert "image" not in subscribed(), "images come in vain before masks do"
        publish(1.0)
        probe.wait(lambda: "image" in subscribed(), "a subscription to the images")
        for number in range(30):  # 30 a second
            publish(2.0 + number / 30)

        def last_moment_is_shown() -> bool:
            publish(5.0)
            return all(
                of(stand_in, *what)[-1:] and of(stand_in, *what)[-1][2] == 5 * 10**9
                for what in (("mask", "world/camera/classes"), ("picture", "world/camera/image"))
            )

        probe.wait(last_moment_is_shown, "the last mask and its image")
        assert "confidence" not in subscribed(), "it costs, and was not asked for"

        stand_in.set("watched", False)
        probe.wait(lambda: subscribed() == set(), "the end of all subscriptions")

    layout, classes = stand_in.records[0], of(stand_in, "classes", "/")
    assert layout[0] == "layout" and layout[3]["cameras"] == [""] and layout[3]["ground"] is False
    assert len(classes) == 1 and classes[0][3]["classes"][3] == [
        3,
        NAMES[3],
        list(load_label_set("camvid11").colors[3]),
    ]
    masks, images = of(stand_in, "mask", "world/camera/classes"), of(stand_in, "picture", "world/camera/image")
    assert masks[-1][3] == {"width": picture_size[1], "height": picture_size[0]} and masks[-1][5] == [3, 3, 3]
    assert 2 <= len({mask[2] for mask in masks}) <= 13, "10 a second, of 30"
    assert {image[2] for image in images} <= {mask[2] for mask in masks} and images[-1][5] == [0xFF, 0xD8, 0xFF]
    assert of(stand_in, "numbers", "shares")[-1][3][NAMES[3]] == 1.0
    assert of(stand_in, "numbers", "milliseconds")[-1][3]["inference"] == 12.5
    assert of(stand_in, "numbers", "rate")[-1][3]["masks"] == pytest.approx(20, abs=1)
    (line,) = of(stand_in, "text", "diagnostics/eyes: input")
    assert line[3] == {"level": "WARN", "text": "eyes: input: no image"}, "said once, as it stays the same"


def test_compressed_images_and_confidence_are_shown_where_they_are_asked_for(stand_in: StandIn, probe: Probe) -> None:
    stand_in.set("watched", True)
    with running("viewer_node", image_transport="compressed", confidence=True, cameras="[front]") as node:
        probe.wait(lambda: "look at http://" in node.output, "the address of the page")
        mask, confidence = (probe.publisher(Image, f"front/{name}") for name in ("mask", "confidence"))
        pixels = np.full((60, 80), 2, np.uint8)
        labels = probe.image(pixels, "mono8")
        images = probe.node.create_publisher(CompressedImage, "front/image/compressed", 10)
        jpeg = cv2.imencode(".jpg", noise_picture(80, 60))[1].tobytes()

        def all_shown() -> bool:
            images.publish(CompressedImage(header=labels.header, format="jpeg", data=array.array("B", jpeg)))
            mask.publish(labels)
            confidence.publish(labels)
            return all(of(stand_in, "picture", f"front/world/camera/{name}") for name in ("image", "confidence"))

        probe.wait(all_shown, "the image and the confidence of the mask")
    assert stand_in.records[0][3]["cameras"] == ["front"] and stand_in.records[0][3]["confidence"] is True
    assert of(stand_in, "picture", "front/world/camera/image")[-1][4] == len(jpeg), "a JPEG goes on as it came"
    assert of(stand_in, "mask", "front/world/camera/classes")[-1][3] == {"width": 80, "height": 60}


def test_a_file_that_is_full_is_subscribed_to_no_longer(stand_in: StandIn, probe: Probe) -> None:
    mask = probe.node.create_publisher(Image, "mask", 10)
    with running("viewer_node", save="view.rrd"):
        probe.wait(mask.get_subscription_count, "the viewer")
        stand_in.set("full", True)
        probe.wait(lambda: not mask.get_subscription_count(), "the end of the subscription")


def test_the_ground_is_shown_where_the_drivable_area_node_says_the_camera_is(stand_in: StandIn, probe: Probe) -> None:
    stand_in.set("watched", True)
    grid = OccupancyGrid(header=probe.header(), data=array.array("b", [0, 100, -1, 0, 0, 0]))
    grid.header.frame_id = "base_link"
    corner = Pose(position=Point(x=1.0, y=-2.0), orientation=Quaternion(w=1.0))
    grid.info = MapMetaData(resolution=0.5, width=3, height=2, origin=corner)
    probe.node.create_publisher(OccupancyGrid, "free_space", LATCHED).publish(grid)
    pose = {"camera_height": 1.2, "camera_x": 0.3, "camera_pitch": 0.0}
    with running("drivable_area_node", **pose), running("viewer_node"):
        probe.wait(lambda: of(stand_in, "grid", "world/free_space"), "the grid")
        info = CameraInfo(header=probe.header(), width=1920, height=1080)
        info.k = [1000.0, 0.0, 960.0, 0.0, 1000.0, 540.0, 0.0, 0.0, 1.0]
        lens = probe.publisher(CameraInfo, "camera_info")
        scan = probe.publisher(LaserScan, "obstacle_scan")
        hits = LaserScan(header=probe.header(), angle_min=0.0, angle_increment=0.1, range_max=20.0)
        hits.ranges = [2.0, float("inf"), float("nan")]
        for _ in range(20):
            lens.publish(info)
            scan.publish(hits)
            if of(stand_in, "camera", "world/camera") and of(stand_in, "points", "world/scan"):
                break
            deadline = probe.node.get_clock().now().nanoseconds + 500_000_000
            probe.wait(lambda until=deadline: probe.node.get_clock().now().nanoseconds > until, "half a second")
    shown = of(stand_in, "grid", "world/free_space")[-1]
    assert shown[3]["position"] == [1.0, -2.0, 0.0] and shown[3]["resolution"] == 0.5 and shown[4] == 6
    camera = of(stand_in, "camera", "world/camera")[-1][3]
    assert (camera["width"], camera["height"]) == (960, 540), "as large as its pictures are shown"
    assert camera["k"][0] == 500.0 and camera["position"] == [0.3, 0.0, 1.2]
    np.testing.assert_allclose(np.reshape(camera["rotation"], (3, 3)), [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-9)
    assert of(stand_in, "points", "world/scan")[-1][3]["count"] == 1, "the others are no hits"


def test_the_end_of_the_viewer_ends_its_node_and_nothing_else(stand_in: StandIn, probe: Probe) -> None:
    with running("camera_node", width=96, height=64) as camera, running("viewer_node") as node:
        probe.wait(lambda: "look at http://" in node.output, "the address of the page")
        os.kill(stand_in.pid, signal.SIGKILL)
        probe.wait(lambda: not node.is_alive, "the end of the node")
        assert "the viewer has ended: it ended with code -9; the other nodes go on" in node.output
        assert camera.is_alive


def test_a_viewer_that_cannot_start_is_one_line(stand_in: StandIn, domain_id: int) -> None:
    stand_in.set("refuse", True, "port 9090 cannot be used: Address already in use")
    with pytest.raises(AssertionError, match="exit code 2"), running("viewer_node") as node:
        node.process.wait(60)
    lines = [line for line in node.output.splitlines() if "error" in line]
    assert lines == [
        "error: cannot start the node: the viewer cannot start: port 9090 cannot be used: Address already in use"
    ]
