"""The cache of built artefacts: models and engines made from weights, found again by all that they depend on.

An artefact is a folder of files in `$XDG_CACHE_HOME/fanet_ros/<weights>/<key>/` with a manifest that names the key and
the checksum of every file. It appears whole or not at all, whatever ends its build; a damaged one is told of, thrown
away and built anew. What others could have put there is not used, and where the cache cannot be used, what is built
serves this process alone (place.py). Importing this module imports no framework.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from fanet_ros.artefacts.build_process import run_builder
from fanet_ros.artefacts.place import (
    cache_folder,
    distrusted,
    keep_from_others,
    lasting_folder,
    make_folder,
    private_folder,
    private_folder_if_any,
)
from fanet_ros.errors import BackendError, FanetError, NoRoomError, WeightsError
from fanet_ros.files import lack_of_room, locked_folder, looked_for, remove_abandoned, scratch_folder
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.model.weights_file import read_head
from fanet_ros.settings import Size

GRAPH_VERSION = 1
"""Raise it with every change of network.py or graph.py that changes the exported graph: what is older is then stale."""

MANIFEST = "manifest.json"
_REPORT_INTERVAL_S = 2.0
_SAFE_ROOM = 2**28  # bytes; where a build has failed with less left, it may have been for that

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArtefactKey:
    """All that an artefact depends on.

    Attributes:
        weights: SHA-256 of the weights file, in hexadecimal digits.
        backend: that runs it.
        version: of the backend's library.
        precision: of the network's arithmetic.
        input_size: of the network; None for an artefact that serves every size.
        device: kind of device for which it was built: `cpu`, or the GPU's model.
        graph_version: of the exported graph.
        temporal_frames: that its attention sees; 1 for single frames.
    """

    weights: str
    backend: str
    version: str
    precision: str
    input_size: Size | None
    device: str
    graph_version: int = GRAPH_VERSION
    temporal_frames: int = 1

    @property
    def folder_name(self) -> str:
        """The name of the artefact's folder: readable, and different for different keys."""
        size = "any-size" if self.input_size is None else str(self.input_size)
        frames = [f"{self.temporal_frames}-frames"] if self.temporal_frames > 1 else []
        parts = [self.backend, self.version, self.precision, size, self.device, f"graph{self.graph_version}", *frames]
        return "_".join(re.sub(r"[^A-Za-z0-9.+-]+", "-", part) for part in parts)

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}" + (f" for {self.input_size}" if self.input_size else "")

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest says of the key."""
        entries = {**asdict(self), "input_size": self.input_size and str(self.input_size)}
        if self.temporal_frames == 1:  # as in manifests from before there was anything else
            del entries["temporal_frames"]
        return entries


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file in hexadecimal digits; of a foreign network also that of its card.

    Raises:
        WeightsError: the file cannot be read, or is none: a device would be read for ever.
        LabelSetError: a foreign network's card cannot be used.
    """
    read_head(path)
    try:
        if is_foreign(path):
            from fanet_ros.model.foreign import digest_of_network  # imports numpy, which choosing a precision needs not

            return digest_of_network(path, _sha256)
        return _sha256(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file{looked_for(path)}; check the path") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def find(key: ArtefactKey) -> Path | None:
    """Return the folder of a cached artefact after checking every file of it; None where it has to be built.

    A damaged one is told of in the log and thrown away.
    """
    for parent in (cache_folder(key.weights), private_folder_if_any(key.weights)):
        folder = None if parent is None else parent / key.folder_name
        if folder is not None and _is_good(folder, key):
            return folder
    return None


def find_shipped(folder: Path, key: ArtefactKey) -> Path | None:
    """Return `folder` if it holds an artefact for these weights that was delivered together with them.

    It was made elsewhere, so the version of the backend's library may differ: its file format outlives versions.
    """
    if not (folder / MANIFEST).is_file():
        return None
    problem = _problem(folder, {**key.as_json(), "version": None})
    if problem:
        _log.warning("%s cannot be used: %s", folder, problem)
        return None
    return folder


def obtain(key: ArtefactKey, *, builder: str, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> Path:
    """Return the folder of an artefact, building it first where it is not in the cache.

    Args:
        key: of the artefact.
        builder: name of a module with a function `build(folder: Path, **arguments)`, which writes the files. It runs in
            a process of its own: what it imports, leaks or crashes stays there.
        arguments: of that function; must survive JSON.
        progress: told every few seconds how the build goes; an exception from it ends the build.

    Raises:
        BackendError: the build failed; says why.
    """
    with building(key, progress):
        return find(key) or store(key, lambda target: run_builder(builder, target, arguments, str(key), progress))


def store(key: ArtefactKey, write: Callable[[Path], None], *, lasting: bool = False) -> Path:
    """Put an artefact into the cache, in place of an older one of the same key.

    Args:
        key: of the artefact.
        write: writes the files into the empty folder it is given; if it raises, the cache stays as it was. Where the
            cache turns out to have no room, it is called again for another folder.
        lasting: whether an artefact that serves this process alone would be of no use.

    Returns:
        The artefact's folder: where the cache cannot be written, and unless `lasting`, a temporary one.

    Raises:
        NoRoomError: it cannot be kept.
    """
    parent = lasting_folder(key.weights) if lasting else cache_folder(key.weights)
    try:
        return _store_in(parent, key, write)
    except OSError as error:
        reason = f"{parent} cannot be written: {error.strerror or error}"
    if lasting:
        raise NoRoomError(f"the built model cannot be kept: {reason}; make room, or set XDG_CACHE_HOME")
    private = private_folder(key.weights, reason)
    try:
        return _store_in(private, key, write)
    except OSError as error:
        raise NoRoomError(
            f"the built model can be kept nowhere: {reason}; nor can {private}: {error.strerror or error}; make room"
        ) from None


def _store_in(parent: Path, key: ArtefactKey, write: Callable[[Path], None]) -> Path:
    """Put an artefact into this folder; raise OSError, whatever `write` says, where the folder is at fault."""
    make_folder(parent)
    remove_abandoned(parent)
    folder = parent / key.folder_name
    with scratch_folder(parent, ".unfinished-") as unfinished:
        try:
            write_artefact(unfinished, key, write)
        except Exception as error:
            full = lack_of_room(error)
            if full is not None:
                raise full from error
            if not isinstance(error, FanetError) or isinstance(error, BackendError):
                _check_room(unfinished)  # libraries do not say that the disk is full: "iostream error"
            raise
        with locked_folder(parent):
            discard(folder)
            unfinished.rename(folder)
    return folder


def _check_room(folder: Path) -> None:
    """Raise OSError where little can be written to a folder; libraries may have removed what filled the disk up."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(2**16))
    if shutil.disk_usage(folder).free < _SAFE_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def write_artefact(folder: Path, key: ArtefactKey, write: Callable[[Path], None]) -> None:
    """Fill an empty folder with the files of an artefact and their manifest."""
    write(folder)
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"key": key.as_json(), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        keep_from_others(path)


def fingerprint(folder: Path) -> str:
    """Return what tells an artefact from any other: a hash of its files' checksums, 16 hexadecimal digits.

    Args:
        folder: as `find` or `find_shipped` returned it.
    """
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def discard(folder: Path) -> None:
    """Throw an artefact away, so that it is built anew; nothing happens where there is none."""
    # renamed first: another process finds it whole or not at all
    with suppress(FileNotFoundError), scratch_folder(folder.parent, ".unfinished-") as doomed:
        folder.rename(doomed / folder.name)


def _is_good(folder: Path, key: ArtefactKey) -> bool:
    """Whether a folder of the cache holds this artefact as it was made; the log says why not, if there is any."""
    if not os.path.isdir(folder):  # Path.is_dir raises where a folder above it may not be entered
        return False
    try:
        foreign = next(filter(None, map(distrusted, (folder, *folder.iterdir()))), "")
    except OSError:
        foreign = ""  # it is unreadable, which is said below
    if foreign:  # nothing is wrong with it, perhaps: its owner may make it good again
        _log.warning("%s is not used: %s", folder, foreign)
        return False
    problem = _problem(folder, key.as_json())
    if problem:
        _log.warning("%s is damaged (%s) and cannot be used", folder, problem)
        try:
            discard(folder)
        except OSError as error:
            _log.warning("%s cannot be removed: %s; do so, or it is met at every start", folder, error.strerror)
    return not problem


def _problem(folder: Path, expected: Mapping[str, Any]) -> str:
    """Return what is wrong with an artefact; empty if nothing. A value of None in `expected` matches everything."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        key, files = manifest["key"], dict(manifest["files"])
        for name, value in expected.items():
            if value is not None and key[name] != value:
                return f"it was made for {name} {key[name]}, not {value}"
        for name, checksum in files.items():
            if _sha256(folder / name) != checksum:
                return f"{name} has changed since it was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if files else "it holds no files"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()  # hashlib.file_digest needs Python 3.11, and Ubuntu 22.04 has 3.10
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def building(key: ArtefactKey, progress: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time build an artefact; the others wait and find it built.

    Args:
        key: of the artefact.
        progress: told every few seconds of the waiting; an exception from it ends that.
    """
    parent = cache_folder(key.weights)
    try:
        make_folder(parent)
        # no link is followed and nothing cut off, whatever lies there
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        lock = os.open(parent / f".{key.folder_name}.lock", flags, 0o600)
    except OSError:  # `store` says so
        yield
        return
    try:
        started, reported = monotonic(), 0.0
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = monotonic() - started
                if waited >= reported:
                    progress(f"another process builds {key}, waiting for it: {waited:.0f} s")
                    reported = waited + _REPORT_INTERVAL_S
                sleep(0.5)
            except OSError as error:
                _log.debug("%s cannot be locked: %s", parent, error.strerror)  # some network file systems have no locks
                break
        yield
    finally:
        os.close(lock)
