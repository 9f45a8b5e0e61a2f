"""Messages as recordings hold them (CDR), read and written without ROS: images to frames, labels to messages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from mcap.records import Channel, Schema
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from fanet_ros.frames.image_messages import UnusableImageError, frame_of_compressed, frame_of_raw
from fanet_ros.model.labels import LabelSet
from fanet_ros.untrusted.text import printable

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
LABEL_INFO = "vision_msgs/msg/LabelInfo"

# vision_msgs is no part of ROS 2's own types, which rosbags brings along.
_VISION_CLASS = "uint16 class_id\nstring class_name\n"
_LABEL_INFO = "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the message types. Those of Humble, because only recordings up to Humble lack their own definitions."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(_VISION_CLASS, "vision_msgs/msg/VisionClass"))
    store.register(get_types_from_msg(_LABEL_INFO, LABEL_INFO))
    return store


def definition_of(type_name: str) -> str:
    """Return the definition of a type and of all that it contains, as MCAP wants it; empty for an unknown type."""
    if type_name not in typestore().fielddefs:
        return ""
    definition, _ = typestore().generate_msgdef(type_name, ros_version=2)
    return definition


def type_hash_of(type_name: str) -> str:
    """Return REP 2016's hash of a known type."""
    return typestore().hash_rihs01(type_name)


def image_type(schema: Schema, channel: Channel) -> str:
    """Return `IMAGE` or `COMPRESSED_IMAGE` where a channel has such messages, else nothing.

    Programs other than rosbag2 leave `msg` out of the names of types.
    """
    name = re.sub(r"^(\w+)/(\w+)$", r"\1/msg/\2", schema.name)
    return name if channel.message_encoding == "cdr" and name in (IMAGE, COMPRESSED_IMAGE) else ""


def read_image(data: bytes, type_name: str) -> Any:
    """Read a message of type `IMAGE` or `COMPRESSED_IMAGE`; arrays in it are views of `data`.

    Raises:
        UnusableImageError: the bytes are no such message.
    """
    try:
        return typestore().deserialize_cdr(data, type_name)
    except Exception as error:  # rosbags raises its own, struct's and UnicodeDecodeError, by what is wrong
        raise UnusableImageError("message", f"{len(data)} bytes are no {type_name}: {printable(str(error))}") from None


def frame_of(message: Any, type_name: str) -> tuple[NDArray[np.uint8], str]:
    """Return the pixels of a message of type `IMAGE` or `COMPRESSED_IMAGE`.

    Returns:
        The frame, uint8 (H, W, C), and its encoding. For rgb8, bgr8, rgba8, bgra8 and mono8 the frame is a view of
        the message's data, whatever its `step`; every other encoding and compressed images are converted to bgr8.

    Raises:
        UnusableImageError: size, step, length of the data, encoding or compression make no image.
    """
    return frame_of_raw(message) if type_name == IMAGE else (frame_of_compressed(message), "bgr8")


def mask_message(header: Any, labels: NDArray[np.uint8]) -> bytes:
    """Return sensor_msgs/Image mono8.

    Args:
        header: of the camera image, taken over untouched.
        labels: uint8, (H, W).
    """
    height, width = labels.shape
    return _serialised(IMAGE, header, height, width, "mono8", 0, width, labels.reshape(-1))


def jpeg_message(header: Any, jpeg: NDArray[np.uint8]) -> bytes:
    """Return sensor_msgs/CompressedImage of an encoded JPEG, uint8 (bytes,), in the words of image_transport."""
    return _serialised(COMPRESSED_IMAGE, header, "rgb8; jpeg compressed bgr8", jpeg)


def label_info_message(header: Any, label_set: LabelSet, threshold: float) -> bytes:
    """Return vision_msgs/LabelInfo: the class names by id, and the confidence threshold of the masks."""
    vision_class = typestore().types["vision_msgs/msg/VisionClass"]
    classes = [vision_class(number, name) for number, name in enumerate(label_set.names)]
    return _serialised(LABEL_INFO, header, classes, threshold)


def _serialised(type_name: str, *fields: Any) -> bytes:
    return bytes(typestore().serialize_cdr(typestore().types[type_name](*fields), type_name))
