"""Where results go, and which of them an earlier run of the same command has finished."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
        with (self.folder / _IDENTITY).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SettingError(
                    f"another run is at work in {self.folder}; wait for its end or give another output"
                ) from None
            make_folder(self.unfinished)
            for half in self.unfinished.glob(".*"):  # what a killed run has left
                shutil.rmtree(half) if half.is_dir() else half.unlink()
            try:
                yield
            except (FanetError, KeyboardInterrupt) as error:
                finished = sum(file.is_file() for file in self.files)
                if not finished:
                    self._give_up()
                    raise
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
        (self.folder / _IDENTITY).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def claim_workplace(output: Path, recording: Recording, settings: Mapping[str, Any]) -> Workplace:
    """Find the folder in which an earlier run began or finished the same work, or a free one.

    Work is the same if the settings and the names, sizes and times of change of the input files are.

    Args:
        output: folder of all results.
        recording: that is segmented.
        settings: everything else that changes the results, as JSON can say it.

    Raises:
        SettingError: the folder cannot be made.
    """
    status = {path.name: path.stat() for path in recording.files}
    files = [{"name": name, "bytes": s.st_size, "changed_ns": s.st_mtime_ns} for name, s in status.items()]
    identity = json.dumps({"files": files, **settings}, indent=2, sort_keys=True) + "\n"
    folder = claim_folder(output / recording.name, lambda place: _read(place / _IDENTITY) == identity)
    if not (folder / _IDENTITY).exists():  # else another run may hold its lock
        write_whole(folder / _IDENTITY, identity)
    bag = folder / f"{recording.name}_segmented"
    unfinished = bag.with_name(f".{bag.name}.unfinished")
    names = (f"{bag.name}_{index}.mcap" for index in range(len(recording.files)))
    return Workplace(folder, bag, unfinished, tuple(unfinished / name for name in names))


def claim_folder(wanted: Path, is_ours: Callable[[Path], bool] = lambda _: False) -> Path:
    """Return the first of NAME, NAME_2 and so on that is ours, empty or not there; made if missing.

    Raises:
        SettingError: it cannot be made.
    """
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        if not folder.exists() or (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
            break
    make_folder(folder)
    return folder


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
