"""Where results go, and which of them an earlier run of the same command has finished."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from fanet_ros.errors import FanetError, SettingError
from fanet_ros.files import write_whole
from fanet_ros.recorded.frames import say
from fanet_ros.recorded.recording import Recording
from fanet_ros.reports.report import make_folder

_IDENTITY = ".segmented.json"
_MARKS = (_IDENTITY, "summary.json")  # one of them is in every folder of results
_RESULTS = (
    *("overlay.mp4", "contact_sheet.png", "*_mask.png", "*_overlay.png", "*_color.png"),
    *("*_segmented", ".*_segmented.unfinished", *_MARKS),
)
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
        file = (folder / _IDENTITY).open()
    except OSError as error:
        raise SettingError(f"{folder} cannot be used: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingError(f"another run is at work in {folder}; wait for its end or give another output") from None
        yield


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise SettingError(f"{path} cannot be removed: {error.strerror}") from None


def claim_workplace(
    output: Path, recording: Recording, settings: Mapping[str, Any], *, overwrite: bool = False
) -> Workplace:
    """Find the folder in which an earlier run began or finished the same work, or a free one.

    Work is the same if the settings and the names, sizes and times of change of the input files are.

    Args:
        output: folder of all results.
        recording: that is segmented.
        settings: everything else that changes the results, as JSON can say it.
        overwrite: whether earlier work is removed, and begun anew in its place.

    Raises:
        SettingError: the folder cannot be made, or not be emptied.
    """
    status = {path.name: path.stat() for path in recording.files}
    files = [{"name": name, "bytes": s.st_size, "changed_ns": s.st_mtime_ns} for name, s in status.items()]
    identity = json.dumps({"files": files, **settings}, indent=2, sort_keys=True) + "\n"
    folder = claim_folder(
        output / recording.name,
        lambda place: _read(place / _IDENTITY) == identity,
        source=recording.path,
        overwrite=overwrite,
    )
    if not (folder / _IDENTITY).exists():  # else another run may hold its lock
        write_whole(folder / _IDENTITY, identity)
    bag = folder / f"{recording.name}_segmented"
    unfinished = bag.with_name(f".{bag.name}.unfinished")
    names = (f"{bag.name}_{index}.mcap" for index in range(len(recording.files)))
    return Workplace(folder, bag, unfinished, tuple(unfinished / name for name in names))


def claim_folder(
    wanted: Path, is_ours: Callable[[Path], bool] = lambda _: False, *, source: Path, overwrite: bool = False
) -> Path:
    """Return the first of NAME, NAME_2 and so on that is ours, empty or not there; made if missing.

    Args:
        wanted: NAME.
        is_ours: whether work may go on in a folder.
        source: that is segmented; never overwritten.
        overwrite: whether to take NAME in any case, and to remove the results that are in it.

    Raises:
        SettingError: it cannot be made, or holds something else than results.
    """
    if overwrite:
        _remove_results(wanted, source)
        make_folder(wanted)
        return wanted
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        if not folder.exists() or (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
            break
    make_folder(folder)
    return folder


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
