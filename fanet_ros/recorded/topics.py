"""Which topics of a recording are cameras, and what their results are called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fanet_ros.errors import SourceError
from fanet_ros.frames.image_messages import ENCODINGS
from fanet_ros.recorded.messages import COMPRESSED_IMAGE

NODE = "/segmentation"
"""What the live node is called, and so where its topics are (`~` in docs/interface.md)."""

# Words in the names of topics that hold images made from camera images; this package's own outputs are among them.
_RESULT_WORDS = frozenset(
    {"mask", "masks", "label", "labels", "segmentation", "semantic", "confidence", "overlay", "disparity"}
)
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
        taken = ", ".join(f"{topic} -> {prefix}" for topic, prefix in self.prefixes.items())
        return f"{taken}; {_reasons(self.left_out)}" if self.left_out else taken


def choose_topics(
    images: Sequence[ImageTopic], others: Collection[str], wanted: Sequence[str], *, keep_originals: bool
) -> Choice:
    """Choose the topics to segment.

    Without a wish these are all camera images: no depth, no labels or overlays, and not the compressed image beside
    the raw one.

    Args:
        images: all topics of images.
        others: names of all other topics.
        wanted: names of topics that the user asked for; empty for all camera images.
        keep_originals: whether results and recorded topics lie in one bag, so that their names must differ.

    Raises:
        SourceError: a wanted topic is none of `images`, or nothing is left to segment; the message lists the topics.
    """
    known = {image.name: image for image in images}
    strangers = [name for name in wanted if name not in known]
    if strangers:
        raise SourceError(f"no image topic {', '.join(strangers)}; {_list(known, others)}")
    left_out = {} if wanted else _left_out(images)
    taken = list(dict.fromkeys(wanted)) or [name for name in known if name not in left_out]
    if not taken:
        raise SourceError(f"no topic of camera images; {_reasons(left_out) or _list(known, others)}")
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
            left_out[image.name] = "no messages"
        elif words & _RESULT_WORDS:
            left_out[image.name] = f"'{min(words & _RESULT_WORDS)}' in its name"
        elif image.name.endswith("/compressedDepth"):
            left_out[image.name] = "depth"
        elif image.encoding and not _is_picture(image):
            left_out[image.name] = f"encoding {image.encoding}"
    raw = {image.name for image in images if image.type_name != COMPRESSED_IMAGE and image.name not in left_out}
    for image in images:
        if image.type_name == COMPRESSED_IMAGE and image.name.rpartition("/")[0] in raw:
            left_out[image.name] = "raw is taken"
    return left_out


def _is_picture(image: ImageTopic) -> bool:
    # A compressed image is decoded to 8 bits whatever it was, so only what is surely depth is refused.
    if image.type_name == COMPRESSED_IMAGE:
        return image.encoding not in ("16UC1", "32FC1", "mono16")
    return image.encoding in ENCODINGS


def _free_root(topics: Collection[str]) -> str:
    """Return a root that no recorded topic has: a bag recorded beside the live node holds its topics, too."""
    roots = itertools.chain([NODE], (f"{NODE}_{number}" for number in itertools.count(2)))
    return next(root for root in roots if not any(f"{topic}/".startswith(f"{root}/") for topic in topics))


def _reasons(left_out: Mapping[str, str]) -> str:
    reasons = ", ".join(f"{topic} ({reason})" for topic, reason in left_out.items())
    return f"left out: {reasons}; --topic chooses" if reasons else ""


def _list(images: Collection[str], others: Collection[str]) -> str:
    if images:
        return f"the images are {', '.join(sorted(images))}"
    return f"the topics are {', '.join(sorted(others)) or 'none'}"
