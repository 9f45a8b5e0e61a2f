"""`fanet benchmark`: the command line. Importing this imports no framework."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fanet_ros.commands.console import errors, one_line_errors
from fanet_ros.errors import SettingError
from fanet_ros.files import write_whole
from fanet_ros.processes import stop_signals
from fanet_ros.resources import DEFAULT_WEIGHTS, weights_path

_WIDTH = 120  # of the tables in a file or pipe
_INTERRUPTED = 130  # what shells report for Ctrl-C


def benchmark(
    weights: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint; may be repeated. Default: the shipped FANet-18.")
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="torch, openvino, tensorrt or torch.compile; may be repeated.")
    ] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, bf16, fp16 or int8; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")] = "auto",
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Input of the network; may be repeated."),
    ] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="network, frame, node, batch, ground, temporal or soak; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Turns of every contender; 0: 10, or 3 with --quick.")] = 0,
    frames: Annotated[
        int, typer.Option(min=0, max=10**9, help="Images of the level soak; 0: 100 000, or 2 000 with --quick.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=0, max=256, help="CPU threads; 0: as many as there are.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Measure less, in about a minute.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all results there.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the results (needs matplotlib).")] = None,
    parity: Annotated[
        bool,
        typer.Option("--parity", help="Measure every way to run on a GPU and compare each with fp32 (docs/gpu.md)."),
    ] = False,
    document: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="With --parity: whose tables to replace, as docs/gpu.md.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Start nothing new after so long; 0: no limit, or 7 with --parity.")
    ] = 0,
) -> None:
    """Measure network, frame and node on this machine against eager PyTorch (docs/performance.md)."""
    # a service manager's request ends it as Ctrl-C does: in order, with what was measured
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)
    with one_line_errors("benchmark"):
        from fanet_ros.benchmark.machine import describe_machine, load_average
        from fanet_ros.benchmark.parity import as_markdown, split_document
        from fanet_ros.benchmark.plan import make_plan
        from fanet_ros.benchmark.plot import check_can_plot, plot_results
        from fanet_ros.benchmark.results import Results
        from fanet_ros.benchmark.run import run_plan
        from fanet_ros.benchmark.soak_level import has_failed
        from fanet_ros.benchmark.tables import print_results

        plan = make_plan(
            [weights_path(path) for path in weights or [DEFAULT_WEIGHTS]],
            backends=backend or (),
            precisions=precision or (),
            device=device,
            sizes=size or (),
            levels=level or (),
            threads=threads,
            rounds=rounds,
            quick=quick,
            parity=parity,
            minutes=minutes,
            soak_frames=frames,
        )
        if plot is not None:
            check_can_plot(plot)
        if document is not None:
            if not parity:
                raise SettingError(f"document: received {document}, which is filled with --parity only")
            around = split_document(document)
        results = Results(describe_machine(), json_file)
        is_whole = run_plan(plan, results, errors)
        results.data["machine"]["load_at_end"] = load_average()
        results.save()
        if plot is not None:
            plot_results(results.data, plot)
        if document is not None and is_whole:
            write_whole(document, as_markdown(results.data).join(around))
    console = Console()
    print_results(results.data, console if console.is_terminal else Console(width=_WIDTH))
    if not is_whole:
        errors.print("interrupted; what was measured so far is above" + (f" and in {json_file}" if json_file else ""))
        raise typer.Exit(_INTERRUPTED)
    if has_failed(results.data["soak"]):
        raise typer.Exit(1)
