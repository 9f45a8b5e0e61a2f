"""A camera for demos and tests: plays a video, an image folder, a V4L2 device or the street as ROS topics."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fanet_ros.errors import SourceError
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import run_node
from fanet_ros.ros.topics import Outputs, sensor_data
from fanet_ros.sources import Intrinsics, SourceFrame, open_source

_DEFAULT_RATE_HZ = 30.0
_RETRY_S = 1.0


class CameraNode(Node):
    """Publishes `~/image_raw`, `~/camera_info` and, where the source knows the truth, `~/labels` (class ids, mono8).

    Its parameters are those of CameraParameters.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera", **kwargs)
        server = ParameterServer(self, CameraParameters)
        server.check()
        self._settings = settings = server.values
        self._source = open_source(
            settings.source, width=settings.width or None, height=settings.height or None, seed=settings.seed
        )
        topics = {
            "image_raw": Image,
            "camera_info": CameraInfo,
            **({"labels": Image} if self._source.label_set else {}),
        }
        self._outputs = Outputs(self, {name: (kind, sensor_data()) for name, kind in topics.items()})
        self._image_writer, self._labels_writer = ImageMessageWriter(), ImageMessageWriter()
        self._started = False
        self._sent = 0
        rate_hz = settings.rate_hz or self._source.rate_hz or _DEFAULT_RATE_HZ
        self._timer = self.create_timer(1.0 / rate_hz, self._tick)
        self.get_logger().info(f"plays {settings.source} at {rate_hz:g} Hz on {self.resolve_topic_name('~/image_raw')}")

    def _tick(self) -> None:
        if not self._started and self._outputs.subscribers("image_raw") < self._settings.wait_for_subscribers:
            return
        self._started = True
        try:
            frame = self._source.read()
            if frame is None:
                if not self._settings.loop:
                    self._end(f"{self._settings.source} has ended after {self._sent} frames")
                    return
                self._source.rewind()
                frame = self._source.read()
        except SourceError as error:
            self.get_logger().error(f"{error}; trying again every {_RETRY_S:g} s", throttle_duration_sec=_RETRY_S)
            return
        if frame is not None:
            self._publish(frame)
            self._sent += 1
            if self._sent == self._settings.frames:
                self._end(f"sent {self._sent} frames, as asked for")

    def _publish(self, frame: SourceFrame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._settings.frame_id)
        self._outputs.publish("image_raw", self._image_writer.write(header, frame.image, frame.encoding))
        self._outputs.publish("camera_info", camera_info_message(header, self._source.intrinsics))
        if frame.labels is not None and "labels" in self._outputs.wanted():
            self._outputs.publish("labels", self._labels_writer.write(header, frame.labels, "mono8"))

    def _end(self, reason: str) -> None:
        """End the process, but only after receivers had time to take the last frame out of shared memory."""
        self.get_logger().info(reason)
        self.destroy_timer(self._timer)
        self._timer = self.create_timer(1.0, self._shut_down)

    def _shut_down(self) -> None:
        self._source.close()
        self.context.shutdown()


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
