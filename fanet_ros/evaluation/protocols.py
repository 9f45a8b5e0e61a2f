"""Protocols: the settings with which published figures were measured, and those figures (config/protocols.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.evaluation.looks import Looks
from fanet_ros.resources import config_path
from fanet_ros.settings import Size, check_input_size, read_size
from fanet_ros.untrusted.text import shown
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

METRICS = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_f1": "mean F1",
}
"""The figures by which data sets are compared: attributes of Scores, and their names for people."""

NONE = "none"

_KINDS: Mapping[str, tuple[type, ...]] = {
    "dataset": (str,),
    "split": (str,),
    "options": (dict,),
    "input_size": (str,),
    "scales": (list, str),
    "flip": (bool,),
    "window": (str,),
    "stride": (str,),
    "leave_out": (list,),
    "temporal_frames": (int,),
    "step": (int,),
    "published": (list,),
    "note": (str,),
}
_PUBLISHED: Mapping[str, tuple[type, ...]] = {
    "network": (str,),
    "source": (str,),
    **dict.fromkeys(METRICS, (int, float)),
}
_WORDS = {
    str: "text",
    dict: "names and values",
    list: "a list",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


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
    try:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise SettingError(f"received {shown(content)}, expected protocols by name")
        protocols = {}
        for name, entry in content.items():
            where = f"protocols {path}, '{name}'"
            protocols[name] = _parse_protocol(name, entry)
    except OSError as error:
        raise SettingError(f"{where} cannot be read: {error.strerror}; compare with the shipped file") from None
    except (YamlError, SettingError) as error:
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


def _parse_protocol(name: Any, entry: Any) -> Protocol:
    words = _checked(entry, _KINDS, ("dataset",))
    published = []
    for number, one in enumerate(words.pop("published", ()), 1):
        try:
            published.append(_parse_published(one))
        except SettingError as error:
            raise SettingError(f"published, entry {number}: {error}") from None
    note = words.pop("note", "")
    settings = Settings(**read_settings(words))
    _ = settings.looks  # which refuses what cannot be
    for key, least in (("temporal_frames", 0), ("step", 1)):
        if getattr(settings, key) < least:
            raise SettingError(f"{key}: received {getattr(settings, key)}, expected at least {least}")
    return Protocol(str(name), settings, tuple(published), note)


def _parse_published(entry: Any) -> Published:
    words = _checked(entry, _PUBLISHED, ("network", "source"))
    figures = {metric: float(value) for metric, value in words.items() if metric in METRICS}
    for metric, value in figures.items():
        if not 0 <= value <= 100:
            raise SettingError(f"{metric}: received {value:g}, expected percent from 0 to 100")
    return Published(words["network"], figures, words["source"])


def _checked(entry: Any, kinds: Mapping[str, tuple[type, ...]], required: Sequence[str]) -> dict[str, Any]:
    """Return a mapping's content, whose names and types are as they should be.

    Raises:
        SettingError: they are not; says which, and what was received.
    """
    if not isinstance(entry, dict):
        raise SettingError(f"received {shown(entry)}, expected names and values")
    for name, value in entry.items():
        if name not in kinds:
            raise SettingError(f"{shown(name)} is unknown; known are {', '.join(kinds)}")
        kind = kinds[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):  # a bool is an int
            raise SettingError(f"{name}: received {shown(value)}, expected {' or '.join(_WORDS[one] for one in kind)}")
    lacking = [name for name in required if name not in entry]
    if lacking:
        raise SettingError(f"{', '.join(lacking)} is missing")
    return dict(entry)


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


def _read_names(word: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(name, str) for name in word):
        raise SettingError(f"received {shown(list(word))}, expected names of classes")
    return () if list(word) == [NONE] else tuple(word)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "input_size": _read_input_size,
    "scales": _read_scales,
    "window": _read_size,
    "stride": _read_size,
    "leave_out": _read_names,
}
