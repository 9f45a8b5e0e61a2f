"""Where the cache lies, and whom it trusts: nobody but its owner and root.

What lies in the cache is run. So a folder that others own or can write is not used: everything is then built for this
process alone, in a temporary folder of its own.
"""

from __future__ import annotations

import atexit
import functools
import grp
import logging
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from fanet_ros.errors import NoRoomError, SettingError
from fanet_ros.files import remove_abandoned, scratch_folder

_MOST_LINKS = 40  # as many as Linux follows

_log = logging.getLogger(__name__)


def cache_folder(digest: str) -> Path:
    """Return the folder for all that was made from the weights with this digest; it need not exist yet.

    It is in `$XDG_CACHE_HOME/fanet_ros`, or in the process's own temporary folder where others could put something of
    theirs there; the log then says so once.
    """
    folder, problem = _configured(digest)
    return private_folder(digest, problem) if problem else folder


def lasting_folder(digest: str) -> Path:
    """Return `cache_folder` for what would be of no use in a temporary folder.

    Raises:
        SettingError: the cache cannot be used; says why.
    """
    folder, problem = _configured(digest)
    if problem:
        raise SettingError(f"the cache is not used: {problem}; or set XDG_CACHE_HOME to a folder of your own")
    return folder


def private_folder(digest: str, reason: str) -> Path:
    """Return the folder that stands in for `cache_folder`: for this process alone, removed when it ends.

    Args:
        digest: of the weights.
        reason: why the cache cannot be used; logged once.
    """
    _warn(reason)
    return _private_root() / digest[:16]


def private_folder_if_any(digest: str) -> Path | None:
    """Return `private_folder` if it was needed before."""
    return _private_root() / digest[:16] if _private_root.cache_info().currsize else None


def make_folder(folder: Path) -> None:
    """Make a folder of the cache, and those above it that are missing, for nobody else to look into.

    Raises:
        OSError: it cannot be made.
    """
    for level in reversed([folder, *folder.parents]):
        if not os.path.isdir(level):  # Path.is_dir raises where a folder above it may not be entered
            level.mkdir(0o700, exist_ok=True)


def distrusted(path: Path) -> str:
    """Return why a file or folder in the cache is not to be used, in words; empty if it may be.

    It may if it is a regular file or a folder, belongs to this user or root, and nobody else may write it.
    """
    try:
        found = path.lstat()
    except OSError:  # whoever reads it says so
        return ""
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a link"
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return f"{path} is neither a file nor a folder"
    return _foreign(path, found) or _writable(path, found)


def keep_from_others(path: Path) -> None:
    """Take the right to write a file or folder, if the process's umask gave it, from everybody else."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o022)


def _base() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG rules ignore relative paths
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):  # a user without a home, as containers have
        base = os.path.join(tempfile.gettempdir(), f"cache-{os.geteuid()}")
    return Path(base)


def _configured(digest: str) -> tuple[Path, str]:
    """Return where the cache should be, and why it is not to be used there; empty if it may."""
    folder = _base() / "fanet_ros" / digest[:16]
    ours = (problem for level in (folder.parent, folder) if (problem := _open_to_others(level)))
    return folder, next(_problems(folder), "") or next(ours, "")


def _problems(path: Path) -> Iterator[str]:
    """Yield for each folder and link on the way to a path why others could exchange what follows, if they could."""
    missing = list(reversed(path.parts[1:]))
    here, links = Path("/"), 0
    while missing:
        name = missing.pop()
        if name == "..":
            here = here.parent
            continue
        entry = here / name
        try:
            found = entry.lstat()
        except OSError:  # not there yet; or not for us, which whoever uses it says
            return
        foreign = _foreign(entry, found)
        if foreign:
            yield foreign
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return
            with suppress(OSError):
                target = Path(os.readlink(entry))
                missing += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                here = Path("/") if target.is_absolute() else here
            continue
        here = entry
        if not found.st_mode & stat.S_ISVTX:  # in a sticky folder, such as /tmp, others cannot rename what is ours
            writable = _writable(entry, found)
            if writable:
                yield writable


def _open_to_others(folder: Path) -> str:
    """Return why others could put something into a folder of ours; sticky or not."""
    try:
        return _writable(folder, folder.stat())
    except OSError:
        return ""


def _foreign(path: Path, found: os.stat_result) -> str:
    return "" if found.st_uid in (0, os.geteuid()) else f"{path} belongs to another user (uid {found.st_uid})"


def _writable(path: Path, found: os.stat_result) -> str:
    others = 0o002 if found.st_gid == _own_group() else 0o022
    return f"{path} can be written by other users (chmod go-w ends that)" if found.st_mode & others else ""


@functools.cache
def _own_group() -> int | None:
    """Return the group that this user alone is in, as Ubuntu makes one for each: its right to write is harmless."""
    try:
        user = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(user.pw_gid)
    except KeyError:
        return None
    alone = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return group.gr_gid if alone and user.pw_uid else None


@functools.cache
def _private_root() -> Path:
    prefix = f"fanet_ros-{os.geteuid()}-"
    stack = ExitStack()
    try:
        parent = Path(tempfile.gettempdir())
        remove_abandoned(parent, prefix)
        folder = stack.enter_context(scratch_folder(parent, prefix))
    except OSError as error:
        raise NoRoomError(
            f"neither the cache nor a temporary folder can be used: {error.strerror}; set XDG_CACHE_HOME or TMPDIR to "
            "a folder of yours with room"
        ) from None
    atexit.register(stack.close)
    return folder


@functools.cache
def _warn(reason: str) -> None:
    _log.warning(
        "the cache is not used: %s. What is built serves this process alone and is built again at the next start; set "
        "XDG_CACHE_HOME to a folder of your own with room",
        reason,
    )
