"""What the drivable-area node publishes, and how one frame's results get there."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from fanet_ros.ground.classes import drivable_mask
from fanet_ros.ground.view import GroundView
from fanet_ros.measured.view import MeasuredView
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.ground.free_space import FreeSpace
from fanet_ros.ros.ground.measured_messages import MeasuredCloudMessage, obstacle_cloud_message
from fanet_ros.ros.ground.messages import SemanticCloudMessage, points_message, scan_message
from fanet_ros.ros.ground.pending import PendingMask
from fanet_ros.ros.ground.semantic_points import SemanticPairs, WaitingMask
from fanet_ros.ros.ground.transforms import Transforms
from fanet_ros.ros.topics import Outputs, latched, sensor_data

GEOMETRIC = frozenset({"free_space", "obstacle_scan", "obstacle_points", "obstacle_cloud", "semantic_points"})
"""Topics that need to know where the ground is."""


class GroundOutputs:
    """The topics, and what is kept between frames for them.

    Attributes:
        topics: names of the topics.
        pairs: masks and confidences that wait for each other.
    """

    def __init__(self, node: Node, transforms: Transforms, *, is_measured: bool) -> None:
        """Create the topics.

        Args:
            node: that publishes.
            transforms: TF, for what is accumulated.
            is_measured: whether there are measured points to publish.

        Raises:
            SettingError: an override of a topic's QoS cannot be used.
        """
        topics: dict[str, tuple[type, QoSProfile]] = {
            "drivable_mask": (Image, sensor_data()),
            "free_space": (OccupancyGrid, latched()),
            "obstacle_scan": (LaserScan, sensor_data()),
            "obstacle_points": (PointCloud2, sensor_data()),
            "semantic_points": (PointCloud2, sensor_data()),
        }
        if is_measured:
            topics["obstacle_cloud"] = (PointCloud2, sensor_data())
        self._outputs = Outputs(node, topics)
        self.topics = self._outputs.topics
        self.wanted = self._outputs.wanted
        self.pairs = SemanticPairs(lambda: bool(node.count_publishers(node.resolve_topic_name("confidence"))))
        self._free_space = FreeSpace(transforms)
        self._mask_writer = ImageMessageWriter()

    def publish_drivable_mask(self, header: Header, mask: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> None:
        """Publish which pixels may be driven on; that needs no ground."""
        pixels = drivable_mask(mask, kinds, self._mask_writer.pixels(mask.shape))
        self._outputs.publish("drivable_mask", self._mask_writer.write(header, pixels, "mono8"))

    def publish_view(
        self,
        seen: PendingMask,
        view: GroundView | MeasuredView,
        cloud: Callable[[], SemanticCloudMessage | MeasuredCloudMessage],
        settings: DrivableAreaParameters,
    ) -> str:
        """Publish what somebody subscribes to of one frame, but for its semantic points, which may wait in `pairs`.

        Args:
            seen: the mask.
            view: what it tells, with or without measurements.
            cloud: makes the message of its semantic points.
            settings: of the node.

        Returns:
            What is published differently from what was asked for; empty if nothing is.
        """
        wanted, note = self.wanted(), ""
        header = Header(stamp=seen.header.stamp, frame_id=settings.base_frame)
        if "obstacle_scan" in wanted:
            self._outputs.publish("obstacle_scan", scan_message(header, view.scan()))
        if "obstacle_points" in wanted:
            self._outputs.publish("obstacle_points", points_message(header, view.obstacle_points()))
        if "obstacle_cloud" in wanted and isinstance(view, MeasuredView):
            self._outputs.publish("obstacle_cloud", obstacle_cloud_message(header, *view.obstacle_cloud()))
        if "free_space" in wanted:
            grid = self._free_space.observe(view.occupancy(), header, settings)
            if grid is not None:
                self._outputs.publish("free_space", grid)
            note = self._free_space.note
        if "semantic_points" in wanted:
            spent_ms = (perf_counter() - seen.started) * 1e3
            self.pairs.add_mask(WaitingMask(seen.header, header, seen.mask, cloud(), spent_ms))
        return note

    def publish_semantic_points(self) -> float | None:
        """Publish the points of the mask that waits, if its confidence is there or there will be none.

        Returns:
            What all of that mask's results took, milliseconds; None where nothing was published.

        Raises:
            UnusableImageError: the confidence cannot be used; the mask no longer waits.
        """
        started = perf_counter()
        pair = self.pairs.take()
        if pair is None:
            return None
        waiting, points = pair
        self._outputs.publish("semantic_points", points)
        return waiting.spent_ms + (perf_counter() - started) * 1e3

    def forget_free_space(self) -> None:
        """Take back the last grid, which the topic would keep for all that subscribe later."""
        grid = self._free_space.forget()
        if grid is not None:
            self._outputs.publish("free_space", grid)
