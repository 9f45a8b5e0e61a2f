"""Files in SQLite, which rosbag2 wrote by default up to Humble; rosbags opens them as immutable."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from mcap.records import Channel, Message, Schema
from rosbags.interfaces import ConnectionExtRosbag2, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import dump_qos_v8

from fanet_ros.recorded.messages import definition_of
from fanet_ros.recorded.storage import QOS, TYPE_HASH, Contents, Recorded, StorageFile

_FORMATS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


def read_db3(reader: Reader, path: Path, name: str) -> StorageFile:
    """Look into the open file at `path`, which is to stay open; messages to the user call it by `name`."""
    contents, note = Contents(), ""
    for connection in reader.connections:
        number, ext = connection.id, connection.ext
        assert isinstance(ext, ConnectionExtRosbag2)  # the other kind belongs to ROS 1
        definition, encoding = connection.msgdef.data, _FORMATS.get(connection.msgdef.format, "")
        if not encoding:  # up to Humble the definitions were not recorded
            definition = definition_of(connection.msgtype)
            encoding = "ros2msg" if definition else ""
        contents.schemas[number] = Schema(
            id=number, data=definition.encode(), encoding=encoding, name=connection.msgtype
        )
        contents.channels[number] = Channel(
            id=number,
            topic=connection.topic,
            message_encoding=ext.serialization_format,
            metadata={QOS: dump_qos_v8(ext.offered_qos_profiles), TYPE_HASH: connection.digest},
            schema_id=number,
        )
        contents.counts[number] = connection.msgcount
    if reader.message_count:
        contents.start, contents.end = reader.start_time, reader.end_time - 1
    journal = path.with_name(f"{path.name}-wal")
    if journal.is_file() and journal.stat().st_size:
        note = (
            f"{name} has a journal beside it, as when the recorder is killed: what only stands in the journal is "
            "not read (opening and closing the bag with sqlite3 brings it in)"
        )

    def stored(topics: Collection[str] | None) -> Iterator[Recorded]:
        wanted = [c for c in reader.connections if topics is None or c.topic in topics]
        if not wanted:  # which rosbags would take for all
            return
        for connection, time, data in reader.messages(wanted):
            message = Message(channel_id=connection.id, log_time=time, data=data, publish_time=time, sequence=0)
            yield contents.schemas[connection.id], contents.channels[connection.id], message

    return StorageFile(name, contents, stored, note)
