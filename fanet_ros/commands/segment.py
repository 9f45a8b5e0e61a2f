"""`fanet segment`: images, videos and recordings, on this machine or spread over many."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fanet_ros.commands.console import INTERRUPTED, errors, one_line_errors, print_error, progress_bars, say
from fanet_ros.commands.options import (
    Backend,
    Device,
    InputSize,
    Labels,
    Precision,
    Weights,
    check_options,
    node_option,
)
from fanet_ros.errors import SourceError
from fanet_ros.frames.look import WHOLE
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import weights_path
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

if TYPE_CHECKING:
    from fanet_ros.recorded.inputs import Input
    from fanet_ros.recorded.job import Job

_MOST_CAMERA_SHAPES = 8
_SPECS = SegmentationParameters.specs()

_log = logging.getLogger(__name__)


def _of_one_camera(parameter: str) -> str:
    """Return a parameter's description without what it says of several cameras."""
    return _SPECS[parameter].description.partition(" One value for all cameras")[0]


def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Images, videos, folders of images, or recordings: rosbag2 folders, .mcap, .db3."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("segmented"),
    weights: Weights = "",
    labels: Labels = "",
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int, node_option("threads")] = 0,
    input_size: InputSize = "auto",
    rotation: Annotated[str, typer.Option(help=_of_one_camera("rotation"))] = "0",
    region: Annotated[str, typer.Option(help=_of_one_camera("region"))] = WHOLE,
    temporal_frames: Annotated[
        int, typer.Option(help=f"Of videos and recordings: {_SPECS['temporal_frames'].description}")
    ] = 1,
    overlay_alpha: Annotated[float, node_option("overlay_alpha")] = 0.5,
    confidence_threshold: Annotated[float, node_option("confidence_threshold")] = 0.0,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a mask PNG for every frame of a video.")] = False,
    topics: Annotated[
        list[str] | None,
        typer.Option(
            "--topic", help="Image topic of a recording to segment; may be repeated. All camera images unless given."
        ),
    ] = None,
    only_results: Annotated[
        bool, typer.Option("--only-results", help="Leave the recorded messages out of a recording's new bag.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace results of an earlier run instead of writing to OUTPUT/<name>_2."),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only part I of N of the paths, counted from 0: one for each machine."),
    ] = None,
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the paths over a cluster of Ray: HOST:PORT of its head, auto on one of its machines, or local "
            "for the cores of this one. Each takes --threads cores (1).",
        ),
    ] = "",
) -> None:
    """Segment images, videos and recordings into OUTPUT/<name>/: masks, overlays, contact sheet and summary.

    A recording becomes a new bag with masks, overlays and class names beside the recorded messages. Run the command
    again after an interruption: of recordings in several files those that are finished are kept; everything else
    begins anew (docs/recorded.md). A folder stands for all images, videos and recordings in it. Images alone
    (*.jpg) share the folder OUTPUT/images/. For more than one machine there are --ray and --shard.
    """
    with one_line_errors():
        from fanet_ros.artefacts.cache import weights_digest
        from fanet_ros.recorded.inputs import find_inputs, take_shard
        from fanet_ros.recorded.job import Job, NetworkChoice
        from fanet_ros.recorded.segment_files import FileSegmentation

        check_options(
            threads=threads,
            temporal_frames=temporal_frames,
            overlay_alpha=overlay_alpha,
            confidence_threshold=confidence_threshold,
            rotation=rotation,
            region=region,
        )
        inputs = everything = find_inputs(paths)
        if shard is not None:  # empty is refused: a variable that is not set
            inputs = take_shard(everything, shard)
            say(f"shard {shard}: {len(inputs)} of {len(everything)} paths")
        digest = weights_digest(weights_path(weights))
        network = NetworkChoice(
            weights,
            labels,
            backend,
            device,
            precision,
            input_size,
            threads,
            # the cameras of a recording take turns, and each shape of image has a network of its own
            kept_sizes=_MOST_CAMERA_SHAPES if any(given.is_recording for given in inputs) else 1,
            temporal_frames=temporal_frames,
            rotation=rotation,
            region=region,
        )
        settings = FileSegmentation(
            output,
            overlay_alpha,
            confidence_threshold,
            video_masks=masks,
            topics=tuple(topics or ()),
            only_results=only_results,
            network=f"{digest}, input size {input_size}",
            temporal_frames=temporal_frames,
            look=network.look,
            overwrite=overwrite,
        )
        job = Job(network, settings)
        if not inputs:
            return
        failed = _on_cluster(inputs, job, digest, ray) if ray else _one_by_one(inputs, job)
    if failed:
        others = f"; the others are in {output}/" if failed < len(inputs) else ""
        say(f"{failed} of {len(inputs)} paths could not be segmented{others}", to=errors)
        raise typer.Exit(1)


def _one_by_one(inputs: Sequence[Input], job: Job) -> int:
    """Segment in this process, and return how many failed."""
    from fanet_ros.recorded.job import as_told
    from fanet_ros.recorded.segment_files import segment_input

    segmenter = job.network.load()
    failed = 0
    for given in inputs:
        try:
            segment_input(given, segmenter, job.settings)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # whatever one of them does, the others are segmented
            _log.debug("%s could not be segmented", printable(str(given.path)), exc_info=error)
            print_error(as_told(given.path, error))
            failed += 1
    return failed


def _on_cluster(inputs: Sequence[Input], job: Job, digest: str, address: str) -> int:
    """Segment on the machines of a cluster of Ray, and return how many failed."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.path.isfile(os.path.expanduser("~/.ray/auth_token")):
        # `ray start` asks for the token of a user who has one; clients send it only if told before Ray is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from fanet_ros.recorded.cluster import connected, with_absolute_paths

    inputs, job = with_absolute_paths(inputs, job)
    network, failures, done = job.network, {}, 0
    try:
        with connected(address, network.threads, network.device) as cluster:
            say(f"machines of the cluster: {len(cluster.machines)}; asking what they see")
            job = cluster.agree(job, digest, inputs)
            with progress_bars() as count, closing(cluster.segment(inputs, job)) as outcomes:
                count("segmented", 0, len(inputs))
                for done, (given, outcome) in enumerate(outcomes, 1):
                    if outcome.error:
                        failures[given.path] = outcome.error
                        print_error(SourceError(outcome.error))
                    else:
                        say(*outcome.said, f"{given.path} -> {outcome.folder}/")
                    count("segmented", done, len(inputs))
    except KeyboardInterrupt:
        say(
            f"stopped after {done} of {len(inputs)}; files of recordings that are finished are kept, and the same "
            "command goes on from there",
            to=errors,
        )
        raise typer.Exit(INTERRUPTED) from None
    if failures:
        table = Table("could not be segmented", "why")
        for path, why in failures.items():
            table.add_row(escape(printable(str(path))), escape(printable(why, MOST_OF_MESSAGE)))
        errors.print(table)
    return len(failures)
