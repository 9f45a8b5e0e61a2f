"""Which files a recording consists of: a rosbag2 folder, or a lone .mcap or .db3 file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from fanet_ros.errors import SourceError
from fanet_ros.sources.images import IMAGE_SUFFIXES, natural_key
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

METADATA = "metadata.yaml"
"""What a finished rosbag2 folder has; a recorder that was killed has not written it."""

_STORAGES = ("mcap", "sqlite3")
_STORAGE_NAME = re.compile(r"\.(mcap|db3)(\.zstd)?$")
_MOST_METADATA_BYTES = 16 << 20  # of recordings of thousands of files
_LATEST_VERSION = 9  # of metadata.yaml that is understood


@dataclass(frozen=True)
class Recording:
    """The files of a recording, in the order in which they were recorded.

    Attributes:
        path: that was given.
        files: .mcap or .db3, each with `.zstd` behind it where the whole file is compressed.
        messages_compressed: whether every message is compressed by itself (zstd), as rosbag2 can.
        unfinished: whether the folder lacks its metadata.yaml.
        qos: topic -> offered QoS profiles as metadata.yaml has them, for files that do not say.
    """

    path: Path
    files: tuple[Path, ...]
    messages_compressed: bool = False
    unfinished: bool = False
    qos: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name by which results are called."""
        name = self.path.resolve().name
        return name if self.path.is_dir() else _STORAGE_NAME.sub("", name)


def is_recording(path: Path) -> bool:
    """Whether a path is meant as a recording: by its ending or, for a folder, by what lies in it."""
    if path.is_dir():
        return _is_bag(path) or bool(_storage_files(path) and not _has_images(path))
    return _STORAGE_NAME.search(path.name) is not None


def find_recording(path: Path) -> Recording:
    """Find the files of a recording and how they are compressed.

    Args:
        path: for which `is_recording` holds.

    Raises:
        SourceError: metadata.yaml cannot be understood, files that it names are missing, or the storage or
            compression is one that cannot be read.
    """
    if not path.is_dir():
        return Recording(path, (path,), messages_compressed=_compresses_messages(path))
    if not (path / METADATA).is_file():
        return Recording(path, _storage_files(path), unfinished=True)
    recording = _described(path)
    missing = [file.name for file in recording.files if not file.is_file()]
    if missing:
        raise SourceError(f"{path} lacks files that its {METADATA} names: {', '.join(missing)}; copy it anew")
    return recording


def _is_bag(folder: Path) -> bool:
    try:
        return "rosbag2_bagfile_information" in (folder / METADATA).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
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

    rosbags cannot be asked: it opens all files, the compressed unpacked at once, before it tells anything.

    Raises:
        SourceError: that is no metadata of rosbag2, or speaks of what cannot be read.
    """
    path = folder / METADATA
    try:
        content = read_yaml(path, _MOST_METADATA_BYTES)
    except (OSError, YamlError) as error:
        raise SourceError(f"{path} cannot be read: {' '.join(str(error).split())}; is the bag complete?") from None
    information = content.get("rosbag2_bagfile_information") if isinstance(content, dict) else None
    names = information.get("relative_file_paths") if isinstance(information, dict) else None
    if not isinstance(information, dict) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise SourceError(f"{path} is no metadata of rosbag2: it names no files; is the bag complete?")
    version, storage = information.get("version"), information.get("storage_identifier")
    if not isinstance(version, int) or version > _LATEST_VERSION:
        raise SourceError(f"{path} has version {version}, expected at most {_LATEST_VERSION}; convert the bag")
    if storage not in _STORAGES:
        raise SourceError(
            f"{folder} has storage '{storage}', and only {' and '.join(_STORAGES)} can be read; convert it with "
            "`ros2 bag convert`"
        )
    mode = str(information.get("compression_mode") or "").lower()
    compression = str(information.get("compression_format") or "").lower()
    if mode in ("file", "message") and compression != "zstd":
        raise SourceError(
            f"{folder} is compressed by '{compression}', and only zstd can be read; convert it with `ros2 bag convert`"
        )
    files = tuple(folder / PurePath(name).name for name in names)  # old versions name them with their folder
    return Recording(folder, files, messages_compressed=mode == "message", qos=_qos(information))


def _qos(information: dict[str, Any]) -> dict[str, Any]:
    try:
        topics = [topic["topic_metadata"] for topic in information["topics_with_message_count"]]
        return {topic["name"]: topic["offered_qos_profiles"] for topic in topics if topic.get("offered_qos_profiles")}
    except (KeyError, TypeError):  # only a fallback, so nothing to refuse a bag for
        return {}
