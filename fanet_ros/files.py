"""Files that are whole at every moment: made beside their place, then moved there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanet_ros.errors import SettingError


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give the path of a file or folder to make; when that is done, it takes the place of `path`.

    A reader meets the old content or the new, never a part. After an error the old one is still there.

    Args:
        path: to replace. A folder there has to be gone, or empty, by the end.
        durable: whether a power cut must not lose both, for a file: it is on the disk before it takes the place.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder, path.name)
        yield unfinished
        if durable:
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text in UTF-8, that appears complete or not at all.

    Raises:
        SettingError: it cannot be written.
    """
    try:
        with replacing(path) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise SettingError(f"cannot write {path}: {error.strerror}") from error


def check_can_write(option: str, path: Path) -> None:
    """Refuse at once what would fail after the work: a file is made beside `path`, as writing it will, and removed.

    Args:
        option: that names the file, for messages.
        path: of the file, which need not exist.

    Raises:
        SettingError: there is no such folder, nothing can be written there, or the path is no file.
    """
    if not path.parent.is_dir():
        raise SettingError(f"{option}: there is no folder {path.parent}; make it first")
    if path.exists() and not path.is_file():  # a device would be replaced, not written to
        what = "a folder" if path.is_dir() else "a device or the like"
        raise SettingError(f"{option}: {path} is {what}; give the name of a file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise SettingError(
            f"{option}: {path.parent} cannot be written: {error.strerror}; give another folder"
        ) from None
