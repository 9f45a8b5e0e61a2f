"""The other side of the drivable-area node: masks, calibration and classes of the street camera, over real DDS."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from vision_msgs.msg import LabelInfo

from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.ros.camera.calibration import camera_info_message
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.sources.street.camera import StreetCamera

LABELS = load_label_set("camvid11")
STREET = StreetCamera(320, 180, seed=3)
POSE = STREET.pose(0)
TRUE_POSE = {"camera_height": POSE.z, "camera_pitch": POSE.pitch}
OUTPUTS = {
    "drivable_mask": (Image, RELIABLE),
    "free_space": (OccupancyGrid, LATCHED),
    "obstacle_scan": (LaserScan, RELIABLE),
    "obstacle_points": (PointCloud2, RELIABLE),
    "semantic_points": (PointCloud2, RELIABLE),
}


class Rig:
    """Publishes the inputs of the node."""

    def __init__(self, probe: Probe, node: NodeProcess) -> None:
        self.probe, self.node = probe, node
        self.info: CameraInfo | None = camera_info_message(probe.header(), STREET.intrinsics)
        self.info_frame = ""  # of the calibration; empty: that of the masks
        self._last_published = 0.0
        self.masks = probe.node.create_publisher(Image, "/mask", RELIABLE)
        self.infos = probe.node.create_publisher(CameraInfo, "/camera_info", RELIABLE)
        self.labels = probe.node.create_publisher(LabelInfo, "/label_info", LATCHED)
        probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)

    def listen(self, *names: str) -> None:
        for name in names:
            message_type, profile = OUTPUTS[name]
            if profile is LATCHED:
                self.probe.listen(message_type, f"/drivable_area/{name}", profile)
            else:
                self.probe.listen(message_type, f"/drivable_area/{name}")

    def introduce(self, labels: LabelSet = LABELS) -> None:
        """Tell the node the classes, and wait until it wants masks."""
        stamp = self.probe.node.get_clock().now().to_msg()
        self.labels.publish(label_info_message(labels, 0.0, stamp))
        self.probe.wait(lambda: self.masks.get_subscription_count() > 0, "the node to want masks")

    def publish(self, *masks: Image) -> None:
        """Publish calibration and masks as a camera does, again and again: discovery has two sides."""
        now = time.monotonic()
        if now - self._last_published > 0.1:
            self._last_published = now
            if self.info is not None:
                self.info.header.frame_id = self.info_frame or (masks[0].header.frame_id if masks else "")
                self.infos.publish(self.info)
            for mask in masks:
                self.masks.publish(mask)

    def status(self, part: str) -> DiagnosticStatus | None:
        return self.probe.diagnostic(f"drivable_area: {part}")

    def wait_for_status(self, part: str, level: bytes, text: str, mask: Image | None = None) -> DiagnosticStatus:
        """Spin, publishing `mask` now and then, until the node says that."""

        def says() -> bool:
            if mask is not None:
                self.publish(mask)
            status = self.status(part)
            return status is not None and status.level == level and text in status.message

        self.probe.wait(says, f"'{text}' from {part}, where it said {self.status(part)}")
        status = self.status(part)
        assert status is not None
        return status

    def process(self, mask: Image, *names: str) -> dict[str, Any]:
        """Publish a mask until it is answered on these topics, and return the answers."""

        def find(name: str) -> Any:
            received = self.probe.received[f"/drivable_area/{name}"]
            return next((m for m in received if m.header.stamp == mask.header.stamp), None)

        def answered() -> bool:
            self.publish(mask)
            return all(find(name) is not None for name in names)

        self.probe.wait(answered, f"answers on {names}")
        return {name: find(name) for name in names}


def street_mask(probe: Probe, index: int = 0) -> Image:
    return probe.image(truth(index), "mono8")


def truth(index: int = 0) -> NDArray[np.uint8]:
    labels = STREET.frame(index).labels
    assert labels is not None
    return labels
