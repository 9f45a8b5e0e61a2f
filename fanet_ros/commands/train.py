"""`fanet train`: train FANet by a recipe, on one's own images or on a public data set."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fanet_ros.commands.console import INTERRUPTED, one_line_errors, say
from fanet_ros.commands.options import Device, check_options, grouped, weights_path
from fanet_ros.errors import SettingError
from fanet_ros.processes import stop_signals

if TYPE_CHECKING:
    from fanet_ros.training.run import Task


@dataclass(frozen=True)
class StartOptions:
    """What a new training begins with, and a resumed one has already."""

    recipe: Annotated[
        Path | None, typer.Option(help="YAML file of the recipe, or the name of a shipped one, such as camvid.")
    ] = None
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the training; default runs/<recipe>.")
    ] = None
    encoder: Annotated[
        Path | None,
        typer.Option(help="ImageNet weights of the encoder, with torchvision's names (.pth or .safetensors)."),
    ] = None
    weights: Annotated[
        str,
        typer.Option(help="A trained FANet to start from instead (fine-tuning); `shipped` for the shipped weights."),
    ] = ""
    iterations: Annotated[int | None, typer.Option(min=1, help="Optimiser steps, instead of the recipe's.")] = None
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the recipe's.")] = None
    set: Annotated[
        list[str] | None,
        typer.Option(help="Replace a setting of the recipe; repeat it for several.", metavar="PART.NAME=VALUE"),
    ] = None


@grouped
def train(
    start: StartOptions,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the recipe's data set; repeat it as NAME=FOLDER for data sets that it mixes in.",
            metavar="[NAME=]FOLDER",
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the training in this folder, exactly where its last checkpoint is.")
    ] = None,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that read ahead, for each training process.")
    ] = 1,
) -> None:
    """Train FANet. Start it with torchrun for several GPUs or machines; kill it when you like, and resume it."""
    with one_line_errors("train"):
        check_options(device=device)
        # as for inference: threads that spin while they wait slow everything beside them; read once, when torch loads
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from fanet_ros.memory import keep_all_blocks
        from fanet_ros.training import run
        from fanet_ros.training.processes import join_processes

        given = _paths(data or [])
        with join_processes(device) as processes:
            console = Console(quiet=not processes.is_first)
            with console.status("opening the data") as status:
                if resume is None:
                    task = _task(start, given, workers)
                    folder, trainer = task.output, run.start(task, processes, status.update)
                else:
                    _refuse(start)
                    folder, trainer = resume, run.resume(resume, given, workers, processes, status.update)
            keep_all_blocks()  # it holds for the whole process, so not before there is something to train
            with _stop_on_signal() as asked_to_stop:
                outcome = trainer.train(asked_to_stop)
        if outcome.finished:
            best = "" if outcome.best is None else f", best mIoU {outcome.best:.4f}"
            text = f"done after {outcome.iteration} iterations{best}: {outcome.weights}"
        else:
            text = f"stopped after {outcome.iteration} iterations; go on with: fanet train --resume {folder}"
        say(text, to=console)
        if not outcome.finished:
            raise typer.Exit(INTERRUPTED)


def _task(start: StartOptions, data: dict[str, Path], workers: int) -> Task:
    from fanet_ros.training.recipe import load_recipe
    from fanet_ros.training.run import Task, main_path_named

    if start.recipe is None:
        raise SettingError("give --recipe FILE or the name of a shipped one, such as camvid, or --resume FOLDER")
    overrides = list(start.set or ())
    overrides += [] if start.iterations is None else [f"run.iterations={start.iterations}"]
    overrides += [] if start.seed is None else [f"run.seed={start.seed}"]
    loaded = load_recipe(start.recipe, overrides)
    if start.encoder is not None and start.weights:
        raise SettingError("a trained FANet has its own encoder; give --encoder or --weights, not both")
    trained = weights_path(start.weights) if start.weights else None
    return Task(
        recipe=loaded,
        paths=main_path_named(data, loaded),
        output=(start.output or Path("runs") / loaded.name).expanduser(),
        encoder=None if start.encoder is None else start.encoder.expanduser(),
        weights=trained,
        workers=workers,
    )


def _paths(data: list[str]) -> dict[str, Path]:
    """Read NAME=FOLDER, or FOLDER alone, which belongs to the empty name."""
    paths: dict[str, Path] = {}
    for text in data:
        name, equals, folder = text.partition("=")
        if not equals or "/" in name:  # a folder may have = in its name, a data set no /
            name, folder = "", text
        if name in paths:
            raise SettingError(f"data: two folders for {name or 'the main data set'}; name them, such as street=FOLDER")
        paths[name] = Path(folder).expanduser().absolute()  # a training may be resumed from elsewhere
    return paths


def _refuse(start: StartOptions) -> None:
    """A resumed training does what it began with, or it would not be the same training."""
    given = [f"--{name}" for name, value in vars(start).items() if value not in (None, "", [])]
    if given:
        raise SettingError(f"{', '.join(given)}: not together with --resume, which goes on as the training began")


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP end the training after the step under way; the second ends it at once."""
    asked = False

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in stop_signals()}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
