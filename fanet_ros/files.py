"""Files: what is written is whole at every moment, made beside its place and moved there; what is read has an end."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import time

from fanet_ros.errors import SettingError

_ABANDONED_AFTER_S = 24 * 3600.0  # where the file system has no locks
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
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
    with scratch_folder(path.parent, f".{path.name}.") as folder:
        unfinished = folder / path.name
        yield unfinished
        if unfinished.is_file():  # libraries that make their files private do not know that this one is to be shared
            mode = stat.S_IMODE(unfinished.stat().st_mode)
            unfinished.chmod(mode | (_usual_mode(folder) & 0o444))
        if durable:
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)


def _usual_mode(folder: Path) -> int:
    """The permissions of a new file, by the umask, which can only be asked for by setting it for all threads."""
    example = folder / ".mode"
    example.touch()
    return stat.S_IMODE(example.stat().st_mode)


def looked_for(path: Path) -> str:
    """Return where a path that does not exist was looked for, to follow it in messages; empty where it says so itself.

    A node started by a launch file, a service or a script rarely works in the folder one thinks of.
    """
    if path.is_absolute():
        return ""
    try:
        return f" (looked for in {Path.cwd()})"
    except OSError:
        return " (looked for in the working directory, which is gone)"


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
        raise SettingError(f"{option}: there is no folder {path.parent}{looked_for(path)}; make it first")
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


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in `parent` for work in progress, for nobody else to look into, and remove it at the end.

    It is locked meanwhile, so that `remove_abandoned` can tell it from what a killed process left.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            opened = os.open(folder, _FOLDER | os.O_NOFOLLOW)
            if not _is_in_use(opened) and folder.exists():
                break
            os.close(opened)  # another process was quicker, and takes it for abandoned
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(opened)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Let one process (and thread) at a time change what is in a folder; the others wait, so be quick.

    Raises:
        OSError: there is no such folder.
    """
    with _folder_open(folder) as opened:
        with suppress(OSError):  # no locks: then two at once may fail, as without this
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def remove_abandoned(parent: Path, prefix: str = ".") -> None:
    """Remove what `scratch_folder` made in `parent` for processes of this user that were killed.

    Args:
        parent: of the scratch folders.
        prefix: with which the names of all that may be removed begin.

    Raises:
        OSError: there is no such folder.
    """
    for name in os.listdir(parent):
        if not name.startswith(prefix):
            continue
        with suppress(OSError), _folder_open(parent / name, os.O_NOFOLLOW) as opened:  # files are passed over
            is_ours = os.fstat(opened).st_uid == os.geteuid()
            if is_ours and not _is_in_use(opened, unknown_for_s=_ABANDONED_AFTER_S):
                shutil.rmtree(parent / name, ignore_errors=True)


def lack_of_room(error: BaseException | None) -> OSError | None:
    """Return the error of a disk that takes no more (full, over its quota, read-only) that led to this one, if any."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_in_use(opened: int, unknown_for_s: float = -inf) -> bool:
    """Take the lock of a scratch folder, and return whether another has it.

    Where the file system has no locks, it is taken to be in use for so long after the last change.
    """
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some network file systems have none
        return time() - os.fstat(opened).st_mtime < unknown_for_s
    return False


@contextmanager
def _folder_open(folder: Path, flags: int = 0) -> Iterator[int]:
    opened = os.open(folder, _FOLDER | flags)
    try:
        yield opened
    finally:
        os.close(opened)
