"""What people see of a training: a progress bar, curves for TensorBoard, pictures, and a log with a line per fact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from fanet_ros.errors import TrainingError
from fanet_ros.files import write_whole
from fanet_ros.reports.report import make_folder, write_image
from fanet_ros.training.validation import Validation

LOG_FILE = "log.jsonl"
CURVES, PICTURES = "tensorboard", "pictures"


class Observer:
    """Shows and notes what happens in a training; that of processes other than the first does neither."""

    def __init__(self, folder: Path, *, first: bool, started_at: int, unscored: bool = False) -> None:
        """Begin to observe in the folder of a run.

        Of an earlier attempt, entries after `started_at` are dropped, and scores at it where it is still `unscored`.
        """
        self._folder, self._first = folder, first
        self._console = Console()
        self._progress: Progress | None = None
        self._curves: SummaryWriter | None = None
        if first:
            make_folder(folder / PICTURES)
            _drop_later_entries(folder / LOG_FILE, started_at, unscored)
            with self._writing():
                self._curves = SummaryWriter(str(folder / CURVES), purge_step=started_at + 1)

    @contextmanager
    def watching(self, iterations: int, done: int) -> Iterator[None]:
        """Show a progress bar while the training runs."""
        if not self._first:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        times = (TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=False))
        with Progress(*columns, *times, console=self._console) as self._progress:
            self._task = self._progress.add_task("training", total=iterations, completed=done, facts="")
            try:
                yield
            finally:
                assert self._curves is not None
                with suppress(OSError):  # a full disk, of which more was said before; the last curves are lost
                    self._curves.close()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._first:
            self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def doing(self, text: str) -> None:
        """Show beside the bar what takes its time."""
        if self._progress is not None:
            self._progress.update(self._task, facts=text)

    def stepped(self, iteration: int, loss: float, rate: float, seconds: float) -> None:
        """Note the mean loss, the rate and the seconds per step of the last steps.

        Where the output is no terminal, which would show the bar, every note is a line.
        """
        if self._curves is None or self._progress is None:
            return
        with self._writing():
            self._curves.add_scalar("train/loss", loss, iteration)
            self._curves.add_scalar("train/rate", rate, iteration)
            self._curves.add_scalar("train/seconds_per_step", seconds, iteration)
        facts = f"loss {loss:.3f}  {seconds:.2f} s a step"
        self._progress.update(self._task, completed=iteration, facts=facts)
        if not self._console.is_terminal:
            self.say(f"iteration {iteration}  {facts}")
        self._note({"iteration": iteration, "loss": loss, "rate": rate, "seconds_per_step": seconds})

    def flush(self) -> None:
        """Write out the curves, as far as a checkpoint has come."""
        if self._curves is not None:
            with self._writing():
                self._curves.flush()

    def validated(self, iteration: int, validation: Validation) -> None:
        """Note scores, and write the pictures."""
        if self._curves is None:
            return
        scores, name = validation.scores, validation.name
        with self._writing():
            self._curves.add_scalar(f"{name}/miou", scores.miou, iteration)
            self._curves.add_scalar(f"{name}/pixel_accuracy", scores.pixel_accuracy, iteration)
            for class_name, iou in zip(validation.names, scores.iou, strict=True):
                self._curves.add_scalar(f"{name}_iou/{class_name}", iou, iteration)
            if validation.pictures is not None:
                self._curves.add_image(name, validation.pictures, iteration, dataformats="HWC")
                write_image(self._folder / PICTURES / f"{name}_{iteration:06d}.jpg", validation.pictures)
        self.say(
            f"iteration {iteration}  {name}: mIoU {scores.miou:.4f}, pixel accuracy {scores.pixel_accuracy:.4f}, "
            f"{scores.frames} images"
        )
        facts = {key: value for key, value in scores.as_json(validation.names).items() if key != "confusion"}
        self._note({"iteration": iteration, "validation": name, **facts})

    def _note(self, entry: dict[str, Any]) -> None:
        with self._writing(), (self._folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"cannot write to {self._folder}: {error.strerror}; is the disk full? Then make room, and go on with: "
                f"fanet train --resume {self._folder}"
            ) from None


def _drop_later_entries(path: Path, last: int, unscored: bool) -> None:
    """Keep of an earlier attempt's log what came before the checkpoint from which it goes on."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            later = entry["iteration"] > last or (unscored and entry["iteration"] == last and "validation" in entry)
            if not later:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):  # cut short when the process was killed
            continue
    write_whole(path, "".join(kept))
