"""Protocols: the settings with which published figures were measured, and those figures (config/protocols.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fanet_ros.errors import SettingError
from fanet_ros.resources import config_path

METRICS = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_f1": "mean F1",
}
"""The figures by which data sets are compared: attributes of Scores, and their names for people."""

_KEYS = {
    *("dataset", "split", "options", "input_size", "scales", "flip", "window", "stride", "leave_out"),
    *("temporal_frames", "published", "note"),
}
_REQUIRED = ("dataset", "split", "input_size")


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
    """How a figure was measured; the settings have the form of the options of `fanet evaluate`.

    Attributes:
        name: of the protocol.
        dataset: name of the data set.
        split: of it.
        input_size: `auto`, `camera` or WIDTHxHEIGHT.
        options: of the data set.
        scales: of the input size.
        flip: whether mirrored images count, too.
        window: WIDTHxHEIGHT, or empty.
        stride: WIDTHxHEIGHT, or empty.
        leave_out: classes that are in no mean.
        temporal_frames: T, how many frames of a video the network looks at; 0 for single images.
        published: figures to compare with.
        note: what else one must know.
    """

    name: str
    dataset: str
    split: str
    input_size: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: str = ""
    stride: str = ""
    leave_out: tuple[str, ...] = ()
    temporal_frames: int = 0
    published: tuple[Published, ...] = ()
    note: str = ""


def load_protocols(path: Path | None = None) -> dict[str, Protocol]:
    """Read all protocols, by name.

    Args:
        path: of the YAML file; None for the one that ships with the package.

    Raises:
        SettingError: the file cannot be read or has another form; says where.
    """
    path = path or config_path("protocols.yaml")
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"protocols {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise SettingError(f"protocols {path}: received {type(content).__name__}, expected a mapping NAME: SETTINGS")
    return {str(name): _parse(str(name), settings, path) for name, settings in content.items()}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        SettingError: there is none; the message lists those there are.
    """
    protocols = load_protocols()
    if name not in protocols:
        raise SettingError(f"protocol: received {name!r}, expected one of {', '.join(protocols)}; or list")
    return protocols[name]


def _parse(name: str, settings: Any, path: Path) -> Protocol:
    where = f"protocols {path}, '{name}'"
    if not isinstance(settings, dict) or any(not isinstance(settings.get(key), str) for key in _REQUIRED):
        raise SettingError(f"{where}: received {settings!r}, expected texts for {', '.join(_REQUIRED)} and more")
    unknown = sorted(str(key) for key in settings if key not in _KEYS)
    if unknown:
        raise SettingError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    try:
        return Protocol(
            name=name,
            dataset=settings["dataset"],
            split=settings["split"],
            input_size=settings["input_size"],
            options=dict(settings.get("options", {})),
            scales=tuple(float(scale) for scale in settings.get("scales", (1.0,))),
            flip=bool(settings.get("flip", False)),
            window=str(settings.get("window", "")),
            stride=str(settings.get("stride", "")),
            leave_out=tuple(str(label) for label in settings.get("leave_out", ())),
            temporal_frames=int(settings.get("temporal_frames", 0)),
            published=tuple(_parse_published(entry) for entry in settings.get("published", ())),
            note=str(settings.get("note", "")),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise SettingError(f"{where}: a setting has another form than in the shipped protocols: {error}") from None


def _parse_published(entry: Mapping[str, Any]) -> Published:
    figures = {metric: float(value) for metric, value in entry.items() if metric not in ("network", "source")}
    strangers = sorted(set(figures) - METRICS.keys())
    if strangers:
        raise ValueError(f"published {', '.join(strangers)}; known metrics are {', '.join(METRICS)}")
    return Published(str(entry["network"]), figures, str(entry["source"]))
