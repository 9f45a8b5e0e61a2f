"""Files in MCAP (mcap.dev), indexed or not, also where their end is missing because the recorder was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from mcap.reader import SeekingReader
from mcap.records import Channel as ChannelRecord
from mcap.records import Message as MessageRecord
from mcap.records import Schema
from mcap.stream_reader import StreamReader
from mcap.summary import Summary

from fanet_ros.errors import SourceError
from fanet_ros.recorded.storage import Channel, Message, StorageFile, damaged, normal_qos

_FORMATS = ("ros2msg", "ros2idl", "omgidl")


class McapFile(StorageFile):
    """A file in MCAP.

    With an index, messages are read by it in the order of their log times. Without one they come in the order of the
    file: sorting them would take as much memory as the file is long.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open a file and list its channels; without an index that takes reading it once.

        Args:
            path: of the file.
            name: by which messages call it.

        Raises:
            SourceError: it is no MCAP file, or nothing of it can be read.
        """
        self._name = name
        self._cut_short = False
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from None
        try:
            self._size = path.stat().st_size
            self._open()
        except BaseException:
            self._file.close()
            raise

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Read messages, as `StorageFile` says."""
        channels = {channel.number: channel for channel in self.channels}
        wanted = {number for number, channel in channels.items() if topics is None or channel.topic in topics}
        if wanted:
            for record in self._records(None if topics is None else sorted(topics)):
                if record.channel_id in wanted:
                    yield Message(
                        channels[record.channel_id],
                        record.log_time,
                        record.publish_time,
                        record.sequence,
                        record.data,
                    )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        try:
            self._reader = SeekingReader(self._file, validate_crcs=True, record_size_limit=self._size)
        except Exception as error:
            raise damaged(self._name, error) from None
        summary = self._summary()
        statistics = summary.statistics if summary else None
        self._indexed = bool(summary and statistics and _is_complete(summary))
        if self._indexed and summary and statistics:
            counts = statistics.channel_message_counts
            self.channels = self._channels(summary.channels, summary.schemas, counts)
            self.start, self.end = statistics.message_start_time, statistics.message_end_time
        else:
            self._scan()

    def _summary(self) -> Summary | None:
        """Return the summary at the end of the file; None where the file has an end but no summary, or no end."""
        try:
            return self._reader.get_summary()
        except Exception:  # the library's, struct's and OSError, by where the file was cut
            self._cut_short = True
            return None

    def _scan(self) -> None:
        channels: dict[int, ChannelRecord] = {}
        schemas: dict[int, Schema] = {}
        counts: Counter[int] = Counter()
        first, last = 2**64, 0
        for record in self._stream():
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, ChannelRecord):
                channels[record.id] = record
            else:
                counts[record.channel_id] += 1
                first, last = min(first, record.log_time), max(last, record.log_time)
        self.channels = self._channels(channels, schemas, counts)
        if counts:
            self.start, self.end = first, last
        if self._cut_short:
            if not counts:
                raise SourceError(f"{self._name} has no end, and no message can be read from it: it is cut short")
            self.note = (
                f"{self._name} has no end, as when the recorder is killed: read as far as it goes, "
                f"{counts.total()} messages"
            )

    def _channels(
        self, records: dict[int, ChannelRecord], schemas: dict[int, Schema], counts: dict[int, int]
    ) -> tuple[Channel, ...]:
        try:
            return tuple(
                _channel(record, schemas.get(record.schema_id), counts.get(record.id, 0)) for record in records.values()
            )
        except Exception as error:  # of QoS profiles or definitions that are no text or no YAML
            raise damaged(self._name, error) from None

    def _records(self, topics: list[str] | None) -> Iterator[MessageRecord]:
        if not self._indexed:
            for record in self._stream():
                if isinstance(record, MessageRecord):
                    yield record
            return
        try:
            for _, _, message in self._reader.iter_messages(topics):
                yield message
        except Exception as error:  # of the library, of decompression and of struct, by where the damage is
            raise damaged(self._name, error) from None

    def _stream(self) -> Iterator[Schema | ChannelRecord | MessageRecord]:
        """Read the file from its start; where its end is missing, up to what can no longer be read."""
        self._file.seek(0)
        try:
            for record in StreamReader(self._file, validate_crcs=True, record_size_limit=self._size).records:
                if isinstance(record, Schema | ChannelRecord | MessageRecord):
                    yield record
        except Exception as error:  # as above; at the end of a file without end there always is one
            if not self._cut_short:
                raise damaged(self._name, error) from None


def _is_complete(summary: Summary) -> bool:
    """Whether a summary says all that reading by the index needs; the format lets writers leave out each part."""
    statistics = summary.statistics
    if statistics is None or (statistics.message_count and not summary.chunk_indexes):
        return False
    counted = set(statistics.channel_message_counts)
    return (
        counted <= set(summary.channels)
        and len(summary.channels) == statistics.channel_count
        and all(channel.schema_id in {0, *summary.schemas} for channel in summary.channels.values())
    )


def _channel(record: ChannelRecord, schema: Schema | None, messages: int) -> Channel:
    known = schema is not None and schema.encoding in _FORMATS
    return Channel(
        number=record.id,
        topic=record.topic,
        type_name=schema.name if schema else "",
        serialization=record.message_encoding,
        definition=schema.data.decode() if schema and known else "",
        definition_format=schema.encoding if schema and known else "",
        qos=normal_qos(record.metadata.get("offered_qos_profiles", "")),
        type_hash=record.metadata.get("topic_type_hash", ""),
        messages=messages,
    )
