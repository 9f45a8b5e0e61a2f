"""What the drivable-area node keeps of camera and ground while the camera nods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import Quaternion, Transform, Vector3
from ground_rig import LABELS, STREET
from std_msgs.msg import Header

from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.camera.node import camera_info_message
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.ros.ground.classes import GroundClasses
from fanet_ros.ros.ground.model import GroundModel
from fanet_ros.settings import Size

pytestmark = pytest.mark.ros

SIZE = Size(320, 180)


class Imu:
    """Stands for TF: the camera's optical frame at a pitch and roll."""

    def __init__(self) -> None:
        self.pitch, self.roll = 0.05, 0.0

    def lookup(self, *_: Any, **__: Any) -> Transform:
        # yaw -90 and roll -90 degrees make an optical frame of a body frame (REP 103)
        half_pitch, half_roll = self.pitch / 2, self.roll / 2
        about_y = np.array([0.0, math.sin(half_pitch), 0.0, math.cos(half_pitch)])
        about_x = np.array([math.sin(half_roll), 0.0, 0.0, math.cos(half_roll)])
        q = product(product(about_y, about_x), np.array([-0.5, 0.5, -0.5, 0.5]))
        x, y, z, w = q.tolist()
        return Transform(translation=Vector3(x=0.1, z=1.5), rotation=Quaternion(x=x, y=y, z=z, w=w))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two quaternions x, y, z, w."""
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])


def test_a_camera_that_nods_needs_no_new_tables() -> None:
    imu = Imu()
    model = GroundModel(imu)  # type: ignore[arg-type]
    model.set_camera_info(camera_info_message(Header(frame_id="camera"), STREET.intrinsics))
    settings, header = DrivableAreaParameters(), Header(frame_id="camera")
    for index in range(300):
        imu.pitch, imu.roll = 0.05 + 0.009 * math.sin(index / 3), 0.006 * math.cos(index / 5)
        projector = model.projector(header, SIZE, settings)
        assert model.pose is not None and projector.can_take(model.pose)
        assert model.pose.pitch == pytest.approx(imu.pitch, abs=1e-4)
    assert model.facts()["tables built"] == "2", "for the first pose, and when it was found to move"
    imu.pitch += 0.1
    assert model.projector(header, SIZE, settings).pose.pitch == pytest.approx(imu.pitch, abs=1e-4)
    assert model.facts()["tables built"] == "3"


def test_the_points_of_the_semantic_cloud_follow_every_pose() -> None:
    imu = Imu()
    model, classes = GroundModel(imu), GroundClasses()  # type: ignore[arg-type]
    model.set_camera_info(camera_info_message(Header(frame_id="camera"), STREET.intrinsics))
    classes.set_label_info(label_info_message(LABELS, 0.0, Header().stamp))
    settings, header = DrivableAreaParameters(), Header(frame_id="camera")
    mask = np.zeros((SIZE.height, SIZE.width), np.uint8)
    meaning = classes.meaning(settings)
    ahead = []
    for pitch in (0.05, 0.06, 0.07, 0.07):
        imu.pitch = pitch
        model.projector(header, SIZE, settings)
        cloud = model.cloud(meaning).write(header, mask, None)
        points = np.frombuffer(cloud.data, np.float32).reshape(SIZE.height, SIZE.width, 5)
        ahead.append(float(points[150, 160, 0]))
        angle = math.atan((150 - STREET.intrinsics.cy) / STREET.intrinsics.fy) + pitch
        assert ahead[-1] == pytest.approx(0.1 + 1.5 / math.tan(angle), rel=1e-3)
    assert ahead[0] > ahead[1] > ahead[2] == ahead[3]
