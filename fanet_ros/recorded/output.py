"""The files that are written: MCAP as rosbag2 writes it, with results beside the recorded messages."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mcap.reader import make_reader
from mcap.writer import Writer
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2.metadata import dump_qos_v8

from fanet_ros.errors import SettingError
from fanet_ros.recorded.bag_metadata import FileEntry, metadata_text
from fanet_ros.recorded.messages import definition_of, type_hash_of
from fanet_ros.recorded.storage import Channel, Message

_RESULTS = "fanet_segment"  # name of the record that says what was found in the input file
_INFINITE = QosTime(9223372036, 854775807)  # as rosbag2 records it


def reliable_qos(*, latched: bool = False) -> str:
    """Return the offered QoS of results: reliable, because that serves subscribers of either kind.

    Args:
        latched: transient local with a depth of 1, as LabelInfo needs.
    """
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    depth = 1 if latched else 5
    return dump_qos_v8(
        [
            Qos(
                QosHistory.KEEP_LAST,
                depth,
                QosReliability.RELIABLE,
                durability,
                _INFINITE,
                _INFINITE,
                QosLiveliness.AUTOMATIC,
                _INFINITE,
                avoid_ros_namespace_conventions=False,
            )
        ]
    )


class OutputFile:
    """One MCAP file, written under a hidden name until it is complete; a context manager that removes what is not.

    Chunks are compressed (zstd), so that raw masks take little space.
    """

    def __init__(self, path: Path, originals: Sequence[Channel]) -> None:
        """Begin the file.

        Args:
            path: of the complete file.
            originals: channels whose messages will be copied.

        Raises:
            SettingError: the file cannot be written.
        """
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            self._file = self._unfinished.open("wb")
        except OSError as error:
            raise SettingError(f"{self._unfinished} cannot be written: {error.strerror}") from None
        self._writer = Writer(self._file)
        self._writer.start(profile="ros2", library="fanet_ros")
        self._schemas: dict[tuple[str, str], int] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._start, self._end = 2**64, 0
        self._originals = {channel.number: self._add(channel) for channel in originals}

    def add_topic(self, topic: str, type_name: str, qos: str) -> int:
        """Begin a topic of results of a known type, and return the number by which `write` knows it."""
        definition = definition_of(type_name)
        return self._add(Channel(0, topic, type_name, "cdr", definition, "ros2msg", qos, type_hash_of(type_name), 0))

    def copy(self, message: Message) -> None:
        """Copy a recorded message as it is.

        Raises:
            SettingError: it cannot be written.
        """
        self._write(self._originals[message.channel.number], message, message.data, message.sequence)

    def write(self, topic: int, original: Message, data: bytes) -> None:
        """Write a result at the times of the message that it was made from.

        Raises:
            SettingError: it cannot be written.
        """
        self._write(topic, original, data, 0)

    def finish(self, results: Mapping[str, Any]) -> None:
        """Complete the file and give it its name.

        Args:
            results: what was found in the input file, as JSON can say it; `results_in` reads it again.

        Raises:
            SettingError: it cannot be written.
        """
        channels = [replace(channel, messages=self._counts[number]) for number, channel in self._channels.items()]
        entry = FileEntry(self._path.name, self._start, self._end, self._counts.total())
        # rosbag2 reads from it how QoS profiles are written
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata_text(channels, [entry])})
        self._writer.add_metadata(_RESULTS, {"results": json.dumps(results)})
        with self._explained():
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._unfinished, self._path)

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()
        self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SettingError(f"{self._path} cannot be written: {error.strerror}") from None

    def _add(self, channel: Channel) -> int:
        key = (channel.type_name, channel.definition)
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(
                channel.type_name, channel.definition_format, channel.definition.encode()
            )
        metadata = {"offered_qos_profiles": channel.qos, "topic_type_hash": channel.type_hash}
        number = self._writer.register_channel(channel.topic, channel.serialization, self._schemas[key], metadata)
        self._channels[number] = channel
        return number

    def _write(self, number: int, original: Message, data: bytes, sequence: int) -> None:
        with self._explained():
            self._writer.add_message(number, original.log_time, data, original.publish_time, sequence)
        self._counts[number] += 1
        self._start, self._end = min(self._start, original.log_time), max(self._end, original.log_time)


def results_in(path: Path) -> dict[str, Any]:
    """Return what was found in the input file of a complete output file."""
    with path.open("rb") as file:
        record = next(record for record in make_reader(file).iter_metadata() if record.name == _RESULTS)
    return cast(dict[str, Any], json.loads(record.metadata["results"]))
