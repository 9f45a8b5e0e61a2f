"""`fanet calibrate`: make int8, and measure what each precision costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fanet_ros.commands.console import one_line_errors, progress_bars, say
from fanet_ros.commands.options import InputSize, NetworkOptions, check_options, grouped, weights_path
from fanet_ros.settings import PRECISIONS

if TYPE_CHECKING:
    from fanet_ros.calibration.calibrate import Calibration

_FEW_FRAMES = 20


@grouped
def calibrate(
    frames: Annotated[
        str,
        typer.Argument(
            help="Images like your camera's: a folder or a video. With labels: a folder with images/ and labels/, or a "
            "text file with lines 'image label'."
        ),
    ],
    network: NetworkOptions,
    gate: Annotated[str, typer.Option(help="Measure on these frames instead, labelled ones if you have them.")] = "",
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
) -> None:
    """Calibrate int8 on your images and measure each precision, so that `auto` can take the fastest good one."""
    with one_line_errors():
        check_options(backend=network.backend, device=network.device, input_size=input_size)
        from fanet_ros.artefacts.gate import choose_precision
        from fanet_ros.backends import backend_class
        from fanet_ros.calibration import calibrate as calibration
        from fanet_ros.calibration.calibration_frames import open_frames
        from fanet_ros.model.model_card import merging_key, read_card

        calibration_set = open_frames(frames)
        task = calibration.Task(
            weights=weights_path(network.weights),
            calibration=calibration_set,
            gate=open_frames(gate) if gate else calibration_set,
            calibration_frames=calibration_frames,
            gate_frames=gate_frames,
            backend=network.backend,
            device=network.device,
            precisions=tuple(precision or ()),
            input_size=input_size,
            labels=network.labels,
            twin=None if twin is None else twin.expanduser(),
        )
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
