"""Label sets that merge and rename the classes of a network: `classes` is {NAME: [the network's classes]}."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fanet_ros.errors import LabelSetError
from fanet_ros.untrusted.text import shown

if TYPE_CHECKING:
    from fanet_ros.model.labels import LabelSet

UNLABELLED = 255
"""The id of a pixel that belongs to no class, or to none with enough confidence."""

Color = tuple[int, int, int]

_FIELDS = ("name", "classes", "rest", "of", "colors", "groups", "mappings")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Merging:
    """What a file says of merged classes, checked as far as it can be without the network's label set.

    Attributes:
        where: the file, for messages.
        sources: own class name -> names of the network's classes that it is made of.
        rest: name of the class of all others; None if they become unlabelled.
        of: names or paths of the label sets that networks may have; empty for any that has all the classes.
    """

    where: str
    sources: Mapping[str, tuple[str, ...]]
    rest: str | None
    of: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the merged classes, by id."""
        return (*self.sources, *(() if self.rest is None else (self.rest,)))

    @property
    def named(self) -> tuple[str, ...]:
        """All names of the network's classes."""
        return tuple(name for names in self.sources.values() for name in names)

    def label_of(self, network: LabelSet) -> tuple[int, ...]:
        """Return the label that each of the network's classes stands for.

        Raises:
            LabelSetError: a class is made of none of them.
        """
        ids = {name: own for own, names in enumerate(self.sources.values()) for name in names}
        rest = UNLABELLED if self.rest is None else len(self.sources)
        labels = tuple(ids.get(name, rest) for name in network.names)
        for own, name in enumerate(self.names):
            if own not in labels and name == self.rest:
                raise LabelSetError(f"{self.where}: no class of '{network.name}' is left for the rest; take it out")
            if own not in labels:
                raise LabelSetError(
                    f"{self.where}: class '{name}' is made of none of the classes of '{network.name}' "
                    f"({', '.join(network.names)}); take it out, or name one of them for it"
                )
        return labels

    def colors(self, network: LabelSet) -> tuple[Color, ...]:
        """Return for each class the colour of its first one in the network."""
        labels = self.label_of(network)
        return tuple(network.colors[labels.index(own)] for own in range(len(self.names)))

    def groups(self, network: LabelSet) -> dict[str, tuple[str, ...]]:
        """Return the network's groups: a class is in those that all its classes are in."""
        labels = self.label_of(network)
        members = [
            {name for name, label in zip(network.names, labels, strict=True) if label == own}
            for own in range(len(self.names))
        ]
        groups = {
            group: tuple(name for name, made_of in zip(self.names, members, strict=True) if made_of <= set(names))
            for group, names in network.groups.items()
        }
        for name, made_of in zip(self.names, members, strict=True):
            partly = [group for group, names in network.groups.items() if made_of & set(names)]
            if partly and not any(name in names for names in groups.values()):
                _log.warning(
                    "%s: class '%s' is in no group, as only some of its classes are in '%s': say 'groups' there",
                    self.where,
                    name,
                    "', '".join(partly),
                )
        return groups

    def check(self, networks: Sequence[LabelSet]) -> None:
        """Check that every named class is one of a network's.

        Raises:
            LabelSetError: one is not; lists those there are.
        """
        known = {name for network in networks for name in network.names}
        strangers = [name for name in self.named if name not in known]
        if strangers:
            sets = "; ".join(f"'{network.name}' has {', '.join(network.names)}" for network in networks)
            raise LabelSetError(f"{self.where}: {shown(strangers[0])} is no class of the network's: {sets}")


def parse_merging(content: Mapping[str, Any], where: str) -> Merging:
    """Read the part of a label set's YAML that says what is merged.

    Raises:
        LabelSetError: it is malformed.
    """
    unknown = [name for name in content if name not in _FIELDS]
    if unknown:
        raise LabelSetError(f"{where}: received {shown(unknown[0])}, expected {', '.join(_FIELDS)}")
    classes, rest, of = content["classes"], content.get("rest"), content.get("of") or ()
    sources: dict[str, tuple[str, ...]] = {}
    for name, named in classes.items():
        check_name(name, where)
        names = [named] if isinstance(named, str) else named
        if not isinstance(names, list) or not names or not all(isinstance(entry, str) for entry in names):
            raise LabelSetError(
                f"{where}: class '{name}' is made of {shown(named)}, expected a list of the network's classes"
            )
        sources[name] = tuple(names)
    if rest is not None:
        check_name(rest, where)
        if rest in sources:
            raise LabelSetError(f"{where}: rest is '{rest}', which is one of the classes; expected another name")
    of = (of,) if isinstance(of, str) else of
    if not isinstance(of, (list, tuple)) or not all(isinstance(entry, str) and entry for entry in of):
        raise LabelSetError(f"{where}: of is {shown(of)}, expected the network's label set, or a list of them")
    merging = Merging(where, sources, rest, tuple(of))
    if not 1 <= len(merging.names) <= UNLABELLED:
        raise LabelSetError(f"{where}: received {len(merging.names)} classes, expected 1 to {UNLABELLED}")
    named_once: set[str] = set()
    for name in merging.named:
        if name in named_once:
            raise LabelSetError(f"{where}: {shown(name)} is named twice, expected each of the network's classes once")
        named_once.add(name)
    return merging


def check_name(name: Any, where: str) -> None:
    """Check the name of a class.

    Raises:
        LabelSetError: it is no text, empty, or has control characters.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise LabelSetError(f"{where}: received the name {shown(name)}, expected one without control characters")
