"""Reading files of recordings: fanet_ros/recorded/opening.py, storage.py, mcap_file.py, db3_file.py and survey.py."""

import errno
import hashlib
import os
import shutil
import sqlite3
import tracemalloc
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import zstandard
from bag_writing import (
    IMAGE,
    SENSOR_QOS,
    Record,
    drive,
    image,
    jpeg,
    log_time,
    text,
    write_bag,
    write_mcap,
    write_split_bag,
)
from mcap.data_stream import RecordBuilder
from mcap.records import DataEnd, Footer, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC, CompressionType, IndexType, Writer
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.rosbag2.metadata import dump_qos_v9, parse_qos

from fanet_ros.errors import SourceError
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.recording import Recording, find_recording
from fanet_ros.recorded.storage import QOS, Recorded, StorageFile
from fanet_ros.recorded.survey import Survey, survey

STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


def opened(path: Path, scratch: Path, *, compressed: bool = False) -> AbstractContextManager[StorageFile]:
    return open_storage(Recording(path, (path,), messages_compressed=compressed), path, scratch)


def read(path: Path, scratch: Path, *, compressed: bool = False, topics: list[str] | None = None) -> list[Recorded]:
    with opened(path, scratch, compressed=compressed) as file:
        return list(file.messages(topics))


def plain(messages: list[Recorded]) -> list[Record]:
    return [Record(c.topic, schema.name if schema else "", m.log_time, m.data) for schema, c, m in messages]


def surveyed(path: Path, scratch: Path) -> Survey:
    return survey(find_recording(path), scratch)


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_and_channels_as_recorded(tmp_path: Path, storage: StoragePlugin) -> None:
    records = drive()
    (path,) = find_recording(write_bag(tmp_path / "bag", records, storage=storage)).files
    digest = hashlib.sha256(path.read_bytes()).digest()
    assert plain(read(path, tmp_path)) == records
    assert plain(read(path, tmp_path, topics=["/chatter"])) == records[::2]
    assert read(path, tmp_path, topics=["/nothing"]) == []
    with opened(path, tmp_path) as file:
        chatter, camera = file.contents.channels.values()
        schema = file.contents.schema_of(camera)
        assert (camera.topic, schema.name, camera.message_encoding) == ("/front/image_raw", IMAGE, "cdr")
        assert (file.contents.counts[chatter.id], file.contents.counts[camera.id]) == (4, 4)
        assert parse_qos(camera.metadata[QOS]) == [SENSOR_QOS]
        assert schema.encoding == "ros2msg" and b"uint32 height" in schema.data
        assert (file.contents.start, file.contents.end) == (records[0].time, records[-1].time)
        assert not file.note
    assert hashlib.sha256(path.read_bytes()).digest() == digest
    assert {p.name for p in path.parent.iterdir()} == {path.name, "metadata.yaml"}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings(tmp_path: Path, storage: StoragePlugin, mode: CompressionMode) -> None:
    records = drive()
    recording = find_recording(write_bag(tmp_path / "bag", records, storage=storage, compression=mode))
    (path,) = recording.files
    assert recording.messages_compressed == (mode == CompressionMode.MESSAGE)
    messages = read(path, tmp_path / "scratch", compressed=recording.messages_compressed)
    assert plain(messages) == records
    assert not (tmp_path / "scratch").exists() or not any((tmp_path / "scratch").iterdir()), "nothing is left behind"


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_that_are_compressed_are_seen_without_metadata(tmp_path: Path, storage: StoragePlugin) -> None:
    records = drive()
    bag = write_bag(tmp_path / "bag", records, storage=storage, compression=CompressionMode.MESSAGE)
    (path,) = find_recording(bag).files
    for metadata in ("", "rosbag2_bagfile_inf"):
        (bag / "metadata.yaml").write_text(metadata)
        assert plain(read(path, tmp_path)) == records
        assert "has no usable metadata.yaml" in surveyed(bag, tmp_path).notes[0]
    (bag / "metadata.yaml").unlink()
    assert [(t.name, t.encoding) for t in surveyed(bag, tmp_path).images] == [("/front/image_raw", "bgr8")]
    lone = path.rename(tmp_path / f"lone{path.suffix}")
    assert plain(read(lone, tmp_path)) == records


def test_compressed_chunks(tmp_path: Path) -> None:
    for compression in CompressionType:
        path = write_mcap(tmp_path / f"{compression.name}.mcap", drive(), compression=compression)
        assert plain(read(path, tmp_path)) == drive()


def test_publish_times_and_sequences_are_kept(tmp_path: Path) -> None:
    messages = read(write_mcap(tmp_path / "a.mcap", drive()), tmp_path)
    assert [m.publish_time for _, _, m in messages] == [m.log_time - 7 for _, _, m in messages]
    assert [m.sequence for _, _, m in messages] == list(range(8))


def test_indexed_messages_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    records = drive()
    path = write_mcap(tmp_path / "a.mcap", records[::-1], chunk_size=10_000)
    assert plain(read(path, tmp_path)) == records


@pytest.mark.parametrize(
    "options",
    [
        {"index_types": IndexType.NONE},
        {"use_chunking": False},
        {"use_statistics": False},
        {"repeat_channels": False},
        {"repeat_schemas": False},
        {
            "index_types": IndexType.NONE,
            "use_statistics": False,
            "repeat_channels": False,
            "repeat_schemas": False,
            "use_summary_offsets": False,
        },
    ],
)
def test_files_without_some_of_the_index(tmp_path: Path, options: dict[str, object]) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), **options)
    with opened(path, tmp_path) as file:
        assert not file.note
        assert [file.contents.counts[number] for number in file.contents.channels] == [4, 4]
        assert (file.contents.start, file.contents.end) == (drive()[0].time, drive()[-1].time)
        assert plain(list(file.messages())) == drive()
        assert plain(list(file.messages(["/chatter"]))) == drive()[::2], "it can be read again"


@pytest.mark.parametrize("options", [{"chunk_size": 20_000}, {"use_chunking": False}])
def test_a_file_without_end_is_read_as_far_as_it_goes(tmp_path: Path, options: dict[str, object]) -> None:
    records = drive(images=20)
    whole = write_mcap(tmp_path / "whole.mcap", records, compression=CompressionType.NONE, **options)
    size = whole.stat().st_size
    for share in (0.3, 0.6, 0.9):
        path = tmp_path / "cut.mcap"
        path.write_bytes(whole.read_bytes()[: int(size * share)])
        with opened(path, tmp_path) as file:
            messages = plain(list(file.messages()))
            assert messages == records[: len(messages)]
            assert len(messages) >= share * len(records) - 5
            assert file.contents.counts.total() == len(messages)
            assert f"cut.mcap has no end, as when the recorder is killed: read as far as it goes, {len(messages)}" in (
                file.note
            )


@pytest.mark.parametrize("has_end", [True, False])
def test_missing_records_of_types_and_channels_stop_nothing(tmp_path: Path, has_end: bool) -> None:
    whole = write_mcap(tmp_path / "whole.mcap", drive(), use_chunking=False)
    with whole.open("rb") as file:
        records: list[McapRecord] = list(StreamReader(file).records)
    kept = records[: next(n for n, record in enumerate(records) if isinstance(record, DataEnd))]
    kept = [record for record in kept if not (isinstance(record, Schema) and record.name == "std_msgs/msg/String")]
    kept.insert(1, Message(channel_id=99, log_time=log_time(0), data=b"", publish_time=0, sequence=0))
    builder = RecordBuilder()
    for record in [*kept, DataEnd(0), Footer(0, 0, 0)] if has_end else kept:
        record.write(builder)
    path = tmp_path / "a.mcap"
    path.write_bytes(MCAP0_MAGIC + builder.end() + (MCAP0_MAGIC if has_end else b""))

    expected = [record if record.type_name == IMAGE else record._replace(type_name="") for record in drive()]
    assert plain(read(path, tmp_path)) == expected
    assert plain(read(path, tmp_path, topics=["/front/image_raw"])) == expected[1::2]


def test_zeros_at_the_end_as_after_a_loss_of_power(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), chunk_size=10_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + bytes(5000))
    messages = plain(read(path, tmp_path))
    assert messages and messages == drive()[: len(messages)]


@pytest.mark.parametrize("content", [b"", b"no recording", b"\x89MCAP0\r\n", bytes(500)])
@pytest.mark.parametrize("ending", [".mcap", ".db3"])
def test_what_is_no_recording(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"a{ending}.* cut short") as error:
        read(path, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".mcap", ".db3"])
def test_what_cannot_be_opened_is_not_called_damaged(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    with pytest.raises(SourceError, match=rf"/a{ending} cannot be read: No such file or directory$"):
        read(path, tmp_path)
    path.mkdir()
    with pytest.raises(SourceError, match=rf"/a{ending} cannot be read: Is a directory$"):
        read(path, tmp_path)


def test_a_disk_that_fails_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = write_mcap(tmp_path / "a.mcap", drive(), chunk_size=10_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr("mcap.stream_reader.breakup_chunk", fail)
    with pytest.raises(SourceError, match=r"/a\.mcap cannot be read: Input/output error$"):
        read(path, tmp_path)


@pytest.mark.parametrize("ending", [".mcap", ".db3", ".mcap.zstd"])
def test_pipes_are_refused_and_not_waited_for(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    os.mkfifo(path)
    with pytest.raises(SourceError, match=rf"/a{ending} cannot be read: it is a pipe, and no file$"):
        read(path, tmp_path)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for storage in STORAGES:
        (path,) = find_recording(write_bag(tmp_path / f"bag{storage}", drive(), storage=storage)).files
        odd = path.rename(tmp_path / os.fsdecode(b"caf\xe9?mode=rwc#%41 [x]\x1b[2J" + path.suffix.encode()))
        assert plain(read(odd, tmp_path)) == drive()
        odd.write_bytes(b"rubbish")
        with pytest.raises(SourceError, match=r"^caf\\udce9\?mode=rwc#%41 \[x\]\\x1b\[2J\.\w+ is damaged"):
            read(odd, tmp_path)


def test_types_as_other_programs_write_them(tmp_path: Path) -> None:
    path, found = tmp_path / "a.mcap", {}
    channels = [("sensor_msgs/Image", "cdr"), ("sensor_msgs/Image", "ros1"), ("foxglove.RawImage", "protobuf")]
    for number, (name, encoding) in enumerate(channels):
        with path.open("wb") as file:
            writer = Writer(file)
            writer.start()
            schema = writer.register_schema(name, "", b"")
            data = image("/camera", number).data
            writer.add_message(writer.register_channel("/camera", encoding, schema), 1, data, 1)
            writer.finish()
        seen = surveyed(path, tmp_path)
        found[name, encoding] = ([(t.name, t.encoding) for t in seen.images], seen.others)
    assert found == {
        ("sensor_msgs/Image", "cdr"): ([("/camera", "bgr8")], {}),
        ("sensor_msgs/Image", "ros1"): ([], {"/camera": "sensor_msgs/Image, ros1 encoding"}),
        ("foxglove.RawImage", "protobuf"): ([], {"/camera": "foxglove.RawImage, protobuf encoding"}),
    }


def test_damage_within_an_indexed_file(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), compression=CompressionType.NONE, chunk_size=20_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a.mcap is damaged .*crc"):
        read(path, tmp_path)


def test_damage_within_a_database(tmp_path: Path) -> None:
    (path,) = find_recording(write_bag(tmp_path / "bag", drive(), storage=StoragePlugin.SQLITE3)).files
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * 4096 + content[12288 : len(content) // 2])
    with pytest.raises(SourceError, match=r"bag.db3 is damaged"):
        read(path, tmp_path)


def test_damaged_compression(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", drive(), compression=CompressionMode.FILE)
    (path,) = find_recording(bag).files
    path.write_bytes(b"no zstd at all")
    with pytest.raises(SourceError, match=r"bag.mcap.zstd cannot be unpacked"):
        read(path, tmp_path)
    (path,) = find_recording(write_bag(tmp_path / "plain", drive())).files
    with pytest.raises(SourceError, match=r"plain.mcap is damaged"):
        read(path, tmp_path, compressed=True)


def test_databases_of_humble_get_the_definitions_they_lack(tmp_path: Path) -> None:
    (path,) = find_recording(write_bag(tmp_path / "bag", drive(), storage=StoragePlugin.SQLITE3)).files
    with sqlite3.connect(path) as database:  # as rosbag2 wrote them up to Humble
        database.execute("DROP TABLE message_definitions")
        database.execute("DROP TABLE schema")
        database.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
        database.execute("UPDATE topics SET type = 'my_msgs/msg/Own' WHERE name = '/chatter'")
    database.close()
    with opened(path, tmp_path) as file:
        own, camera = (file.contents.schema_of(channel) for channel in file.contents.channels.values())
    assert b"uint32 height" in camera.data and camera.encoding == "ros2msg"
    assert (own.name, own.data, own.encoding) == ("my_msgs/msg/Own", b"", "")
    assert surveyed(path, tmp_path).undefined == {"my_msgs/msg/Own"}


@pytest.mark.parametrize("own", ["", "[]"])
@pytest.mark.parametrize("unusable", ["no profile", [{"history": 1}], 7])
def test_qos_profiles_of_the_metadata_are_a_fallback(tmp_path: Path, own: str, unusable: object) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), qos=own)
    qos = {"/chatter": unusable, "/front/image_raw": dump_qos_v9([SENSOR_QOS])}
    with open_storage(Recording(path, (path,), qos=qos), path, tmp_path) as file:
        found = {channel.topic: channel.metadata[QOS] for channel in file.contents.channels.values()}
    assert found["/chatter"] == ""
    assert parse_qos(found["/front/image_raw"]) == [SENSOR_QOS]


def test_unusable_qos_profiles_of_a_file_are_damage(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), qos="[{history: 1}]")
    with pytest.raises(SourceError, match=r"a\.mcap is damaged .*depth"):
        read(path, tmp_path)


def test_a_journal_beside_a_database_is_said(tmp_path: Path) -> None:
    (path,) = find_recording(write_bag(tmp_path / "bag", drive(), storage=StoragePlugin.SQLITE3)).files
    path.with_name("bag.db3-wal").write_bytes(b"something")
    assert "bag.db3 has a journal beside it" in surveyed(path, tmp_path).notes[0]


def test_survey_of_a_split_bag(tmp_path: Path) -> None:
    rear = [jpeg("/rear/compressed", 100), jpeg("/rear/compressed", 101)]
    depth = image("/depth", 102, encoding="16UC1", data=bytes(48 * 64 * 2), step=128)
    bag = write_split_bag(tmp_path / "run", [drive(images=2), [*drive(images=1, first=2), *rear, depth]])
    found = surveyed(bag, tmp_path)
    assert {(t.name, t.encoding, t.messages) for t in found.images} == {
        ("/front/image_raw", "bgr8", 3),
        ("/rear/compressed", "bgr8", 2),
        ("/depth", "16UC1", 1),
    }
    assert found.others == {"/chatter": "std_msgs/msg/String"}
    assert [dict(counts) for counts in found.counts] == [
        {"/chatter": 2, "/front/image_raw": 2},
        {"/chatter": 1, "/front/image_raw": 1, "/rear/compressed": 2, "/depth": 1},
    ]
    assert not found.notes and not found.undefined
    (bag / "metadata.yaml").unlink()
    assert "has no metadata.yaml" in surveyed(bag, tmp_path).notes[0]


def test_an_image_that_is_no_message_does_not_stop_the_survey(tmp_path: Path) -> None:
    records = [Record("/camera/image", IMAGE, log_time(0), b"\0\1\0\0nonsense"), image("/camera/image", 1)]
    (topic,) = surveyed(write_bag(tmp_path / "bag", records), tmp_path).images
    assert (topic.encoding, topic.messages) == (None, 2)


@pytest.mark.parametrize("storage", STORAGES)
def test_reading_takes_the_same_memory_however_long_the_file_is(tmp_path: Path, storage: StoragePlugin) -> None:
    peaks = []
    for length in (200, 1600):
        bag = write_bag(tmp_path / str(length), (text("/chatter", n) for n in range(length)), storage=storage)
        (path,) = find_recording(bag).files
        big = tmp_path / f"{length}{path.suffix}"
        if storage == StoragePlugin.MCAP:  # many chunks, of which few may be in memory
            write_mcap(big, [image("/camera", n) for n in range(length // 4)], chunk_size=20_000)
        else:
            shutil.move(path, big)
        peaks.append(_peak_of_reading(big, tmp_path))
    assert peaks[1] < 1.5 * peaks[0] + 100_000, peaks


def _peak_of_reading(path: Path, scratch: Path) -> int:
    with opened(path, scratch) as file:
        _count(file)  # what is loaded once is not counted
        tracemalloc.start()
        try:
            _count(file)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def _count(file: StorageFile) -> int:
    return sum(1 for _ in file.messages())


def test_messages_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(images=9), compression=CompressionType.NONE, chunk_size=10_000)
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    path.write_bytes(content)
    with opened(path, tmp_path) as file:
        messages = file.messages()
        assert next(messages)[2].log_time == log_time(0), "the damage lies further on"
        with pytest.raises(SourceError, match="damaged"):
            list(messages)


def test_unpacking_needs_no_size_in_the_frame(tmp_path: Path) -> None:
    records = drive()
    path = write_mcap(tmp_path / "a.mcap", records)
    packed = path.with_name("a.mcap.zstd")
    with packed.open("wb") as target, path.open("rb") as source:
        zstandard.ZstdCompressor(write_content_size=False).copy_stream(source, target)
    assert plain(read(packed, tmp_path)) == records
