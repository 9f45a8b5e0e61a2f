"""What rosbag2 wants to know of a bag: metadata.yaml, and the same text within each file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fanet_ros.files import write_whole
from fanet_ros.recorded.mcap_file import McapFile
from fanet_ros.recorded.recording import METADATA
from fanet_ros.recorded.storage import Channel

_VERSION = 8  # the latest that Humble reads, too: 9 writes QoS profiles in another way


class FileEntry(NamedTuple):
    """One file of a bag: its name, the log times of its first and last message (nanoseconds), and how many it has."""

    name: str
    start: int
    end: int
    messages: int


def write_metadata(folder: Path, files: Sequence[Path]) -> None:
    """Write the metadata.yaml that makes MCAP files in a folder one bag.

    Args:
        folder: of the files.
        files: in the order in which they are played.
    """
    channels: list[Channel] = []
    entries = []
    for path in files:
        file = McapFile(path, path.name)
        file.close()
        channels += file.channels
        entries.append(FileEntry(path.name, file.start, file.end, sum(channel.messages for channel in file.channels)))
    text = metadata_text(channels, entries)
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    write_whole(folder / METADATA, f"rosbag2_bagfile_information:\n{indented}")


def metadata_text(channels: Iterable[Channel], files: Iterable[FileEntry]) -> str:
    """Return rosbag2's description of a bag as YAML.

    Args:
        channels: of all files; those of one topic are added up.
        files: of the bag; those without messages are left out, because they have no time.
    """
    topics: dict[str, dict[str, Any]] = {}
    for channel in channels:
        entry = topics.setdefault(channel.topic, {"topic_metadata": _topic(channel), "message_count": 0})
        entry["message_count"] += channel.messages
    files = [file for file in files if file.messages]
    start = min((file.start for file in files), default=0)
    end = max((file.end for file in files), default=0)
    content = {
        "version": _VERSION,
        "storage_identifier": "mcap",
        **_times(start, end),
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": list(topics.values()),
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [
            {"path": file.name, **_times(file.start, file.end), "message_count": file.messages} for file in files
        ],
        "custom_data": None,
        "ros_distro": "unknown",
    }
    return str(yaml.safe_dump(content, sort_keys=False))


def _times(start: int, end: int) -> dict[str, Any]:
    return {"duration": {"nanoseconds": end - start}, "starting_time": {"nanoseconds_since_epoch": start}}


def _topic(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.topic,
        "type": channel.type_name,
        "serialization_format": channel.serialization,
        "offered_qos_profiles": channel.qos,
        "type_description_hash": channel.type_hash,
    }
