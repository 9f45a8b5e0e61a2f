"""Which files a recording consists of: a rosbag2 folder, or a lone .mcap or .db3 file."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from fanet_ros.errors import SourceError
from fanet_ros.files import read_bounded
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key
from fanet_ros.untrusted.text import printable, shown
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

_log = logging.getLogger(__name__)

CONVERT_ROS1 = "convert the .bag, for example: pip install rosbags && rosbags-convert --src drive.bag --dst drive"

METADATA = "metadata.yaml"
"""What a finished rosbag2 folder has; a recorder that was killed has not written it."""

_STORAGES = ("mcap", "sqlite3")
_STORAGE_NAME = re.compile(r"\.(mcap|db3)(\.zstd)?$")
_UNDECODED = re.compile("[\ud800-\udfff]")  # bytes in names that are no UTF-8, as Python writes them
_MOST_NAMED = 10
_ROS1_NAME = re.compile(r"\.bag(\.active)?$")
_MOST_METADATA_BYTES = 16 << 20  # of recordings of thousands of files
_LATEST_VERSION = 9  # of metadata.yaml that is understood


@dataclass(frozen=True)
class Recording:
    """The files of a recording, in the order in which they were recorded.

    Attributes:
        path: that was given.
        files: .mcap or .db3, each with `.zstd` behind it where the whole file is compressed.
        messages_compressed: whether every message is compressed by itself (zstd), as rosbag2 can.
        unfinished: what is wrong with the folder's metadata.yaml, which then is not used; empty if nothing is.
        qos: topic -> offered QoS profiles as metadata.yaml has them, for files that do not say.
    """

    path: Path
    files: tuple[Path, ...]
    messages_compressed: bool = False
    unfinished: str = ""
    qos: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name by which results are called."""
        return name_of_results(self.path)


def name_of_results(path: Path) -> str:
    """Return the name by which the results of a recording are called, whether it can be read or not."""
    name = path.resolve().name
    # other programs read the names of the files in metadata.yaml, which is UTF-8
    return _UNDECODED.sub("_", name if path.is_dir() else _STORAGE_NAME.sub("", name))


def is_recording(path: Path) -> bool:
    """Whether a path is meant as a recording: by its ending or, for a folder, by what lies in it."""
    if path.is_dir():
        return _is_bag(path) or bool(_storage_files(path) and not _has_images(path))
    return _STORAGE_NAME.search(path.name) is not None or _ROS1_NAME.search(path.name) is not None


def find_recording(path: Path) -> Recording:
    """Find the files of a recording and how they are compressed.

    Args:
        path: for which `is_recording` holds.

    Raises:
        SourceError: files that metadata.yaml names are missing, or the storage or compression is one that cannot be
            read, as that of ROS 1.
    """
    if not path.is_dir():
        if _ROS1_NAME.search(path.name):
            raise SourceError(f"{printable(str(path))} was recorded by ROS 1: {CONVERT_ROS1}")
        return Recording(path, (path,), messages_compressed=_compresses_messages(path))
    if not (path / METADATA).is_file():
        return Recording(path, _storage_files(path), unfinished=f"has no {METADATA}")
    try:
        recording = _described(path)
    except _UnusableMetadataError as error:
        if not (files := _storage_files(path)):
            raise SourceError(f"{error}; is the bag complete?") from None
        _log.debug("%s is not used: %s", METADATA, error)
        return Recording(path, files, unfinished=f"has no usable {METADATA}")
    missing = [printable(file.name) for file in recording.files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise SourceError(
            f"{printable(str(path))} lacks files that its {METADATA} names: {', '.join(missing[:_MOST_NAMED])}{more}; "
            "copy it anew"
        )
    return recording


class _UnusableMetadataError(SourceError):
    """A file metadata.yaml that is cut short, as after a loss of power, or that is no rosbag2's."""


def _is_bag(folder: Path) -> bool:
    try:
        return b"rosbag2_bagfile_information" in read_bounded(folder / METADATA, _MOST_METADATA_BYTES)
    except OSError:
        return False


def _has_images(folder: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir())


def _storage_files(folder: Path) -> tuple[Path, ...]:
    files = (file for file in folder.iterdir() if _STORAGE_NAME.search(file.name) and file.is_file())
    return tuple(sorted(files, key=natural_key))  # rosbag2 numbers them


def _compresses_messages(file: Path) -> bool:
    """Ask the metadata of the bag that a lone file was taken from, if it still lies beside it."""
    try:
        bag = _described(file.parent)
    except SourceError:  # of some other bag, or of none
        return False
    return bag.messages_compressed and file in bag.files


def _described(folder: Path) -> Recording:
    """Return a bag as its metadata.yaml describes it.

    Where that says no storage, as after `ros2 bag reindex`, the names of the files do.
    rosbags cannot be asked: it opens all files, the compressed unpacked at once, before it tells anything.

    Raises:
        _UnusableMetadataError: that is no metadata of rosbag2.
        SourceError: it speaks of what cannot be read.
    """
    path = folder / METADATA
    try:
        content = read_yaml(path, _MOST_METADATA_BYTES)
    except (OSError, YamlError) as error:
        reason = printable(" ".join(str(error).split()))
        raise _UnusableMetadataError(f"{printable(str(path))} cannot be read: {reason}") from None
    information = content.get("rosbag2_bagfile_information") if isinstance(content, dict) else None
    names = information.get("relative_file_paths") if isinstance(information, dict) else None
    if not isinstance(information, dict) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise _UnusableMetadataError(f"{printable(str(path))} is no metadata of rosbag2: it names no files")
    version, storage = information.get("version"), information.get("storage_identifier")
    if not isinstance(version, int) or version > _LATEST_VERSION:
        raise SourceError(
            f"{printable(str(path))} has version {shown(version)}, expected at most {_LATEST_VERSION}; convert the bag"
        )
    if storage and storage not in _STORAGES:
        raise SourceError(
            f"{printable(str(folder))} has storage {shown(storage)}, and only {' and '.join(_STORAGES)} can be read; "
            "convert it with `ros2 bag convert`"
        )
    mode = str(information.get("compression_mode") or "").lower()
    compression = str(information.get("compression_format") or "").lower()
    if mode in ("file", "message") and compression != "zstd":
        raise SourceError(
            f"{printable(str(folder))} is compressed by {shown(compression)}, and only zstd can be read; "
            "convert it with `ros2 bag convert`"
        )
    files = tuple(folder / PurePath(name).name for name in names)  # old versions name them with their folder
    return Recording(folder, files, messages_compressed=mode == "message", qos=_qos(information))


def _qos(information: dict[str, Any]) -> dict[str, Any]:
    try:
        topics = [topic["topic_metadata"] for topic in information["topics_with_message_count"]]
        return {topic["name"]: topic["offered_qos_profiles"] for topic in topics if topic.get("offered_qos_profiles")}
    except (KeyError, TypeError):  # only a fallback, so nothing to refuse a bag for
        return {}
