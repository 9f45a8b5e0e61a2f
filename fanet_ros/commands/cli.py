"""`fanet`: the command line, without ROS."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler

from fanet_ros.commands.benchmark import benchmark
from fanet_ros.commands.calibrate import calibrate
from fanet_ros.commands.console import INTERRUPTED, errors, one_line_errors, print_error, say
from fanet_ros.commands.dataset import app as dataset_app
from fanet_ros.commands.evaluate import evaluate
from fanet_ros.commands.export import export
from fanet_ros.commands.options import check_options
from fanet_ros.commands.teach import teach
from fanet_ros.commands.temper import temper
from fanet_ros.commands.train import train
from fanet_ros.commands.view import view
from fanet_ros.errors import FanetError, SourceError
from fanet_ros.frames.look import WHOLE, Look, read_region, read_rotation
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.processes import leave_out_working_directory
from fanet_ros.resources import package_version, weights_path
from fanet_ros.settings import BACKENDS, PRECISIONS
from fanet_ros.untrusted.text import printable

app = typer.Typer(
    help="Real-time semantic segmentation with FANet.", no_args_is_help=True, pretty_exceptions_show_locals=False
)
_log = logging.getLogger(__name__)
_SPECS = SegmentationParameters.specs()
_MOST_CAMERA_SHAPES = 8


def _help(parameter: str) -> str:
    """Return the node parameter's own description, so that node and command line never differ."""
    return _SPECS[parameter].description


def _of_one_camera(parameter: str) -> str:
    """Return the description without what it says of several cameras."""
    return _help(parameter).partition(" One value for all cameras")[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version())
        raise typer.Exit


@app.callback()
def main_options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Real-time semantic segmentation with FANet."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_path=False)],
    )


@app.command()
def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Images, videos, folders of images, or recordings: rosbag2 folders, .mcap, .db3."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("segmented"),
    weights: Annotated[str, typer.Option(help=_help("weights"))] = "",
    labels: Annotated[str, typer.Option(help=_help("labels"))] = "",
    backend: Annotated[str, typer.Option(help=_help("backend"), metavar="|".join(BACKENDS))] = "auto",
    device: Annotated[str, typer.Option(help=_help("device"))] = "auto",
    precision: Annotated[str, typer.Option(help=_help("precision"), metavar="|".join(PRECISIONS))] = "auto",
    threads: Annotated[int, typer.Option(help=_help("threads"))] = 0,
    input_size: Annotated[str, typer.Option(help=_help("input_size"))] = "auto",
    rotation: Annotated[str, typer.Option(help=_of_one_camera("rotation"))] = "0",
    region: Annotated[str, typer.Option(help=_of_one_camera("region"))] = WHOLE,
    temporal_frames: Annotated[int, typer.Option(help=f"Of videos and recordings: {_help('temporal_frames')}")] = 1,
    overlay_alpha: Annotated[float, typer.Option(help=_help("overlay_alpha"))] = 0.5,
    confidence_threshold: Annotated[float, typer.Option(help=_help("confidence_threshold"))] = 0.0,
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
) -> None:
    """Segment images, videos and recordings into OUTPUT/<name>/: masks, overlays, contact sheet and summary.

    A recording becomes a new bag with masks, overlays and class names beside the recorded messages. Run the command
    again after an interruption: of recordings in several files those that are finished are kept; everything else
    begins anew (docs/recorded.md). A folder stands for all images, videos and recordings in it. Images alone
    (*.jpg) share the folder OUTPUT/images/.
    """
    with one_line_errors():
        from fanet_ros.artefacts.cache import weights_digest
        from fanet_ros.recorded.inputs import find_inputs
        from fanet_ros.recorded.segment_files import FileSegmentation, segment_input
        from fanet_ros.segmenter import Segmenter

        inputs = find_inputs(paths)
        check_options(
            threads=threads,
            temporal_frames=temporal_frames,
            overlay_alpha=overlay_alpha,
            confidence_threshold=confidence_threshold,
            rotation=rotation,
            region=region,
        )
        look = Look(read_rotation(rotation), read_region(region))
        segmenter = Segmenter(
            weights,
            labels=labels,
            backend=backend,
            device=device,
            precision=precision,
            input_size=input_size,
            threads=threads,
            # the cameras of a recording take turns, and each shape of image has a network of its own
            kept_sizes=_MOST_CAMERA_SHAPES if any(given.is_recording for given in inputs) else 1,
            temporal_frames=temporal_frames,
            look=look,
        )
        digest = weights_digest(weights_path(weights))
    settings = FileSegmentation(
        output,
        overlay_alpha,
        confidence_threshold,
        video_masks=masks,
        topics=tuple(topics or ()),
        only_results=only_results,
        network=f"{digest}, input size {input_size}",
        look=look,
        temporal_frames=temporal_frames,
        overwrite=overwrite,
    )
    failed = 0
    for given in inputs:
        try:
            segment_input(given, segmenter, settings)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # whatever one of them does, the others are segmented
            _log.debug("%s could not be segmented", printable(str(given.path)), exc_info=error)
            print_error(error if isinstance(error, FanetError) else _unforeseen(given.path, error))
            failed += 1
    if failed:
        others = f"; the others are in {output}/" if failed < len(inputs) else ""
        say(f"{failed} of {len(inputs)} paths could not be segmented{others}", to=errors)
        raise typer.Exit(1)


def _unforeseen(path: Path, error: Exception) -> FanetError:
    name = printable(str(path))
    if isinstance(error, OSError):
        return SourceError(f"{name}: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
    if isinstance(error, MemoryError):
        return SourceError(f"{name}: there is not enough memory for it")
    return SourceError(
        f"{name}: {type(error).__name__}: {printable(str(error))}; this is a fault of this program: please report it, "
        "with what `fanet --verbose segment ...` prints"
    )


app.command()(calibrate)
app.command()(evaluate)
app.command()(export)
app.command()(benchmark)
app.command()(teach)
app.command()(train)
app.command()(temper)
app.command()(view)
app.add_typer(dataset_app, name="dataset")


def main() -> None:
    """Run the command line."""
    leave_out_working_directory()
    app()


if __name__ == "__main__":
    main()
