"""Collects what camera and segmentation node publish and hands complete frames to a report."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from fanet_ros.msg import SegmentationStats
from fanet_ros.reports.report import RunReport
from fanet_ros.ros.conversions import frame_from_image
from fanet_ros.ros.demo.navigation_recorder import NavigationRecorder
from fanet_ros.ros.demo.stamps import ByStamp, Stamp, stamp_of
from fanet_ros.ros.topics import latched, sensor_data
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

FLAT_NODE, MEASURED_NODE = "drivable_area", "drivable_area_depth"
"""Names of the drivable-area nodes: one takes the ground as flat, the other measures depth."""

_QUEUE = 50


class Recorder(Node):
    """Subscribes to all nodes of a demo and pairs their messages by stamp.

    Attributes:
        seen: how many messages came, by what they are: camera, truth, mask, overlay, stats.
        node_fault: what the segmentation node reports as an error now; else empty.
        first_mask_time: when it came, seconds since the epoch.
        navigation: of the drivable-area nodes; None where none runs.
    """

    def __init__(self, namespace: str, report: RunReport, *, rate_hz: float, drivable_area: bool) -> None:
        """Subscribe.

        Args:
            namespace: of all nodes of the demo.
            report: that is told of complete frames.
            rate_hz: of the camera.
            drivable_area: whether the two drivable-area nodes run, too.
        """
        super().__init__("recorder", namespace=namespace)
        self._report = report
        self._rate_hz = rate_hz
        self._frames = ByStamp(("camera", "mask", "overlay", "stats"))
        self._first_s: float | None = None
        self._last_s = 0.0
        self._last_stats = SegmentationStats()
        self._listens_to_camera = False
        self.seen: Counter[str] = Counter()
        self.node_fault = ""
        self.first_mask_time: float | None = None
        self.navigation = NavigationRecorder(self, FLAT_NODE, MEASURED_NODE) if drivable_area else None
        self._listen("truth", Image, "camera/labels")
        self._listen("mask", Image, "segmentation/mask")
        self._listen("overlay", Image, "segmentation/overlay")
        self._listen("stats", SegmentationStats, "segmentation/stats")
        self._status_name = f"{namespace}/segmentation: node".lstrip("/")
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_subscription(LabelInfo, "segmentation/label_info", self._on_label_info, latched())

    def counts(self, sent: int | None) -> dict[str, int | None]:
        """Return what became of the frames, as the node itself counted them.

        Args:
            sent: by the camera; None where it was stopped before its end, so that nobody knows.
        """
        stats = self._last_stats
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
        """Return what ran, at which size, and how many frames a second it made; nothing where no frame came."""
        if self._first_s is None:
            return {}
        stats = self._last_stats
        return {
            "backend": stats.backend,
            "device": stats.device,
            "precision": stats.precision,
            "input_size": f"{stats.input_width}x{stats.input_height}",
            "frames_in_memory": stats.temporal_frames - 1,
            "camera_rate_hz": self._rate_hz,
            "fps": round(self._report.frames / (self._last_s - self._first_s + 1 / self._rate_hz), 2),
        }

    def _listen(self, name: str, message_type: type, topic: str) -> None:
        self.create_subscription(message_type, topic, lambda message: self._take(name, message), sensor_data(_QUEUE))

    def _take(self, name: str, message: Any) -> None:
        self.seen[name] += 1
        stamp = stamp_of(message)
        if name == "truth":
            self._frames.names.add("truth")  # from now on it is waited for
        if name == "mask":
            self.first_mask_time = self.first_mask_time or time.time()
            age_ms = (self.get_clock().now().nanoseconds - stamp[0] * 10**9 - stamp[1]) / 1e6
            self._report.add_latency("end_to_end", age_ms)
        parts = self._frames.add(stamp, name, message)
        if parts is not None:
            self._record(stamp, **parts)

    def _record(
        self,
        stamp: Stamp,
        camera: Image,
        mask: Image,
        overlay: Image,
        stats: SegmentationStats,
        truth: Image | None = None,
    ) -> None:
        seconds = stamp[0] + stamp[1] / 1e9
        if self._first_s is None:
            self._first_s, self._last_s = seconds, seconds - 1 / self._rate_hz
        # a picture stays until the next one came, so that the video runs at the camera's own pace
        hold = max(1, round((seconds - self._last_s) * self._rate_hz))
        self._last_s, self._last_stats = seconds, stats

        labels, blended = frame_from_image(mask)[0][..., 0], _as_rgb(overlay)
        self._report.add_frame(_as_rgb(camera), blended, labels, hold=hold)
        if self.navigation is not None:
            self.navigation.add_overlay(stamp, blended)
        if truth is not None:
            self._report.add_truth(labels, frame_from_image(truth)[0][..., 0])
        for stage in ("wait", "decode", "inference", "publish"):
            self._report.add_latency(stage, getattr(stats, f"{stage}_ms"))

    def _on_label_info(self, _: LabelInfo) -> None:
        """Subscribe to the camera, which waits for that: the node is active and knows of this recorder."""
        if not self._listens_to_camera:
            self._listens_to_camera = True
            self._listen("camera", Image, "camera/image_raw")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status_name:
                self.node_fault = (
                    printable(status.message, MOST_OF_MESSAGE) if status.level == DiagnosticStatus.ERROR else ""
                )


def _as_rgb(message: Image) -> NDArray[np.uint8]:
    frame, encoding = frame_from_image(message)
    return frame if encoding == "rgb8" else cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
