"""Protocols: the settings with which published figures were measured, and those figures (config/protocols.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fanet_ros.errors import SettingError
from fanet_ros.evaluation.looks import Looks
from fanet_ros.resources import config_path
from fanet_ros.settings import Size, check_input_size, read_size

METRICS = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_f1": "mean F1",
}
"""The figures by which data sets are compared: attributes of Scores, and their names for people."""

NONE = "none"


@dataclass(frozen=True)
class Settings:
    """Everything that decides the scores besides weights and backend.

    Attributes:
        dataset: name of the data set.
        split: of it.
        options: of the data set.
        input_size: `auto`, `camera` or WIDTHxHEIGHT.
        scales: of the input size.
        flip: whether mirrored images count, too.
        window: size of the parts in which an image is seen; None for the whole.
        stride: from one window to the next; None for side by side.
        leave_out: classes that are in no mean.
        temporal_frames: T, how many frames of a video the network looks at; 0 for images by themselves.
        step: from one of these frames to the next, in frames of the video.
    """

    dataset: str
    split: str = "val"
    options: Mapping[str, Any] = field(default_factory=dict)
    input_size: str = "auto"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: Size | None = None
    stride: Size | None = None
    leave_out: tuple[str, ...] = ()
    temporal_frames: int = 0
    step: int = 1

    @property
    def looks(self) -> Looks:
        """At every image.

        Raises:
            SettingError: they cannot be had.
        """
        return Looks(self.scales, self.flip, self.window, self.stride)


@dataclass(frozen=True)
class Published:
    """What somebody reports.

    Attributes:
        network: for which, such as `FANet-18`.
        figures: metric (one of `METRICS`) -> percent.
        source: who reports it.
    """

    network: str
    figures: Mapping[str, float]
    source: str

    def __str__(self) -> str:
        figures = ", ".join(f"{METRICS[metric]} {value:.1f}" for metric, value in self.figures.items())
        return f"{self.network}: {figures} ({self.source})"


@dataclass(frozen=True)
class Protocol:
    """How a figure was measured.

    Attributes:
        name: of the protocol.
        settings: that were used.
        published: figures to compare with.
        note: what else one must know.
    """

    name: str
    settings: Settings
    published: tuple[Published, ...] = ()
    note: str = ""


def read_settings(words: Mapping[str, Any]) -> dict[str, Any]:
    """Turn settings as YAML or the command line has them into values of `Settings`.

    Args:
        words: by name; sizes as WIDTHxHEIGHT, scales as `0.75,1` or as numbers, `none` for no window and no name.

    Raises:
        SettingError: a value has another form; says what is expected.
    """
    values = dict(words)
    for name in words.keys() & _READERS.keys():
        try:
            values[name] = _READERS[name](words[name])
        except SettingError as error:
            raise SettingError(f"{name}: {error}") from None
    return values


def load_protocols(path: Path | None = None) -> dict[str, Protocol]:
    """Read all protocols, by name.

    Args:
        path: of the YAML file; None for the one that ships with the package.

    Raises:
        SettingError: the file cannot be read or has another form; says where.
    """
    path = path or config_path("protocols.yaml")
    where = f"protocols {path}"
    protocols = {}
    try:
        for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            where = f"protocols {path}, '{name}'"
            words = dict(entry)
            published = tuple(_parse_published(one) for one in words.pop("published", ()))
            note = words.pop("note", "")
            protocols[name] = Protocol(name, Settings(**read_settings(words)), published, note)
    except (OSError, TypeError, ValueError, KeyError, AttributeError, yaml.YAMLError, SettingError) as error:
        raise SettingError(f"{where} cannot be read: {error}; compare with the shipped file") from None
    return protocols


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    protocols = load_protocols()
    if name not in protocols:
        raise SettingError(f"protocol: received {name!r}, expected one of {', '.join(protocols)}; or list")
    return protocols[name]


def _parse_published(entry: Mapping[str, Any]) -> Published:
    figures = {metric: float(value) for metric, value in entry.items() if metric not in ("network", "source")}
    strangers = sorted(set(figures) - METRICS.keys())
    if strangers:
        raise ValueError(f"published {', '.join(strangers)}; known metrics are {', '.join(METRICS)}")
    return Published(entry["network"], figures, entry["source"])


def _read_input_size(word: str) -> str:
    check_input_size(word)
    return word


def _read_size(word: str) -> Size | None:
    return None if word == NONE else read_size(word)


def _read_scales(word: str | Sequence[float]) -> tuple[float, ...]:
    try:
        return tuple(float(scale) for scale in (word.split(",") if isinstance(word, str) else word))
    except (TypeError, ValueError):
        raise SettingError(f"received {word!r}, expected numbers separated by commas, as 0.75,1,1.25") from None


def _read_names(word: Sequence[str]) -> tuple[str, ...]:
    return () if list(word) == [NONE] else tuple(word)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "input_size": _read_input_size,
    "scales": _read_scales,
    "window": _read_size,
    "stride": _read_size,
    "leave_out": _read_names,
}
