"""What a recording holds, before any of it is segmented."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.recorded.messages import COMPRESSED_IMAGE, IMAGE, read_image
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.recording import Recording
from fanet_ros.recorded.storage import StorageFile
from fanet_ros.recorded.topics import ImageTopic, encoding_of_format

IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        images: topics of images over all files.
        others: names of all other topics.
        counts: per file, how many messages each topic has.
        notes: what the user has to know of the files.
        undefined: types of which no definition is known; their messages are copied without.
    """

    images: tuple[ImageTopic, ...]
    others: frozenset[str]
    counts: tuple[Counter[str], ...]
    notes: tuple[str, ...]
    undefined: frozenset[str]


def survey(recording: Recording, scratch: Path) -> Survey:
    """Open every file once, one after the other, and look at the first image of every topic.

    Args:
        recording: to look at.
        scratch: as for `open_storage`.

    Raises:
        SourceError: a file cannot be read.
    """
    types: dict[str, str] = {}
    encodings: dict[str, str | None] = {}
    counts: list[Counter[str]] = []
    notes = []
    undefined = set()
    others = set()
    if recording.unfinished:
        notes.append(
            f"{recording.path} has no metadata.yaml, as when the recorder is killed: its files are taken by their names"
        )
    for path in recording.files:
        with open_storage(recording, path, scratch) as file:
            counts.append(Counter())
            for number, channel in file.contents.channels.items():
                schema = file.contents.schema_of(channel)
                counts[-1][channel.topic] += file.contents.counts[number]
                if not schema.encoding:
                    undefined.add(schema.name or channel.message_encoding)
                if schema.name in IMAGE_TYPES and channel.message_encoding == "cdr":
                    types.setdefault(channel.topic, schema.name)
                else:
                    others.add(channel.topic)
            for topic in types:
                if topic not in encodings and counts[-1][topic]:
                    encodings[topic] = _first_encoding(file, topic, types[topic])
            if file.note:
                notes.append(file.note)
    total = sum(counts, Counter[str]())
    images = tuple(
        ImageTopic(topic, type_name, encodings.get(topic), total[topic]) for topic, type_name in types.items()
    )
    return Survey(images, frozenset(others - types.keys()), tuple(counts), tuple(notes), frozenset(undefined))


def _first_encoding(file: StorageFile, topic: str, type_name: str) -> str | None:
    first = next(file.messages([topic]), None)
    if first is None:
        return None
    try:
        image = read_image(first[2].data, type_name)
    except UnusableImageError:
        return None  # every image of the topic may be tried, and those that are none are counted
    return str(image.encoding) if type_name == IMAGE else encoding_of_format(image.format)
