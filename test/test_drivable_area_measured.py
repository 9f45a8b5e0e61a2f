"""The drivable-area node with measured depth and clouds, over real DDS."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from ground_rig import OUTPUTS, POSE, STREET, TRUE_POSE, Rig
from measured_street import Moment, forged, measure, moment
from numpy.typing import NDArray
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe, diagnostics_values, running
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from fanet_ros.ros.camera.node import camera_info_message

pytestmark = pytest.mark.ros

WHOLE = {"range_max": 10.0, "grid_x_max": 10.0}
ALL = ("free_space", "obstacle_scan", "obstacle_points", "obstacle_cloud", "semantic_points")


class DepthRig(Rig):
    """Also publishes depth and clouds."""

    def __init__(self, probe: Probe, node: NodeProcess) -> None:
        super().__init__(probe, node)
        self.depths = probe.node.create_publisher(Image, "/depth", RELIABLE)
        self.depth_infos = probe.node.create_publisher(CameraInfo, "/depth/camera_info", LATCHED)
        self.clouds = probe.node.create_publisher(PointCloud2, "/points", RELIABLE)
        self.measurements: list[Image | PointCloud2] = []

    def publish(self, *masks: Image) -> None:
        before = self._last_published
        super().publish(*masks)
        if self._last_published != before:
            for message in self.measurements:
                (self.depths if isinstance(message, Image) else self.clouds).publish(message)

    def listen_to_all(self) -> None:
        for name in ALL:
            if name in OUTPUTS:
                self.listen(name)
            else:
                self.probe.listen(PointCloud2, f"/drivable_area/{name}")


@pytest.fixture(scope="module")
def street() -> Moment:
    """Seed 3 has things that stand before the camera."""
    return moment(3, nod_deg=0.0)


@pytest.fixture
def rig(probe: Probe, request: pytest.FixtureRequest) -> Iterator[DepthRig]:
    with running("drivable_area_node", **TRUE_POSE, **WHOLE, **request.param) as node:
        rig = DepthRig(probe, node)
        rig.depth_infos.publish(camera_info_message(probe.header(), STREET.intrinsics))
        rig.listen_to_all()
        rig.introduce()
        yield rig


def depth_image(probe: Probe, depth: NDArray[Any], encoding: str = "16UC1") -> Image:
    image = Image(header=probe.header(), height=depth.shape[0], width=depth.shape[1], encoding=encoding)
    image.step = depth.shape[1] * depth.itemsize
    image.data = array.array("B", depth.tobytes())
    return image


def floats_of(cloud: PointCloud2, name: str) -> NDArray[Any]:
    field = next(field for field in cloud.fields if field.name == name)
    dtype = np.float32 if field.datatype == PointField.FLOAT32 else np.uint8
    data = np.frombuffer(cloud.data, np.uint8)
    shape, strides = (cloud.height, cloud.width), (cloud.row_step, cloud.point_step)
    return np.ndarray(shape, dtype, data, field.offset, strides).copy()


@pytest.mark.parametrize("rig", [{"geometry": "depth"}], indirect=True)
def test_what_stands_is_an_obstacle_whatever_its_class(rig: DepthRig, street: Moment) -> None:
    mask = rig.probe.image(forged(street.labels), "mono8")
    depth = depth_image(rig.probe, measure(street.depth, street.camera.intrinsics.fx, 0))
    depth.header = mask.header
    rig.measurements = [depth]
    answers = rig.process(mask, *ALL)
    grid = np.array(answers["free_space"].data).reshape(answers["free_space"].info.height, -1)
    assert (grid == 0).sum() > 500 and (grid == 100).sum() > 10
    cloud = answers["obstacle_cloud"]
    assert cloud.width > 20 and (floats_of(cloud, "label") == 3).all()
    assert np.isfinite(np.array(answers["obstacle_scan"].ranges)).sum() > 5
    points = answers["semantic_points"]
    assert (points.height, points.width) == street.labels.shape
    source, height = floats_of(points, "source"), floats_of(points, "height")
    assert (height[source == 3] > 0.15).all() and (source == 3).any()
    assert (np.abs(height[source == 1]) <= 0.15).all() and (source == 1).sum() > 1000
    assert rig.wait_for_status("ground", DiagnosticStatus.OK, "known", mask)


@pytest.mark.parametrize("rig", [{"geometry": "depth", "input_timeout": 0.5}], indirect=True)
def test_without_depth_nothing_is_published_and_it_is_said_why(rig: DepthRig, street: Moment) -> None:
    mask = rig.probe.image(street.labels, "mono8")
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "nothing on /depth", mask)
    old = depth_image(rig.probe, measure(street.depth, street.camera.intrinsics.fx, 0))
    old.header.stamp.sec -= 3
    rig.measurements = [old]
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "within sync_tolerance", mask)
    for name in ALL:
        assert not rig.probe.received[f"/drivable_area/{name}"]


@pytest.mark.parametrize("rig", [{"geometry": "depth", "input_timeout": 0.5}], indirect=True)
def test_depth_in_the_wrong_unit_frees_nothing(rig: DepthRig, street: Moment) -> None:
    mask = rig.probe.image(street.labels, "mono8")
    metres = np.where(np.isfinite(street.depth), street.depth, 0)
    for wrong, encoding, text in (
        (metres.astype(np.uint16), "16UC1", "probably metres"),
        ((metres * 1000).astype(np.float32), "32FC1", "probably millimetres"),
        (metres.astype(np.float32), "rgb8", "expected 16UC1"),
    ):
        image = depth_image(rig.probe, wrong, encoding)
        image.header = mask.header
        rig.measurements = [image]
        rig.wait_for_status("ground", DiagnosticStatus.ERROR, text, mask)
    assert not rig.probe.received["/drivable_area/free_space"]
    good = depth_image(rig.probe, metres.astype(np.float32), "32FC1")
    good.header = mask.header
    rig.measurements = [good]
    rig.process(mask, "free_space")


@pytest.mark.parametrize("rig", [{"geometry": "cloud"}], indirect=True)
def test_a_cloud_is_seen_through_the_mask(rig: DepthRig, street: Moment) -> None:
    # a grid of points on the road and a wall of points, in the camera's own frame
    forward, left = np.meshgrid(np.arange(3.0, 8.0, 0.05), np.arange(-2.0, 2.0, 0.05))
    wall_left, wall_up = np.meshgrid(np.arange(-2.0, 2.0, 0.05), np.arange(0.0, 1.0, 0.05))
    ground = np.stack([forward, left, np.zeros_like(left)], -1).reshape(-1, 3)
    wall = np.stack([np.full_like(wall_left, 8.0), wall_left, wall_up], -1).reshape(-1, 3)
    base = np.concatenate([ground, wall])
    s, c = np.sin(POSE.pitch), np.cos(POSE.pitch)
    up = base[:, 2] - POSE.z
    optical = np.stack([-base[:, 1], -up * c - base[:, 0] * s, base[:, 0] * c - up * s], -1).astype(np.float32)
    mask = rig.probe.image(np.full((180, 320), 3, np.uint8), "mono8")
    cloud = PointCloud2(header=mask.header, height=1, width=len(optical), point_step=16, row_step=16 * len(optical))
    cloud.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    data = np.zeros((len(optical), 4), np.float32)
    data[:, :3] = optical
    cloud.data = array.array("B", data.tobytes())
    rig.measurements = [cloud]
    answers = rig.process(mask, *ALL)
    grid = np.array(answers["free_space"].data).reshape(answers["free_space"].info.height, -1)
    assert (grid[85:115, 45:75] == 0).mean() > 0.8
    assert (grid[85:115, 79:82] == 100).any(axis=1).mean() > 0.8
    assert answers["obstacle_cloud"].width > 500


@pytest.mark.parametrize(
    "rig", [{"geometry": "cloud", "input_timeout": 0.5}, {"geometry": "depth", "input_timeout": 0.5}], indirect=True
)
def test_a_measurement_without_a_frame_is_placed_nowhere(rig: DepthRig, street: Moment) -> None:
    mask = rig.probe.image(street.labels, "mono8")
    cloud = PointCloud2(height=1, width=0, point_step=12)
    cloud.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    depth = depth_image(rig.probe, measure(street.depth, street.camera.intrinsics.fx, 0))
    info = camera_info_message(depth.header, STREET.intrinsics)
    info.header.frame_id = ""
    rig.depth_infos.publish(info)
    rig.measurements = [cloud, depth]
    for message in rig.measurements:
        message.header.stamp, message.header.frame_id = mask.header.stamp, ""
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "carries no frame_id", mask)
    assert not rig.probe.received["/drivable_area/free_space"]


@pytest.mark.parametrize("rig", [{"geometry": "cloud", "input_timeout": 0.5}], indirect=True)
def test_a_malformed_cloud_is_told_and_survived(rig: DepthRig, street: Moment) -> None:
    mask = rig.probe.image(street.labels, "mono8")
    cloud = PointCloud2(header=mask.header, height=1, width=1000, point_step=12, row_step=12000)
    cloud.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    cloud.data = array.array("B", bytes(100))
    rig.measurements = [cloud]
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "100 bytes of data, expected 12000", mask)
    cloud.fields = cloud.fields[:2]
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "expected x, y and z", mask)
    status = rig.status("ground")
    assert status is not None and diagnostics_values(status)["points received"] != "0"
