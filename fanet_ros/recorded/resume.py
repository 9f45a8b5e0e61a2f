"""Where results go, and which of them an earlier run of the same command has finished."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanet_ros.errors import FanetError, SettingError
from fanet_ros.files import replacing, write_whole
from fanet_ros.recorded.frames import say
from fanet_ros.recorded.names import Names
from fanet_ros.recorded.recording import Recording
from fanet_ros.reports.report import make_folder
from fanet_ros.sources.images import natural_key

_log = logging.getLogger(__name__)

_IDENTITY = ".segmented.json"
_NO_IDENTITY = "{}\n"  # of work that never goes on; a folder without anything in it is free for everybody
_MARKS = (_IDENTITY, "summary.json")  # one of them is in every folder of results
_RESULTS = (
    *("overlay.mp4", "contact_sheet.png", "*_mask.png", "*_overlay.png", "*_color.png"),
    *("*_segmented", ".*_segmented.unfinished", *_MARKS),
)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_NOTHING_KEPT = (
    "stopped before one of its files was finished, so nothing is kept and the same command begins anew; of recordings "
    "in several files (ros2 bag record --max-bag-duration) the finished ones are kept"
)


@dataclass(frozen=True)
class Workplace:
    """The folder of one recording's results.

    Files are finished one by one in a hidden folder beside the bag. It becomes the bag, in one step, when all are, so
    a bag that can be seen is complete, however the work on it was interrupted.

    Attributes:
        folder: for summary and contact sheet.
        bag: the finished bag's folder; exists if and only if all is done.
        unfinished: the hidden folder.
        files: in it, each made from the recording's file of the same index; there if and only if it is finished.
    """

    folder: Path
    bag: Path
    unfinished: Path
    files: tuple[Path, ...]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work in the hidden folder as the only run that does, and make it the bag in the end.

        Files that are finished at an error or Ctrl-C are kept; without any, nothing is left. The lock ends with the
        process, however that ends.

        Raises:
            SettingError: another run is at work, or the folder cannot be made or renamed.
        """
        with _locked(self.folder):
            make_folder(self.unfinished)
            for half in self.unfinished.glob(".*"):  # what a killed run has left
                _remove(half)
            try:
                yield
            except (FanetError, OSError, KeyboardInterrupt) as error:
                if isinstance(error, OSError):
                    error = SettingError(f"{self.folder} cannot be written: {error.strerror or error}")
                finished = sum(file.is_file() for file in self.files)
                if not finished:
                    self._give_up()
                    if isinstance(error, KeyboardInterrupt):
                        say(f"{self.folder.name}: {_NOTHING_KEPT}")
                    raise error from None
                rest = (
                    f"{finished} of {len(self.files)} files are finished and kept; the same command goes on from there"
                )
                if isinstance(error, FanetError):
                    raise type(error)(f"{error}; {rest}") from None
                say(f"{self.folder.name}: {rest}")
                raise
            try:
                os.rename(self.unfinished, self.bag)
            except OSError as error:
                raise SettingError(f"{self.unfinished} cannot become {self.bag}: {error.strerror}") from None

    def _give_up(self) -> None:
        """Remove the hidden folder and, if nothing else is in it, the results' folder."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        with suppress(OSError):  # of a disk that fails, too, or other files are there
            (self.folder / _IDENTITY).unlink()
            self.folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        file = (folder / _IDENTITY).open("r+")  # NFS locks only what may be written
    except OSError as error:
        raise SettingError(f"{folder} cannot be used: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"another run is at work in {folder}; wait for its end or give another output") from None
        except OSError:  # a file system without locks: there a second run at once ends both with an error
            _log.debug("%s cannot be locked", folder, exc_info=True)
        yield


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise SettingError(f"{path} cannot be removed: {error.strerror}") from None


def claim_workplace(
    output: Path,
    recording: Recording,
    settings: Mapping[str, Any],
    names: Names | None = None,
    *,
    overwrite: bool = False,
) -> Workplace:
    """Find the folder in which an earlier run began or finished the same work, or a free one.

    Work is the same if the settings and the names, sizes and times of change of the input files are.

    Args:
        output: folder of all results.
        recording: that is segmented.
        settings: everything else that changes the results, as JSON can say it.
        names: that the folder may have; None for NAME, NAME_2 and so on of the recording.
        overwrite: whether earlier work is removed, and begun anew in its place.

    Raises:
        SettingError: the folder cannot be made, or not be emptied.
    """
    status = {path.name: path.stat() for path in recording.files}
    files = [{"name": name, "bytes": s.st_size, "changed_ns": s.st_mtime_ns} for name, s in status.items()]
    identity = json.dumps({"files": files, **settings}, indent=2, sort_keys=True) + "\n"
    allowed = names or Names(recording.name)
    folder = claim_folder(output, allowed, identity, source=recording.path, overwrite=overwrite)
    bag = folder / f"{recording.name}_segmented"
    unfinished = bag.with_name(f".{bag.name}.unfinished")
    files_of_bag = (f"{bag.name}_{index}.mcap" for index in range(len(recording.files)))
    return Workplace(folder, bag, unfinished, tuple(unfinished / name for name in files_of_bag))


def claim_folder(output: Path, names: Names, identity: str = "", *, source: Path, overwrite: bool = False) -> Path:
    """Return the folder of work with the same identity or, without one, the first that is empty or not there.

    What is returned is made, and belongs to no other run: several may claim at once, also on several machines.

    Args:
        output: folder of all results.
        names: that the folder may have.
        identity: of the work, which is written into the folder; empty for work that never goes on.
        source: that is segmented; never overwritten.
        overwrite: whether to take the first name in any case, and to remove the results that are there.

    Raises:
        SettingError: it cannot be made, or holds something else than results.
    """
    if overwrite:
        folder = output / next(iter(names))
        _remove_results(folder, source)
        make_folder(folder)  # other files may be left in it
        write_whole(folder / _IDENTITY, identity or _NO_IDENTITY)
        return folder
    make_folder(output)
    for folder in _earlier(output, names.name) if identity else ():
        if _read(folder / _IDENTITY) == identity:
            return folder
    return next(output / name for name in names if _take(output / name, identity))


def _earlier(output: Path, name: str) -> list[Path]:
    """Return the folders of results of inputs of this name, whichever list they were in."""
    numbered = (path for path in output.glob(f"{glob.escape(name)}_*") if path.name[len(name) + 1 :].isdecimal())
    return [output / name, *sorted(numbered, key=natural_key)]


def _take(folder: Path, identity: str) -> bool:
    """Make a folder, with its identity in it, in one step; return whether it is ours: it was not there, or empty."""
    try:
        with replacing(folder) as unfinished:
            unfinished.mkdir()
            (unfinished / _IDENTITY).write_text(identity or _NO_IDENTITY, encoding="utf-8")
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise SettingError(f"output folder {folder} cannot be made: {error.strerror}") from None
    return True


def _remove_results(folder: Path, source: Path) -> None:
    """Remove what this command writes, and nothing else, from a folder that it has made."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if source.resolve().is_relative_to(folder.resolve()) or not any((folder / mark).is_file() for mark in _MARKS):
        raise SettingError(
            f"{folder} holds something else than results of an earlier run, so it is not overwritten; give another "
            "output"
        )
    with _locked(folder) if (folder / _IDENTITY).is_file() else nullcontext():
        for pattern in _RESULTS:
            for path in folder.glob(pattern):
                _remove(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
