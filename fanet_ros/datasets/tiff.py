"""The little of TIFF 6.0 that is needed to see the pixels of an uncompressed RGB file without reading all of it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.decoding import unreadable
from fanet_ros.errors import DatasetError
from fanet_ros.settings import Size

# Tags (section 8) and the types of their values (section 2).
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
_SAMPLES, _STRIP_BYTES, _PLANAR = 277, 279, 284
_TYPES = {3: "H", 4: "I"}  # SHORT and LONG
_UNCOMPRESSED, _RGB, _CHUNKY = 1, 2, 1
_MOST_VALUES = 1 << 20  # of one tag; more is damage


class _Header(NamedTuple):
    """Width and height, and where the pixels begin if they lie in the file as (H, W, 3) bytes."""

    size: Size
    offset: int | None


def tiff_size(path: Path) -> Size | None:
    """Return the size of a TIFF image from its header; None if it is no TIFF that can be understood.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    header = _read_header(path)
    return None if header is None else header.size


def map_tiff(path: Path) -> NDArray[np.uint8] | None:
    """Return the pixels of an uncompressed RGB TIFF as a read-only view of the file, uint8 (H, W, 3).

    Returns:
        None where the file is something else, which has to be decoded.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    header = _read_header(path)
    if header is None or header.offset is None:
        return None
    width, height = header.size
    if path.stat().st_size < header.offset + width * height * 3:
        raise unreadable(path)
    return np.memmap(path, np.uint8, "r", header.offset, (height, width, 3))


def _read_header(path: Path) -> _Header | None:
    try:
        with path.open("rb") as file:
            return _parse(file)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; unpack the data set again") from None
    except struct.error:  # the file ends within its header
        raise unreadable(path) from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None


def _parse(file: BinaryIO) -> _Header | None:
    start = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(start[:4])
    if order is None:
        return None
    file.seek(struct.unpack(f"{order}I", start[4:])[0])
    (count,) = struct.unpack(f"{order}H", file.read(2))
    entries = file.read(12 * count)
    tags = {}
    for index in range(count):
        tag, kind, length, field = struct.unpack_from(f"{order}HHI4s", entries, 12 * index)
        if kind in _TYPES and length <= _MOST_VALUES:
            tags[tag] = _values(file, order, _TYPES[kind], length, field)
    if not tags.get(_WIDTH) or not tags.get(_HEIGHT):
        return None
    return _Header(Size(tags[_WIDTH][0], tags[_HEIGHT][0]), _offset_of_plain_pixels(tags))


def _values(file: BinaryIO, order: str, code: str, length: int, field: bytes) -> tuple[int, ...]:
    size = length * struct.calcsize(code)
    if size > len(field):  # the field holds where the values are, not the values
        file.seek(struct.unpack(f"{order}I", field)[0])
        field = file.read(size)
    return struct.unpack(f"{order}{length}{code}", field[:size])


def _offset_of_plain_pixels(tags: dict[int, tuple[int, ...]]) -> int | None:
    plain = (
        tags.get(_COMPRESSION, (_UNCOMPRESSED,)) == (_UNCOMPRESSED,)
        and tags.get(_PHOTOMETRIC) == (_RGB,)
        and tags.get(_SAMPLES) == (3,)
        and tags.get(_BITS) == (8, 8, 8)
        and tags.get(_PLANAR, (_CHUNKY,)) == (_CHUNKY,)
    )
    offsets, lengths = tags.get(_STRIP_OFFSETS, ()), tags.get(_STRIP_BYTES, ())
    if not plain or not offsets or len(offsets) != len(lengths):
        return None
    ends = [offset + length for offset, length in zip(offsets, lengths, strict=True)]
    in_a_row = list(offsets[1:]) == ends[:-1] and sum(lengths) == tags[_WIDTH][0] * tags[_HEIGHT][0] * 3
    return offsets[0] if in_a_row else None
