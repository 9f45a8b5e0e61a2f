"""Recordings as tests need them, written by rosbags' own writer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
STRING = "std_msgs/msg/String"
START = 1_700_000_000_000_000_000
SENSOR_QOS = Qos(
    QosHistory.KEEP_LAST,
    7,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    QosTime(9223372036, 854775807),
    QosTime(9223372036, 854775807),
    QosLiveliness.AUTOMATIC,
    QosTime(9223372036, 854775807),
    avoid_ros_namespace_conventions=False,
)


class Record(NamedTuple):
    topic: str
    type_name: str
    time: int
    data: bytes


def header(number: int, frame_id: str = "camera_optical_frame") -> Any:
    time = log_time(number) - 3_000_000  # an image is recorded after it was taken
    stamp = STORE.types["builtin_interfaces/msg/Time"](time // 10**9, time % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp, frame_id)


def log_time(number: int) -> int:
    return START + number * 10_000_000


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def image(
    topic: str, number: int, *, encoding: str = "bgr8", step: int | None = None, data: bytes | None = None
) -> Record:
    pixels = picture(number)
    height, width = pixels.shape[:2]
    content = pixels.tobytes() if data is None else data
    message = STORE.types[IMAGE](
        header(number), height, width, encoding, 0, step or width * 3, np.frombuffer(content, np.uint8)
    )
    return _record(topic, IMAGE, number, message)


def jpeg(topic: str, number: int, *, image_format: str = "bgr8; jpeg compressed bgr8", data: bytes = b"") -> Record:
    content = data or cv2.imencode(".jpg", picture(number))[1].tobytes()
    message = STORE.types[COMPRESSED](header(number), image_format, np.frombuffer(content, np.uint8))
    return _record(topic, COMPRESSED, number, message)


def text(topic: str, number: int) -> Record:
    return _record(topic, STRING, number, STORE.types[STRING](f"message {number}"))


def drive(topic: str = "/front/image_raw", images: int = 4, first: int = 0) -> list[Record]:
    """One camera and a topic of text."""
    numbers = range(first, first + images)
    return [record for n in numbers for record in (text("/chatter", 10 * n), image(topic, 10 * n + 1))]


def write_bag(
    folder: Path,
    records: Iterable[Record],
    *,
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
    version: Any = 9,
) -> Path:
    writer = Writer(folder, version=version, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for record in records:
            if record.topic not in connections:
                connections[record.topic] = writer.add_connection(
                    record.topic, record.type_name, typestore=STORE, offered_qos_profiles=[SENSOR_QOS]
                )
            writer.write(connections[record.topic], record.time, record.data)
    return folder


def write_split_bag(folder: Path, parts: list[list[Record]], storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """A bag of several files, as `ros2 bag record --max-bag-size` makes it; rosbags itself writes only single ones."""
    import yaml

    folder.mkdir()
    merged: dict[str, Any] = {}
    for number, records in enumerate(parts):
        part = write_bag(folder / f"part{number}", records, storage=storage)
        information = yaml.safe_load((part / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        name = f"{folder.name}_{number}{'.mcap' if storage == StoragePlugin.MCAP else '.db3'}"
        (part / information["relative_file_paths"][0]).rename(folder / name)
        (part / "metadata.yaml").unlink()
        part.rmdir()
        information["relative_file_paths"] = [name]
        if merged:
            merged["relative_file_paths"].append(name)
            merged["message_count"] += information["message_count"]
        else:
            merged = information
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": merged}))
    return folder


def write_mcap(path: Path, records: list[Record], qos: str = "", **options: object) -> Path:
    """Write with the mcap library, which can leave out what rosbags cannot."""
    metadata = {"offered_qos_profiles": qos} if qos else {}
    with path.open("wb") as file:
        writer = McapWriter(file, **options)  # type: ignore[arg-type]
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for number, record in enumerate(records):
            if record.topic not in channels:
                definition, _ = STORE.generate_msgdef(record.type_name, ros_version=2)
                schema = writer.register_schema(record.type_name, "ros2msg", definition.encode())
                channels[record.topic] = writer.register_channel(record.topic, "cdr", schema, metadata)
            writer.add_message(channels[record.topic], record.time, record.data, record.time - 7, number)
        writer.finish()
    return path


def _record(topic: str, type_name: str, number: int, message: Any) -> Record:
    return Record(topic, type_name, log_time(number), bytes(STORE.serialize_cdr(message, type_name)))
