"""Files in MCAP (mcap.dev), indexed or not, also where their end is missing because the recorder was killed.

Read by the mcap library: the reader of rosbags takes only whole files, and tells neither publish times nor sequence
numbers. The library trusts what a file says of sizes; so chunks are unpacked here, and sorted, with bounds.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any, BinaryIO

from mcap import stream_reader
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, ChunkIndex, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.summary import Summary

from fanet_ros.errors import SourceError
from fanet_ros.recorded.storage import Contents, Recorded, StorageFile
from fanet_ros.recorded.unpacking import MOST_BYTES, TooLargeError, unpack

_MOST_RECORDS = 1_000_000  # of a chunk: each takes hundreds of bytes here, and nine in the file
_MOST_WAITING = 2 * MOST_BYTES  # of messages that were read and have to wait for earlier ones
_MESSAGE_BYTES = 500  # of one that is empty


class _Bounded:
    """A file of which no part is read at once that would not fit into memory, whatever the file says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, length: int) -> bytes:
        if length > MOST_BYTES:
            raise TooLargeError(f"a record has more than {MOST_BYTES >> 20} MB")
        return self._file.read(length)


def read_mcap(file: BinaryIO, name: str) -> StorageFile:
    """Look into an open file, which is to stay open; without an index that takes reading it once.

    With an index, messages are read by it in the order of their log times. Without one they come in the order of the
    file: sorting them would take as much memory as the file is long.

    Args:
        file: in MCAP.
        name: by which messages to the user call it.

    Raises:
        SourceError: the file has no end, and nothing of it can be read, or a part of it is too large to be read.
        Exception: of the library, for what is no MCAP file.
    """
    limit = os.fstat(file.fileno()).st_size  # of one record
    bounded: Any = _Bounded(file)
    reader = SeekingReader(bounded, validate_crcs=True, record_size_limit=limit)
    cut_short, summary = False, None
    try:
        summary = reader.get_summary()
    except TooLargeError:
        raise
    except Exception:  # the library's, struct's and OSError, by where the file was cut
        cut_short = True
    if summary and (statistics := summary.statistics) and _is_complete(summary):
        counts = Counter(statistics.channel_message_counts)
        times = statistics.message_start_time, statistics.message_end_time
        contents = Contents(summary.schemas, summary.channels, counts, *times)
        indexes = summary.chunk_indexes
        return StorageFile(name, contents, lambda topics: _in_order_of_time(bounded, contents, indexes, topics))

    contents, note = Contents(), ""

    def as_far_as_it_goes() -> Iterator[McapRecord]:
        file.seek(0)
        try:
            for record in _records(bounded, limit):
                yield from _unpacked(record) if isinstance(record, Chunk) else [record]
        except (OSError, TooLargeError):  # of the disk; and a bomb is no end
            raise
        except Exception:  # of the library, of decompression and of struct
            if not cut_short:
                raise

    def in_order_of_file(topics: Collection[str] | None) -> Iterator[Recorded]:
        # the library's reader of messages refuses channels without schema and messages without channel
        for record in as_far_as_it_goes():
            if isinstance(record, Message):
                channel = contents.channels.get(record.channel_id)
                if channel and (topics is None or channel.topic in topics):
                    yield contents.schemas.get(channel.schema_id), channel, record

    for record in as_far_as_it_goes():
        if isinstance(record, Schema):
            contents.schemas[record.id] = record
        elif isinstance(record, Channel):
            contents.channels[record.id] = record
        elif isinstance(record, Message):
            contents.count(record)
    if cut_short:
        messages = contents.counts.total()
        if not messages:
            raise SourceError(f"{name} has no end, and no message can be read from it: it is cut short")
        note = f"{name} has no end, as when the recorder is killed: read as far as it goes, {messages} messages"
    return StorageFile(name, contents, in_order_of_file, note)


def _records(file: Any, limit: int) -> Iterator[McapRecord]:
    return StreamReader(file, emit_chunks=True, validate_crcs=True, record_size_limit=limit).records


def _unpacked(chunk: Chunk) -> list[McapRecord]:
    """Return the records of a chunk."""
    data = unpack(chunk.compression, chunk.data)
    position = count = 0
    while position + 9 <= len(data):
        position += 9 + int(struct.unpack_from("<Q", data, position + 1)[0])
        count += 1
        if count > _MOST_RECORDS:
            raise TooLargeError(f"a chunk has more than {_MOST_RECORDS} records")
    plain = replace(chunk, compression="", data=data, uncompressed_size=len(data))
    return stream_reader.breakup_chunk(plain, validate_crc=True)


def _in_order_of_time(
    file: Any, contents: Contents, indexes: Sequence[ChunkIndex], topics: Collection[str] | None
) -> Iterator[Recorded]:
    """Read messages by the index; those of chunks that overlap in time are held back until it is their turn."""
    wanted = {number for number, channel in contents.channels.items() if topics is None or channel.topic in topics}
    waiting: list[tuple[int, int, int, Message]] = []  # the numbers: of times that are the same, the first in the file
    waiting_bytes = 0

    def until(time: float, place: int) -> Iterator[Recorded]:
        nonlocal waiting_bytes
        while waiting and waiting[0][:2] < (time, place):
            message = heappop(waiting)[-1]
            waiting_bytes -= len(message.data) + _MESSAGE_BYTES
            channel = contents.channels[message.channel_id]
            yield contents.schemas.get(channel.schema_id), channel, message

    for index in sorted(indexes, key=lambda index: (index.message_start_time, index.chunk_start_offset)):
        place = index.chunk_start_offset
        if index.message_index_offsets and wanted.isdisjoint(index.message_index_offsets):
            continue
        yield from until(index.message_start_time, place)
        file.seek(place)
        chunk = next(StreamReader(file, skip_magic=True, emit_chunks=True, record_size_limit=None).records)
        if not isinstance(chunk, Chunk):
            raise ValueError(f"the index says that there is a chunk at byte {place}, and there is none")
        for number, record in enumerate(_unpacked(chunk)):
            if isinstance(record, Message) and record.channel_id in wanted:
                heappush(waiting, (record.log_time, place, number, record))
                waiting_bytes += len(record.data) + _MESSAGE_BYTES
        if waiting_bytes > _MOST_WAITING:
            raise TooLargeError(
                f"more than {_MOST_WAITING >> 20} MB of its messages would have to be sorted in memory; "
                "sort it first: mcap sort"
            )
    yield from until(float("inf"), 0)


def _is_complete(summary: Summary) -> bool:
    """Whether a summary says all that reading by the index needs; the format lets writers leave out each part."""
    statistics = summary.statistics
    return (
        statistics is not None
        and bool(summary.chunk_indexes)
        and statistics.channel_message_counts.keys() <= summary.channels.keys()
        and len(summary.channels) == statistics.channel_count
        and all(channel.schema_id in {0, *summary.schemas} for channel in summary.channels.values())
    )
