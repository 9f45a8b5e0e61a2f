"""Label sets: what class ids mean. Names, colours and groups come from YAML, never from code."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fanet_ros.errors import FanetError, LabelSetError
from fanet_ros.files import looked_for
from fanet_ros.model.merged_labels import UNLABELLED, Merging, parse_merging
from fanet_ros.resources import config_folders, config_path
from fanet_ros.untrusted.text import shown
from fanet_ros.untrusted.yaml_text import YamlError, read_yaml

__all__ = ["UNLABELLED", "LabelSet", "is_merged", "load_label_set", "save_label_set", "shipped_label_sets"]


@dataclass(frozen=True)
class LabelSet:
    """Class names, colours and groups, indexed by class id.

    Attributes:
        name: of the set, for example `camvid11`.
        names: one per class id, unique.
        colors: RGB, each channel in [0, 255], one per class id.
        groups: group name -> names of its classes, for example `drivable`.
        mappings: name of another label set -> own class name -> what that class is there, as YAML has it: a name,
            names (it may be any of them), {not: names}, or None for nothing (`fanet_ros.datasets.meanings` reads it).
        network: the network's own label set, where these classes are merged from its classes; else None.
        merging: by the network's class id the id here, or UNLABELLED; empty where nothing is merged.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    groups: Mapping[str, tuple[str, ...]]
    mappings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    network: LabelSet | None = None
    merging: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, class_name: str) -> int:
        """Return the id of a class.

        Raises:
            LabelSetError: no class has that name; the message lists those there are.
        """
        try:
            return self.names.index(class_name)
        except ValueError:
            known = ", ".join(self.names)
            raise LabelSetError(f"label set '{self.name}' has no class '{class_name}'; it has {known}") from None

    def ids_in(self, group: str) -> tuple[int, ...]:
        """Return the class ids of a group, for example `drivable`.

        Raises:
            LabelSetError: there is no such group; the message lists those there are.
        """
        if group not in self.groups:
            known = ", ".join(self.groups) or "none"
            raise LabelSetError(f"label set '{self.name}' has no group '{group}'; it has {known}")
        return tuple(self.id_of(name) for name in self.groups[group])

    @property
    def of_network(self) -> LabelSet:
        """The classes of the network: these, or those that are merged into these."""
        return self.network or self

    @property
    def label_of(self) -> NDArray[np.uint8] | None:
        """The label that each of the network's classes stands for, uint8 (classes,); None where nothing is merged."""
        return np.array(self.merging, np.uint8) if self.merging else None

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """RGB colours, uint8 (256, 3), indexed by label; every id that is no class is black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        palette.flags.writeable = False
        return palette


def load_label_set(name_or_path: str, network: LabelSet | None = None, classes: int | None = None) -> LabelSet:
    """Load a shipped label set by name (`camvid11`) or any label set by the path of its YAML file.

    Args:
        name_or_path: of the label set.
        network: the network's own label set, for one that merges its classes. None where it is not known: then it is
            one of those that the file names (`of`), or a shipped one with all classes that are merged.
        classes: number of the network's classes, to choose among those; None for the first.

    Raises:
        LabelSetError: it does not exist, is malformed, or does not fit the network; the message says where and what is
            expected.
    """
    content, path = _read(name_or_path)
    if not _merges(content):
        return _parse(content, path)
    merging = parse_merging(content, f"label set {path}")
    if network is not None and network.names == merging.names and not set(merging.named) <= set(network.names):
        return network  # it was trained with the merged classes
    return _merged(content, path, merging, _network_of(merging, path, network, classes))


def is_merged(name_or_path: str) -> bool:
    """Whether a label set merges the classes of a network.

    Raises:
        LabelSetError: it does not exist or cannot be read.
    """
    return _merges(_read(name_or_path)[0])


def _merges(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("classes"), dict)


def _read(name_or_path: str) -> tuple[Any, Path]:
    """Return what a label set's file holds, and its path."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path) and not Path(name_or_path).exists():
        try:
            path = config_path(f"labels/{name_or_path}.yaml")
        except FanetError:
            known = ", ".join(shipped_label_sets())
            raise LabelSetError(
                f"no label set '{name_or_path}'; shipped are {known}; or give the path of a YAML file"
                f"{looked_for(Path(name_or_path))}"
            ) from None
    else:
        path = Path(name_or_path).expanduser()
    try:
        return read_yaml(path), path
    except OSError as error:
        raise LabelSetError(f"cannot read label set {path}: {error.strerror or error}{looked_for(path)}") from None
    except YamlError as error:
        raise LabelSetError(f"label set {path} is no valid YAML: {error}") from None


def save_label_set(label_set: LabelSet, path: Path) -> None:
    """Write a label set as the YAML that `load_label_set` reads; merged classes as those of a network that has them."""
    content = {
        "name": label_set.name,
        "classes": [
            {"name": name, "color": list(color)} for name, color in zip(label_set.names, label_set.colors, strict=True)
        ],
        "groups": {group: list(members) for group, members in label_set.groups.items()},
        **({"mappings": dict(label_set.mappings)} if label_set.mappings else {}),
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def shipped_label_sets() -> tuple[str, ...]:
    """Return the names of the label sets that ship with the package."""
    return tuple(sorted({path.stem for folder in config_folders() for path in folder.glob("labels/*.yaml")}))


def _network_of(merging: Merging, path: Path, network: LabelSet | None, classes: int | None) -> LabelSet:
    """Return the label set whose classes are merged."""
    given = [_plain(path.parent / name if name.endswith((".yaml", ".yml")) else name) for name in merging.of]
    if network is not None:
        if given and network.names not in [label_set.names for label_set in given]:
            raise LabelSetError(
                f"{merging.where}: it merges the classes of {', '.join(merging.of)}, but the network's are those of "
                f"'{network.name}' ({', '.join(network.names)}); add that to 'of'"
            )
        merging.check(given or [network])
        return network
    if given:
        merging.check(given)
    else:
        plain = [_plain(name) for name in shipped_label_sets() if not is_merged(name)]
        given = [label_set for label_set in plain if set(merging.named) <= set(label_set.names)]
    fitting = [label_set for label_set in given if classes in (None, len(label_set))]
    if not fitting:
        which = f"no shipped label set has all of {shown(list(merging.named))}"
        if given:
            sizes = ", ".join(f"{label_set.name} ({len(label_set)})" for label_set in given)
            which = f"it merges those of {sizes}, and the weights have {classes}"
        raise LabelSetError(
            f"{merging.where}: it is not known which network's classes it merges: {which}; name the network's label "
            "set in the weights' card or here (of: cityscapes19, or the path of a YAML file)"
        )
    return fitting[0]


def _plain(name_or_path: str | Path) -> LabelSet:
    content, path = _read(str(name_or_path))
    if _merges(content):
        raise LabelSetError(f"label set {path} merges classes itself; expected a list of the network's own classes")
    return _parse(content, path)


def _merged(content: dict[str, Any], path: Path, merging: Merging, network: LabelSet) -> LabelSet:
    names = merging.names
    given = content.get("colors") or {}
    if not isinstance(given, dict):
        raise LabelSetError(f"{merging.where}: received colors {shown(given)}, expected {{NAME: [R, G, B]}}")
    strangers = [name for name in given if name not in names]
    if strangers:
        raise LabelSetError(f"{merging.where}: colors name no class of the set: {shown(strangers[0])}")
    colors = list(merging.colors(network))
    for name, color in given.items():
        colors[names.index(name)] = _parse_color(color, f"{merging.where}, class '{name}'")
    groups = _parse_groups(content["groups"], list(names), path) if content.get("groups") else merging.groups(network)
    mappings = _parse_mappings(content.get("mappings") or {}, list(names), path)
    label_set = LabelSet(_name_of(content, path), names, tuple(colors), groups, mappings)
    return replace(label_set, network=network, merging=merging.label_of(network))


def _parse(content: Any, path: Path) -> LabelSet:
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise LabelSetError(
            f"label set {path}: expected a mapping with 'classes', a list of the network's classes or a mapping of "
            "merged ones, {NAME: [CLASS, ...]}"
        )
    classes = content["classes"]
    if not 1 <= len(classes) <= UNLABELLED:
        raise LabelSetError(f"label set {path}: received {len(classes)} classes, expected 1 to {UNLABELLED}")
    names: list[str] = []
    colors: list[tuple[int, int, int]] = []
    for index, entry in enumerate(classes):
        name, color = _parse_class(entry, f"label set {path}, class {index}")
        if name in names:
            raise LabelSetError(f"label set {path}: class name '{name}' appears twice")
        names.append(name)
        colors.append(color)
    groups = _parse_groups(content.get("groups") or {}, names, path)
    mappings = _parse_mappings(content.get("mappings") or {}, names, path)
    return LabelSet(_name_of(content, path), tuple(names), tuple(colors), groups, mappings)


def _name_of(content: dict[str, Any], path: Path) -> str:
    name = str(content.get("name") or path.stem)
    if not name.isprintable():
        raise LabelSetError(
            f"label set {path}: received the name {shown(name)}, expected one without control characters"
        )
    return name


def _parse_class(entry: Any, where: str) -> tuple[str, tuple[int, int, int]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise LabelSetError(f"{where}: received {shown(entry)}, expected {{name: NAME, color: [R, G, B]}}")
    if not entry["name"].isprintable():
        raise LabelSetError(
            f"{where}: received the name {shown(entry['name'])}, expected one without control characters"
        )
    return entry["name"], _parse_color(entry.get("color", ()), f"{where} ('{entry['name']}')")


def _parse_color(color: Any, where: str) -> tuple[int, int, int]:
    valid = isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color)
    if not valid:
        raise LabelSetError(f"{where}: received color {shown(color)}, expected [R, G, B] in 0..255")
    red, green, blue = color
    return red, green, blue


def _parse_groups(groups: Any, names: list[str], path: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(groups, dict):
        raise LabelSetError(f"label set {path}: received groups {shown(groups)}, expected {{GROUP: [NAME, ...]}}")
    for group, members in groups.items():
        if not isinstance(members, list):
            raise LabelSetError(
                f"label set {path}: group '{group}' is {shown(members)}, expected a list of class names"
            )
        strangers = [str(member) for member in members if member not in names]
        if strangers:
            raise LabelSetError(f"label set {path}: group '{group}' names no class of the set: {', '.join(strangers)}")
    return {str(group): tuple(members) for group, members in groups.items()}


def _parse_mappings(mappings: Any, names: list[str], path: Path) -> dict[str, dict[str, Any]]:
    """Check what can be checked without the other label sets."""
    if not isinstance(mappings, dict) or not all(isinstance(mapping, dict) for mapping in mappings.values()):
        raise LabelSetError(
            f"label set {path}: received mappings {reprlib.repr(mappings)}, expected "
            "{LABEL_SET: {CLASS: what it is there}}"
        )
    for other, mapping in mappings.items():
        strangers = [str(name) for name in mapping if name not in names]
        if strangers:
            raise LabelSetError(f"label set {path}: mapping to '{other}' names no class of the set: {strangers[0]}")
    return {str(other): dict(mapping) for other, mapping in mappings.items()}
