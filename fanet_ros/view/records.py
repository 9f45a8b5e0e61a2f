"""What goes through the pipe to the viewer's process: a head in JSON and bytes, each with its length before it.

Nothing here needs more than Python itself: both sides import it, and they need not have the same packages.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from fanet_ros.errors import FanetError

_LENGTHS = struct.Struct(">II")
_MOST_HEAD_BYTES = 1 << 20
_MOST_BODY_BYTES = 64 << 20


class RecordError(FanetError):
    """What came through the pipe is no record."""


@dataclass(frozen=True)
class Record:
    """One thing to show.

    Attributes:
        kind: what it is; `rerun_log.py` has a function for each.
        entity: where it belongs in the viewer's tree, such as `world/camera/image`.
        stamp_ns: nanoseconds since the epoch, of the camera image that it was made from; None: it always holds.
        values: what JSON can say of it.
        body: the rest: pixels, points.
    """

    kind: str
    entity: str = ""
    stamp_ns: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | bytearray | memoryview = b""


def write_record(pipe: IO[bytes], record: Record) -> None:
    """Write a record.

    Raises:
        RecordError: it is larger than a reader takes; nothing was written.
        OSError: nobody reads any more.
    """
    head = json.dumps([record.kind, record.entity, record.stamp_ns, dict(record.values)]).encode()
    if len(head) > _MOST_HEAD_BYTES or len(record.body) > _MOST_BODY_BYTES:
        size = len(head) + len(record.body)
        raise RecordError(f"record {record.kind!r} of {record.entity!r}: {size} bytes are too many to be shown")
    pipe.write(_LENGTHS.pack(len(head), len(record.body)) + head)
    pipe.write(record.body)
    pipe.flush()


def read_record(pipe: IO[bytes]) -> Record | None:
    """Read the next record; None at the end of the pipe, also where that is in the middle of a record.

    Raises:
        RecordError: this is none.
    """
    lengths = pipe.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_bytes, body_bytes = _LENGTHS.unpack(lengths)
    if head_bytes > _MOST_HEAD_BYTES or body_bytes > _MOST_BODY_BYTES:
        raise RecordError(f"received lengths {head_bytes} and {body_bytes}, expected at most 1 and 64 MB")
    head, body = pipe.read(head_bytes), pipe.read(body_bytes)
    if len(head) < head_bytes or len(body) < body_bytes:
        return None
    try:
        kind, entity, stamp_ns, values = json.loads(head)
    except (ValueError, TypeError) as error:
        raise RecordError(f"received a head that is no JSON of four entries: {error}") from None
    return Record(kind, entity, stamp_ns, values, body)


def path_part(name: str) -> str:
    """Return a name as one part of an entity's path, where a slash would begin another."""
    return name.replace("/", "_") or "_"
