"""Model cards: what a user must know of weights, and what the segmenter reads of it.

A card is a Markdown file beside the weights with the same stem. Its YAML front matter (the form that model hubs use)
is read by the segmenter; its text is for people.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fanet_ros.errors import LabelSetError, SettingError
from fanet_ros.files import read_bounded
from fanet_ros.model.labels import LabelSet, is_merged, load_label_set
from fanet_ros.model.network_card import NetworkCard, parse_network_card
from fanet_ros.settings import Size, read_size
from fanet_ros.untrusted.text import shown
from fanet_ros.untrusted.yaml_text import MOST_BYTES, YamlError, parse_yaml

# Weights that the network's authors and others have published come without a card, and are of these. Sets that merely
# happen to have as many classes are never guessed.
_PUBLISHED = ("camvid11", "cityscapes19")


_FIELDS = ("label_set", "input_size", *NetworkCard.FIELDS)
_ALIKE = 0.8  # of two names, for one to be a slip of the other: cards may have other entries, for model hubs
_TELLING = {"mean": "mean", "std": "std", "scale": "scale", "order": "channel_order", "channels": "channel_order"}
"""Words in names of others for our fields: image_mean, color_order."""


@dataclass(frozen=True)
class ModelCard:
    """The machine-readable part of a card.

    Attributes:
        label_set: name or path of the label set of the weights' classes; the path of a YAML file is relative to the
            card. None where no card says.
        input_size: recommended size of the network's input in pixels; its area counts, as the aspect ratio follows the
            camera's. None where no card says.
        network: what a network that is not FANet needs to be told of it.
    """

    label_set: str | None = None
    input_size: Size | None = None
    network: NetworkCard = NetworkCard()

    @property
    def network_labels(self) -> LabelSet | None:
        """The network's own label set; None where no card says, or says only into what its classes are merged.

        Raises:
            LabelSetError: it cannot be read.
        """
        return None if self.label_set is None or is_merged(self.label_set) else load_label_set(self.label_set)


def read_card(weights: Path) -> ModelCard:
    """Read the card beside `weights` (same stem, `.md`); an empty card where there is none.

    Raises:
        LabelSetError: the card exists but its front matter cannot be used; the message says why.
    """
    if not weights.name:  # of the root folder, which is no weights file: whoever opens it says so
        return ModelCard()
    path = weights.with_suffix(".md")
    if not path.is_file():
        return ModelCard()
    try:
        return _parse(read_bounded(path, MOST_BYTES).decode("utf-8-sig"), path)
    except (YamlError, UnicodeDecodeError, OSError) as error:
        raise LabelSetError(f"model card {path} cannot be read: {error}") from None


def resolve_label_set(name: str, card: ModelCard, classes: int) -> LabelSet:
    """Return the label set for a network: the one asked for, else the card's, else that of published weights.

    One that merges the network's classes is told what these are: as the card says, else as it says itself.

    Args:
        name: label set asked for (name or path); empty for none.
        card: of the weights.
        classes: number of classes of the network.

    Raises:
        LabelSetError: none fits, or the number of classes differs.
    """
    name = name or card.label_set or ""
    if not name:
        fitting = [s for s in _PUBLISHED if len(load_label_set(s)) == classes]
        if len(fitting) != 1:
            raise LabelSetError(
                f"the weights have {classes} classes and no model card names their label set; "
                "give one (parameter or option 'labels': a name or the path of a YAML file)"
            )
        name = fitting[0]
    label_set = load_label_set(name, card.network_labels if is_merged(name) else None, classes)
    if len(label_set.of_network) != classes:
        raise LabelSetError(
            f"label set '{label_set.of_network.name}' has {len(label_set.of_network)} classes but the weights have "
            f"{classes}; give the label set the network was trained with (parameter or option 'labels')"
        )
    return label_set


def merging_key(name: str, card: ModelCard) -> str:
    """Return what tells merged classes from others in results that hold for these only; empty for the network's own.

    Args:
        name: label set asked for (name or path); empty for that of the card.
        card: of the weights.

    Raises:
        LabelSetError: the label set cannot be used.
    """
    name = name or card.label_set or ""
    if not name or not is_merged(name):
        return ""
    label_set = load_label_set(name, card.network_labels)
    return f"{label_set.name} {sha256(repr((label_set.names, label_set.merging)).encode()).hexdigest()[:12]}"


def _parse(text: str, path: Path) -> ModelCard:
    lines = text.splitlines()
    marks = [number for number, line in enumerate(lines) if line.strip() == "---"]
    if marks[:1] != [0]:
        return ModelCard()
    if len(marks) < 2:
        raise LabelSetError(f"model card {path}: the front matter opened by '---' is never closed")
    content: Any = parse_yaml("\n".join(lines[1 : marks[1]])) or {}
    if not isinstance(content, dict):
        raise LabelSetError(f"model card {path}: the front matter is {shown(content)}, expected 'key: value' lines")
    label_set, input_size = content.get("label_set"), content.get("input_size")
    if label_set is not None and not isinstance(label_set, str):
        raise LabelSetError(f"model card {path}: received label_set {shown(label_set)}, expected a name or a YAML file")
    if label_set is not None and label_set.endswith((".yaml", ".yml")):
        label_set = str(path.parent / label_set)  # beside the card, wherever both are moved to; absolute paths stay
    try:
        size = None if input_size is None else read_size(str(input_size))
    except SettingError as error:
        raise LabelSetError(f"model card {path}: input_size: {error}") from None
    for name in content:
        meant = _meant_by(str(name))
        if meant not in (None, name):
            raise LabelSetError(f"model card {path}: received {shown(name)}, did you mean {meant}?")
    try:
        return ModelCard(label_set, size, parse_network_card(content))
    except SettingError as error:
        raise LabelSetError(f"model card {path}: {error}") from None


def _meant_by(name: str) -> str | None:
    """Return the field that is or may be meant by a name; None where it is something else."""
    name = name.lower()
    if name in _FIELDS:
        return name
    telling = (_TELLING[word] for word in name.replace("-", "_").split("_") if word in _TELLING)
    return next(iter([*difflib.get_close_matches(name, _FIELDS, 1, _ALIKE), *telling]), None)
