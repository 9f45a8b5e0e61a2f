"""`fanet teach`: from unlabelled footage to a data set that FANet learns from."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from fanet_ros.commands.console import INTERRUPTED, errors, one_line_errors, progress_bars, say
from fanet_ros.commands.options import Backend, Device, InputSize, Labels, Precision, check_options
from fanet_ros.resources import weights_path

_NEVER = 1e-5  # share of pixels below which a class does not occur


def teach(
    footage: Annotated[
        list[Path],
        typer.Argument(help="Images, videos, recordings (rosbag2 folders, .mcap, .db3), and folders of any of these."),
    ],
    teacher: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="The network that labels: large, and slow if need be.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the data set.")],
    labels: Labels = "",
    images: Annotated[
        int, typer.Option(min=2, help="Frames to choose, evenly spread; fewer where many look alike.")
    ] = 500,
    sure: Annotated[
        float,
        typer.Option(min=0, max=1, help="Confidence from which a label becomes a hard one, beside the soft ones."),
    ] = 0.9,
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="Image topic of recordings; may be repeated. All camera images unless given."),
    ] = None,
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    input_size: InputSize = "auto",
) -> None:
    """Let a large network label footage of your robot, for a FANet to learn from (docs/training.md).

    Run the command again after an interruption and it goes on.
    """
    with one_line_errors():
        check_options(backend=backend, device=device, precision=precision, input_size=input_size)
        from fanet_ros.artefacts.cache import weights_digest
        from fanet_ros.segmenter import Segmenter
        from fanet_ros.teaching.teach import SHEET, Task
        from fanet_ros.teaching.teach import teach as run

        weights = weights_path(teacher)
        digest = weights_digest(weights)
        segmenter = Segmenter(
            weights,
            labels=labels,
            backend=backend,
            device=device,
            precision=precision,
            input_size=input_size,
            kept_sizes=4,
        )
        info = segmenter.backend_info
        task = Task(
            footage=tuple(path.expanduser() for path in footage),
            output=output.expanduser(),
            images=images,
            sure=sure,
            topics=tuple(topics or ()),
            teacher=f"{digest}, {info.name} in {info.precision}, input size {input_size}",
        )
        with closing(segmenter), progress_bars() as count:
            try:
                done = run(task, segmenter, count)
            except KeyboardInterrupt:
                say(f"interrupted: what is labelled is kept in {output}; the same command goes on", to=errors)
                raise typer.Exit(INTERRUPTED) from None
    sure_of = sum(done.shares.values())
    lines = [
        f"{done.train} images to learn from and {done.val} held out in {output}"
        + (f", {done.earlier} of them from an earlier run" if done.earlier else ""),
        f"the teacher is sure of {sure_of:.0%} of the pixels; look at {output / SHEET}",
    ]
    if done.similar:
        lines.append(f"{done.similar} frames were left out because they look like another")
    never = [name for name, share in done.shares.items() if share < _NEVER]
    if never:
        lines.append(
            f"note: the teacher is hardly ever sure of {', '.join(never)}; FANet will not learn it from this footage"
        )
    say(*lines, f"next: fanet train --recipe config/train/teach.yaml --data {output} --weights shipped")
