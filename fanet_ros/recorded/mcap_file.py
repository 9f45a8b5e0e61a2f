"""Files in MCAP (mcap.dev), indexed or not, also where their end is missing because the recorder was killed.

Read by the mcap library: the reader of rosbags takes only whole files, and tells neither publish times nor sequence
numbers.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from typing import BinaryIO

from mcap.reader import SeekingReader
from mcap.records import Channel, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.summary import Summary

from fanet_ros.errors import SourceError
from fanet_ros.recorded.storage import Contents, Recorded, StorageFile


def read_mcap(file: BinaryIO, name: str) -> StorageFile:
    """Look into an open file, which is to stay open; without an index that takes reading it once.

    With an index, messages are read by it in the order of their log times. Without one they come in the order of the
    file: sorting them would take as much memory as the file is long.

    Args:
        file: in MCAP.
        name: by which messages to the user call it.

    Raises:
        SourceError: the file has no end, and nothing of it can be read.
        Exception: of the library, for what is no MCAP file.
    """
    limit = os.fstat(file.fileno()).st_size  # of one record
    reader = SeekingReader(file, validate_crcs=True, record_size_limit=limit)
    cut_short, summary = False, None
    try:
        summary = reader.get_summary()
    except Exception:  # the library's, struct's and OSError, by where the file was cut
        cut_short = True
    if summary and (statistics := summary.statistics) and _is_complete(summary):
        counts = Counter(statistics.channel_message_counts)
        times = statistics.message_start_time, statistics.message_end_time
        return StorageFile(name, Contents(summary.schemas, summary.channels, counts, *times), reader.iter_messages)

    contents, note = Contents(), ""

    def as_far_as_it_goes() -> Iterator[McapRecord]:
        file.seek(0)
        try:
            yield from StreamReader(file, validate_crcs=True, record_size_limit=limit).records
        except OSError:  # of the disk
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


def _is_complete(summary: Summary) -> bool:
    """Whether a summary says all that reading by the index needs; the format lets writers leave out each part."""
    statistics = summary.statistics
    return (
        statistics is not None
        and bool(summary.chunk_indexes or not statistics.message_count)
        and statistics.channel_message_counts.keys() <= summary.channels.keys()
        and len(summary.channels) == statistics.channel_count
        and all(channel.schema_id in {0, *summary.schemas} for channel in summary.channels.values())
    )
