"""`fanet evaluate --temporal`: how good and how steady weights are on videos, undisturbed and disturbed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from fanet_ros.commands.console import errors, progress_bars
from fanet_ros.datasets import Dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.evaluation import confusion as confusion_plot
from fanet_ros.evaluation import summary
from fanet_ros.evaluation.plan import Plan
from fanet_ros.evaluation.tables import class_table, published_table, video_table
from fanet_ros.evaluation.video import CLEAN, VideoRun, evaluate_videos
from fanet_ros.evaluation.video_prediction import VideoPredictor
from fanet_ros.segmenter import Segmenter

_INTERRUPTED = 130  # what shells report for Ctrl-C


def evaluate_video(
    console: Console,
    segmenter: Segmenter,
    samples: Dataset,
    plan: Plan,
    weights: Path,
    folder: Path | None,
    json_file: Path | None,
    confusion: Path | None,
) -> None:
    """Run over the videos once undisturbed and once for each disturbance; print and write what that shows.

    Args:
        console: to print to.
        segmenter: whose attention sees as many frames as the plan has it.
        samples: the data set.
        plan: what to do.
        weights: file of the weights.
        folder: of the data set; None for one that is rendered.
        json_file: where all figures go; None for nowhere.
        confusion: where the confusion matrix of the undisturbed run goes; None for nowhere.

    Raises:
        FanetError: as `evaluate_videos`; or a file cannot be written.
        typer.Exit: Ctrl-C ended it early; what was measured until then is printed and written.
    """
    runs: list[VideoRun] = []
    clips = ClipDataset(samples, plan.temporal_frames, plan.step)
    clips.check(required=True)
    predictor = VideoPredictor(segmenter)
    described = summary.describe_weights(weights)
    with console.status("reading") as status:
        samples.prepare(status.update)
    with progress_bars() as count:
        for kind in (CLEAN, *plan.disturb):
            done = evaluate_videos(
                predictor,
                clips,
                kind,
                seed=plan.seed,
                limit=plan.limit,
                left_out=plan.leave_out,
                progress=partial(count, "undisturbed" if kind == CLEAN else kind),
            )
            runs.append(done)
            if not done.evaluation.complete:
                break
    names, clean = samples.label_set.names, runs[0].evaluation
    title = f"{described['network']} ({weights.name}) on {samples.name} {samples.split}"
    _print(console, runs, plan, names, title, described["network"])
    if json_file is not None:
        facts = summary.summarise(clean, plan, samples, folder, described, segmenter.backend_info)
        summary.write_summary({**facts, "videos": summary.summarise_videos(runs, names)}, json_file)
    if confusion is not None:
        confusion_plot.plot_confusion(clean.scores, samples.label_set, title, confusion)
    written = [str(file) for file in (json_file, confusion) if file is not None]
    for line in [f"backend: {segmenter.backend_info}", *(["written: " + ", ".join(written)] if written else [])]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if not runs[-1].evaluation.complete:
        told = "interrupted: the last row is of a part of the frames only, and what was to follow is missing"
        errors.print(told, highlight=False, soft_wrap=True, markup=False)
        raise typer.Exit(_INTERRUPTED)


def _print(
    console: Console, runs: list[VideoRun], plan: Plan, names: tuple[str, ...], title: str, network: str
) -> None:
    clean = runs[0].evaluation
    sizes = ", ".join(str(size) for size in clean.input_sizes[:4])
    console.print(class_table(clean.scores, names, plan.leave_out, title))
    console.print(video_table(runs, f"{title}, T = {plan.temporal_frames}"))
    lines = [f"network input {sizes}; {clean.median_ms:.1f} ms an undisturbed frame"]
    if runs[0].consistency.pixels:
        lines += [
            "consistency: of road, pavement and sky pixels whose true class stays along the known motion, those whose "
            "label stays"
        ]
    if plan.protocol is not None:
        if plan.protocol.published:
            console.print(published_table(clean.scores, plan.protocol, network))
        lines += [f"not as the protocol has it: {difference}" for difference in plan.differences]
        lines += [f"note: {plan.protocol.note}"] if plan.protocol.note else []
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
