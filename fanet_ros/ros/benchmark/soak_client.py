"""The other side of both nodes at the soak level: camera, and listener to all that they publish."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.process import Answer, ProcessError, serve
from fanet_ros.msg import SegmentationStats
from fanet_ros.ros.benchmark.client import ImageSender
from fanet_ros.ros.camera.node import camera_info_message
from fanet_ros.ros.topics import sensor_data
from fanet_ros.ros.transport import prepare_process
from fanet_ros.sources.street.camera import StreetCamera

_PATIENCE_S = 1.0  # for the answers to one image; after it the next one is sent
_MOST_LOST = 0.5  # share of images without an answer above which the nodes are not being fed
_UNREAD = {
    **{f"segmentation/{name}": Image for name in ("mask", "confidence", "overlay", "color_mask")},
    **{f"segmentation/{name}/compressed": CompressedImage for name in ("mask", "overlay", "color_mask")},
    "segmentation/stats": SegmentationStats,
    "drivable_area/drivable_mask": Image,
    "drivable_area/free_space": OccupancyGrid,
    "drivable_area/obstacle_points": PointCloud2,
    "drivable_area/semantic_points": PointCloud2,
}
_LAST = "drivable_area/obstacle_scan"  # whose arrival means that an image went through both nodes


class SoakClient:
    """Sends an image as soon as the last one went through both nodes; its methods are the benchmark's requests."""

    def start(self, namespace: str, frames: str) -> Answer:
        """Join ROS.

        Args:
            namespace: of the nodes.
            frames: file of the camera's frames (fanet_ros.benchmark.frames).
        """
        prepare_process()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = self._node = rclpy.create_node("soak_client", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._camera = ImageSender(node.create_publisher(Image, "image", sensor_data()), Path(frames))
        self._infos = node.create_publisher(CameraInfo, "camera_info", sensor_data())
        height, width = load_frames(Path(frames)).shape[1:3]
        self._info = camera_info_message(Header(frame_id="benchmark"), StreetCamera(width, height).intrinsics)
        for topic, message_type in _UNREAD.items():
            node.create_subscription(message_type, topic, lambda _: None, sensor_data(), raw=True)
        node.create_subscription(LaserScan, _LAST, self._on_scan, sensor_data())
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._answered = 0  # stamp of the last answer, nanoseconds
        self._fault = ""  # of the segmentation node
        return {}

    def first(self, within_s: float) -> Answer:
        """Send images until the first one went through both nodes.

        Raises:
            ProcessError: none did in time, or a node says why it cannot.
        """
        deadline = time.monotonic() + within_s
        while not self._send():
            if self._fault:
                raise ProcessError(self._fault)
            if time.monotonic() > deadline:
                raise ProcessError(f"no image went through both nodes within {within_s:.0f} s")
        return {}

    def feed(self, images: int) -> Answer:
        """Send so many images and return how long it took, in seconds.

        Raises:
            ProcessError: too few went through both nodes.
        """
        began = time.monotonic()
        lost = 0
        for _ in range(images):
            lost += not self._send()
            if lost > _MOST_LOST * images + 1:
                raise ProcessError(f"{lost} of {images} images did not go through both nodes")
        return {"seconds": time.monotonic() - began}

    def _send(self) -> bool:
        """Send one image and its calibration, and return whether it came through in time."""
        stamp = self._camera.send()
        self._info.header.stamp.sec, self._info.header.stamp.nanosec = divmod(stamp, 10**9)
        self._infos.publish(self._info)
        deadline = time.monotonic() + _PATIENCE_S
        while self._answered < stamp and (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        return self._answered >= stamp

    def _on_scan(self, message: Any) -> None:
        stamp = message.header.stamp
        self._answered = stamp.sec * 10**9 + stamp.nanosec

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": node") and status.level == DiagnosticStatus.ERROR:
                self._fault = status.message


def main() -> None:
    """Serve until the benchmark has enough."""
    client = SoakClient()
    serve({"start": client.start, "first": client.first, "feed": client.feed})


if __name__ == "__main__":
    main()
