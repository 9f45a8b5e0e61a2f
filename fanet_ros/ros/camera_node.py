"""A camera for demos and tests: plays a video, an image folder, a V4L2 device or the street as ROS topics."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fanet_ros.errors import SourceError
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.process import run_node
from fanet_ros.sources import Intrinsics, SourceFrame, open_source

_DEFAULT_RATE_HZ = 30.0
_RETRY_S = 1.0


class CameraNode(Node):
    """Publishes `~/image_raw`, `~/camera_info` and, where the source knows the truth, `~/labels` (class ids, mono8).

    Parameters: source (`street`, a file, a folder or a device), rate_hz (0: the source's own), width and height (0: the
    source's own), frame_id, loop, seed (of the street), frames (0: no end), wait_for_subscribers (start only when that
    many listen to `~/image_raw`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera", **kwargs)
        source = self._declare("source", "street", "street, a video, an image folder or a V4L2 device")
        rate_hz = self._declare("rate_hz", 0.0, "frames per second; 0: the source's own, or 30 if it has none")
        width = self._declare("width", 0, "of the images in pixels; 0: the source's own")
        height = self._declare("height", 0, "of the images in pixels; 0: the source's own")
        self._frame_id = self._declare("frame_id", "camera_optical_frame", "optical frame of the images (REP 103)")
        self._loop = self._declare("loop", True, "start over at the end of the source")
        seed = self._declare("seed", 0, "of the procedural street")
        self._frames = self._declare("frames", 0, "end the node after that many frames; 0: never")
        self._awaited = self._declare("wait_for_subscribers", 0, "start when that many subscribe to image_raw")

        self._source = open_source(source, width=width or None, height=height or None, seed=seed)
        self._name = source
        self._images = self._create(Image, "image_raw")
        self._infos = self._create(CameraInfo, "camera_info")
        self._labels = self._create(Image, "labels") if self._source.label_set else None
        self._image_writer, self._labels_writer = ImageMessageWriter(), ImageMessageWriter()
        self._sent = 0
        rate_hz = rate_hz or self._source.rate_hz or _DEFAULT_RATE_HZ
        self._timer = self.create_timer(1.0 / rate_hz, self._tick)
        self.get_logger().info(f"plays {source} at {rate_hz:g} Hz on {self._images.topic_name}")

    def _tick(self) -> None:
        if self._images.get_subscription_count() < self._awaited:
            return
        self._awaited = 0
        try:
            frame = self._source.read()
            if frame is None:
                if not self._loop:
                    self._end(f"{self._name} has ended after {self._sent} frames")
                    return
                self._source.rewind()
                frame = self._source.read()
        except SourceError as error:
            self.get_logger().error(f"{error}; trying again every {_RETRY_S:g} s", throttle_duration_sec=_RETRY_S)
            return
        if frame is not None:
            self._publish(frame)
            self._sent += 1
            if self._sent == self._frames:
                self._end(f"sent {self._sent} frames, as asked for")

    def _publish(self, frame: SourceFrame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._images.publish(self._image_writer.write(header, frame.image, frame.encoding))
        self._infos.publish(camera_info_message(header, self._source.intrinsics))
        if self._labels is not None and frame.labels is not None and self._labels.get_subscription_count():
            self._labels.publish(self._labels_writer.write(header, frame.labels, "mono8"))

    def _end(self, reason: str) -> None:
        """End the process, but only after receivers had time to take the last frame out of shared memory."""
        self.get_logger().info(reason)
        self.destroy_timer(self._timer)
        self._timer = self.create_timer(1.0, self._shut_down)

    def _shut_down(self) -> None:
        self._source.close()
        self.context.shutdown()

    def _declare(self, name: str, default: Any, description: str) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        return self.declare_parameter(name, default, descriptor).value

    def _create(self, message_type: type, name: str) -> Any:
        with qos.explained(f"~/{name}"):
            return self.create_publisher(
                message_type, f"~/{name}", qos.sensor_data(), qos_overriding_options=qos.overridable()
            )


def camera_info_message(header: Header, intrinsics: Intrinsics) -> CameraInfo:
    """Return the calibration of an ideal, undistorted camera (REP 104)."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    return CameraInfo(
        header=header,
        width=intrinsics.width,
        height=intrinsics.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def main() -> None:
    """Run the camera until it is told to stop, or its source or number of frames ends."""
    run_node(CameraNode)


if __name__ == "__main__":
    main()
