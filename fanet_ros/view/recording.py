"""A recording with masks in it, as records, at the stamps that were recorded. Needs what recordings need (rosbags)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Channel, Schema

from fanet_ros.errors import SourceError
from fanet_ros.recorded.messages import COMPRESSED_IMAGE, LABEL_INFO, frame_of, image_type, typestore
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.recording import find_recording
from fanet_ros.recorded.survey import Survey, survey
from fanet_ros.recorded.topics import camera_names, choose_topics
from fanet_ros.settings import Size
from fanet_ros.untrusted.text import printable
from fanet_ros.view import geometry, pictures
from fanet_ros.view.pace import Pace
from fanet_ros.view.records import Record

_log = logging.getLogger(__name__)

_GROUND: dict[str, tuple[str, str, Callable[[str, Any], Record]]] = {
    "free_space": ("nav_msgs/msg/OccupancyGrid", "free_space", geometry.grid),
    "obstacle_scan": ("sensor_msgs/msg/LaserScan", "scan", geometry.scan),
    "obstacle_points": ("sensor_msgs/msg/PointCloud2", "obstacles", geometry.cloud),
    "obstacle_cloud": ("sensor_msgs/msg/PointCloud2", "obstacles", geometry.cloud),
}
"""Of the drivable-area node, by the end of the topic: type, entity, and what makes a record of it."""


@dataclass
class _Camera:
    """What is known of one camera while a recording is read."""

    name: str
    pace: Pace
    size: Size | None = None

    @property
    def root(self) -> str:
        return f"{self.name}/" if self.name else ""

    def entity(self, what: str) -> str:
        return f"{self.root}world/camera/{what}"


def open_recording(path: Path, topics: str, new_pace: Callable[[], Pace]) -> tuple[Record, Iterator[Record]]:
    """Open a recording that has masks.

    Args:
        path: of the recording.
        topics: which camera's masks are where, as summary.json has it: "/front/image_raw -> /segmentation/front, ...";
            empty where nobody says so: then the names of the topics tell.
        new_pace: says which moments of a camera are shown; called once for each.

    Returns:
        The layout of the views, and the records.

    Raises:
        SourceError: it cannot be read, or has no masks.
    """
    with tempfile.TemporaryDirectory(prefix="fanet-view-") as scratch:
        found = survey(find_recording(path), Path(scratch))
    masks = [i.name for i in found.images if i.name.endswith("/mask") and i.encoding == "mono8" and i.messages]
    if not masks:
        name = printable(str(path))
        raise SourceError(f"{name} has no masks; segment it first: fanet segment {name}, then fanet view segmented")
    reader, cameras = _Reader(), []
    images = _images_of(masks, found, topics)
    for topic in masks:
        camera = _Camera(topic.removesuffix("/mask").rpartition("/")[2] if len(masks) > 1 else "", new_pace())
        cameras.append(camera.name)
        reader.roles[images[topic]] = partial(reader.picture, camera)
        reader.roles[topic] = partial(reader.mask, camera)
    for topic, type_name in found.others.items():
        end = topic.rpartition("/")[2]
        if end in _GROUND and type_name == _GROUND[end][0] and len(masks) == 1:
            reader.roles[topic] = partial(reader.ground, camera, *_GROUND[end][1:])
        elif type_name == LABEL_INFO:
            reader.roles[topic] = reader.classes
    has_ground = any(topic.rpartition("/")[2] in _GROUND for topic in reader.roles)
    return pictures.layout(cameras, ground=has_ground), reader.read(path)


def _images_of(masks: Sequence[str], found: Survey, topics: str) -> dict[str, str]:
    """Return the topic of images that belongs to each topic of masks: the camera's, or that of the overlays."""
    told = {where: camera for camera, _, where in (pair.partition(" -> ") for pair in topics.split(", "))}
    try:
        cameras = [*choose_topics(found.images, found.others, (), keep_originals=True).prefixes]
    except SourceError:  # only results were kept
        cameras = []
    by_name = {name: topic for topic, name in camera_names(cameras).items()}
    recorded = {image.name for image in found.images}
    images = {}
    for mask in masks:
        prefix = mask.removesuffix("/mask")
        guess = cameras[0] if len(cameras) == len(masks) == 1 else by_name.get(prefix.rpartition("/")[2], "")
        camera = told.get(prefix, guess)
        images[mask] = camera if camera in recorded else f"{prefix}/overlay/compressed"
    return images


class _Reader:
    """Makes records of messages."""

    def __init__(self) -> None:
        self.roles: dict[str, Callable[[Any, str], Iterator[Record]]] = {}  # by topic
        self._names: tuple[str, ...] = ()

    def read(self, path: Path) -> Iterator[Record]:
        """Read a whole recording; a message that cannot be shown hides no other."""
        recording, refused = find_recording(path), 0
        with tempfile.TemporaryDirectory(prefix="fanet-view-") as scratch:
            for file in recording.files:
                with open_storage(recording, file, Path(scratch)) as storage:
                    for schema, channel, message in storage.messages(tuple(self.roles)):
                        try:
                            yield from self._records(schema, channel, message.data)
                        except Exception as error:  # ours, rosbags' own, struct's and numpy's, by what is wrong
                            refused += 1
                            _log.debug("a message on %s is not shown", printable(channel.topic), exc_info=error)
        if refused:
            _log.warning("%d messages of %s could not be shown", refused, printable(path.name))

    def _records(self, schema: Schema | None, channel: Channel, data: bytes) -> list[Record]:
        if schema is None or channel.topic not in self.roles:
            return []
        type_name = image_type(schema, channel) or schema.name
        return list(self.roles[channel.topic](typestore().deserialize_cdr(data, type_name), type_name))

    def picture(self, camera: _Camera, message: Any, type_name: str) -> Iterator[Record]:
        stamp = geometry.stamp_ns(message)
        if not camera.pace.wants(stamp):
            return
        entity, record = camera.entity("image"), None
        if type_name == COMPRESSED_IMAGE:
            record = pictures.encoded_picture(entity, stamp, bytes(message.data))
        if record is None:
            frame, encoding = frame_of(message, type_name)
            camera.size = Size(frame.shape[1], frame.shape[0])
            record = pictures.picture(entity, stamp, frame, encoding)
        yield record

    def mask(self, camera: _Camera, message: Any, type_name: str) -> Iterator[Record]:
        stamp = geometry.stamp_ns(message)
        if camera.pace.wants(stamp):
            labels = np.ascontiguousarray(frame_of(message, type_name)[0][..., 0])
            size = camera.size or Size(labels.shape[1], labels.shape[0])
            yield pictures.shares(f"{camera.root}shares", stamp, labels, self._names)
            yield pictures.mask(camera.entity("classes"), stamp, labels, size)

    def ground(
        self, camera: _Camera, entity: str, make: Callable[[str, Any], Record], message: Any, _: str
    ) -> Iterator[Record]:
        if camera.pace.wants(geometry.stamp_ns(message)):
            yield make(f"world/{entity}", message)

    def classes(self, message: Any, _: str) -> Iterator[Record]:
        names = pictures.names_of(message)
        if names != self._names:
            self._names = names
            yield pictures.classes(names)
