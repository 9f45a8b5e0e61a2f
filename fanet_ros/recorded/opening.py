"""Opens the files of a recording, unpacked, whichever format they have."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import zstandard
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos

from fanet_ros.errors import SourceError
from fanet_ros.recorded.db3_file import read_db3
from fanet_ros.recorded.mcap_file import read_mcap
from fanet_ros.recorded.recording import Recording
from fanet_ros.recorded.storage import QOS, TYPE_HASH, StorageFile, damaged
from fanet_ros.reports.report import make_folder


@contextmanager
def open_storage(recording: Recording, path: Path, scratch: Path) -> Iterator[StorageFile]:
    """Open one file of a recording for reading; it is never written to.

    Args:
        recording: says what the file may not: how it is compressed, and QoS profiles.
        path: one of its files: .mcap or .db3, or one of these with `.zstd` behind it.
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
        try:
            content = stack.enter_context(plain.open("rb"))  # a database, too: SQLite does not say why it cannot be
            if plain.suffix == ".mcap":
                file = read_mcap(content, path.name)
            else:
                file = read_db3(stack.enter_context(Reader(plain)), plain, path.name)
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
        except Exception as error:  # the libraries raise their own, SQLite's and Python's, by where the damage is
            raise damaged(path.name, error) from None
        file.messages_compressed = recording.messages_compressed
        _complete_metadata(file, recording)
        yield file


def _unpack(packed: Path, plain: Path) -> None:
    try:
        with packed.open("rb") as source, plain.open("wb") as target:
            zstandard.ZstdDecompressor().copy_stream(source, target)
    except (OSError, zstandard.ZstdError) as error:
        raise SourceError(f"{packed} cannot be unpacked into {plain.parent.parent}: {error}; is it complete?") from None


def _complete_metadata(file: StorageFile, recording: Recording) -> None:
    """Take from metadata.yaml the QoS profiles of which a file says nothing, and write all as every ROS 2 reads them.

    Version 9 of rosbag2's metadata (Jazzy) writes names of policies, which Humble cannot read; numbers all can.
    """
    for channel in file.contents.channels.values():
        channel.metadata.setdefault(TYPE_HASH, "")
        try:
            own = dump_qos_v8(parse_qos(channel.metadata.get(QOS, "")))
        except Exception as error:  # rosbags raises KeyError and others for what is no profile
            raise damaged(file.name, error) from None
        channel.metadata[QOS] = own or _fallback(recording.qos.get(channel.topic, ""))


def _fallback(profiles: Any) -> str:
    try:
        return dump_qos_v8(parse_qos(profiles))
    except Exception:  # as above, but nothing to refuse a bag for
        return ""
