"""Opens the files of a recording, unpacked, whichever format they have."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rosbags.rosbag2.metadata import parse_qos

from fanet_ros.errors import SourceError
from fanet_ros.files import check_has_end
from fanet_ros.recorded.db3_file import open_database, read_db3
from fanet_ros.recorded.mcap_file import read_mcap
from fanet_ros.recorded.recording import Recording
from fanet_ros.recorded.storage import QOS, TYPE_HASH, StorageFile, damaged, qos_text
from fanet_ros.recorded.unpacking import TooLargeError, unpack_file
from fanet_ros.reports.report import make_folder
from fanet_ros.untrusted.text import printable
from fanet_ros.untrusted.yaml_text import parse_yaml

_log = logging.getLogger(__name__)

_MOST_QOS_CHARACTERS = 100_000


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
        try:
            check_has_end(path)
        except OSError as error:
            raise SourceError(f"{printable(str(path))} cannot be read: {error.strerror}") from None
        if path.suffix == ".zstd":
            make_folder(scratch)
            plain = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".unpacked-", dir=scratch))) / path.stem
            _unpack(path, plain)
        try:
            content = stack.enter_context(plain.open("rb"))  # a database, too: SQLite does not say why it cannot be
            if plain.suffix == ".mcap":
                file = read_mcap(content, path.name)
            else:
                file = read_db3(stack.enter_context(open_database(content)), plain, path.name)
        except OSError as error:
            raise SourceError(f"{printable(str(path))} cannot be read: {error.strerror or error}") from None
        except TooLargeError as error:
            raise damaged(path.name, error) from None
        except SourceError:
            raise
        except Exception as error:  # the libraries raise their own, SQLite's and Python's, by where the damage is
            raise damaged(path.name, error) from None
        file.messages_compressed = recording.messages_compressed
        _complete_metadata(file, recording)
        yield file


def _unpack(packed: Path, plain: Path) -> None:
    try:
        unpack_file(packed, plain)
    except TooLargeError as error:
        raise damaged(packed.name, error) from None
    except Exception as error:  # the library's own; and OSError, of the input as of the disk
        _log.debug("%s cannot be unpacked", printable(packed.name), exc_info=error)
        reason = error.strerror if isinstance(error, OSError) else f"{error}; is it complete?"
        raise SourceError(
            f"{printable(str(packed))} cannot be unpacked into {printable(str(plain.parent.parent))}: {reason}"
        ) from None


def _complete_metadata(file: StorageFile, recording: Recording) -> None:
    """Take from metadata.yaml the QoS profiles of which a file says nothing; write all as every ROS 2 reads them."""
    for channel in file.contents.channels.values():
        channel.metadata.setdefault(TYPE_HASH, "")
        try:
            own = _profiles(channel.metadata.get(QOS, ""))
        except Exception as error:  # rosbags raises KeyError and others for what is no profile
            raise damaged(file.name, error) from None
        channel.metadata[QOS] = own or _fallback(recording.qos.get(channel.topic, ""))


def _profiles(text: Any) -> str:
    if isinstance(text, str) and len(text) > _MOST_QOS_CHARACTERS:
        raise ValueError(f"its QoS profiles have {len(text)} characters")
    return qos_text(parse_qos(parse_yaml(text) if isinstance(text, str) else text))


def _fallback(profiles: Any) -> str:
    try:
        return _profiles(profiles)
    except Exception as error:  # as above, but nothing to refuse a bag for
        _log.debug("no QoS profiles can be read from metadata.yaml", exc_info=error)
        return ""
