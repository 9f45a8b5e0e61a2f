"""One camera: what is subscribed to while somebody looks, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from fanet_ros.errors import FanetError
from fanet_ros.msg import SegmentationStats
from fanet_ros.parameters.viewer import ViewerParameters
from fanet_ros.ros.conversions import frame_from_image
from fanet_ros.ros.ground.messages import ids_from_image
from fanet_ros.ros.ground.transforms import Transforms
from fanet_ros.ros.topics import latched, sensor_data
from fanet_ros.ros.view.moments import Moments, stamp_of
from fanet_ros.ros.view.poses import CameraPoses
from fanet_ros.ros.view.statistics import FrameNumbers
from fanet_ros.settings import Size
from fanet_ros.view import geometry, pictures
from fanet_ros.view.process import LiveViewer
from fanet_ros.view.records import Record

_WARN_EVERY_S = 10.0


class CameraView:
    """Subscribes to the topics of one camera, and shows them."""

    def __init__(
        self, node: Node, camera: str, settings: ViewerParameters, viewer: LiveViewer, transforms: Transforms
    ) -> None:
        """Prepare, without subscribing to anything yet.

        Args:
            node: that subscribes.
            camera: its name; empty for the one that has none.
            settings: of the node.
            viewer: takes what is to be shown.
            transforms: TF.
        """
        self._node, self._viewer, self._settings = node, viewer, settings
        self._root = f"{camera}/" if camera else ""
        self._seen = f"{self._root}world/camera"
        self.names: tuple[str, ...] = ()  # of the classes
        self._subscriptions: dict[str, Subscription] = {}
        self._poses: CameraPoses | None = None
        if settings.drivable_area:
            ground_node = "_".join(filter(None, (settings.drivable_area, camera)))
            self._poses = CameraPoses(node, ground_node, transforms)
        self._begin()

    def _begin(self) -> None:
        self._moments = Moments(self._settings.rate_hz)
        self._numbers = FrameNumbers(self._root)
        self._size: Size | None = None
        self._camera: Record | None = None  # as it was shown last
        self._has_masks = False
        self._lacks_picture = False  # the mask that was shown last: its image comes late

    def follow(self, *, is_watched: bool) -> None:
        """Subscribe to what is shown now, or to nothing; call it now and then."""
        wanted = self._wanted() if is_watched else {}
        for name in self._subscriptions.keys() - wanted.keys():
            self._node.destroy_subscription(self._subscriptions.pop(name))
        if not is_watched:
            self._begin()
        for name, (kind, take, profile, is_raw) in wanted.items():
            if name not in self._subscriptions:
                self._subscriptions[name] = self._node.create_subscription(
                    kind, self._root + name, self._surviving(name, take), profile, raw=is_raw
                )
        if is_watched and self._poses is not None:
            self._poses.follow()

    def _wanted(self) -> dict[str, tuple[type, Callable[[Any], None], Any, bool]]:
        wanted: dict[str, tuple[type, Callable[[Any], None], Any, bool]] = {
            "mask": (Image, self._on_mask, sensor_data(depth=2), True),
            "stats": (SegmentationStats, self._on_stats, sensor_data(), False),
        }
        if self._has_masks:  # before, images would come in vain
            is_raw = self._settings.image_transport == "raw"
            name, kind = ("image", Image) if is_raw else ("image/compressed", CompressedImage)
            wanted[name] = (kind, self._on_image, sensor_data(depth=2), True)
        if self._settings.confidence:
            wanted["confidence"] = (Image, self._on_confidence, sensor_data(depth=2), True)
        if self._poses is not None:
            wanted["camera_info"] = (CameraInfo, self._on_camera_info, sensor_data(depth=1), False)
            wanted["free_space"] = (OccupancyGrid, self._on_grid, latched(), False)
            wanted["obstacle_scan"] = (LaserScan, self._on_scan, sensor_data(depth=1), False)
            topic = self._node.resolve_topic_name(f"{self._root}obstacle_cloud")
            points = "obstacle_cloud" if self._node.count_publishers(topic) else "obstacle_points"
            wanted[points] = (PointCloud2, self._on_points, sensor_data(depth=1), False)
        return wanted

    def _surviving(self, name: str, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def survive(message: Any) -> None:
            try:
                take(message)
            except FanetError as error:
                self._node.get_logger().warning(
                    f"{self._root}{name} is not shown: {error}", throttle_duration_sec=_WARN_EVERY_S
                )

        return survive

    def _on_image(self, data: bytes) -> None:
        if self._lacks_picture and self._moments.is_chosen(data):
            self._lacks_picture = False
            record = self._picture(data, stamp_of(data))
            self._viewer.show(record.entity, record)
        else:
            self._moments.add_image(data)

    def _on_mask(self, data: bytes) -> None:
        self._has_masks = True
        stamp = self._moments.choose(data)
        if stamp is None:
            return
        labels = ids_from_image(deserialize_message(data, Image))
        self._size = Size(labels.shape[1], labels.shape[0])
        records = [pictures.shares(f"{self._root}shares", stamp, labels, self.names)] if self.names else []
        image = self._moments.take_image(stamp)
        self._lacks_picture = image is None
        if image is not None:
            records.append(self._picture(image, stamp))
        records.append(pictures.mask(f"{self._seen}/classes", stamp, labels, self._size))
        self._viewer.show(self._seen, *records)

    def _picture(self, data: bytes, stamp: int) -> Record:
        """Return the camera image of a mask; the mask then gets that image's size."""
        entity = f"{self._seen}/image"
        if self._settings.image_transport == "compressed":
            message = deserialize_message(data, CompressedImage)
            as_it_is = pictures.encoded_picture(entity, stamp, bytes(message.data))
            if as_it_is is not None:
                return as_it_is
        else:
            message = deserialize_message(data, Image)
        frame, encoding = frame_from_image(message)
        self._size = Size(frame.shape[1], frame.shape[0])
        return pictures.picture(entity, stamp, frame, encoding)

    def _on_confidence(self, data: bytes) -> None:
        if self._size is not None and self._moments.is_chosen(data):
            message = deserialize_message(data, Image)
            record = pictures.confidence(
                f"{self._seen}/confidence", geometry.stamp_ns(message), ids_from_image(message), self._size
            )
            self._viewer.show(record.entity, record)

    def _on_stats(self, stats: SegmentationStats) -> None:
        for record in self._numbers.records(stats):
            self._viewer.show(record.entity, record)

    def _on_camera_info(self, info: CameraInfo) -> None:
        assert self._poses is not None
        pose = self._poses.camera(info.header.frame_id, info.header.stamp)
        if pose is None:
            return
        record = geometry.camera(self._seen, info, pose)
        if record is not None and (self._camera is None or record.values != self._camera.values):
            self._camera = record
            self._viewer.show(record.entity + " pose", record)

    def _on_grid(self, message: OccupancyGrid) -> None:
        assert self._poses is not None
        frame = self._poses.of(message.header.frame_id, message.header.stamp)
        if self._poses.fault:
            raise FanetError(self._poses.fault)
        record = geometry.grid(f"{self._root}world/free_space", message, frame)
        self._viewer.show(record.entity, record)

    def _on_scan(self, message: LaserScan) -> None:
        record = geometry.scan(f"{self._root}world/scan", message)
        self._viewer.show(record.entity, record)

    def _on_points(self, message: PointCloud2) -> None:
        record = geometry.cloud(f"{self._root}world/obstacles", message)
        self._viewer.show(record.entity, record)
