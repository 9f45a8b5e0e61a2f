"""Decoding images that others have encoded: only formats whose size is read first, and only sizes that fit into memory.

A file of 35 bytes may claim 32000x32000 pixels, which unfold to gigabytes.
"""

from __future__ import annotations

import functools
import io
import os
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.frames.encoded_size import PNG_SIGNATURE, encoded_size
from fanet_ros.frames.opencv_log import silence_opencv
from fanet_ros.labelling.kernels import limit_decoder_messages
from fanet_ros.settings import MAX_PIXELS
from fanet_ros.untrusted.text import shown

_JPEG_SIGNATURE = b"\xff\xd8"
_FILE_FORMATS = ("BMP", "PPM", "TIFF", "WEBP")  # in Pillow's words: of files, besides JPEG and PNG
_SHOWN_BYTES = 8
_SHOWN_MESSAGES = 3  # of libjpeg and libpng


class UndecodableError(ValueError):
    """Bytes that are no image, or none that is decoded here; the message says why."""


class TooLargeError(UndecodableError):
    """An image with more pixels than are decoded here."""


def decode_image(
    data: bytes, flags: int, *, most_pixels: int = MAX_PIXELS, other_formats: bool = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode an image with OpenCV's imread flags, as (H, W) or (H, W, C).

    Args:
        data: of the whole file.
        flags: such as cv2.IMREAD_COLOR.
        most_pixels: of an image.
        other_formats: whether BMP, PPM, TIFF and WebP are decoded besides JPEG and PNG, if Pillow is there to read
            their size.

    Raises:
        TooLargeError: it has more pixels.
        UndecodableError: it is of another format, damaged, or without a size in its header.
    """
    size = encoded_size(data)
    if size is None and other_formats:
        size = _size_by_pillow(data)
    if size is None:
        if data.startswith((_JPEG_SIGNATURE, PNG_SIGNATURE)):
            raise UndecodableError("its header tells no size")
        raise UndecodableError(f"it begins with {shown(data[:_SHOWN_BYTES])}, expected JPEG or PNG")
    _quiet_decoders()
    width, height = size
    if width * height > most_pixels:
        raise TooLargeError(f"it has {width}x{height} pixels, at most {most_pixels / 1e6:.1f} million are decoded")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # more pixels than OpenCV's limit
        raise UndecodableError(f"OpenCV: {error.err or error}") from None
    if image is None:
        raise UndecodableError("it is damaged")
    return np.asarray(image)


@functools.cache
def _quiet_decoders() -> None:
    """Keep them from printing a line or two for each damaged image, which UndecodableError says, too."""
    limit_decoder_messages(_SHOWN_MESSAGES)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        silence_opencv()


def _size_by_pillow(data: bytes) -> tuple[int, int] | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow says of a damaged file beside its error
            with Image.open(io.BytesIO(data), formats=_FILE_FORMATS) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise TooLargeError(str(error)) from None
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files and other formats
        return None
