"""The depth camera and the lidar of the simulated street, over real DDS, against the street itself."""

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import LATCHED, TIMEOUT_S, NodeProcess, Probe, running
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.ros.camera.street_sensors import (
    ASIDE_M,
    LIDAR_ABOVE_M,
    StreetSensors,
    aside_intrinsics,
    aside_transform,
    lidar_transform,
)
from fanet_ros.sources.depth_sensor import DepthSensor
from fanet_ros.sources.lidar import SpinningLidar
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.sources.street.geometry import View

pytestmark = pytest.mark.ros

IMAGE, DEPTH, INFO, POINTS = (f"/camera/{name}" for name in ("image_raw", "depth", "depth/camera_info", "points"))
STREET = {"seed": 4, "width": 160, "height": 96, "rate_hz": 10.0, "wait_for_subscribers": 1}
needs_tf = pytest.mark.skipif(
    importlib.util.find_spec("tf2_msgs") is None,
    reason="tf2_msgs is not installed (it comes with a ROS 2 distribution)",
)


def street(*, depth: bool = False) -> StreetCamera:
    return StreetCamera(160, 96, seed=4, depth=depth)


def images_of_street() -> Iterator[bytes]:
    """Yield the pixels of the frames of the first two minutes."""
    camera = street()
    return (camera.frame(index).image.tobytes() for index in range(1200))


def stamp_of(message: Image | CameraInfo | PointCloud2) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def measurements(probe: Probe, topic: str, count: int) -> dict[int, Any]:
    """Wait for that many messages whose images have come, too; return them by the number of the street's frame."""

    def found() -> dict[tuple[int, int], tuple[bytes, Any]]:
        images = {stamp_of(image): bytes(image.data) for image in probe.received[IMAGE]}
        return {stamp_of(m): (images[stamp_of(m)], m) for m in probe.received[topic] if stamp_of(m) in images}

    probe.wait(lambda: len(found()) >= count, f"{count} messages on {topic} with their images")
    open_ = dict(found().values())
    numbered: dict[int, Any] = {}
    for index, image in enumerate(images_of_street()):
        if image in open_:
            numbered[index] = open_.pop(image)
        if not open_:
            return numbered
    raise AssertionError("images that the street does not show")


def millimetres(message: Image) -> np.ndarray:
    assert (message.encoding, message.is_bigendian, message.step) == ("16UC1", 0, 2 * message.width)
    return np.frombuffer(message.data, "<u2").reshape(message.height, message.width)


def listen(probe: Probe) -> None:
    for kind, topic in ((Image, IMAGE), (Image, DEPTH), (CameraInfo, INFO), (PointCloud2, POINTS)):
        probe.listen(kind, topic)


def test_registered_depth_is_that_of_every_pixel_of_the_image(probe: Probe) -> None:
    listen(probe)
    with running("camera_node", depth="registered", frame_id="eye", **STREET):
        depths, infos = measurements(probe, DEPTH, 3), probe.wait_for(INFO)
        assert probe.node.count_publishers(POINTS) == 0
    camera = street(depth=True)
    sensor = DepthSensor(camera.intrinsics.fx, seed=4)
    for index, message in depths.items():
        np.testing.assert_array_equal(millimetres(message), sensor.measure_mm(camera.frame(index).depth, index))
        assert (millimetres(message) > 0).mean() > 0.3, "much of the street is within reach"
    assert {m.header.frame_id for m in (*depths.values(), *infos)} == {"eye"}
    assert infos[0].k[0] == pytest.approx(camera.intrinsics.fx) and (infos[0].width, infos[0].height) == (160, 96)


def test_depth_from_aside_is_that_of_its_own_camera(probe: Probe) -> None:
    listen(probe)
    with running("camera_node", depth="aside", **STREET):
        depths, infos = measurements(probe, DEPTH, 2), probe.wait_for(INFO)
    camera = street()
    lens = aside_intrinsics(camera)
    for index, message in depths.items():
        true = camera.view(index, View(lens, camera.pose(index).moved(ASIDE_M, 0.0, 0.0))).depth()
        np.testing.assert_array_equal(millimetres(message), DepthSensor(lens.fx, seed=4).measure_mm(true, index))
        assert (message.width, message.height) == (107, 64)
    assert {m.header.frame_id for m in (*depths.values(), *infos)} == {"camera_depth_optical_frame"}
    info = infos[0]
    assert (info.width, info.height) == (107, 64)
    assert (info.k[0], info.k[2]) == (lens.fx, lens.cx)


def test_the_lidar_measures_at_the_instant_of_an_image_and_ten_times_a_second(probe: Probe) -> None:
    listen(probe)
    with running("camera_node", lidar=True, **{**STREET, "rate_hz": 20.0}):
        scans = measurements(probe, POINTS, 2)
        assert probe.node.count_publishers(DEPTH) == 0
    camera = street()
    lidar = SpinningLidar(camera, seed=4)
    fields = [("x", 0, PointField.FLOAT32), ("y", 4, PointField.FLOAT32), ("z", 8, PointField.FLOAT32)]
    for index, message in scans.items():
        assert index % 2 == 0, "every other image at 20 Hz"
        truth = lidar.scan(index, camera.pose(index).moved(0.0, -LIDAR_ABOVE_M, 0.0))
        assert [(f.name, f.offset, f.datatype) for f in message.fields] == [*fields, ("ring", 12, PointField.UINT16)]
        assert (message.height, message.point_step, message.row_step) == (1, 16, 16 * message.width)
        points = np.frombuffer(message.data, np.uint8).reshape(-1, 16)
        np.testing.assert_array_equal(points[:, :12].copy().view("<f4"), truth.points)
        np.testing.assert_array_equal(points[:, 12:14].copy().view("<u2")[:, 0], truth.rings)
        assert message.header.frame_id == "camera_lidar" and message.is_dense


def sensors_of(camera: StreetCamera, probe: Probe, **settings: Any) -> StreetSensors:
    return StreetSensors(Node("eye", context=probe.context), CameraParameters(**settings), camera, "eye_frame", 30.0)


def test_what_nobody_subscribes_to_is_not_measured(probe: Probe) -> None:
    """The street renders depth only while it is wanted."""
    camera = street()
    sensors = sensors_of(camera, probe, depth="registered")
    for wanted, has_depth in ((frozenset(), False), ({"depth"}, True), ({"depth/camera_info"}, False)):
        sensors.prepare(wanted)
        frame = camera.read()
        assert (frame.depth is not None) == has_depth
        assert set(sensors.messages(frame, Header(), wanted)) == set(wanted)


def test_a_street_that_was_opened_anew_is_measured_all_the_same(probe: Probe) -> None:
    lost = street()
    sensors = sensors_of(lost, probe, depth="registered")
    lost.close()
    sensors.prepare({"depth"})
    message = sensors.messages(street().frame(3), Header(), {"depth"})["depth"]
    expected = DepthSensor(lost.intrinsics.fx).measure_mm(street(depth=True).frame(3).depth, 3)
    np.testing.assert_array_equal(millimetres(message), expected)


def rotation(q) -> np.ndarray:
    """Return the matrix of a quaternion."""
    v, w = np.array([q.x, q.y, q.z]), q.w
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


@pytest.mark.parametrize("index", [0, 200])
def test_the_transforms_take_points_to_where_the_camera_sees_them(index: int) -> None:
    """Points of the lidar, taken by the transform to the camera, lie as deep as the camera's own pixels there."""
    camera = StreetCamera(320, 180, seed=4, depth=True)
    pose, lens = camera.pose(index), camera.intrinsics
    transform = lidar_transform("eye", "lidar").transform
    t = np.array([transform.translation.x, transform.translation.y, transform.translation.z])
    scan = SpinningLidar(camera, noise=0.0).scan(index, pose.moved(0.0, -LIDAR_ABOVE_M, 0.0))
    optical = scan.points @ rotation(transform.rotation).T + t
    optical = optical[optical[:, 2] > 1.0]
    pixels = np.rint(optical[:, :2] / optical[:, 2:] * lens.fx + (lens.cx, lens.cy)).astype(int)
    inside = (pixels >= 0).all(1) & (pixels < (320, 180)).all(1)
    depth = camera.frame(index).depth[pixels[inside, 1], pixels[inside, 0]]
    near = np.abs(depth / optical[inside, 2] - 1) < 0.05
    assert inside.sum() > 300 and near.mean() > 0.85, "all but what one of the two sees around an edge"

    aside = aside_transform("eye", "depth").transform
    assert (aside.translation.x, aside.translation.y, aside.translation.z) == (ASIDE_M, 0, 0)
    np.testing.assert_allclose(rotation(aside.rotation), np.eye(3))
    moved = pose.moved(ASIDE_M, 0.0, 0.0)
    np.testing.assert_allclose((moved.position - pose.position) @ pose.optical_from_map.T, (ASIDE_M, 0, 0), atol=1e-9)


def test_the_transforms_go_out_latched_under_the_name_that_tf_listens_to(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tf2_msgs is not installed, too: on a stand-in for its one message."""
    package, messages = ModuleType("tf2_msgs"), ModuleType("tf2_msgs.msg")
    messages.TFMessage = SimpleNamespace
    monkeypatch.setitem(sys.modules, "tf2_msgs", package)
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", messages)
    sent: list[Any] = []

    def create(kind: type, topic: str, profile: QoSProfile) -> Any:
        assert (kind, topic) == (SimpleNamespace, "/tf_static")
        assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert profile.reliability == ReliabilityPolicy.RELIABLE
        return SimpleNamespace(publish=sent.append)

    node = Node("eye", context=probe.context)
    monkeypatch.setattr(node, "create_publisher", create)
    StreetSensors(node, CameraParameters(depth="aside", lidar=True), street(), "eye_frame", 30.0)
    (message,) = sent
    frames = [(t.header.frame_id, t.child_frame_id) for t in message.transforms]
    assert frames == [("eye_frame", "eye_depth_optical_frame"), ("eye_frame", "eye_lidar")]
    assert all(t.header.stamp.sec > 0 for t in message.transforms)


@needs_tf
def test_tf_learns_where_the_sensors_are(probe: Probe) -> None:
    from tf2_msgs.msg import TFMessage

    probe.listen(TFMessage, "/tf_static", LATCHED)
    with running("camera_node", depth="aside", lidar=True, **STREET):
        (message,) = probe.wait_for("/tf_static")
    frames = [(t.header.frame_id, t.child_frame_id) for t in message.transforms]
    camera = "camera_optical_frame"
    assert frames == [(camera, "camera_depth_optical_frame"), (camera, "camera_lidar")]


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed")
def test_where_tf_cannot_be_told_the_log_says_so(probe: Probe) -> None:
    with running("camera_node", depth="aside", lidar=True, **STREET) as node:
        probe.wait(lambda: "plays street" in node.output, "its start")
    assert "'camera_depth_optical_frame' and 'camera_lidar'" in node.output and "tf2_msgs" in node.output
    with running("camera_node", depth="registered", **STREET) as node:
        probe.wait(lambda: "plays street" in node.output, "its start")
    assert "WARN" not in node.output, "registered depth needs no TF"


def test_off_is_off_though_yaml_reads_it_as_false(probe: Probe) -> None:
    probe.listen(Image, IMAGE)
    with running("camera_node", depth="off", **STREET):
        probe.wait_for(IMAGE)
        assert probe.node.count_publishers(DEPTH) == 0


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"depth": "registered"}, "depth: '{source}' measures no distances, only the street does"),
        ({"depth": "aside"}, "depth: '{source}' measures no distances"),
        ({"lidar": True}, "lidar: '{source}' measures no distances"),
        ({"depth": "left"}, "received 'left', expected one of off, registered, aside"),
    ],
)
def test_footage_has_no_depth(domain_id: int, tmp_path, given: dict[str, object], problem: str) -> None:
    import cv2

    picture = tmp_path / "drive.png"
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    node = NodeProcess("camera_node", source=picture, **given)
    assert node.process.wait(TIMEOUT_S) == 2
    node.stop()
    assert problem.format(source=picture) in node.output
    assert "Traceback" not in node.output
