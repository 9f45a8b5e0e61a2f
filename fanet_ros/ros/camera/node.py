"""A camera for demos and tests: plays a video, an image folder, a V4L2 device or the street as ROS topics."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.ros.camera.calibration import KnownCalibration, camera_info_message
from fanet_ros.ros.camera.street_sensors import StreetSensors, check_has_sensors
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.diagnostics import Reporter, Status
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.qos_overrides import check_overrides
from fanet_ros.ros.topics import Outputs, sensor_data
from fanet_ros.settings import Size
from fanet_ros.sources import FrameSource, SourceFrame, open_source
from fanet_ros.sources.reopening import ReopeningSource
from fanet_ros.sources.street.camera import StreetCamera
from fanet_ros.untrusted.text import printable

_DEFAULT_RATE_HZ = 30.0
_WARNING_INTERVAL_S = 10.0


class CameraNode(Node):
    """Publishes `~/image_raw`, `~/camera_info` where the calibration is known, and `~/labels` where the truth is.

    Its parameters are those of CameraParameters. Labels are class ids, mono8. Of the street also `~/depth` with
    `~/depth/camera_info`, and `~/points`, where they are asked for.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera", **kwargs)
        RosLogHandler.install(self.get_logger())
        server = ParameterServer(self, CameraParameters)
        server.check()
        self._settings = settings = server.values
        self._name = printable(settings.source)
        self._frame_id = settings.frame_id or f"{self.get_fully_qualified_name().lstrip('/')}_optical_frame"
        self._sensors: StreetSensors | None = None
        source = self._open()
        check_has_sensors(settings, source)
        self._calibration = KnownCalibration(settings, source)
        self._size = source.size
        topics: dict[str, type] = {"image_raw": Image}
        if self._calibration.origin:
            topics["camera_info"] = CameraInfo
        if source.label_set:
            topics["labels"] = Image
        rate_hz = settings.rate_hz or source.rate_hz or _DEFAULT_RATE_HZ
        if isinstance(source, StreetCamera):
            self._sensors = StreetSensors(self, settings, source, self._frame_id, rate_hz)
            topics |= self._sensors.topics
        self._outputs = Outputs(self, {name: (kind, sensor_data()) for name, kind in topics.items()})
        check_overrides(self, publishers=self._outputs.topics, subscriptions=())
        self._image_writer, self._labels_writer = ImageMessageWriter(), ImageMessageWriter()
        self._started = False
        self._sent = 0
        self._source = ReopeningSource(source, self._open, loop=settings.loop)
        Reporter(self, self._statuses)
        self._timer = self.create_timer(1.0 / rate_hz, self._tick)
        self.get_logger().info(f"plays {self._name} at {rate_hz:g} Hz on {self.resolve_topic_name('~/image_raw')}")
        self._warn_of_estimates()

    def _open(self) -> FrameSource:
        settings = self._settings
        return open_source(
            settings.source, width=settings.width or None, height=settings.height or None, seed=settings.seed
        )

    def _warn_of_estimates(self) -> None:
        log, asked = self.get_logger(), Size(self._settings.width, self._settings.height)
        if any(side and side != own for side, own in zip(asked, self._size, strict=True)):
            log.warning(f"{self._name} has images of {self._size}: width and height have no effect on them")
        if not self._calibration.origin:
            log.warning(
                f"no calibration of {self._name} is known, so ~/camera_info is not published and drivable_area has "
                "nothing to measure with; give the parameter calibration, or horizontal_fov for estimates"
            )
        elif self._calibration.is_estimate:
            log.warning(
                f"~/camera_info is made of {self._calibration.origin}, without the lens's distortion: distances that "
                "drivable_area makes of it are estimates; give the parameter calibration for measured ones"
            )

    def _tick(self) -> None:
        if not self._started and self._outputs.subscribers("image_raw") < self._settings.wait_for_subscribers:
            return
        self._started = True
        wanted = self._outputs.wanted()
        if self._sensors is not None:
            self._sensors.prepare(wanted)
        frame = self._source.read()
        if frame is not None:
            self._publish(frame, wanted)
            self._sent += 1
            if self._sent == self._settings.frames:
                self._end(f"sent {self._sent} frames, as asked for")
        elif self._source.has_ended:
            self._end(f"{self._name} has ended after {self._sent} frames")

    def _publish(self, frame: SourceFrame, wanted: frozenset[str]) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._outputs.publish("image_raw", self._image_writer.write(header, frame.image, frame.encoding))
        size = Size(frame.image.shape[1], frame.image.shape[0])
        known = self._calibration.of_size(size)
        if known is not None:
            self._outputs.publish("camera_info", camera_info_message(header, known))
        elif self._calibration.origin and size != self._size:
            self.get_logger().warning(
                f"images of {size} come without ~/camera_info: the calibration is of another size",
                throttle_duration_sec=_WARNING_INTERVAL_S,
            )
        self._size = size
        if frame.labels is not None and "labels" in wanted:
            self._outputs.publish("labels", self._labels_writer.write(header, frame.labels, "mono8"))
        if self._sensors is not None:
            for name, message in self._sensors.messages(frame, header, wanted).items():
                self._outputs.publish(name, message)

    def _statuses(self) -> list[Status]:
        level, message = DiagnosticStatus.OK, "images go out"
        if self._source.fault:
            level, message = DiagnosticStatus.ERROR, self._source.fault
        elif not self._started:
            message = f"waits for {self._settings.wait_for_subscribers} subscribers of ~/image_raw"
        values = {
            "source": self._name,
            "sent": self._sent,
            "image size": str(self._size),
            "frame_id": printable(self._frame_id),
            "calibration": printable(self._calibration.origin) or "unknown: no camera_info",
        }
        return [Status("source", level, message, values)]

    def _end(self, reason: str) -> None:
        """End the process, but only after receivers had time to take the last frame out of shared memory."""
        self.get_logger().info(reason)
        self.destroy_timer(self._timer)
        self._timer = self.create_timer(1.0, self._shut_down)

    def _shut_down(self) -> None:
        self._source.close()
        self.context.shutdown()


def main() -> None:
    """Run the camera until it is told to stop, or its source or number of frames ends."""
    run_node(CameraNode)


if __name__ == "__main__":
    main()
