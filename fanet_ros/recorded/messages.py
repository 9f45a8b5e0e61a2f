"""Messages as recordings hold them (CDR), read and written without ROS."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from fanet_ros.model.labels import LabelSet

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


def read_message(data: bytes, type_name: str) -> Any:
    """Read a message; arrays in it are views of `data`. Raises what rosbags does for bytes that are no such message."""
    return typestore().deserialize_cdr(data, type_name)


def mask_message(header: Any, labels: NDArray[np.uint8]) -> bytes:
    """Return sensor_msgs/Image mono8.

    Args:
        header: of the camera image, taken over untouched.
        labels: uint8, (H, W).
    """
    height, width = labels.shape
    image = typestore().types[IMAGE](header, height, width, "mono8", 0, width, labels.reshape(-1))
    return bytes(typestore().serialize_cdr(image, IMAGE))


def jpeg_message(header: Any, jpeg: NDArray[np.uint8]) -> bytes:
    """Return sensor_msgs/CompressedImage of an encoded JPEG, uint8 (bytes,), in the words of image_transport."""
    image = typestore().types[COMPRESSED_IMAGE](header, "rgb8; jpeg compressed bgr8", jpeg)
    return bytes(typestore().serialize_cdr(image, COMPRESSED_IMAGE))


def label_info_message(header: Any, label_set: LabelSet, threshold: float) -> bytes:
    """Return vision_msgs/LabelInfo: the class names by id, and the confidence threshold of the masks."""
    vision_class = typestore().types["vision_msgs/msg/VisionClass"]
    classes = [vision_class(number, name) for number, name in enumerate(label_set.names)]
    return bytes(typestore().serialize_cdr(typestore().types[LABEL_INFO](header, classes, threshold), LABEL_INFO))
