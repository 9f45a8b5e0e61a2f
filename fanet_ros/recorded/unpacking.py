"""Unpacks what others have packed, with a bound on what comes out: 131 kB of zstd may stand for gigabytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from lz4.frame import LZ4FrameDecompressor

from fanet_ros.errors import SourceError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor
else:
    from backports.zstd import ZstdDecompressor

MOST_BYTES = 256 << 20
"""Of one message, or one chunk of messages: twice an uncompressed image of the most pixels that are segmented."""

# Of a file. Recorded pictures shrink to a third, masks to a hundredth, and nothing that a camera saw to a thousandth.
_MOST_FILE_BYTES = 512 << 20
_MOST_FILE_RATIO = 200

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""How a frame of zstd begins, and no message in CDR."""

_PIECE = 1 << 20


class TooLargeError(SourceError):
    """Data that is, or would be when unpacked, larger than is read here."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


_KINDS: dict[str, Callable[[], _Decompressor]] = {"zstd": ZstdDecompressor, "lz4": LZ4FrameDecompressor}


def unpack(kind: str, packed: bytes) -> bytes:
    """Unpack data that may consist of several frames, which need not state their size.

    Args:
        kind: `zstd` or `lz4`; empty for data that is not packed.
        packed: to unpack.

    Raises:
        TooLargeError: more than `MOST_BYTES` would come out.
        ValueError: the kind is unknown, or the data incomplete.
        Exception: of the libraries, for damaged data.
    """
    if not kind:
        return packed
    if kind not in _KINDS:
        raise ValueError(f"compression '{kind[:20]}' is not known, only {' and '.join(_KINDS)}")
    pieces, room = [], MOST_BYTES
    for piece in _pieces(_KINDS[kind], iter([packed])):
        room -= len(piece)
        if room < 0:
            raise TooLargeError(f"{len(packed)} bytes would unfold to more than {MOST_BYTES >> 20} MB")
        pieces.append(piece)
    return b"".join(pieces)


def unpack_file(packed: Path, plain: Path) -> None:
    """Unpack a whole file that is compressed by zstd.

    Raises:
        TooLargeError: it would become larger than 512 MB and 200 times its size.
        ValueError: it is incomplete.
        OSError: it cannot be read, or the other not written.
        Exception: of the library, for damaged data.
    """
    most = max(_MOST_FILE_BYTES, _MOST_FILE_RATIO * packed.stat().st_size)
    with packed.open("rb") as source, plain.open("wb") as target:
        for piece in _pieces(ZstdDecompressor, _read(source)):
            target.write(piece)
            if target.tell() > most:
                raise TooLargeError(
                    f"it would unfold to more than {most >> 20} MB, far more than recordings do; if it is to be read "
                    "nevertheless, unpack it yourself: zstd -d"
                )


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_PIECE):
        yield data


def _pieces(begin: Callable[[], _Decompressor], packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what comes out, in pieces of at most 1 MB."""
    frame = begin()
    for data in packed:
        while data or not frame.needs_input:
            if frame.eof:
                frame = begin()
            yield frame.decompress(data, max_length=_PIECE)
            data = (frame.unused_data or b"") if frame.eof else b""
            if frame.eof and not data:
                break
    if not frame.eof:
        raise ValueError("its compressed data is cut short")
