"""What a recording holds, before any of it is segmented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Channel, Schema

from fanet_ros.frames.image_messages import UnusableImageError
from fanet_ros.recorded.messages import IMAGE, image_type, read_image
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.recording import Recording
from fanet_ros.recorded.storage import StorageFile
from fanet_ros.recorded.topics import ImageTopic, encoding_of_format
from fanet_ros.untrusted.text import printable


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        images: topics of images over all files.
        others: all other topics -> their type and, where that is not ROS 2's, how their messages are encoded.
        counts: per file, how many messages each topic has.
        notes: what the user has to know of the files.
        undefined: types of which no definition is known; their messages are copied without.
    """

    images: tuple[ImageTopic, ...]
    others: Mapping[str, str]
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
    others: dict[str, str] = {}
    if recording.unfinished:
        notes.append(
            f"{printable(str(recording.path))} {recording.unfinished}, as when the recorder is killed or power is "
            "lost: its files are taken by their names"
        )
    for path in recording.files:
        with open_storage(recording, path, scratch) as file:
            counts.append(Counter())
            for number, channel in file.contents.channels.items():
                schema = file.contents.schema_of(channel)
                counts[-1][channel.topic] += file.contents.counts[number]
                if not schema.encoding:
                    undefined.add(schema.name or channel.message_encoding)
                if type_name := image_type(schema, channel):
                    types.setdefault(channel.topic, type_name)
                else:
                    others[channel.topic] = _described(schema, channel)
            for topic in types:
                if topic not in encodings and counts[-1][topic]:
                    encodings[topic] = _first_encoding(file, topic, types[topic])
            if file.note:
                notes.append(file.note)
    total = sum(counts, Counter[str]())
    images = tuple(
        ImageTopic(topic, type_name, encodings.get(topic), total[topic]) for topic, type_name in types.items()
    )
    others = {topic: what for topic, what in others.items() if topic not in types}
    return Survey(images, others, tuple(counts), tuple(notes), frozenset(undefined))


def _described(schema: Schema, channel: Channel) -> str:
    encoding = channel.message_encoding
    return (schema.name or "of no type") + ("" if encoding == "cdr" else f", {encoding or 'no'} encoding")


def _first_encoding(file: StorageFile, topic: str, type_name: str) -> str | None:
    first = next(file.messages([topic]), None)
    if first is None:
        return None
    try:
        image = read_image(first[2].data, type_name)
    except UnusableImageError:
        return None  # every image of the topic may be tried, and those that are none are counted
    return str(image.encoding) if type_name == IMAGE else encoding_of_format(image.format)
