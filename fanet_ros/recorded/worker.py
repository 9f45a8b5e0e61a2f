"""What a machine of a cluster does with the recordings that it is given."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fanet_ros.artefacts.cache import weights_digest
from fanet_ros.errors import FanetError
from fanet_ros.recorded.inputs import Input
from fanet_ros.recorded.job import Job, NetworkChoice, as_told
from fanet_ros.recorded.segment_files import segment_input
from fanet_ros.resources import weights_path
from fanet_ros.untrusted.text import printable

if TYPE_CHECKING:
    from fanet_ros.segmenter import Segmenter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How the work on one input ended.

    Attributes:
        folder: of its results; None after an error.
        said: lines for the user.
        error: why it could not be segmented; empty if it was.
    """

    folder: Path | None = None
    said: tuple[str, ...] = ()
    error: str = ""


def segment_here(given: Input, job: Job, log_level: int) -> Outcome:
    """Segment one input in this process, which keeps the network for the next one."""
    logging.basicConfig(level=log_level, format="%(message)s")  # reaches the user through the cluster
    printed = io.StringIO()
    folder, problem = None, ""
    try:
        with redirect_stdout(printed):
            folder = segment_input(given, _network(job.network), job.settings)
    except Exception as error:  # whatever one of them does, the others are segmented
        _log.debug("%s could not be segmented", printable(str(given.path)), exc_info=error)
        problem = str(as_told(given.path, error))
    return Outcome(folder, tuple(printed.getvalue().splitlines()), problem)


@lru_cache(maxsize=1)
def _network(choice: NetworkChoice) -> Segmenter:
    return choice.load()


def look_here(choice: NetworkChoice, digest: str, inputs: Sequence[str], mark: str) -> tuple[str, tuple[str, str]]:
    """Look whether this machine can do the work as the one would that asks.

    Args:
        choice: of the network, which is loaded.
        digest: of its weights there.
        inputs: paths that are there.
        mark: a file that was made there, in a folder in the one to write to.

    Returns:
        What is wrong, empty where nothing is, and the backend and precision that run the network.
    """
    problem = _other_weights(weights_path(choice.weights), digest) or _what_is_missing(inputs, mark)
    if not problem:
        try:
            info = _network(choice).backend_info
            return "", (info.name, info.precision)
        except FanetError as error:
            problem = f"cannot load the network: {error}"
    return problem, ("", "")


def _other_weights(weights: Path, digest: str) -> str:
    shared = "put them on storage that all machines have at the same place"
    try:
        found = weights_digest(weights)
    except FanetError as error:
        return f"does not see the weights: {error}; {shared}"
    return "" if found == digest else f"has other weights in {weights} than this one; {shared}"


def _what_is_missing(inputs: Sequence[str], mark: str) -> str:
    missing = [path for path in inputs if not os.path.exists(path)]
    if missing:
        return (
            f"does not see {len(missing)} of {len(inputs)} inputs, first: {printable(missing[0])}; put them on storage "
            "that all machines have at the same place"
        )
    folder = os.path.dirname(os.path.dirname(mark))
    if not os.path.exists(mark):
        return (
            f"does not see what is written to {printable(folder)}; give an --output on storage that all machines have "
            "at the same place"
        )
    try:
        with open(mark, "a", encoding="utf-8"):
            pass
    except OSError as error:
        return f"cannot write to {printable(folder)}: {error.strerror}; run it as the same user on all machines"
    return ""
