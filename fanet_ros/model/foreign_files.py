"""The files of networks that are not FANet: which they are, and whether they are whole, before a library opens them.

Of ONNX it reads protobuf's wire format as far as that takes, without loading the weights; a robot needs no package for
it, and importing this module costs nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from fanet_ros.errors import WeightsError
from fanet_ros.model.weights_file import read_head
from fanet_ros.untrusted.text import printable

_SUFFIXES = (".onnx", ".xml")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_DEEPEST = 64  # graphs within attributes within nodes within graphs ...
# Field numbers in onnx.proto: of the messages below, those that lead to tensors.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _ENTRY = range(8)
_INSIDE = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}
_KEY, _VALUE, _LOCATION = 1, 2, b"location"


def is_foreign(weights: Path) -> bool:
    """Whether a weights file is to be read as a network that is not FANet."""
    return weights.suffix.lower() in _SUFFIXES


def network_files(weights: Path) -> list[Path]:
    """Return all files of a foreign network, the weights file first.

    Raises:
        WeightsError: one is missing or cannot be used; says why.
    """
    head = read_head(weights)
    if weights.suffix.lower() == ".onnx":
        return [weights, *_external_files(weights)]
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):  # OpenVINO goes by the content, not the name
        raise WeightsError(f"{weights}: no XML, so it is not OpenVINO's form; an ONNX file must be called .onnx")
    tensors = weights.with_suffix(".bin")
    if not tensors.is_file():
        raise WeightsError(f"{weights}: its weights, {tensors.name}, are missing; copy them beside the file")
    return [weights, tensors]


def _external_files(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that hold its large tensors, sorted; empty where it holds all itself.

    Raises:
        WeightsError: it is missing, truncated or no ONNX file; or a file that it names is missing, or lies elsewhere
            than in its folder.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            names = set(_locations(content, 0, len(content), _MODEL, 0))
            if not any(_INSIDE[_MODEL].get(number) == _GRAPH for number, _, _ in _fields(content, 0, len(content))):
                raise _BrokenError
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (_BrokenError, ValueError):  # a file that is emptied meanwhile cannot be mapped
        raise WeightsError(f"{path}: a damaged or truncated ONNX file, or not one at all; get it again") from None
    return sorted(_beside(path, name) for name in names)


class _BrokenError(Exception):
    pass


def _beside(path: Path, name: bytes) -> Path:
    text = name.decode("utf-8", errors="replace")
    try:
        folder = path.parent.resolve()  # where libraries look, also if the file itself is a link
        file = (folder / text).resolve()
        inside = file.is_relative_to(folder) and not Path(text).is_absolute()
        found = inside and file.is_file()
    except (OSError, ValueError, RuntimeError):  # a NUL, a name too long, links in a circle
        inside = found = False
    if not inside:
        raise WeightsError(f"{path}: its weights are said to lie in '{printable(text)}', which is not in its folder")
    if not found:
        raise WeightsError(f"{path}: its weights lie in '{printable(text)}', which is missing; copy it beside the file")
    return file


def _locations(data: mmap.mmap, start: int, end: int, kind: int, depth: int) -> Iterator[bytes]:
    """Where tensors lie that are elsewhere, in a message of a kind."""
    if depth > _DEEPEST:
        raise _BrokenError
    inside = _INSIDE[kind]
    for number, first, last in _fields(data, start, end):
        within = inside.get(number)
        if within == _ENTRY:
            entry = {n: data[a:b] for n, a, b in _fields(data, first, last)}
            if entry.get(_KEY) == _LOCATION and _VALUE in entry:
                yield entry[_VALUE]
        elif within is not None:
            yield from _locations(data, first, last, within, depth + 1)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of each field of a message and where its bytes begin and end; other values are passed over."""
    while start < end:
        tag, start = _varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
        if wire == _BYTES:
            size, start = _varint(data, start, end)
        elif wire == _VARINT:
            _, start = _varint(data, start, end)
        elif not size:
            raise _BrokenError
        if number == 0 or start + size > end:
            raise _BrokenError
        if wire == _BYTES:
            yield number, start, start + size
        start += size


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise _BrokenError
        byte = data[start]
        value |= (byte & 0x7F) << shift
        start += 1
        if byte < 0x80:
            return value, start
    raise _BrokenError
