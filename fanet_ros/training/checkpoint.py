"""A training's whole state in one file, from which it goes on exactly; written whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from fanet_ros.errors import TrainingError
from fanet_ros.files import looked_for, replacing

STATE_FILE = "last.pt"
FORMAT = 2  # raise it when what a state holds changes

_log = logging.getLogger(__name__)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state in a run's folder; a power cut leaves the old one or the new one.

    It holds tensors, numbers, text and containers of them, so that reading it back runs no code.

    Raises:
        TrainingError: it cannot be written; the old one is still there.
    """
    try:
        with replacing(folder / STATE_FILE, durable=True) as unfinished:
            torch.save({"format": FORMAT, **state}, unfinished)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into RuntimeError
        _log.debug("while the state was written", exc_info=True)
        path = folder / STATE_FILE
        why = "it was cut short" if "inline_container" in str(error) else str(error)  # torch's words for a full disk
        advice = f" The state before is still there: fanet train --resume {folder}" if path.exists() else ""
        raise TrainingError(f"cannot write {path}: {why}; is the disk full?{advice}") from None


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state of a run.

    Raises:
        TrainingError: there is none, or it is damaged or of another version.
    """
    path = folder / STATE_FILE
    try:
        with path.open("rb") as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"{folder} holds no {STATE_FILE} to resume from{looked_for(folder)}: give the folder of a training that "
            "has saved a checkpoint"
        ) from None
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file raises whatever its bytes lead the parser into
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}); it is damaged, start anew") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"{path} is no checkpoint of this version's trainings; finish it with the version it began with"
        )
    return state
