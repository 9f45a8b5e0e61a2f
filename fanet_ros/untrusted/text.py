"""Values from outside in messages for people: short, and without what a terminal would obey."""

from __future__ import annotations

import reprlib
from typing import Any

MOST_CHARACTERS = 120
MOST_OF_MESSAGE = 2000
"""Of a whole message: no name in it should come that far, this is the net below."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = MOST_CHARACTERS
_repr.maxlong = 40
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxdict = 8
_repr.maxlevel = 3


def shown(value: Any) -> str:
    """Return a value as Python writes it, shortened; at most some 120 characters for a text.

    Never unfolds more of a nested value than it shows, however large that would become.
    """
    text = _repr.repr(value)
    return text if len(text) <= 4 * MOST_CHARACTERS else f"{text[: 4 * MOST_CHARACTERS]}..."


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a name from outside as it is, but for control characters, which are escaped as in Python's texts.

    Also shortened: the middle gives way where it is longer than `most` characters.
    """
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}...{text[-half:]}"
    return escaped(text).replace("\n", "\\n")


def escaped(text: str) -> str:
    """Return a text, of any length, in which everything but characters, spaces and ends of lines is escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text
    )
