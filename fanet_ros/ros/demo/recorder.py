"""Collects what camera and segmentation node publish and hands complete frames to a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from fanet_ros.msg import SegmentationStats
from fanet_ros.reports.report import RunReport
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import frame_from_image
from fanet_ros.ros.demo.navigation_recorder import NavigationRecorder

Stamp = tuple[int, int]

_QUEUE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
_PATIENCE = 30  # frames that may be incomplete at once; what is older has lost a part for good


@dataclass
class _Parts:
    """The messages of one stamp as they arrive."""

    camera: Image | None = None
    truth: Image | None = None
    mask: Image | None = None
    overlay: Image | None = None
    stats: SegmentationStats | None = None


class Recorder(Node):
    """Subscribes to both nodes of a demo and pairs their messages by stamp."""

    def __init__(self, namespace: str, report: RunReport, *, rate_hz: float, drivable_area: bool) -> None:
        """Subscribe.

        Args:
            namespace: of all nodes of the demo.
            report: that is told of complete frames.
            rate_hz: of the camera.
            drivable_area: whether a drivable-area node runs, too.
        """
        super().__init__("recorder", namespace=namespace)
        self._report = report
        self._rate_hz = rate_hz
        self._parts: dict[Stamp, _Parts] = {}
        self._last_recorded_s: float | None = None
        self._last_stats: SegmentationStats | None = None
        self._first_stamp_s: float | None = None
        self._has_truth = False
        self.images_seen = 0
        self.masks_seen = 0
        self.node_fault = ""
        self.first_mask_time: float | None = None
        self.navigation = NavigationRecorder(self, "drivable_area") if drivable_area else None
        self._listen(Image, "camera/labels", self._on_truth)
        self._listen(Image, "segmentation/mask", self._on_mask)
        self._listen(Image, "segmentation/overlay", self._on_overlay)
        self._listen(SegmentationStats, "segmentation/stats", self._on_stats)
        self._status_name = f"{namespace}/segmentation: node".lstrip("/")
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._listens_to_camera = False
        self.create_subscription(LabelInfo, "segmentation/label_info", self._on_label_info, qos.latched())

    def record_complete_frames(self) -> None:
        """Hand frames whose parts have all arrived to the report, oldest first, and forget hopeless ones."""
        for stamp in sorted(self._parts):
            parts = self._parts[stamp]
            complete = parts.camera and parts.mask and parts.overlay and parts.stats
            if complete and (parts.truth or not self._has_truth):
                self._record(stamp, parts)
                for older in [s for s in self._parts if s <= stamp]:
                    del self._parts[older]  # dropped by the node: the newest frame wins
        while len(self._parts) > _PATIENCE:
            del self._parts[min(self._parts)]

    def counts(self, sent: int | None) -> dict[str, int | None]:
        """Return what became of the frames, as the node itself counted them.

        Args:
            sent: by the camera; None where it was stopped before its end, so that nobody knows.
        """
        stats = self._last_stats or SegmentationStats()
        return {
            "frames_sent": sent,
            "frames_received": stats.frames_received,
            "frames_processed": stats.frames_processed,
            "frames_dropped": stats.frames_dropped,
            "frames_skipped": stats.frames_skipped,
            "frames_rejected": stats.frames_rejected,
            "frames_recorded": self._report.frames,
            "frames_lost_in_transport": None if sent is None else sent - stats.frames_received,
        }

    def facts(self) -> dict[str, Any]:
        """Return what ran, at which size, and how many frames a second it made."""
        stats = self._last_stats
        if stats is None or self._first_stamp_s is None or self._last_recorded_s is None:
            return {}
        seconds = self._last_recorded_s - self._first_stamp_s + 1 / self._rate_hz
        return {
            "backend": stats.backend,
            "device": stats.device,
            "precision": stats.precision,
            "input_size": f"{stats.input_width}x{stats.input_height}",
            "frames_in_memory": stats.temporal_frames - 1,
            "camera_rate_hz": self._rate_hz,
            "fps": round(self._report.frames / seconds, 2),
        }

    def _record(self, stamp: Stamp, parts: _Parts) -> None:
        assert parts.camera and parts.mask and parts.overlay and parts.stats
        seconds = stamp[0] + stamp[1] / 1e9
        if self._first_stamp_s is None:
            self._first_stamp_s = seconds
        previous = self._last_recorded_s if self._last_recorded_s is not None else seconds - 1 / self._rate_hz
        # a picture stays until the next one came, so that the video runs at the camera's own pace
        hold = max(1, round((seconds - previous) * self._rate_hz))
        self._last_recorded_s = seconds

        labels, overlay = _as_array(parts.mask), _as_rgb(parts.overlay)
        self._report.add_frame(_as_rgb(parts.camera), overlay, labels, hold=hold)
        if self.navigation is not None:
            self.navigation.add_overlay(stamp, overlay)
        if parts.truth is not None:
            self._report.add_truth(labels, _as_array(parts.truth))
        self._last_stats = parts.stats
        for stage in ("wait", "decode", "inference", "publish"):
            self._report.add_latency(stage, getattr(parts.stats, f"{stage}_ms"))

    def _on_label_info(self, _: LabelInfo) -> None:
        """Subscribe to the camera, which waits for that: the node is active and knows of this recorder."""
        if not self._listens_to_camera:
            self._listens_to_camera = True
            self._listen(Image, "camera/image_raw", self._on_camera)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status_name:
                self.node_fault = status.message if status.level == DiagnosticStatus.ERROR else ""

    def _on_camera(self, message: Image) -> None:
        self.images_seen += 1
        self._of(message).camera = message

    def _on_truth(self, message: Image) -> None:
        self._has_truth = True
        self._of(message).truth = message

    def _on_mask(self, message: Image) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = message.header.stamp
        if self.first_mask_time is None:
            self.first_mask_time = time.time()
        self.masks_seen += 1
        self._report.add_latency("end_to_end", (now - stamp.sec * 10**9 - stamp.nanosec) / 1e6)
        self._of(message).mask = message

    def _on_overlay(self, message: Image) -> None:
        self._of(message).overlay = message

    def _on_stats(self, message: SegmentationStats) -> None:
        self._of(message).stats = message

    def _of(self, message: Image | SegmentationStats) -> _Parts:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        return self._parts.setdefault(stamp, _Parts())

    def _listen(self, message_type: type, topic: str, callback: Any) -> None:
        self.create_subscription(message_type, topic, callback, _QUEUE)


def _as_array(message: Image) -> NDArray[np.uint8]:
    frame, _ = frame_from_image(message)
    return frame[..., 0]


def _as_rgb(message: Image) -> NDArray[np.uint8]:
    frame, encoding = frame_from_image(message)
    return frame if encoding == "rgb8" else cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
