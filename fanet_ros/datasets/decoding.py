"""Image files as arrays, exactly as their pixels lie in the file."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import DatasetError
from fanet_ros.extras import what_to_install
from fanet_ros.frames.encoded_image import UndecodableError, decode_image
from fanet_ros.frames.encoded_size import HEADER_BYTES, encoded_size
from fanet_ros.frames.opencv_log import quiet_opencv
from fanet_ros.settings import Size

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_MOST_PIXELS = 1 << 28  # the tiles of aerial data sets have 2^25 to 2^27
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BITS, _PNG_COLOR_TYPE, _PALETTE = 24, 25, 3  # where a PNG's header has them; colour type of palettes (PNG, 11.2.2)
_ORIENTATION_TAG, _AS_IT_LIES, _LAST_ORIENTATION = 0x0112, 1, 8  # EXIF 2.3, 4.6.4


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, 3), RGB, as its pixels lie in the file (labels know no EXIF rotation).

    Raises:
        DatasetError: it is missing or no readable image.
    """
    return cv2.cvtColor(_decode(_read(path), path, _AS_STORED), cv2.COLOR_BGR2RGB)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a grey image of up to 8 bits, or the indices of a palette PNG, as uint8 (H, W): the values in the file.

    Raises:
        DatasetError: it is missing, no readable image, or one with colours or more bits.
    """
    content = _read(path)
    if content.startswith(_PNG_SIGNATURE) and content[_PNG_COLOR_TYPE : _PNG_COLOR_TYPE + 1] == bytes([_PALETTE]):
        return _palette_indices(content, path)
    values = _decode(content, path, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint8 or values.ndim != 2:
        raise DatasetError(
            f"labels {path} are an image of {values.dtype} with shape {values.shape}, expected 8-bit grey with one id "
            "per pixel"
        )
    if content.startswith(_PNG_SIGNATURE) and content[_PNG_BITS] < 8:
        values //= 255 // ((1 << content[_PNG_BITS]) - 1)  # OpenCV spreads 1, 2 and 4 bits over 0 to 255
    return values


def image_size(path: Path) -> Size:
    """Return an image's size, from its header where that is possible.

    Raises:
        DatasetError: it is missing or no readable image.
    """
    size = encoded_size(_read(path, HEADER_BYTES))
    if size is not None:
        return Size(*size)
    with open_header(path) as image:
        if image is not None:
            return Size(*image.size)
    height, width = _decode(_read(path), path, cv2.IMREAD_UNCHANGED).shape[:2]
    return Size(width, height)


def exif_orientation(path: Path) -> int:
    """Return the orientation in which programs show an image, 1 (as it lies in the file) to 8, by its EXIF data.

    1, too, where it says nothing, or there is no Pillow to read it.

    Raises:
        DatasetError: it is missing.
    """
    with open_header(path) as image:
        if image is None:
            return _AS_IT_LIES
        try:
            value = image.getexif().get(_ORIENTATION_TAG)
        except (OSError, SyntaxError, ValueError, struct.error):  # what Pillow raises for damaged EXIF data
            return _AS_IT_LIES
    return value if isinstance(value, int) and _AS_IT_LIES <= value <= _LAST_ORIENTATION else _AS_IT_LIES


@contextmanager
def open_header(path: Path) -> Iterator[ImageFile | None]:
    """Open an image with Pillow, which reads no pixels yet; None where there is no Pillow or it cannot read the file.

    Raises:
        DatasetError: it is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        yield None
        return
    with ExitStack() as stack:
        try:
            image = stack.enter_context(Image.open(path))
        except FileNotFoundError:
            raise _gone(path) from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises for damaged files
            image = None
        yield image


def _gone(path: Path) -> DatasetError:
    return DatasetError(f"{path} is missing; unpack the data set again")


def unreadable(path: Path, reason: str = "") -> DatasetError:
    """The error for a file that is there but is not what it should be."""
    why = f" ({reason})" if reason else ""
    return DatasetError(f"{path} is no readable image: damaged or incomplete{why}; unpack the data set again")


def _decode(content: bytes, path: Path, flags: int) -> NDArray[np.uint8]:
    with quiet_opencv():
        try:
            image = decode_image(content, flags, most_pixels=_MOST_PIXELS, other_formats=True)
        except UndecodableError as error:
            raise unreadable(path, str(error)) from None
    if _is_cut_short(content):
        raise unreadable(path)
    return cast(NDArray[np.uint8], image)  # of more bits, too, which callers refuse


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which some versions of OpenCV replace by grey without a word."""
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")  # end of image, start of the last scan
    return content.startswith(_PNG_SIGNATURE) and b"IEND" not in content


def _palette_indices(content: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image  # OpenCV gives colours only
    except ImportError as error:
        raise DatasetError(f"{path} has a palette; reading it needs {what_to_install('PIL')}") from error
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.array(image, np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises for damaged PNGs
        raise unreadable(path) from None


def _read(path: Path, count: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise _gone(path) from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
