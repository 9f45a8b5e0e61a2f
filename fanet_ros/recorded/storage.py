"""An open file of a recording, whichever its format: the records of the mcap library stand for all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from mcap.records import Channel, Message, Schema
from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import dump_qos_v8

from fanet_ros.errors import SourceError
from fanet_ros.recorded.unpacking import ZSTD_MAGIC, TooLargeError, unpack
from fanet_ros.untrusted.text import printable

QOS = "offered_qos_profiles"
"""Key in a channel's metadata: YAML in the words of rosbag2's metadata up to version 8; empty where nobody knows."""

TYPE_HASH = "topic_type_hash"
"""Key in a channel's metadata: REP 2016's hash of the type; empty in recordings older than Iron."""

_log = logging.getLogger(__name__)

Recorded: TypeAlias = tuple[Schema | None, Channel, Message]
"""A message with its channel and, where the file says it, its type."""


@dataclass
class Contents:
    """What is in a file.

    Attributes:
        schemas: types by number; one whose definition nobody knows has no encoding.
        channels: by number; a topic may have several.
        counts: messages by the number of their channel.
        start: log time of the first message, nanoseconds; 0 without messages.
        end: log time of the last message.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    start: int = 0
    end: int = 0

    def count(self, message: Message) -> None:
        """Count one more message."""
        self.start = min(self.start, message.log_time) if self.counts else message.log_time
        self.end = max(self.end, message.log_time)
        self.counts[message.channel_id] += 1

    def schema_of(self, channel: Channel) -> Schema:
        """Return the type of a channel, with an empty name if the file does not say."""
        return self.schemas.get(channel.schema_id, Schema(id=0, data=b"", encoding="", name=""))


@dataclass
class StorageFile:
    """An open file of a recording.

    Attributes:
        name: by which messages to the user call it.
        contents: what is in it.
        stored: reads messages as they are stored: of some topics, or of all.
        note: what the user has to know of the file (it is cut short), or empty.
        messages_compressed: whether every message is compressed by itself (zstd). Without metadata.yaml nobody says so;
            then the messages do, since none in CDR begins as zstd does.
    """

    name: str
    contents: Contents
    stored: Callable[[Collection[str] | None], Iterator[Recorded]]
    note: str = ""
    messages_compressed: bool = False

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """Read the messages of some topics, or of all, one at a time in the order of their log times.

        Raises:
            SourceError: the file is damaged.
        """
        try:
            for schema, channel, message in self.stored(topics):
                if self.messages_compressed or message.data.startswith(ZSTD_MAGIC):
                    message = replace(message, data=unpack("zstd", message.data))
                yield schema, channel, message
        except Exception as error:  # the libraries raise their own, SQLite's and Python's, by where the damage is
            raise damaged(self.name, error) from None


def qos_text(profiles: list[Qos]) -> str:
    """Return QoS profiles as every ROS 2 reads them: in numbers, while version 9 of the metadata has names for some.

    Raises:
        ValueError: a profile holds something else than numbers.
    """
    for profile in profiles:
        values = (profile.depth, *profile.deadline, *profile.lifespan, *profile.liveliness_lease_duration)
        if not all(isinstance(value, int) for value in (*values, profile.avoid_ros_namespace_conventions)):
            raise ValueError("a QoS profile holds something else than numbers")
    return str(dump_qos_v8(profiles))


def damaged(name: str, error: Exception) -> SourceError:
    """Return the error that says that a file cannot be read, whatever a library has raised."""
    _log.debug("%s cannot be read", printable(name), exc_info=error)
    if isinstance(error, TooLargeError):
        return SourceError(f"{printable(name)} is not read: {error}")
    reason = printable(" ".join(str(error).split())) or type(error).__name__
    return SourceError(f"{printable(name)} is damaged or cut short, or no recording of ROS 2: {reason}")
