"""Names of results: those of one input never meet those of another, in whatever order and wherever they are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Names:
    """The names that one input's results may have: the first that is free is taken.

    Attributes:
        name: NAME of the input, alone or with `_2` and so on behind it.
        first: number of the first, where 1 is NAME alone.
        step: from one number to the next.
        others: that belong to other inputs, and are left out.
    """

    name: str
    first: int = 1
    step: int = 1
    others: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[str]:
        """Yield the names, without end."""
        for number in count(self.first, self.step):
            name = self.name if number == 1 else f"{self.name}_{number}"
            if name not in self.others:
                yield name


def allot_names(names: Sequence[str]) -> list[Names]:
    """Return the names for each of several inputs; no two of them share one.

    Of inputs with the same name the first gets NAME, the second NAME_2; where those are taken by other results, the
    next are as many further as there are inputs of that name. So they depend on the inputs alone, and not on who is
    first.

    Args:
        names: of the inputs, in an order that is the same for everybody who takes part.
    """
    totals = Counter(names)
    numbered: dict[str, set[str]] = {}  # of all names only those can meet, so that thousands do not all know all
    for name in totals:
        if form := re.fullmatch(r"(.*)_[0-9]+", name, re.DOTALL):
            numbered.setdefault(form[1], set()).add(name)
    others = {name: frozenset(numbered.get(name, ())) for name in totals}
    met: Counter[str] = Counter()
    allotted = []
    for name in names:
        met[name] += 1
        allotted.append(Names(name, met[name], totals[name], others[name]))
    return allotted
