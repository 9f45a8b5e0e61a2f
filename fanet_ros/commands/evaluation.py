"""What `fanet evaluate` does: opens, checks, predicts, prints and writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import typer
from rich.console import Console

from fanet_ros.backends.foreign import label_set_of
from fanet_ros.commands.console import INTERRUPTED, errors, progress_bars, say
from fanet_ros.commands.evaluate import EvaluatedOptions, ImageOptions, LookOptions, ReportOptions
from fanet_ros.commands.options import read_option_words, weights_path
from fanet_ros.datasets import Dataset, open_dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.errors import SettingError
from fanet_ros.evaluation import run, summary
from fanet_ros.evaluation.confidence import ConfidenceMeter
from fanet_ros.evaluation.confusion import check_can_plot, plot_confusion
from fanet_ros.evaluation.overlays import write_overlays
from fanet_ros.evaluation.plan import Plan, make_plan
from fanet_ros.evaluation.prediction import Predictor, make_predictor
from fanet_ros.evaluation.run import Evaluation
from fanet_ros.evaluation.tables import class_table, coarse_table, published_table
from fanet_ros.evaluation.truth import CoarseTruth, open_truth
from fanet_ros.evaluation.video import VideoPredictor
from fanet_ros.files import check_can_write
from fanet_ros.model.foreign import require_fanet
from fanet_ros.reports.report import make_folder
from fanet_ros.segmenter import Segmenter

_KEPT_SIZES = 4  # compiled networks: images have few shapes, but compiling takes many times as long as a look
_SIZES_TOLD = 4


def run_evaluation(images: ImageOptions, network: EvaluatedOptions, looks: LookOptions, reports: ReportOptions) -> None:
    """Do what the options say.

    Raises:
        FanetError: an option, the data or the weights cannot be used; says what to do.
        typer.Exit: Ctrl-C ended it early; what was measured until then is printed and written.
    """
    plan = make_plan(
        images.protocol,
        images.limit,
        dataset=images.dataset,
        split=images.split,
        options=read_option_words(images.option),
        **vars(looks),
    )
    settings, path = plan.settings, weights_path(network.weights)
    if settings.temporal_frames:
        require_fanet(path, "temporal")
    classes = label_set_of(path, network.labels)
    samples = open_dataset(settings.dataset, images.data, settings.split, settings.options)
    samples, coarse = open_truth(samples, classes)
    plan = plan.fitted(samples.label_set)
    settings = plan.settings
    _check(plan, reports, samples, coarse)
    segmenter = Segmenter(
        path,
        labels=network.labels,
        backend=network.backend,
        device=network.device,
        precision=network.precision,
        input_size=settings.input_size,
        threads=network.threads,
        kept_sizes=max(_KEPT_SIZES, len(settings.scales)),  # with fewer, scales in turn would find none kept
        temporal_frames=max(1, settings.temporal_frames),
    )
    with closing(segmenter):
        weights = summary.describe_weights(path)
        title = f"{weights['network']} ({path.name}) on {samples.name} {samples.split}"
        if reports.confidence and not segmenter.has_confidence:
            raise SettingError(f"confidence: {path.name} gives labels alone, which have none; leave it out")
        predictor, indices = _predictor(segmenter, samples, plan, reports.confidence)
        meter = ConfidenceMeter() if reports.confidence else None
        with progress_bars() as count:
            done = run.evaluate(
                predictor,
                samples,
                indices,
                left_out=settings.leave_out,
                coarse=coarse,
                meter=meter,
                progress=partial(count, "evaluating"),
            )
        # what is known is told before what may still fail, and the quickest file is written first
        _print(done, plan, samples.label_set.names, title, weights["network"])
        if coarse is not None:
            Console().print(coarse_table(coarse))
        if meter is not None:
            say(f"expected calibration error of the confidence: {100 * meter.error():.2f} %")
        if reports.json_file is not None:
            info = segmenter.backend_info
            facts = summary.summarise(done, plan, samples, images.data, weights, info, coarse, meter)
            summary.write_summary(facts, reports.json_file)
        if reports.confusion is not None:
            plot_confusion(done.scores, samples.label_set, title, reports.confusion)
        if reports.overlays is not None and done.complete:  # they are predicted once more: not what Ctrl-C asks for
            with progress_bars() as count:
                drawn = partial(count, "drawing overlays")
                write_overlays(reports.overlays, done, samples, predictor, reports.overlay_count, drawn, coarse)
    files = (reports.json_file, reports.confusion, reports.overlays if done.complete else None)
    written = ", ".join(str(file) for file in files if file is not None)
    if done.scores.miou < done.scores.guess:
        say(
            f"warning: labelling all with the most frequent class would score {100 * done.scores.guess:.2f} % mIoU, "
            "which is more: are the ids in the labels those of these classes (fanet dataset check shows them)?",
            to=errors,
        )
    say(f"backend: {segmenter.backend_info}", *([f"written: {written}"] if written else []))
    if not done.complete:
        without = "; overlays were not drawn" if reports.overlays is not None else ""
        shown = f"the first {len(done.images)} of {len(indices)} images only{without}"
        say(f"interrupted: the figures are of {shown}", to=errors)
        raise typer.Exit(INTERRUPTED)


def _check(plan: Plan, reports: ReportOptions, samples: Dataset, coarse: CoarseTruth | None) -> None:
    """Refuse at once what would fail after a network was built, or after the whole data set was predicted."""
    settings = plan.settings
    if settings.temporal_frames and reports.overlays is not None:
        raise SettingError("overlays: not together with --temporal; leave it out for pictures of single images")
    if settings.temporal_frames and coarse is not None:
        raise SettingError(f"temporal: the classes of {settings.dataset} are coarse for these weights; leave it out")
    if reports.confidence and coarse is not None:
        raise SettingError(
            f"confidence: that is of single classes, but those of {settings.dataset} are coarse; leave it out"
        )
    if reports.confidence and (settings.temporal_frames or not settings.looks.single):
        raise SettingError("confidence: the node's is of one look at an image; leave out scales, windows, temporal")
    run.left_out_ids(settings.leave_out, samples.label_set)
    if reports.json_file is not None:
        check_can_write("json", reports.json_file)
    if reports.confusion is not None:
        check_can_plot(reports.confusion)
        check_can_write("confusion", reports.confusion)
    if reports.overlays is not None:
        make_folder(reports.overlays)


def _predictor(segmenter: Segmenter, samples: Dataset, plan: Plan, confidence: bool) -> tuple[Predictor, Sequence[int]]:
    """Return what predicts, and the samples in the order in which it has to see them."""
    settings = plan.settings
    if not settings.temporal_frames:
        indices = run.spread(len(samples), plan.limit)
        return make_predictor(segmenter, settings.looks, confidence=confidence), indices
    clips = ClipDataset(samples, settings.temporal_frames, settings.step)
    clips.check(required=True)
    with Console().status("reading") as status:
        samples.prepare(status.update)
    videos = clips.videos()
    indices = [index for place in run.spread(len(videos), plan.limit) for index in videos[place]]
    return VideoPredictor(segmenter, clips), indices


def _print(done: Evaluation, plan: Plan, names: tuple[str, ...], title: str, network: str) -> None:
    """Print the tables and what one must know to read them."""
    scores, settings, protocol = done.scores, plan.settings, plan.protocol
    sizes = ", ".join(str(size) for size in done.input_sizes[:_SIZES_TOLD])
    console = Console()
    console.print(class_table(scores, names, settings.leave_out, title))
    if protocol is not None and protocol.published:
        console.print(published_table(scores, protocol, network))
    say(
        f"mIoU {100 * scores.miou:.2f} %, pixel accuracy {100 * scores.pixel_accuracy:.2f} %, mean accuracy "
        f"{100 * scores.mean_accuracy:.2f} %, mean F1 {100 * scores.mean_f1:.2f} %",
        f"{scores.frames} images, {scores.pixels / 1e6:.1f} million known pixels; network input {sizes}"
        + (" and more" if len(done.input_sizes) > _SIZES_TOLD else "")
        + ("" if settings.window is None else f" for windows of {settings.window}")
        + (", mirrored, too" if settings.flip else "")
        + (f", T = {settings.temporal_frames}" if settings.temporal_frames else "")
        + f"; {done.median_ms:.1f} ms an image",
        *(f"not as the protocol has it: {difference}" for difference in plan.differences),
        *([f"note: {protocol.note}"] if protocol is not None and protocol.note else []),
    )
