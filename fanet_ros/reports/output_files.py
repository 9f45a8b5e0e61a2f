"""Files that a command writes when its long work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fanet_ros.errors import SettingError


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
