"""Files in SQLite, which rosbag2 wrote by default up to Humble; rosbags opens them as immutable.

SQLite lets a database hold whatever its author likes: texts in columns of numbers, and values of any length that are
computed when they are read. So lengths are limited, and every value is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import apsw
from mcap.records import Channel, Message, Schema
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

from fanet_ros.recorded.messages import definition_of
from fanet_ros.recorded.storage import QOS, TYPE_HASH, Contents, Recorded, StorageFile, qos_text
from fanet_ros.recorded.unpacking import MOST_BYTES, TooLargeError
from fanet_ros.untrusted.text import shown

_FORMATS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


_MOST_TIME = 2**63 - 1


@contextmanager
def open_database(file: BinaryIO) -> Iterator[Sqlite3Reader]:
    """Open a database by a file that is open already, whatever its name: SQLite takes some characters for options.

    Raises:
        Exception: rosbags' and SQLite's, for what is no database of rosbag2.
    """
    reader = Sqlite3Reader(Path(f"/proc/self/fd/{file.fileno()}"))
    apsw.connection_hooks.append(_limit_lengths)
    try:
        reader.open()
    except ReaderError as error:
        raise ValueError(str(error).replace(str(reader.path), "it")) from None
    finally:
        apsw.connection_hooks.remove(_limit_lengths)
    try:
        yield reader
    finally:
        reader.close()


def _limit_lengths(connection: apsw.Connection) -> None:
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, MOST_BYTES)


def read_db3(reader: Sqlite3Reader, path: Path, name: str) -> StorageFile:
    """Look into the open file at `path`, which is to stay open; messages to the user call it by `name`.

    Raises:
        ValueError: its topics are described by something else than texts.
    """
    contents, note = Contents(), ""
    for connection in reader.connections:
        number, ext = connection.id, connection.ext
        assert isinstance(ext, ConnectionExtRosbag2)  # the other kind belongs to ROS 1
        texts = (connection.topic, connection.msgtype, ext.serialization_format, connection.digest)
        if not all(isinstance(text, str) for text in (*texts, connection.msgdef.data)):
            raise ValueError(f"topic {number} is described by something else than texts")
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
            metadata={QOS: qos_text(ext.offered_qos_profiles), TYPE_HASH: connection.digest},
            schema_id=number,
        )
        contents.counts[number] = connection.msgcount
    if reader.metadata.message_count:
        contents.start, contents.end = reader.metadata.start_time, reader.metadata.end_time - 1
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
        for connection, time, data in _rows(reader, wanted):
            message = Message(channel_id=connection.id, log_time=time, data=data, publish_time=time, sequence=0)
            yield contents.schemas[connection.id], contents.channels[connection.id], message

    return StorageFile(name, contents, stored, note)


def _rows(reader: Sqlite3Reader, wanted: Collection[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
    try:
        for connection, time, data in reader.messages(wanted):
            if not isinstance(time, int) or not 0 <= time <= _MOST_TIME:
                raise ValueError(f"the time of a message of {shown(connection.topic)} is {shown(time)}")
            if not isinstance(data, bytes):
                raise ValueError(f"a message of {shown(connection.topic)} is no bytes, but {type(data).__name__}")
            yield connection, time, data
    except apsw.TooBigError:
        raise TooLargeError(f"a message has more than {MOST_BYTES >> 20} MB") from None
