"""Which topics of a recording are cameras, and what their results are called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fanet_ros.errors import SourceError
from fanet_ros.frames.image_messages import ENCODINGS, shows_picture
from fanet_ros.recorded.messages import COMPRESSED_IMAGE
from fanet_ros.recorded.recording import CONVERT_ROS1
from fanet_ros.untrusted.text import printable

NODE = "/segmentation"
"""What the live node is called, and so where its topics are (`~` in docs/interface.md)."""

# Words in the names of topics that hold images made from camera images; this package's own outputs are among them.
_RESULT_WORDS = frozenset(
    {"mask", "masks", "label", "labels", "segmentation", "semantic", "confidence", "overlay", "disparity"}
)
_SILENT = "no messages"
_DEPTH = "depth"
_UNREADABLE = "encoding"
_MOST_LISTED = 20

ROS1 = "ros1"
"""How MCAP calls messages as ROS 1 encodes them."""

# What drivers and image_proc call the image itself; the camera is named before it.
_IMAGE_NAMES = re.compile(r"(/(image(_[^/]*)?|color|rgb|compressed))+$")


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images as it was recorded.

    Attributes:
        name: of the topic.
        type_name: `IMAGE` or `COMPRESSED_IMAGE`.
        encoding: of its first image, before compression where that says so; None where that image cannot be read.
        messages: how many there are.
    """

    name: str
    type_name: str
    encoding: str | None
    messages: int


@dataclass(frozen=True)
class Choice:
    """What is segmented.

    Attributes:
        prefixes: topic -> where its results are, for example `/segmentation/front`.
        root: where the class names are; the prefix itself for one camera.
        left_out: topic -> why.
    """

    prefixes: Mapping[str, str]
    root: str
    left_out: Mapping[str, str]

    def __str__(self) -> str:
        taken = ", ".join(f"{printable(topic)} -> {printable(prefix)}" for topic, prefix in self.prefixes.items())
        return f"{taken}; {_reasons(self.left_out)}" if self.left_out else taken


def choose_topics(
    images: Sequence[ImageTopic], others: Mapping[str, str], wanted: Sequence[str], *, keep_originals: bool
) -> Choice:
    """Choose the topics to segment.

    Without a wish these are all camera images: no depth, no labels or overlays, and not the compressed image beside
    the raw one.

    Args:
        images: all topics of images.
        others: all other topics -> what they hold.
        wanted: names of topics that the user asked for; empty for all camera images.
        keep_originals: whether results and recorded topics lie in one bag, so that their names must differ.

    Raises:
        SourceError: a wanted topic is none of `images`, or nothing is left to segment; the message lists the topics.
    """
    known = {image.name: image for image in images}
    strangers = [name for name in wanted if name not in known]
    if strangers:
        raise SourceError(f"no image topic {printable(', '.join(strangers))}; {_list(images, others)}")
    left_out = {} if wanted else _left_out(images)
    taken = list(dict.fromkeys(wanted)) or [name for name in known if name not in left_out]
    if not taken:
        raise SourceError(f"no topic of camera images; {_reasons(left_out) or _list(images, others)}")
    root = _free_root([*known, *others]) if keep_originals else NODE
    names = camera_names(taken)
    prefixes = {topic: root if len(taken) == 1 else f"{root}/{names[topic]}" for topic in taken}
    return Choice(prefixes, root, left_out)


def camera_names(topics: Sequence[str]) -> dict[str, str]:
    """Return a different name for each topic, made of the parts of the topic before the image's own name.

    The last such part where that is enough (`/cameras/front/image_raw` is `front`), else all of them, else the whole
    topic, joined by underscores.
    """
    cameras = {topic: _IMAGE_NAMES.sub("", topic.strip("/")) for topic in topics}
    candidates = (
        {topic: camera.rpartition("/")[2] for topic, camera in cameras.items()},
        {topic: camera.replace("/", "_") for topic, camera in cameras.items()},
        {topic: topic.strip("/").replace("/", "_") for topic in topics},
    )
    return next((names for names in candidates if len({*names.values()}) == len(names)), candidates[-1])


def encoding_of_format(image_format: str) -> str | None:
    """Return the encoding before compression that `CompressedImage.format` states, or None: `rgb8; jpeg ...`."""
    before, separator, _ = image_format.partition(";")
    return before.strip() if separator else None


def _left_out(images: Sequence[ImageTopic]) -> dict[str, str]:
    """Return which topics are not segmented unless asked for, and why."""
    left_out = {}
    for image in images:
        words = set(re.split(r"[/_]", image.name.lower()))
        if not image.messages:
            left_out[image.name] = _SILENT
        elif words & _RESULT_WORDS:
            left_out[image.name] = f"'{min(words & _RESULT_WORDS)}' in its name"
        elif image.name.endswith("/compressedDepth"):
            left_out[image.name] = _DEPTH
        elif image.encoding and not _is_picture(image):
            left_out[image.name] = f"{_UNREADABLE} {printable(image.encoding)}"
    raw = {image.name for image in images if image.type_name != COMPRESSED_IMAGE and image.name not in left_out}
    for image in images:
        if image.type_name == COMPRESSED_IMAGE and image.name.rpartition("/")[0] in raw:
            left_out[image.name] = "raw is taken"
    return left_out


def _is_picture(image: ImageTopic) -> bool:
    # a compressed image is decoded to 8 bits whatever it was
    assert image.encoding is not None
    return shows_picture(image.encoding) if image.type_name == COMPRESSED_IMAGE else image.encoding in ENCODINGS


def _free_root(topics: Collection[str]) -> str:
    """Return a root that no recorded topic has: a bag recorded beside the live node holds its topics, too."""
    roots = itertools.chain([NODE], (f"{NODE}_{number}" for number in itertools.count(2)))
    return next(root for root in roots if not any(f"{topic}/".startswith(f"{root}/") for topic in topics))


def _reasons(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    reasons = _joined([f"{printable(topic)} ({reason})" for topic, reason in left_out.items()])
    helpless = all(reason in (_SILENT, _DEPTH) or reason.startswith(_UNREADABLE) for reason in left_out.values())
    hint = "only colour and grey pictures can be segmented" if helpless else "--topic chooses"
    return f"left out: {reasons}; {hint}"


def _list(images: Sequence[ImageTopic], others: Mapping[str, str]) -> str:
    if images:
        found = sorted(f"{printable(i.name)} ({printable(i.encoding or 'unreadable')})" for i in images)
        return f"the images are {_joined(found)}"
    found = sorted(f"{printable(topic)} ({printable(what)})" for topic, what in others.items())
    ros1 = any(what.endswith(f", {ROS1} encoding") for what in others.values())
    return (
        f"the topics are {_joined(found) or 'none'}{f'; these are messages of ROS 1: {CONVERT_ROS1}' if ros1 else ''}"
    )


def _joined(topics: Sequence[str]) -> str:
    more = len(topics) - _MOST_LISTED
    return ", ".join(topics[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
