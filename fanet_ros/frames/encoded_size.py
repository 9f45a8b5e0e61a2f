"""The size of a JPEG or PNG image from its first bytes, before anything is decoded."""

from __future__ import annotations

import struct

HEADER_BYTES = 256 * 1024
"""How many bytes of a file are enough: a JPEG's size may stand behind thumbnails and colour profiles."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers (ITU-T T.81, table B.1); 0xC4, 0xC8 and 0xCC in their midst mean something else.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels as the header claims; None where `data` is neither JPEG nor PNG, or cut short.

    Args:
        data: the first bytes of the file.
    """
    if data.startswith(PNG_SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])  # IHDR is always the first chunk (PNG, 11.2.2)
        return width, height
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        position += 2 + int(struct.unpack(">H", data[position + 2 : position + 4])[0])
    return None
