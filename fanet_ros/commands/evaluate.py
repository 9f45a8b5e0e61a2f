"""`fanet evaluate`: how good weights are on a labelled data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fanet_ros.commands.console import one_line_errors
from fanet_ros.commands.options import (
    DataFolder,
    DataOptions,
    NetworkOptions,
    Precision,
    check_options,
    grouped,
    node_option,
)

_LIST = "list"


@dataclass(frozen=True)
class ImageOptions:
    """Which images."""

    dataset: Annotated[str | None, typer.Option(help="Name of the data set (docs/datasets.md).")] = None
    data: DataFolder = None
    split: Annotated[str | None, typer.Option(help="Part of the data set; val if left out.")] = None
    protocol: Annotated[
        str, typer.Option(help="Settings of a published evaluation, to be compared with it; list shows all.")
    ] = ""
    option: DataOptions = None
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many images (with --temporal: videos), evenly spread; 0 for all.")
    ] = 0


@dataclass(frozen=True)
class EvaluatedOptions(NetworkOptions):
    """What is evaluated."""

    precision: Precision = "auto"
    threads: Annotated[int, node_option("threads")] = 0


@dataclass(frozen=True)
class LookOptions:
    """How the network looks at the images, by the names of `Settings`; None: as the protocol has it, or the default."""

    input_size: Annotated[
        str | None, typer.Option(help="Of the network: auto (the weights' own), camera (the image's) or WIDTHxHEIGHT.")
    ] = None
    scales: Annotated[
        str | None, typer.Option(metavar="S,S,...", help="Average predictions over these multiples of the input size.")
    ] = None
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Average with predictions of the mirrored image.")
    ] = None
    window: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="See images in parts of this size; none: whole.")
    ] = None
    stride: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="From one window to the next; side by side if left out.")
    ] = None
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="A class that is in no mean; may be repeated. none: none.")
    ] = None
    temporal_frames: Annotated[
        int | None,
        typer.Option(
            "--temporal",
            min=0,
            metavar="T",
            help="Go through videos, looking at T frames at a time; 0: images by themselves.",
        ),
    ] = None
    step: Annotated[
        int | None,
        typer.Option(min=1, help="With --temporal: from one of these frames to the next, in frames of the video."),
    ] = None


@dataclass(frozen=True)
class ReportOptions:
    """What is told of them."""

    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also tell how far confidence is from how often it is right.")
    ] = False
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the confusion matrix (needs matplotlib).")
    ] = None
    overlays: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write pictures of the worst and the best images there.")
    ] = None
    overlay_count: Annotated[int, typer.Option(min=1, help="How many of the worst, and of the best.")] = 10


@grouped
def evaluate(images: ImageOptions, network: EvaluatedOptions, looks: LookOptions, reports: ReportOptions) -> None:
    """Score weights on a labelled data set, at the size of its labels (docs/results.md)."""
    with one_line_errors():
        if images.protocol == _LIST:
            from fanet_ros.evaluation.protocols import load_protocols
            from fanet_ros.evaluation.tables import protocol_table

            Console().print(protocol_table(load_protocols().values()))
            return
        check_options(
            backend=network.backend, device=network.device, precision=network.precision, threads=network.threads
        )
        from fanet_ros.commands.evaluation import run_evaluation  # it imports torch

        run_evaluation(images, network, looks, reports)
