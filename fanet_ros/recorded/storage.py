"""One file of a recording, whichever format it has: its channels, and its messages as a stream."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos

from fanet_ros.errors import SourceError
from fanet_ros.reports.report import make_folder


@dataclass(frozen=True)
class Channel:
    """One topic of one file, as it was recorded.

    Attributes:
        number: of the channel within its file.
        topic: name.
        type_name: for example `sensor_msgs/msg/Image`.
        serialization: of the messages, `cdr` for all that ROS 2 records.
        definition: of the type, as text; empty where the file does not say and nobody knows.
        definition_format: `ros2msg`, `ros2idl` or, without a definition, empty.
        qos: offered QoS profiles in the YAML of rosbag2's metadata up to version 8.
        type_hash: REP 2016's hash of the type; empty in recordings older than Iron.
        messages: how many there are.
    """

    number: int
    topic: str
    type_name: str
    serialization: str
    definition: str
    definition_format: str
    qos: str
    type_hash: str
    messages: int


class Message(NamedTuple):
    """One recorded message; times are nanoseconds since the epoch."""

    channel: Channel
    log_time: int
    publish_time: int
    sequence: int
    data: bytes


class StorageFile(ABC):
    """An open file of a recording.

    Attributes:
        channels: of the file; a topic may have several.
        note: what the user has to know of the file (it is cut short), or empty.
        start: log time of the first message, nanoseconds; 0 without messages.
        end: log time of the last message.
    """

    channels: tuple[Channel, ...] = ()
    note: str = ""
    start: int = 0
    end: int = 0

    @abstractmethod
    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Read the messages of some topics, or of all, one at a time in the order of their log times.

        Raises:
            SourceError: the file is damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


NO_QOS = ""
"""QoS profiles of a channel whose file does not say: rosbag2 takes empty text for its default, but no empty list."""


def normal_qos(profiles: Any) -> str:
    """Return QoS profiles as every ROS 2 since Humble reads them, in YAML.

    Version 9 of rosbag2's metadata (Jazzy) writes names of policies, which Humble cannot read; numbers all can.

    Args:
        profiles: as a file states them: YAML, or the list it was parsed to. For what is neither, rosbags raises.
    """
    return dump_qos_v8(parse_qos(profiles))


@contextmanager
def open_storage(path: Path, *, messages_compressed: bool, scratch: Path) -> Iterator[StorageFile]:
    """Open one file of a recording for reading; it is never written to.

    Args:
        path: .mcap or .db3, or one of these with `.zstd` behind it.
        messages_compressed: whether every message is compressed by itself.
        scratch: a folder on a disk with room for the unpacked file, made if `.zstd` needs it.

    Raises:
        SourceError: it cannot be read.
    """
    with ExitStack() as stack:
        plain = path
        if path.suffix == ".zstd":
            make_folder(scratch)
            plain = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".unpacked-", dir=scratch))) / path.stem
            _unpack(path, plain)
        file = stack.enter_context(closing(_open_plain(plain, path.name)))
        yield _UnpackingFile(file, path.name) if messages_compressed else file


def damaged(name: str, error: Exception) -> SourceError:
    """Return the error that says that a file cannot be read, whatever a library has raised."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return SourceError(f"{name} is damaged or cut short, or no recording of ROS 2: {reason}")


def _open_plain(path: Path, name: str) -> StorageFile:
    from fanet_ros.recorded.db3_file import Db3File
    from fanet_ros.recorded.mcap_file import McapFile

    openers: dict[str, Callable[[Path, str], StorageFile]] = {".mcap": McapFile, ".db3": Db3File}
    return openers[path.suffix](path, name)


def _unpack(packed: Path, plain: Path) -> None:
    try:
        with packed.open("rb") as source, plain.open("wb") as target:
            zstandard.ZstdDecompressor().copy_stream(source, target)
    except (OSError, zstandard.ZstdError) as error:
        raise SourceError(f"{packed} cannot be unpacked into {plain.parent.parent}: {error}; is it complete?") from None


class _UnpackingFile(StorageFile):
    """A file whose messages are compressed one by one."""

    def __init__(self, file: StorageFile, name: str) -> None:
        self._file = file
        self._name = name
        self.channels, self.note, self.start, self.end = file.channels, file.note, file.start, file.end

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        for message in self._file.messages(topics):
            try:
                # the object, because a frame need not state its size
                data = zstandard.ZstdDecompressor().decompressobj().decompress(message.data)
            except zstandard.ZstdError as error:
                raise damaged(self._name, error) from None
            yield message._replace(data=data)

    def close(self) -> None:
        self._file.close()
