"""Recordings that were made to hurt: small files that unfold to gigabytes, and databases that hold anything."""

import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from bag_writing import drive, image, log_time, write_bag, write_mcap
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.errors import SourceError
from fanet_ros.recorded import mcap_file, unpacking
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.recording import find_recording

GIGABYTE = 1 << 30
MAGIC = b"\x89MCAP0\r\n"


def zeros_in_zstd(size: int, *, stated: bool = False, frames: int = 1) -> bytes:
    packed = b""
    for _ in range(frames):
        compressor = zstandard.ZstdCompressor().compressobj(size=size // frames if stated else -1)
        pieces = [compressor.compress(bytes(1 << 20)) for _ in range(size // frames >> 20)]
        packed += b"".join(pieces) + compressor.flush()
    return packed


def wide_window(size: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(bytes(size)) + compressor.flush()


def record(operation: int, body: bytes) -> bytes:
    return bytes([operation]) + struct.pack("<Q", len(body)) + body


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def mcap_of_chunk(compression: str, stated_size: int, data: bytes) -> bytes:
    times_size_and_sum = struct.pack("<QQQI", 1, 2, stated_size, 0)
    chunk = record(6, times_size_and_sum + text(compression) + struct.pack("<Q", len(data)) + data)
    end = record(15, struct.pack("<I", 0)) + record(2, struct.pack("<QQI", 0, 0, 0))
    return MAGIC + record(1, text("ros2") + text("x")) + chunk + end + MAGIC


def read_all(path: Path, scratch: Path) -> int:
    recording = find_recording(path)
    count = 0
    for file_path in recording.files:
        with open_storage(recording, file_path, scratch) as file:
            count += sum(1 for _ in file.messages())
    return count


@pytest.mark.parametrize(
    ("compression", "stated_size", "data"),
    [
        ("zstd", GIGABYTE, lambda: zeros_in_zstd(GIGABYTE, stated=True)),
        ("zstd", GIGABYTE, lambda: zeros_in_zstd(GIGABYTE)),
        ("zstd", 100, lambda: zeros_in_zstd(GIGABYTE)),
        ("zstd", 2**64 - 1, lambda: zeros_in_zstd(GIGABYTE, frames=8)),
        ("lz4", GIGABYTE, lambda: lz4.frame.compress(bytes(GIGABYTE))),
        ("lz4", 100, lambda: lz4.frame.compress(bytes(GIGABYTE), store_size=False)),
    ],
)
@pytest.mark.parametrize("has_end", [True, False])
def test_chunks_that_unfold_to_much(
    tmp_path: Path, compression: str, stated_size: int, data: Callable[[], bytes], has_end: bool
) -> None:
    content = mcap_of_chunk(compression, stated_size, data())
    path = tmp_path / "a.mcap"
    path.write_bytes(content if has_end else content[: -len(MAGIC)])
    with pytest.raises(SourceError, match=r"a\.mcap is not read: \d+ bytes would unfold to more than 256 MB$"):
        read_all(path, tmp_path)


def test_other_faults_of_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    for compression, data in (("brotli", b"0123456789"), ("zstd", wide_window(1000)), ("lz4", b"no lz4")):
        path.write_bytes(mcap_of_chunk(compression, 10, data))
        with pytest.raises(SourceError, match=r"a\.mcap is damaged"):
            read_all(path, tmp_path)


@pytest.mark.parametrize("options", [{}, {"use_statistics": False}])
def test_chunks_that_unfold_to_much_behind_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    path = write_mcap(tmp_path / "a.mcap", drive(), compression=CompressionType.ZSTD, chunk_size=1 << 20, **options)
    assert read_all(path, tmp_path) == 8
    monkeypatch.setattr(unpacking, "MOST_BYTES", 10_000)
    with pytest.raises(SourceError, match=r"a\.mcap is not read: \d+ bytes would unfold"):
        read_all(path, tmp_path)


def test_chunks_of_very_many_records(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(mcap_of_chunk("zstd", 0, zeros_in_zstd(9 << 20)))
    with pytest.raises(SourceError, match=r"a\.mcap is not read: a chunk has more than 1000000 records"):
        read_all(tmp_path / "a.mcap", tmp_path)


def test_an_index_by_which_everything_would_have_to_be_sorted_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [image("/cam/image_raw", number) for number in range(20)]
    same_time = [record._replace(time=log_time(20 - number // 2)) for number, record in enumerate(records)]
    path = write_mcap(tmp_path / "a.mcap", [*same_time, records[0]], chunk_size=12_000)
    assert read_all(path, tmp_path) == 21
    monkeypatch.setattr(mcap_file, "_MOST_WAITING", 9_000)
    with pytest.raises(SourceError, match=r"a\.mcap is not read: .*sort it first: mcap sort"):
        read_all(path, tmp_path)


def test_records_that_claim_more_than_fits_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:  # a file with a hole takes no space on the disk
        file.write(MAGIC + record(1, text("ros2") + text("x")) + bytes([6]) + struct.pack("<Q", 1 << 40))
        file.write(struct.pack("<QQQI", 1, 2, 1, 0) + text("") + struct.pack("<Q", (1 << 40) - 40))
        file.truncate(1 << 41)
    with pytest.raises(SourceError, match=r"a\.mcap is not read: a record has more than 256 MB"):
        read_all(path, tmp_path)


@pytest.mark.parametrize("bomb", [lambda: zeros_in_zstd(GIGABYTE), lambda: zeros_in_zstd(GIGABYTE, frames=4)])
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_messages_that_unfold_to_much(tmp_path: Path, bomb: Callable[[], bytes], storage: StoragePlugin) -> None:
    records = [image("/cam/image_raw", 1)._replace(data=bomb())]
    bag = write_bag(tmp_path / "bag", records, storage=storage)
    with pytest.raises(SourceError, match=r"is not read: \d+ bytes would unfold to more than 256 MB"):
        read_all(bag, tmp_path)


@pytest.mark.parametrize("ending", [".mcap.zstd", ".db3.zstd"])
def test_files_that_unfold_to_much(tmp_path: Path, ending: str) -> None:
    path, scratch = tmp_path / f"a{ending}", tmp_path / "scratch"
    path.write_bytes(zeros_in_zstd(GIGABYTE))
    with pytest.raises(SourceError, match=r"is not read: it would unfold to more than 512 MB.* unpack it yourself"):
        read_all(path, scratch)
    assert not any(scratch.iterdir()), "nothing is left behind"


def test_frames_of_zstd_in_all_forms_are_read(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", drive(), compression=CompressionMode.FILE)
    (path,) = find_recording(bag).files
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    half, compressor = len(plain) // 2, zstandard.ZstdCompressor(write_content_size=False)
    path.write_bytes(compressor.compress(plain[:half]) + compressor.compress(plain[half:]))
    assert read_all(bag, tmp_path / "scratch") == 8
    path.write_bytes(compressor.compress(plain)[:-10])
    with pytest.raises(SourceError, match=r"cannot be unpacked .*cut short; is it complete\?"):
        read_all(bag, tmp_path / "scratch")


TOPICS = (
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT,"
    " offered_qos_profiles TEXT)"
)
CAMERA = "INSERT INTO topics VALUES(1, '/cam/image_raw', 'sensor_msgs/msg/Image', 'cdr', '')"
MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp, data)"
COMPUTED = (
    "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp,"
    " data BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL)"
)
COUNTING = "WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c)"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([TOPICS, CAMERA, COMPUTED, "INSERT INTO messages VALUES(1, 1, 1)"], "not read: a message has more than 256 M"),
        ([TOPICS, CAMERA, MESSAGES, "INSERT INTO messages VALUES(1, 1, 1, 'hello')"], "is no bytes, but str"),
        ([TOPICS, CAMERA, MESSAGES, "INSERT INTO messages VALUES(1, 1, 1, NULL)"], "is no bytes, but NoneType"),
        ([TOPICS, CAMERA, MESSAGES, "INSERT INTO messages VALUES(1, 1, -5, x'00')"], "time of a message .* is -5"),
        ([TOPICS, CAMERA, MESSAGES, "INSERT INTO messages VALUES(1, 1, 1.5, x'00')"], "time of a message .* is 1.5"),
        ([TOPICS, CAMERA, MESSAGES, "INSERT INTO messages VALUES(1, 1, 'abc', x'00')"], "damaged"),
        ([TOPICS, "INSERT INTO topics VALUES(1, 7, x'00', 'cdr', '')", MESSAGES], "something else than texts"),
        ([TOPICS, "INSERT INTO topics VALUES(1, NULL, 'a/msg/B', 'cdr', '')", MESSAGES], "something else than texts"),
        ([TOPICS, CAMERA.replace("''", "'[{history: 1, depth: {a: 1}}]'"), MESSAGES], "damaged"),
        ([TOPICS, CAMERA, f"CREATE VIEW messages AS {COUNTING} SELECT id, 1 topic_id, id timestamp FROM c"], "tables"),
        (
            [f"CREATE VIEW topics AS {COUNTING} SELECT id, 'a' || id name FROM c", MESSAGES],
            "open database it or .* missing tables",
        ),
        (["CREATE TABLE messages(id)", "CREATE TABLE topics(id)"], "no such column"),
    ],
)
def test_databases_of_odd_content(tmp_path: Path, statements: list[str], reason: str) -> None:
    path = tmp_path / "a.db3"
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    with pytest.raises(SourceError, match=rf"a\.db3 is .*?{reason}") as error:
        read_all(path, tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_the_other_recordings_are_segmented_nevertheless(tmp_path: Path) -> None:
    bombs = [tmp_path / "chunk.mcap", tmp_path / "file.db3.zstd"]
    bombs[0].write_bytes(mcap_of_chunk("zstd", GIGABYTE, zeros_in_zstd(GIGABYTE)))
    bombs[1].write_bytes(zeros_in_zstd(GIGABYTE))
    good = write_bag(tmp_path / "good", [image("/cam/image_raw", 0)])
    arguments = ["segment", *map(str, bombs), str(good), "--input-size", "96x64", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert "chunk.mcap is not read" in result.output and "file.db3.zstd is not read" in result.output
    assert "2 of 3 paths could not be segmented" in result.output and "Traceback" not in result.output
    assert (tmp_path / "out" / "good" / "good_segmented" / "metadata.yaml").exists()
