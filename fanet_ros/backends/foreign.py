"""What a weights file holds, for those who need to know before a backend runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends.base import Progress, no_progress
from fanet_ros.frames.frame import fit_input_size
from fanet_ros.model.foreign import ForeignNetwork
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.model.labels import LabelSet
from fanet_ros.model.model_card import read_card, resolve_label_set
from fanet_ros.settings import Size


def describe_network(weights: Path, progress: Progress = no_progress) -> ForeignNetwork | None:
    """Return what a foreign network takes and gives; None for FANet.

    A network that is met for the first time is looked at in a process of its own, which takes seconds.

    Raises:
        WeightsError: the file is missing, damaged, or no network that turns an image into classes.
        LabelSetError: its card is missing something, or does not fit the file.
        BackendError: OpenVINO, which reads it, is not installed.
    """
    if not is_foreign(weights):
        return None
    from fanet_ros.backends.openvino.backend import obtain_exact
    from fanet_ros.backends.openvino.loading import DESCRIPTION

    folder = obtain_exact(weights, artefacts.weights_digest(weights), progress)
    return ForeignNetwork.from_json((folder / DESCRIPTION).read_text(encoding="utf-8"))


def input_sizes_of(weights: Path, setting: str, network: ForeignNetwork | None = None) -> Callable[[Size], Size]:
    """Return what tells for a frame's size the one at which the network looks at it.

    Args:
        weights: the file.
        setting: `auto`, `camera` or WIDTHxHEIGHT.
        network: what `describe_network` said of the file; found out where it is not given.

    Raises:
        SettingError: the network takes one size only, and another is asked for.
    """
    network = network or describe_network(weights)
    recommended = read_card(weights).input_size
    if network is None:
        return lambda frame: fit_input_size(setting, recommended, frame)
    if network.size is not None:
        fit_input_size(setting, recommended, network.size, fixed=network.size)
    fixed, step = network.size, network.step
    return lambda frame: fit_input_size(setting, recommended, frame, fixed=fixed, step=step)


def label_set_of(weights: Path, labels: str) -> LabelSet:
    """Return the label set of a weights file, of whichever network.

    Args:
        weights: the file.
        labels: name or path of the label set asked for; empty for that of the card.

    Raises:
        FanetError: as `describe_network`; or the label set does not fit.
    """
    network, card = describe_network(weights), read_card(weights)
    if network is not None:
        return network.label_set(labels, card)
    from fanet_ros.model.weights import load_weights  # imports torch

    return resolve_label_set(labels, card, load_weights(weights).config.classes)
