"""What rosbag2 wants to know of a bag, in metadata.yaml and within each file; the writer of rosbags knows one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from fanet_ros.recorded.storage import QOS, TYPE_HASH, Contents

_VERSION = 8  # the latest that Humble reads, too: 9 writes QoS profiles in another way


def bag_metadata(files: Mapping[str, Contents]) -> dict[str, Any]:
    """Return rosbag2's description of a bag of MCAP files.

    Args:
        files: their contents by name, in the order in which they are played. Channels of one topic are added up, and
            files without messages are left out, because they have no time.
    """
    topics: dict[str, dict[str, Any]] = {}
    for contents in files.values():
        for number, channel in contents.channels.items():
            about = {
                "name": channel.topic,
                "type": contents.schema_of(channel).name,
                "serialization_format": channel.message_encoding,
                "offered_qos_profiles": channel.metadata[QOS],
                "type_description_hash": channel.metadata[TYPE_HASH],
            }
            entry = topics.setdefault(channel.topic, {"topic_metadata": about, "message_count": 0})
            entry["message_count"] += contents.counts[number]
    played = {name: contents for name, contents in files.items() if contents.counts.total()}
    start = min((contents.start for contents in played.values()), default=0)
    end = max((contents.end for contents in played.values()), default=0)
    return {
        "version": _VERSION,
        "storage_identifier": "mcap",
        **_extent(start, end, sum(contents.counts.total() for contents in played.values())),
        "topics_with_message_count": list(topics.values()),
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": list(played),
        "files": [
            {"path": name, **_extent(contents.start, contents.end, contents.counts.total())}
            for name, contents in played.items()
        ],
        "custom_data": None,
        "ros_distro": "unknown",
    }


def as_yaml(metadata: Mapping[str, Any]) -> str:
    """Return metadata as rosbag2 reads it."""
    return str(yaml.safe_dump(dict(metadata), sort_keys=False))


def _extent(start: int, end: int, messages: int) -> dict[str, Any]:
    return {
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": messages,
    }
