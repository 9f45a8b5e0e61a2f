"""Where the camera is, from TF: the rules of time on a stand-in for tf2_ros, and the real one where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.time import Time
from ros_harness import LATCHED, RELIABLE, Probe, running
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import LabelInfo

from fanet_ros.model.labels import load_label_set
from fanet_ros.ros.camera.calibration import camera_info_message
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.ros.ground.transforms import TransformError, Transforms
from fanet_ros.sources.street.camera import StreetCamera

needs_tf2 = pytest.mark.skipif(
    importlib.util.find_spec("tf2_ros") is None, reason="tf2_ros is not installed (it comes with a ROS 2 distribution)"
)


class _Error(Exception):
    """Stands for tf2_ros.TransformException."""


class _Buffer:
    """Knows transforms at given times, as tf2_ros.Buffer does: exactly at a stamp, or the newest at time 0."""

    known: dict[tuple[str, str], list[TransformStamped]] = {}

    def lookup_transform(self, target: str, source: str, time: Time) -> TransformStamped:
        found = self.known.get((target, source), [])
        if not found:
            raise _Error(f'"{source}" passed to lookupTransform argument source_frame does not exist. ')
        if time.nanoseconds == 0 or found[-1].header.stamp == TimeMessage():
            return found[-1]
        for transform in found:
            if transform.header.stamp == time.to_msg():
                return transform
        raise _Error("Lookup would require extrapolation into the future")


@pytest.fixture
def transforms(monkeypatch: pytest.MonkeyPatch) -> Transforms:
    module: Any = ModuleType("tf2_ros")
    module.Buffer, module.TransformException = lambda node: _Buffer(), _Error
    module.TransformListener = lambda buffer, node: (buffer, node)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    monkeypatch.setattr(_Buffer, "known", {})
    return Transforms(node=object())  # type: ignore[arg-type]


def know(x: float, sec: int, nanosec: int = 0) -> None:
    stamped = TransformStamped()
    stamped.header.stamp = TimeMessage(sec=sec, nanosec=nanosec)
    stamped.transform.translation.x = x
    _Buffer.known.setdefault(("base_link", "camera"), []).append(stamped)


def at(transforms: Transforms, sec: int, nanosec: int = 0) -> float:
    return transforms.lookup("base_link", "camera", TimeMessage(sec=sec, nanosec=nanosec), hint="ask").translation.x


def test_the_transform_of_the_images_own_time_is_taken(transforms: Transforms) -> None:
    know(1.0, 10)
    know(2.0, 11)
    assert at(transforms, 10) == 1.0


def test_a_static_transform_holds_at_all_times(transforms: Transforms) -> None:
    know(3.0, 0)
    assert at(transforms, 1234) == 3.0


def test_where_tf_is_a_little_late_its_newest_is_taken_but_not_an_old_one(transforms: Transforms) -> None:
    know(1.0, 10)
    assert at(transforms, 10, 99_000_000) == 1.0
    with pytest.raises(TransformError, match="of different times: .*extrapolation"):
        at(transforms, 10, 101_000_000)


def test_stamps_of_another_clock_are_told_as_such(transforms: Transforms) -> None:
    know(1.0, 1_700_000_000)
    with pytest.raises(TransformError, match="stamps of different clocks: is a recording played without --clock"):
        at(transforms, 10)


def test_an_unknown_frame_is_told_with_what_to_do(transforms: Transforms) -> None:
    with pytest.raises(TransformError, match=r"where 'camera' is in 'base_link'.*does not exist; ask"):
        at(transforms, 10)


def test_a_stamp_that_is_no_time_is_survived(transforms: Transforms) -> None:
    know(1.0, 10)
    with pytest.raises(TransformError, match="different times"):
        at(transforms, -5)


@pytest.mark.skipif(importlib.util.find_spec("tf2_ros") is not None, reason="tf2_ros is installed")
def test_without_tf2_ros_the_error_says_how_to_go_on() -> None:
    with pytest.raises(TransformError, match="tf2_ros is not installed.*camera_height"):
        Transforms(node=object()).listen()  # type: ignore[arg-type]


@needs_tf2
@pytest.mark.ros
def test_the_real_tf_places_and_accumulates(probe: Probe) -> None:
    from tf2_ros import StaticTransformBroadcaster

    street = StreetCamera(320, 180, seed=3)
    broadcaster = StaticTransformBroadcaster(probe.node)
    optical = TransformStamped()
    optical.header.frame_id, optical.child_frame_id = "base_link", "camera_optical_frame"
    optical.transform.translation.z = 1.5
    q = optical.transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5  # looks ahead: z forward, x right (REP 103)
    odom = TransformStamped()
    odom.header.frame_id, odom.child_frame_id = "odom", "base_link"
    odom.transform.translation.x = 7.0
    odom.transform.rotation.w = 1.0
    with running("drivable_area_node", accumulate=True):
        probe.listen(OccupancyGrid, "/drivable_area/free_space", LATCHED)
        broadcaster.sendTransform([optical, odom])
        labels = probe.node.create_publisher(LabelInfo, "/label_info", LATCHED)
        labels.publish(label_info_message(load_label_set("camvid11"), 0.0, TimeMessage()))
        infos = probe.publisher(CameraInfo, "/camera_info", RELIABLE)
        masks = probe.publisher(Image, "/mask", RELIABLE)
        mask = probe.image(street.frame(0).labels, "mono8")
        mask.header.frame_id = "camera_optical_frame"

        def answered() -> bool:
            infos.publish(camera_info_message(mask.header, street.intrinsics))
            masks.publish(mask)
            return any(m.header.frame_id == "odom" for m in probe.received["/drivable_area/free_space"])

        probe.wait(answered, "a grid in the odometry frame")
    grid = probe.received["/drivable_area/free_space"][-1]
    assert grid.info.origin.position.x <= 7.0 < grid.info.origin.position.x + grid.info.width * 0.1
    assert max(grid.data) > 50 and 0 <= min(value for value in grid.data if value >= 0) < 50
