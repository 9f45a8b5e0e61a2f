"""The cache of built artefacts: models and engines made from weights, found again by all that they depend on.

An artefact is a folder of files in `$XDG_CACHE_HOME/fanet_ros/<weights>/<key>/` with a manifest that names the key and
the checksum of every file. It appears whole or not at all, whatever ends its build; a damaged one is told of, thrown
away and built anew. Importing this module imports no framework.
"""

from __future__ import annotations

import atexit
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
from time import monotonic, sleep, time
from typing import Any

from fanet_ros.artefacts.build_process import run_builder
from fanet_ros.errors import BackendError, WeightsError
from fanet_ros.settings import Size

GRAPH_VERSION = 1
"""Raise it with every change of network.py or graph.py that changes the exported graph: what is older is then stale."""

MANIFEST = "manifest.json"
_ABANDONED_AFTER_S = 24 * 3600.0
_REPORT_INTERVAL_S = 2.0

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
    """Return the SHA-256 of a weights file in hexadecimal digits.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        return _sha256(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file; check the path") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def cache_folder(digest: str) -> Path:
    """Return the folder for all that was made from the weights with this digest; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG rules ignore relative paths
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):  # a user without a home, as containers have
        base = os.path.join(tempfile.gettempdir(), f"cache-{os.getuid()}")
    return Path(base) / "fanet_ros" / digest[:16]


def find(key: ArtefactKey) -> Path | None:
    """Return the folder of a cached artefact after checking every file of it; None where it has to be built.

    A damaged one is told of in the log and thrown away.
    """
    folder = cache_folder(key.weights) / key.folder_name
    if not os.path.isdir(folder):  # Path.is_dir raises where a folder above it may not be entered
        return None
    problem = _problem(folder, key.as_json())
    if problem:
        _log.warning("%s is damaged (%s) and cannot be used", folder, problem)
        try:
            discard(folder)
        except OSError as error:
            _log.warning("%s cannot be removed: %s; do so, or it is met at every start", folder, error.strerror)
        return None
    return folder


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
    with _locked(key, progress):
        return find(key) or store(key, lambda target: run_builder(builder, target, arguments, str(key), progress))


def store(key: ArtefactKey, write: Callable[[Path], None]) -> Path:
    """Put an artefact into the cache, in place of an older one of the same key.

    Args:
        key: of the artefact.
        write: writes the files into the empty folder it is given; if it raises, the cache stays as it was.

    Returns:
        The artefact's folder. Where the cache cannot be written, a temporary folder that serves this process alone.
    """
    parent = cache_folder(key.weights)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    except OSError as error:
        _log.warning(
            "%s cannot be written (%s): the model is built for this process alone; set XDG_CACHE_HOME to a folder that "
            "can be written",
            parent,
            error.strerror,
        )
        unfinished = Path(tempfile.mkdtemp(prefix="fanet_ros-"))
        atexit.register(shutil.rmtree, unfinished, ignore_errors=True)
        write_artefact(unfinished, key, write)
        return unfinished
    _remove_abandoned(parent)
    try:
        write_artefact(unfinished, key, write)
        folder = parent / key.folder_name
        discard(folder)
        unfinished.rename(folder)
    except OSError as error:
        raise BackendError(f"cannot store the built model in {parent}: {error}; is the disk full?") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def write_artefact(folder: Path, key: ArtefactKey, write: Callable[[Path], None]) -> None:
    """Fill an empty folder with the files of an artefact and their manifest."""
    write(folder)
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"key": key.as_json(), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def fingerprint(folder: Path) -> str:
    """Return what tells an artefact from any other: a hash of its files' checksums, 16 hexadecimal digits.

    Args:
        folder: as `find` or `find_shipped` returned it.
    """
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def discard(folder: Path) -> None:
    """Throw an artefact away, so that it is built anew; nothing happens where there is none."""
    if not folder.exists():
        return
    # renamed first: another process finds it whole or not at all
    doomed = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    folder.rename(doomed / folder.name)
    shutil.rmtree(doomed, ignore_errors=True)


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
def _locked(key: ArtefactKey, progress: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time build an artefact; the others wait and find it built."""
    parent = cache_folder(key.weights)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = (parent / f".{key.folder_name}.lock").open("w")
    except OSError:  # `store` says so
        yield
        return
    with lock:
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


def _remove_abandoned(parent: Path) -> None:
    """Remove what builds have left that were killed."""
    for folder in parent.glob(".unfinished-*"):
        with suppress(OSError):  # another process was quicker
            if time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)
