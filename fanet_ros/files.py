"""Files: what is written is whole at every moment, made beside its place and moved there; what is read has an end."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanet_ros.errors import SettingError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_/. +-]+")


def check_has_end(path: Path) -> None:
    """Accept folders and ordinary files. Devices and pipes may have no end, or wait for someone who never comes.

    Raises:
        OSError: there is none, or it is something else; the message (`strerror`) says what.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"it is {_kind(status.st_mode)}, and no file", str(path))
    for system in ("/proc", "/sys"):  # files there are made up by the kernel while they are read
        if os.path.ismount(system) and status.st_dev == os.stat(system).st_dev:
            raise OSError(errno.EINVAL, f"it belongs to {system}, and is no ordinary file", str(path))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Read a whole file.

    Raises:
        OSError: it cannot be read, has no end, or is larger; the message (`strerror`) says which.
    """
    check_has_end(path)
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
    return content


@contextmanager
def plain_name(path: Path) -> Iterator[str]:
    """Give an absolute name of what is at `path` that C++ libraries understand: plain ASCII without a percent sign.

    They crash at names that are no UTF-8, and OpenCV takes "cam:front.mp4" for a protocol and "%03d" for many files.
    The name is only good within the block; what was opened by it stays open.

    Raises:
        OSError: a link cannot be made where temporary files go.
    """
    absolute = os.path.abspath(path)
    if _PLAIN_NAME.fullmatch(absolute):
        yield absolute
        return
    suffix = path.suffix if _PLAIN_NAME.fullmatch(path.suffix) else ""  # decoders look at it
    with tempfile.TemporaryDirectory(prefix="fanet-") as folder:
        link = os.path.join(folder, f"link{suffix}")
        os.symlink(absolute, link)
        yield link


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
        if unfinished.is_file():  # libraries that make their files private do not know that this one is to be shared
            unfinished.chmod(_usual_mode(Path(folder)))
        if durable:
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)


def _usual_mode(folder: Path) -> int:
    """The permissions of a new file, by the umask, which can only be asked for by setting it for all threads."""
    example = folder / ".mode"
    example.touch()
    return stat.S_IMODE(example.stat().st_mode)


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
