"""`fanet evaluate`: how good weights are on a labelled data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fanet_ros.commands.console import errors, one_line_errors, progress_bars
from fanet_ros.errors import SettingError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import BACKENDS, PRECISIONS

if TYPE_CHECKING:
    from fanet_ros.evaluation.plan import Plan
    from fanet_ros.evaluation.run import Evaluation

_SPECS = SegmentationParameters.specs()
_LIST = "list"
_KEPT_SIZES = 4  # compiled networks: images have few shapes, but compiling takes many times as long as a look
_INTERRUPTED = 130  # what shells report for Ctrl-C


def evaluate(
    dataset: Annotated[str, typer.Option(help="Name of the data set (docs/datasets.md).")] = "",
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the data set lies.")] = None,
    split: Annotated[str, typer.Option(help="Part of the data set; val if left out.")] = "",
    protocol: Annotated[
        str, typer.Option(help="Settings of a published evaluation, to be compared with it; list shows all.")
    ] = "",
    weights: Annotated[str, typer.Option(help=_SPECS["weights"].description)] = "",
    labels: Annotated[str, typer.Option(help=_SPECS["labels"].description)] = "",
    backend: Annotated[str, typer.Option(help=_SPECS["backend"].description, metavar="|".join(BACKENDS))] = "auto",
    device: Annotated[str, typer.Option(help=_SPECS["device"].description)] = "auto",
    precision: Annotated[
        str, typer.Option(help=_SPECS["precision"].description, metavar="|".join(PRECISIONS))
    ] = "auto",
    threads: Annotated[int, typer.Option(help=_SPECS["threads"].description)] = 0,
    input_size: Annotated[
        str, typer.Option(help="Of the network: auto (the weights' own), camera (the image's) or WIDTHxHEIGHT.")
    ] = "",
    scales: Annotated[
        str, typer.Option(metavar="S,S,...", help="Average predictions over these multiples of the input size.")
    ] = "",
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Average with predictions of the mirrored image.")
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="See images in parts of this size; none: whole.")
    ] = "",
    stride: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="From one window to the next; side by side if left out.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Option of the data set; may be repeated.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="A class that is in no mean; may be repeated. none: none.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many images (with --temporal: videos), evenly spread; 0 for all.")
    ] = 0,
    temporal: Annotated[
        int,
        typer.Option(
            min=0, metavar="T", help="Go through videos, looking at T frames at a time; 0: images by themselves."
        ),
    ] = 0,
    step: Annotated[
        int, typer.Option(min=1, help="With --temporal: from one of these frames to the next, in frames of the video.")
    ] = 1,
    disturb: Annotated[
        str,
        typer.Option(
            metavar="KIND,...", help="With --temporal: a run for each of noise, blur, flicker, occlusion, too."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="With --disturb: of what is disturbed, and how.")] = 0,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Also tell how far confidence is from how often it is right.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the confusion matrix (needs matplotlib).")
    ] = None,
    overlays: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write pictures of the worst and the best images there.")
    ] = None,
    overlay_count: Annotated[int, typer.Option(min=1, help="How many of the worst, and of the best.")] = 10,
) -> None:
    """Score weights on a labelled data set, at the size of its labels (docs/results.md)."""
    console = Console()
    with one_line_errors():
        if protocol == _LIST:
            from fanet_ros.evaluation.protocols import load_protocols
            from fanet_ros.evaluation.tables import protocol_table

            console.print(protocol_table(load_protocols().values()))
            return
        for name, value in (("backend", backend), ("device", device), ("precision", precision), ("threads", threads)):
            _SPECS[name].validate(value)

        from fanet_ros.datasets import open_dataset
        from fanet_ros.evaluation import confusion as confusion_plot
        from fanet_ros.evaluation import overlays as pictures
        from fanet_ros.evaluation import run, summary
        from fanet_ros.evaluation.confidence import ConfidenceMeter
        from fanet_ros.evaluation.plan import make_plan
        from fanet_ros.evaluation.prediction import make_predictor
        from fanet_ros.evaluation.tables import coarse_table
        from fanet_ros.evaluation.truth import open_truth
        from fanet_ros.files import check_can_write
        from fanet_ros.model.model_card import read_card, resolve_label_set
        from fanet_ros.model.weights import load_weights
        from fanet_ros.reports.report import make_folder
        from fanet_ros.segmenter import Segmenter

        plan = make_plan(
            protocol=protocol,
            dataset=dataset,
            split=split,
            options=option or (),
            input_size=input_size,
            scales=scales,
            flip=flip,
            window=window,
            stride=stride,
            leave_out=leave_out or (),
            limit=limit,
            temporal_frames=temporal,
            step=step,
            disturb=disturb,
            seed=seed,
        )
        if plan.temporal_frames and overlays is not None:
            raise SettingError("overlays: not together with --temporal; leave it out for pictures of single images")
        if json_file is not None:
            check_can_write("json", json_file)
        if confusion is not None:
            confusion_plot.check_can_plot(confusion)
            check_can_write("confusion", confusion)
        if overlays is not None:
            make_folder(overlays)
        path = Path(weights).expanduser() if weights else DEFAULT_WEIGHTS
        network = resolve_label_set(labels, read_card(path), load_weights(path).config.classes)
        samples, coarse = open_truth(open_dataset(plan.dataset, data, plan.split, plan.options), network)
        if coarse is not None and plan.temporal_frames:
            raise SettingError(f"temporal: the classes of {plan.dataset} are coarse for these weights; leave it out")
        if confidence and coarse is not None:
            raise SettingError(
                f"confidence: that is of single classes, but those of {plan.dataset} are coarse; leave it out"
            )
        if confidence and (plan.temporal_frames or not plan.looks.single):
            raise SettingError("confidence: the node's is of one look at an image; leave out scales, windows, temporal")
        plan = plan.fitted(samples.label_set)
        run.left_out_ids(plan.leave_out, samples.label_set)  # refused before a network is built
        segmenter = Segmenter(
            path,
            labels=labels,
            backend=backend,
            device=device,
            precision=precision,
            input_size=plan.input_size,
            threads=threads,
            kept_sizes=max(_KEPT_SIZES, len(plan.looks.scales)),  # with fewer, scales in turn would find none kept
            temporal_frames=max(1, plan.temporal_frames),
        )
        try:
            if plan.temporal_frames:
                from fanet_ros.commands.evaluate_video import evaluate_video

                evaluate_video(console, segmenter, samples, plan, path, data, json_file, confusion)
                return
            described = summary.describe_weights(path)
            title = f"{described['network']} ({path.name}) on {samples.name} {samples.split}"
            predictor = make_predictor(segmenter, plan.looks, confidence=confidence)
            meter = ConfidenceMeter() if confidence else None
            with progress_bars() as count:
                done = run.evaluate(
                    predictor,
                    samples,
                    limit=plan.limit,
                    left_out=plan.leave_out,
                    coarse=coarse,
                    meter=meter,
                    progress=partial(count, "evaluating"),
                )
            # what is known is told before what may still fail, and the quickest file is written first
            _print(console, done, plan, samples.label_set.names, title, described["network"])
            if coarse is not None:
                console.print(coarse_table(coarse))
            if meter is not None:
                console.print(f"expected calibration error of the confidence: {100 * meter.error():.2f} %")
            if json_file is not None:
                summary.write_summary(
                    summary.summarise(done, plan, samples, data, described, segmenter.backend_info, coarse, meter),
                    json_file,
                )
            if confusion is not None:
                confusion_plot.plot_confusion(done.scores, samples.label_set, title, confusion)
            if overlays is not None and done.complete:  # they are predicted once more: not what Ctrl-C asks for
                with progress_bars() as count:
                    pictures.write_overlays(
                        overlays, done, samples, predictor, overlay_count, partial(count, "drawing overlays"), coarse
                    )
        finally:
            segmenter.close()
    written = [str(file) for file in (json_file, confusion, overlays if done.complete else None) if file is not None]
    backend_line = f"backend: {segmenter.backend_info}"
    for line in [backend_line, *(["written: " + ", ".join(written)] if written else [])]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if not done.complete:
        chosen = len(run.spread(len(samples), plan.limit))
        without = "; overlays were not drawn" if overlays is not None else ""
        told = f"interrupted: the figures are of the first {len(done.images)} of {chosen} images only{without}"
        errors.print(told, highlight=False, soft_wrap=True, markup=False)
        raise typer.Exit(_INTERRUPTED)


def _print(console: Console, done: Evaluation, plan: Plan, names: tuple[str, ...], title: str, network: str) -> None:
    """Print the tables and what one must know to read them."""
    from fanet_ros.evaluation.tables import class_table, published_table

    scores, looks = done.scores, plan.looks
    sizes = ", ".join(str(size) for size in done.input_sizes[:4]) + (" and more" if len(done.input_sizes) > 4 else "")
    console.print(class_table(scores, names, plan.leave_out, title))
    lines = [
        f"mIoU {100 * scores.miou:.2f} %, pixel accuracy {100 * scores.pixel_accuracy:.2f} %, mean accuracy "
        f"{100 * scores.mean_accuracy:.2f} %, mean F1 {100 * scores.mean_f1:.2f} %",
        f"{scores.frames} images, {scores.pixels / 1e6:.1f} million known pixels; network input {sizes}"
        + ("" if looks.window is None else f" for windows of {looks.window}")
        + (", mirrored, too" if looks.flip else "")
        + f"; {done.median_ms:.1f} ms an image",
    ]
    protocol = plan.protocol
    if protocol is not None:
        if protocol.published:
            console.print(published_table(scores, protocol, network))
        lines += [f"not as the protocol has it: {difference}" for difference in plan.differences]
        lines += [f"note: {protocol.note}"] if protocol.note else []
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
