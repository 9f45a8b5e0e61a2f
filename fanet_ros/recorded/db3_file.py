"""Files in SQLite, which rosbag2 wrote by default up to Humble."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import dump_qos_v8

from fanet_ros.recorded.messages import definition_of
from fanet_ros.recorded.storage import Channel, Message, StorageFile, damaged

_FORMATS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


class Db3File(StorageFile):
    """A file in SQLite; it is opened as immutable, so that not even SQLite's own bookkeeping touches it."""

    def __init__(self, path: Path, name: str) -> None:
        """Open a file and list its channels.

        Args:
            path: of the file.
            name: by which messages call it.

        Raises:
            SourceError: it is no database of rosbag2.
        """
        self._name = name
        self._reader = Reader(path)
        try:
            self._reader.open()
        except Exception as error:  # rosbags raises its own, SQLite's and Python's, by where the damage is
            raise damaged(name, error) from None
        journal = path.with_name(f"{path.name}-wal")
        if journal.is_file() and journal.stat().st_size:
            self.note = (
                f"{name} has a journal beside it, as when the recorder is killed: what only stands in the journal is "
                "not read (opening and closing the bag with sqlite3 brings it in)"
            )
        self.channels = tuple(_channel(connection) for connection in self._reader.connections)
        if self._reader.message_count:
            self.start, self.end = self._reader.start_time, self._reader.end_time - 1

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Read messages, as `StorageFile` says."""
        channels = {channel.number: channel for channel in self.channels}
        wanted = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if not wanted:  # which rosbags would take for all
            return
        try:
            for connection, time, data in self._reader.messages(wanted):
                yield Message(channels[connection.id], time, time, 0, data)
        except Exception as error:  # as above
            raise damaged(self._name, error) from None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def _channel(connection: Connection) -> Channel:
    ext = connection.ext
    assert isinstance(ext, ConnectionExtRosbag2)  # the other kind belongs to ROS 1
    definition_format = _FORMATS.get(connection.msgdef.format, "")
    definition = connection.msgdef.data
    if not definition_format:  # up to Humble the definitions were not recorded
        definition = definition_of(connection.msgtype)
        definition_format = "ros2msg" if definition else ""
    return Channel(
        number=connection.id,
        topic=connection.topic,
        type_name=connection.msgtype,
        serialization=ext.serialization_format,
        definition=definition,
        definition_format=definition_format,
        qos=dump_qos_v8(ext.offered_qos_profiles),
        type_hash=connection.digest,
        messages=connection.msgcount,
    )
