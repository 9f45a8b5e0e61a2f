"""Networks that are not FANet: any that turns an image into classes, as an ONNX file or in OpenVINO's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fanet_ros.errors import LabelSetError, SettingError
from fanet_ros.model.foreign_files import is_foreign, network_files
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.model.model_card import ModelCard, read_card, resolve_label_set
from fanet_ros.settings import Size

LOGITS, PROBABILITIES, LABELS = "logits", "probabilities", "labels"
SIZE_STEP = 32
"""Of the sides of inputs of open size: what nearly all encoders shrink by."""

FORMAT = 2
"""Raise it with every change of `ForeignNetwork` or of what is made of its file: what is older is then built anew."""


@dataclass(frozen=True)
class Entrance:
    """What turns a frame, uint8 (N, h, w, 3) RGB, into a network's input: (pixel - offset) / divisor.

    Attributes:
        name: of the input.
        type: of its numbers, as OpenVINO names it: `f32`, `u8` and so on.
        layout: `nchw` or `nhwc`.
        blue_first: whether it takes BGR.
        offset: of each channel, in the network's order.
        divisor: likewise.
    """

    name: str
    type: str
    layout: str
    blue_first: bool = False
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    divisor: tuple[float, ...] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Exit:
    """What turns a network's output into float32 (N, channels, h, w); labels in one channel.

    Attributes:
        number: of the output, among those of the file.
        added: axes of size 1 that it lacks, where they are then.
        order: of the axes, in which it then has to be brought.
        single: whether it has one channel, which tells a second class from a first; it becomes two.
    """

    number: int
    added: tuple[int, ...]
    order: tuple[int, ...]
    single: bool


@dataclass(frozen=True)
class ForeignNetwork:
    """What a network takes and gives, as its file shows, its card tells and a probe has confirmed.

    Attributes:
        name: of the file, for titles.
        classes: number of classes; 0 where it gives labels, which do not tell.
        answer: `logits`, `probabilities` (each in [0, 1]), or `labels` (decided by the network itself).
        align_corners: where frame, input and answer lie on each other, as torch's interpolate has it.
        size: of the input where that is fixed; None where it is open.
        batches: whether several frames can run as one.
        entrance: what goes before it.
        exit: what comes after it.
        outputs: names of all its outputs where there are several and none was chosen; for its card.
        findings: what was found in the file, in words; for its card, too.
    """

    name: str
    classes: int
    answer: str
    align_corners: bool
    size: Size | None
    batches: bool
    entrance: Entrance
    exit: Exit
    outputs: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def normalises_itself(self) -> bool:
        """Whether it takes uint8 pixels as they are."""
        return self.entrance.type == "u8"

    @property
    def step(self) -> int:
        """What the sides of its inputs are multiples of, where we choose them."""
        return SIZE_STEP

    def label_set(self, name: str, card: ModelCard) -> LabelSet:
        """Return its label set: the one asked for, else the card's. None is guessed.

        Raises:
            LabelSetError: neither names one, or it has another number of classes.
        """
        chosen = name or card.label_set
        if not chosen:
            raise LabelSetError(
                f"the network {self.name} has {self.classes}{' or more' if self.answer == LABELS else ''} classes, and "
                "no card names their label set; write 'label_set: NAME_OR_FILE.yaml' into the card (parameter or "
                "option 'labels' does, too)"
            )
        classes = self.classes
        if self.answer == LABELS:  # not all need occur in the probe
            classes = max(classes, len(load_label_set(chosen, card.network_labels).of_network))
        try:
            return resolve_label_set(name, card, classes)
        except LabelSetError as error:
            one = "; its one channel tells two classes: first the rest, then what it finds" if self.exit.single else ""
            raise LabelSetError(f"{error}{one}") from None

    def as_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> ForeignNetwork:
        """Read what `as_json` wrote."""
        content = json.loads(text, object_hook=_with_tuples)
        size, entrance, end = (content.pop(name) for name in ("size", "entrance", "exit"))
        return ForeignNetwork(**content, size=size and Size(*size), entrance=Entrance(**entrance), exit=Exit(**end))


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def require_fanet(weights: Path, what: str) -> None:
    """Refuse networks that are not FANet for what only FANet can do.

    Raises:
        SettingError: it is one; says what was asked for.
    """
    if is_foreign(weights):
        raise SettingError(f"{what} is for FANet only, but {weights.name} is another network (docs/networks.md)")


def digest_of_network(weights: Path, digest_of_file: Callable[[Path], str]) -> str:
    """Return the SHA-256, in hexadecimal digits, of all that a foreign network depends on: its files and its card.

    Args:
        weights: the network's file.
        digest_of_file: returns that of one file; raises OSError where it cannot be read.

    Raises:
        WeightsError: a file is missing or cannot be read.
        LabelSetError: the card cannot be used.
    """
    digests = [digest_of_file(file) for file in network_files(weights)]
    return hashlib.sha256(repr((FORMAT, digests, read_card(weights).network)).encode()).hexdigest()
