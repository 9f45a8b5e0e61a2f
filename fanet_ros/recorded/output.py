"""The files that are written: MCAP as rosbag2 writes it, with results beside the recorded messages.

Written by the mcap library: the writer of rosbags keeps neither publish times nor sequence numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema
from mcap.writer import Writer
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2.metadata import dump_qos_v8

from fanet_ros.errors import SettingError
from fanet_ros.files import replacing
from fanet_ros.recorded.bag_metadata import as_yaml, bag_metadata
from fanet_ros.recorded.mcap_file import read_mcap
from fanet_ros.recorded.messages import definition_of, type_hash_of
from fanet_ros.recorded.storage import QOS, TYPE_HASH, Contents

_RESULTS = "fanet_segment"  # name of the record that says what was found in the input file
_INFINITE = QosTime(9223372036, 854775807)  # as rosbag2 records it

RELIABLE = Qos(
    QosHistory.KEEP_LAST,
    5,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    deadline=_INFINITE,
    lifespan=_INFINITE,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_INFINITE,
    avoid_ros_namespace_conventions=False,
)
"""Of results, because that serves subscribers of either kind."""

LATCHED = RELIABLE._replace(depth=1, durability=QosDurability.TRANSIENT_LOCAL)
"""As LabelInfo needs."""


class OutputFile:
    """One MCAP file while it is written. Chunks are compressed (zstd), so that raw masks take little space.

    Attributes:
        results: what was found in the input file, as JSON can say it; `read_finished` returns it again.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Begin a file that will be called `name`."""
        self.results: dict[str, Any] = {}
        self._name = name
        self._writer = Writer(file)
        self._writer.start(profile="ros2", library="fanet_ros")
        self._contents = Contents()
        self._types: dict[tuple[str, str, bytes], int] = {}
        self._copies: dict[int, int] = {}  # number of a recorded channel -> of its copy

    def add_copies(self, originals: Contents) -> None:
        """Begin the topics of a recorded file, whose messages `copy` takes from then on."""
        for number, channel in originals.channels.items():
            self._copies[number] = self._add(channel, originals.schema_of(channel))

    def add_topic(self, topic: str, type_name: str, qos: Qos) -> int:
        """Begin a topic of results of a known type, and return the number by which `write` knows it."""
        metadata = {QOS: dump_qos_v8([qos]), TYPE_HASH: type_hash_of(type_name)}
        channel = Channel(id=0, topic=topic, message_encoding="cdr", metadata=metadata, schema_id=0)
        definition = definition_of(type_name).encode()
        return self._add(channel, Schema(id=0, data=definition, encoding="ros2msg", name=type_name))

    def copy(self, message: Message) -> None:
        """Copy a recorded message as it is."""
        self._write(replace(message, channel_id=self._copies[message.channel_id]))

    def write(self, topic: int, original: Message, data: bytes) -> None:
        """Write a result at the times of the message that it was made from."""
        self._write(replace(original, channel_id=topic, data=data, sequence=0))

    def finish(self) -> None:
        """Write what makes the file complete."""
        # rosbag2 reads from it how QoS profiles are written
        metadata = as_yaml(bag_metadata({self._name: self._contents}))
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata})
        self._writer.add_metadata(_RESULTS, {"results": json.dumps(self.results)})
        self._writer.finish()

    def _add(self, channel: Channel, schema: Schema) -> int:
        key = (schema.name, schema.encoding, schema.data)
        if key not in self._types:
            self._types[key] = self._writer.register_schema(*key)
            self._contents.schemas[self._types[key]] = schema
        schema_id = self._types[key]
        number = self._writer.register_channel(channel.topic, channel.message_encoding, schema_id, channel.metadata)
        self._contents.channels[number] = replace(channel, id=number, schema_id=schema_id)
        return number

    def _write(self, message: Message) -> None:
        self._writer.add_message(
            message.channel_id, message.log_time, message.data, message.publish_time, message.sequence
        )
        self._contents.count(message)


@contextmanager
def output_file(path: Path) -> Iterator[OutputFile]:
    """Write a file that appears when it is complete, and is on the disk then; after an error there is none.

    Raises:
        SettingError: it cannot be written.
    """
    try:
        with replacing(path, durable=True) as unfinished, unfinished.open("wb") as file:
            output = OutputFile(file, path.name)
            yield output
            output.finish()
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}") from None


def read_finished(path: Path) -> tuple[Contents, dict[str, Any]]:
    """Return what is in a complete output file, and what was found in its input file."""
    with path.open("rb") as file:
        contents = read_mcap(file, path.name).contents
        file.seek(0)  # the reader expects its start
        record = next(record for record in make_reader(file).iter_metadata() if record.name == _RESULTS)
    return contents, json.loads(record.metadata["results"])
