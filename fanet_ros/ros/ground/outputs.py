"""The topics of the drivable-area node: who listens, and how one projected mask becomes messages."""

from __future__ import annotations

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from fanet_ros.ground.classes import drivable_mask
from fanet_ros.ground.view import GroundView
from fanet_ros.ros import qos
from fanet_ros.ros.conversions import ImageMessageWriter
from fanet_ros.ros.ground.free_space import FreeSpaceGrid
from fanet_ros.ros.ground.messages import grid_message, points_message, scan_message

SEMANTIC_POINTS = "semantic_points"
"""The topic that needs the confidence, too."""


class GroundOutputs:
    """Publishers of the drivable-area node; only what somebody subscribes to is computed and goes out."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publishers: dict[str, Publisher] = {}
        self._mask_writer = ImageMessageWriter()
        self._create(Image, "drivable_mask", qos.sensor_data())
        self._create(OccupancyGrid, "free_space", qos.latched())
        self._create(LaserScan, "obstacle_scan", qos.sensor_data())
        self._create(PointCloud2, "obstacle_points", qos.sensor_data())
        self._create(PointCloud2, SEMANTIC_POINTS, qos.sensor_data())

    def wanted(self) -> frozenset[str]:
        """Return the names of the topics that somebody subscribes to now."""
        return frozenset(name for name, publisher in self._publishers.items() if publisher.get_subscription_count())

    def publish_drivable_mask(self, mask: NDArray[np.uint8], kinds: NDArray[np.uint8], header: Header) -> None:
        """Publish 255 where the class is drivable and 0 elsewhere; it needs no ground, so it goes out without one."""
        pixels = drivable_mask(mask, kinds, self._mask_writer.pixels(mask.shape))
        self._publishers["drivable_mask"].publish(self._mask_writer.write(header, pixels, "mono8"))

    def publish_free_space(self, grid: FreeSpaceGrid) -> None:
        """Publish a grid, which stays for subscribers that come later."""
        self._publishers["free_space"].publish(grid_message(grid))

    def publish_obstacles(self, wanted: frozenset[str], view: GroundView, header: Header) -> None:
        """Publish where each direction first meets something, as scan and as points."""
        if "obstacle_scan" in wanted:
            self._publishers["obstacle_scan"].publish(scan_message(header, view.scan()))
        if "obstacle_points" in wanted:
            self._publishers["obstacle_points"].publish(points_message(header, view.obstacle_points()))

    def publish_semantic_points(self, message: PointCloud2) -> None:
        """Publish the ground point, class and confidence of every pixel."""
        self._publishers[SEMANTIC_POINTS].publish(message)

    def _create(self, message_type: type, name: str, profile: QoSProfile) -> None:
        with qos.explained(f"~/{name}"):
            self._publishers[name] = self._node.create_publisher(
                message_type, f"~/{name}", profile, qos_overriding_options=qos.overridable()
            )
