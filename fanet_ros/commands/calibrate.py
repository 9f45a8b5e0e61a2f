"""`fanet calibrate`: make int8, and measure what each precision costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fanet_ros.commands.console import errors, one_line_errors, progress_bars, say
from fanet_ros.commands.options import InputSize, NetworkOptions, check_options, grouped, weights_path
from fanet_ros.errors import SettingError
from fanet_ros.settings import PRECISIONS

if TYPE_CHECKING:
    from fanet_ros.calibration.calibrate import Calibration, Task

_FEW_FRAMES = 20


@grouped
def calibrate(
    network: NetworkOptions,
    frames: Annotated[
        str,
        typer.Argument(
            help="Images like your camera's: a folder or a video. With labels: a folder with images/ and labels/ (of "
            "several splits train), or a text file with lines 'image label'."
        ),
    ] = "",
    gate: Annotated[
        str,
        typer.Option(help="Measure on these frames instead (of several splits val), labelled ones if you have them."),
    ] = "",
    twin: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the same training before it learned from the gate's frames: the loss is measured on them, "
            "and counts for --weights."
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="A precision to measure; repeat it for several. All that the backend computes in here, if left out.",
            metavar="|".join(PRECISIONS[1:]),
        ),
    ] = None,
    input_size: InputSize = "auto",
    calibration_frames: Annotated[int, typer.Option(min=1, help="Calibrate int8 on at most so many frames.")] = 100,
    gate_frames: Annotated[int, typer.Option(min=1, help="Measure on at most so many frames.")] = 500,
    ship: Annotated[
        bool, typer.Option("--ship", help="Also write the results beside the weights, to be delivered with them.")
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Only remove your own results and int8 network of the weights: those delivered with them count again.",
        ),
    ] = False,
) -> None:
    """Calibrate int8 on your images and measure each precision, so that `auto` can take the fastest good one."""
    with one_line_errors():
        check_options(backend=network.backend, device=network.device, input_size=input_size)
        path = weights_path(network.weights)
        if forget:
            if frames:
                raise SettingError(f"forget: received frames, too ({frames}); leave them out: it measures nothing")
            _forget(path)
            return
        if not frames:
            raise SettingError("frames: received none; give images like your camera's: a folder, a video or a list")
        from fanet_ros.artefacts.gate import choose_precision
        from fanet_ros.backends import backend_class
        from fanet_ros.backends.foreign import label_set_of
        from fanet_ros.calibration import calibrate as calibration
        from fanet_ros.calibration.calibration_frames import open_frames
        from fanet_ros.model.model_card import merging_key, read_card

        classes = label_set_of(path, network.labels)
        task = calibration.Task(
            weights=path,
            calibration=open_frames(frames, split="train"),
            gate=open_frames(gate or frames, classes),
            calibration_frames=calibration_frames,
            gate_frames=gate_frames,
            backend=network.backend,
            device=network.device,
            precisions=tuple(precision or ()),
            input_size=input_size,
            labels=network.labels,
            twin=None if twin is None else weights_path(twin),
        )
        _tell_of_more_frames(task, network.backend)
        with progress_bars() as counter:
            done = calibration.calibrate(task, counter)
        shipped = calibration.ship(task, done) if ship else []
        kind = backend_class(done.backend)
        supported, int8 = kind.precisions(done.device), kind.int8_network(task.weights)
        _, reason = choose_precision(
            task.weights, done.backend, done.device, supported, int8, merging_key(task.labels, read_card(task.weights))
        )

    Console().print(_table(done, task.gate.name))
    lines = [f"precision auto: {reason}", f"results: {done.gate_file}"]
    measured = done.measurements[0].accuracy.frames
    if measured < _FEW_FRAMES:
        lines.insert(0, f"note: {measured} frames say little; give {_FEW_FRAMES} or more before you trust the results")
    lines += [f"int8 network: {done.int8_model}"] if done.int8_model else []
    lines += [f"to deliver with the weights: {path}" for path in shipped]
    say(*lines)


def _forget(weights: Path) -> None:
    from fanet_ros.artefacts.gate import forget_calibration, read_gate_results

    removed = forget_calibration(weights)
    left = [f"{r.backend} {r.precision}: {r}" for r in read_gate_results(weights)]
    say(
        *([f"removed: {path}" for path in removed] or ["removed: nothing, as there was no calibration of your own"]),
        *(left or ["nothing is measured of these weights now: auto takes fp32"]),
    )


def _tell_of_more_frames(task: Task, backend: str) -> None:
    """Say that results on more frames are about to be replaced, while that can be stopped."""
    from fanet_ros.artefacts.gate import read_gate_results

    count = min(task.gate_frames, task.gate.length)
    known = [r for r in read_gate_results(task.weights) if backend in ("auto", r.backend)]
    more = [r for r in known if r.frames > count and (not task.precisions or r.precision in task.precisions)]
    for result in more:
        say(
            f"warning: this measures on {count} frames, and replaces what was measured on {result.frames} frames of "
            f"{result.data} ({result.backend} {result.precision}); fanet calibrate --forget brings back what was "
            "delivered with the weights",
            to=errors,
        )


def _table(done: Calibration, data: str) -> Table:
    exact = done.measurements[0].accuracy
    table = Table(title=escape(f"{done.backend} on {done.device}, {exact.frames} frames of {data}"))
    table.add_column("precision")
    for heading in ("mIoU", "labels as fp32", "points lost", "limit", "ms a frame"):
        table.add_column(heading, justify="right")
    table.add_column("accuracy gate")
    for measurement in done.measurements:
        accuracy, result = measurement.accuracy, measurement.result
        table.add_row(
            measurement.precision,
            "-" if accuracy.miou is None else f"{accuracy.miou:.2f}",
            f"{accuracy.agreement:.2f} %",
            "-" if result is None else f"{result.loss:.2f}",
            "-" if result is None else f"{result.limit:.1f}",
            f"{accuracy.median_ms:.1f}",
            "[dim]reference[/]" if result is None else "[green]passed[/]" if result.passed else "[red]failed[/]",
        )
    return table
