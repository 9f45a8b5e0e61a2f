"""What a training leaves in its folder: the recipe, weights that a node can run at once, and their cards."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import yaml
from torch import Tensor

from fanet_ros.errors import TrainingError
from fanet_ros.files import write_whole
from fanet_ros.model.labels import LabelSet, save_label_set, shipped_label_sets
from fanet_ros.model.weights import save_weights
from fanet_ros.reports.report import make_folder
from fanet_ros.settings import Size, read_size
from fanet_ros.training.checkpoint import STATE_FILE
from fanet_ros.training.recipe import Recipe, recipe_yaml

BEST, FINAL = "best", "final"
RECIPE_FILE, LABELS_FILE, LOCK_FILE = "recipe.yaml", "labels.yaml", ".lock"

_log = logging.getLogger(__name__)
_held: dict[Path, IO[str]] = {}  # the locks belong to this process, as the folders do


def hold_folder(path: Path) -> None:
    """Keep other processes from training in a folder until this one ends, however that happens.

    Raises:
        TrainingError: another one trains there.
    """
    path = path.resolve()
    if path in _held or not path.is_dir():
        return
    lock = None
    try:
        lock = (path / LOCK_FILE).open("w")
        # not flock: processes that read ahead would inherit that, and hold the folder a while longer than this one
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock is not None:
            lock.close()
        if error.errno in (errno.EACCES, errno.EAGAIN) and lock is not None:
            raise TrainingError(
                f"another process trains in {path} now; wait for its end, or choose another folder"
            ) from None
        _log.debug("%s cannot be locked: %s", path, error.strerror)  # some network file systems have no locks
        return
    _held[path] = lock


class RunFolder:
    """The folder of one training.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path, recipe: Recipe, label_set: LabelSet) -> None:
        self.path, self._recipe, self._label_set = path, recipe, label_set

    def begin(self) -> None:
        """Make the folder for a new training, and note the recipe and the classes.

        Raises:
            SettingError: it cannot be made.
            TrainingError: another training is in it, or it cannot be written.
        """
        make_folder(self.path)
        hold_folder(self.path)
        if (self.path / STATE_FILE).exists():
            raise TrainingError(
                f"{self.path} holds a training already: go on with it (fanet train --resume {self.path}), or choose "
                "another --output"
            )
        try:
            write_whole(self.path / RECIPE_FILE, recipe_yaml(self._recipe))
            save_label_set(self._label_set, self.path / LABELS_FILE)
        except OSError as error:
            raise TrainingError(f"cannot write to {self.path}: {error.strerror}; is the disk full?") from None

    def file(self, name: str) -> Path:
        """Return where weights lie: of BEST or FINAL."""
        return self.path / f"{name}.safetensors"

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
        """Write weights, BEST or FINAL, and a card by which nodes and commands know their classes and input size."""
        path = self.file(name)
        try:
            # the card first: without it, weights cannot be used
            write_whole(path.with_suffix(".md"), self._card(name, facts))
            save_weights(path, tensors)
        except OSError as error:
            raise TrainingError(f"cannot write {path}: {error.strerror}; is the disk full?") from None

    def _card(self, name: str, facts: Mapping[str, str]) -> str:
        shipped = self._label_set.name in shipped_label_sets()
        frames = self._recipe.network.temporal_frames
        front = {
            "label_set": self._label_set.name if shipped else LABELS_FILE,
            "input_size": str(self._input_size()),
            **({"temporal_frames": frames} if frames > 1 else {}),
            "tags": ["image-segmentation", "fanet", self._recipe.data.train.dataset],
        }
        lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {self._recipe.name}, {name}", ""]
        lines += [f"- {key}: {value}" for key, value in facts.items()]
        return "\n".join(lines) + "\n"

    def _input_size(self) -> Size:
        for part in self._recipe.data.validation:
            if part.input_size != "camera":
                return read_size(part.input_size)
        return self._recipe.augmentation.crop_size
