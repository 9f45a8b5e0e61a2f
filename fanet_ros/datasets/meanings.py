"""What the classes of one label set are in another: the same, merged, or only "one of these"."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.base import IGNORED
from fanet_ros.errors import DatasetError
from fanet_ros.model.labels import UNLABELLED, LabelSet

_IDS = 256
_FORMS = "NAME, [NAME, ...] (it may be any of them), {not: [NAME, ...]} or null (to ignore it)"


@dataclass(frozen=True)
class Meaning:
    """What each class of a data set is to a network.

    Attributes:
        own: label set of the data set.
        network: label set of the network.
        may_be: by the data set's ids, the network's ids that a pixel may be, ascending. Several make a coarse label;
            none makes a class that is ignored.
    """

    own: LabelSet
    network: LabelSet
    may_be: tuple[tuple[int, ...], ...]

    @property
    def coarse(self) -> bool:
        """Whether a class of the data set stands for several of the network's."""
        return any(len(ids) > 1 for ids in self.may_be)

    @property
    def reachable(self) -> frozenset[int]:
        """The network's ids that some class may be."""
        return frozenset(index for ids in self.may_be for index in ids)

    def truth_table(self) -> NDArray[np.uint8]:
        """Return the data set's ids as they are scored, uint8 (256,): IGNORED for what is nothing in the network."""
        table = np.full(_IDS, IGNORED, np.uint8)
        for own, ids in enumerate(self.may_be):
            table[own] = own if ids else IGNORED
        return table

    def merging_table(self) -> NDArray[np.uint8]:
        """Return the table by which predictions are compared with coarse labels.

        Returns:
            uint8 (256, 256), [truth, network's id] -> the data set's id. A class that the truth allows becomes the
            truth; any other becomes the first class, by id, that allows it, or IGNORED, which is right nowhere.
        """
        table = np.full((_IDS, _IDS), IGNORED, np.uint8)
        for own in reversed(range(len(self.may_be))):
            table[:, list(self.may_be[own])] = own
        for own, ids in enumerate(self.may_be):
            table[own, list(ids)] = own
        return table


def find_meaning(own: LabelSet, network: LabelSet, given: Mapping[str, Any] | None = None) -> Meaning:
    """Find out what the classes of a data set are to a network.

    What is given counts first, then the data set's own mapping to the network's label set, then equal names. Classes
    that are merged from a network's are found through these, unless the data set itself speaks of the merged ones; what
    may be an unnamed one of them is ignored.

    Args:
        own: label set of the data set.
        network: label set of the network.
        given: class name -> what it is: a name, names, {not: names}, or None to ignore it.

    Raises:
        DatasetError: a name is no class of its set, a class has no meaning, or may be nothing; says what to write.
    """
    if network.network is None or network.name in own.mappings:
        return _find_directly(own, network, given or {})
    try:
        fine = find_meaning(own, network.network, given)
    except DatasetError:
        try:
            return _find_directly(own, network, given or {})
        except DatasetError:
            pass
        raise
    merged = ({network.merging[index] for index in ids} for ids in fine.may_be)
    return Meaning(own, network, tuple(() if UNLABELLED in ids else tuple(sorted(ids)) for ids in merged))


def _find_directly(own: LabelSet, network: LabelSet, given: Mapping[str, Any]) -> Meaning:
    mapping = own.mappings.get(network.name, {})
    strangers = [name for name in given if name not in own.names]
    if strangers:
        raise DatasetError(
            f"rename: label set '{own.name}' has no class '{strangers[0]}'; it has {', '.join(own.names)}"
        )
    return Meaning(
        own,
        network,
        tuple(_ids(name, given.get(name, mapping.get(name, name)), own, network) for name in own.names),
    )


def _ids(name: str, wanted: Any, own: LabelSet, network: LabelSet) -> tuple[int, ...]:
    if wanted is None:
        return ()
    where = f"class '{name}' of label set '{own.name}'"
    everything_but = isinstance(wanted, Mapping) and list(wanted) == ["not"]
    named = wanted["not"] if everything_but else wanted
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, Sequence) or not all(isinstance(entry, str) for entry in names):
        raise DatasetError(f"{where}: received {reprlib.repr(wanted)}, expected {_FORMS}")
    for entry in names:
        if entry not in network.names:
            raise DatasetError(
                f"{where}: '{entry}' is none of '{network.name}' ({', '.join(network.names)}); say what it is in the "
                f"label set, mappings: {{{network.name}: {{{name}: ...}}}}, or in a recipe, rename: {{{name}: ...}}, "
                f"with {_FORMS}"
            )
    chosen = [index for index, entry in enumerate(network.names) if (entry in names) != everything_but]
    if not chosen:
        raise DatasetError(
            f"{where}: received {reprlib.repr(wanted)}, which leaves no class of '{network.name}' that it may be; "
            f"expected {_FORMS}"
        )
    return tuple(chosen)


class LabelSpace:
    """One numbering for all labels of a training: the network's classes, then every set of classes that a label may be.

    Attributes:
        classes: number of the network's classes.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._groups: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return self.classes + len(self._groups)

    def table(self, meaning: Meaning) -> NDArray[np.uint8]:
        """Return the numbers of a data set's ids, uint8 (256,): IGNORED where there are none; notes its coarse labels.

        Raises:
            DatasetError: there are more of them than numbers.
        """
        table = np.full(_IDS, IGNORED, np.uint8)
        for own, ids in enumerate(meaning.may_be):
            if len(ids) > 1:
                number = self._groups.setdefault(ids, len(self))
                if number >= IGNORED:
                    raise DatasetError(f"all data sets together have more than {IGNORED} classes and coarse labels")
                table[own] = number
            elif ids:
                table[own] = ids[0]
        return table

    def members(self) -> NDArray[np.bool_]:
        """Return which classes each coarse label may be, bool (number of them, classes)."""
        members = np.zeros((len(self._groups), self.classes), bool)
        for row, ids in enumerate(self._groups):
            members[row, list(ids)] = True
        return members
