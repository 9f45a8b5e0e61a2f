"""Where results go, and which of them an earlier run of the same command has finished."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.files import write_whole
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
    """

    folder: Path
    bag: Path

    @property
    def unfinished(self) -> Path:
        """The hidden folder in which files are finished."""
        return self.bag.with_name(f".{self.bag.name}.unfinished")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.bag.is_dir()

    def file(self, index: int) -> Path:
        """Return the finished file made from the recording's file of that index."""
        return self.unfinished / f"{self.bag.name}_{index}.mcap"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out while this one is at work; the lock ends with the process, however that ends.

        Raises:
            SettingError: another run is at work.
        """
        with (self.folder / _IDENTITY).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SettingError(
                    f"another run is at work in {self.folder}; wait for its end or give another output"
                ) from None
            yield

    def begin(self) -> None:
        """Make the hidden folder, and remove what a killed run has left half done in it."""
        make_folder(self.unfinished)
        for half in self.unfinished.glob(".*"):
            shutil.rmtree(half) if half.is_dir() else half.unlink()

    def publish(self) -> None:
        """Make the hidden folder the bag.

        Raises:
            SettingError: it cannot be renamed.
        """
        try:
            os.rename(self.unfinished, self.bag)
        except OSError as error:
            raise SettingError(f"{self.unfinished} cannot become {self.bag}: {error.strerror}") from None

    def give_up(self) -> None:
        """Remove the hidden folder and, if nothing else is in it, the results' folder."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        (self.folder / _IDENTITY).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def identity_of(recording: Recording, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results depend on: the input files by name, size and time of change, and the settings.

    Args:
        recording: that is segmented.
        settings: everything else that changes the results, as JSON can say it.
    """
    files = []
    for path in recording.files:
        status = path.stat()
        files.append({"name": path.name, "bytes": status.st_size, "changed_ns": status.st_mtime_ns})
    return {"files": files, **settings}


def claim_workplace(output: Path, name: str, identity: Mapping[str, Any]) -> Workplace:
    """Find the folder in which an earlier run began or finished the same work, or a free one: NAME, NAME_2 and so on.

    Args:
        output: folder of all results.
        name: of the recording.
        identity: of the work, from `identity_of`.

    Raises:
        SettingError: the folder cannot be made.
    """
    folder, number = output / name, 2
    text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    while folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if _read(folder / _IDENTITY) == text:
            break
        folder = output / f"{name}_{number}"
        number += 1
    else:
        make_folder(folder)
        write_whole(folder / _IDENTITY, text)
    return Workplace(folder, folder / f"{name}_segmented")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
