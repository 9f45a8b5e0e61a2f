"""A consumer with the rules of kiwicampus' semantic_segmentation_layer for Nav2, to see whether our topics fit it.

Written from what that costmap layer documents and does (its README and sources of 2026): which topics it needs, when it
drops a set of messages, how it finds class and position of a pixel, and which pixel of a tile counts. What it does with
tiles over time (queues, decay, costs) needs no messages of ours and is left out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2, PointField
from vision_msgs.msg import LabelInfo

MAX_INTERVAL_S = 0.1
"""Stamps of messages that belong together differ by no more (setMaxIntervalDuration)."""

SENSOR_DATA = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

Tile = tuple[int, int]


@dataclass(frozen=True)
class Observation:
    """The one pixel of a frame that counts on a tile.

    Attributes:
        class_id: what it is.
        confidence: from 0 to 255.
        stamp_s: of the cloud.
    """

    class_id: int
    confidence: int
    stamp_s: float


class SemanticLayer:
    """One source of the layer, in the frame of its clouds: the costmap's TF is not its business here.

    Attributes:
        frames: the tiles of each accepted set of messages, oldest first.
        dropped: how many sets were dropped, by reason.
        unknown_classes: names in label_info for which the parameters have no class type ("CRITICAL ERROR").
        skipped_pixels: of tiles whose class label_info does not name.
    """

    def __init__(self, source: Mapping[str, Any], resolution: float) -> None:
        """Read the parameters of a source.

        Args:
            source: as in the layer's YAML.
            resolution: side of a tile, metres.
        """
        self._source = source
        self._resolution = resolution
        self._costs: dict[int, int] = {}
        self._waiting: dict[str, deque[Any]] = {name: deque(maxlen=1000) for name in ("mask", "confidence", "cloud")}
        self.frames: list[dict[Tile, Observation]] = []
        self.dropped: Counter[str] = Counter()
        self.unknown_classes: list[str] = []
        self.skipped_pixels = 0

    def subscribe(self, node: Node) -> None:
        """Subscribe to the topics of the parameters with the layer's quality of service."""
        source = self._source
        node.create_subscription(LabelInfo, source["labels_topic"], self.on_label_info, LATCHED)
        node.create_subscription(Image, source["segmentation_topic"], self.on_mask, SENSOR_DATA)
        node.create_subscription(Image, source["confidence_topic"], self.on_confidence, SENSOR_DATA)
        node.create_subscription(PointCloud2, source["pointcloud_topic"], self.on_cloud, SENSOR_DATA)

    def on_label_info(self, message: LabelInfo) -> None:
        """Join the classes' ids with the costs of their types."""
        max_cost = {
            name: self._source[kind]["max_cost"]
            for kind in self._source["class_types"]
            for name in self._source[kind]["classes"]
        }
        self.unknown_classes = [c.class_name for c in message.class_map if c.class_name not in max_cost]
        self._costs = {c.class_id: max_cost[c.class_name] for c in message.class_map if c.class_name in max_cost}

    def on_mask(self, message: Image) -> None:
        """Take a mask."""
        self._take("mask", message)

    def on_confidence(self, message: Image) -> None:
        """Take a confidence image."""
        self._take("confidence", message)

    def on_cloud(self, message: PointCloud2) -> None:
        """Take a cloud."""
        self._take("cloud", message)

    def _take(self, name: str, message: Any) -> None:
        """Find the messages nearest in time to this one; what is older than a set that was found is out."""
        self._waiting[name].append(message)
        if not all(self._waiting.values()):
            return
        stamp = stamp_of(message)
        found = {
            other: min(waiting, key=lambda candidate: abs(stamp_of(candidate) - stamp))
            for other, waiting in self._waiting.items()
        }
        stamps = [stamp_of(candidate) for candidate in found.values()]
        if max(stamps) - min(stamps) > MAX_INTERVAL_S:
            return
        for other, waiting in self._waiting.items():
            while waiting and stamp_of(waiting[0]) <= stamp_of(found[other]):
                waiting.popleft()
        self._buffer(found["mask"], found["confidence"], found["cloud"])

    def _buffer(self, mask: Image, confidence: Image, cloud: PointCloud2) -> None:
        pixels = mask.width * mask.height
        if pixels != cloud.width * cloud.height:
            self.dropped["mask and cloud differ in size"] += 1
        elif len(mask.data) < pixels:
            self.dropped["mask has too little data"] += 1
        elif not self._costs:
            self.dropped["no label info yet"] += 1
        else:
            self.frames.append(self._tiles(mask, confidence, cloud))

    def _tiles(self, mask: Image, confidence: Image, cloud: PointCloud2) -> dict[Tile, Observation]:
        count = mask.width * mask.height
        # By index v * width + u, whatever `step` says: rows with padding would be read askew.
        labels = np.frombuffer(mask.data, np.uint8)[:count]
        sure = np.frombuffer(confidence.data, np.uint8)[:count]
        points = xyz_of(cloud)
        with np.errstate(invalid="ignore"):
            distance = np.linalg.norm(points.astype(np.float64), axis=1)
            source = self._source
            near, far = source["min_obstacle_distance"], source["max_obstacle_distance"]
            usable = np.isfinite(points[:, 2]) & (distance > near) & (distance < far)
        best: dict[Tile, int] = {}
        for index in np.flatnonzero(usable).tolist():
            x, y = np.floor(points[index, :2] / self._resolution)
            tile = int(x), int(y)
            if tile not in best or self._rank(labels, sure, index) > self._rank(labels, sure, best[tile]):
                best[tile] = index
        stamp = stamp_of(cloud)
        found = {}
        for tile, pixel in best.items():
            if int(labels[pixel]) in self._costs:
                found[tile] = Observation(int(labels[pixel]), int(sure[pixel]), stamp)
            else:
                self.skipped_pixels += 1
        return found

    def _rank(self, labels: NDArray[np.uint8], confidence: NDArray[np.uint8], index: int) -> int:
        if self._source["use_cost_selection"]:
            return self._costs.get(int(labels[index]), 0)
        return int(confidence[index])


def stamp_of(message: Any) -> float:
    """Return the stamp of a message in seconds."""
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def xyz_of(cloud: PointCloud2) -> NDArray[np.float32]:
    """Return the points of a cloud in the order of its memory, float32 (N, 3)."""
    offsets = {field.name: field.offset for field in cloud.fields if field.datatype == PointField.FLOAT32}
    rows = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    columns = [rows[:, offsets[name] : offsets[name] + 4].copy().view(np.float32) for name in "xyz"]
    return np.hstack(columns)
