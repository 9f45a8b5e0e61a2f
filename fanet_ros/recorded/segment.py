"""Segment a recording: what `fanet segment` does for a bag."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fanet_ros.errors import FanetError, SettingError, SourceError
from fanet_ros.recorded.bag_metadata import write_metadata
from fanet_ros.recorded.file_work import FileWork, Refusals
from fanet_ros.recorded.output import OutputFile, results_in
from fanet_ros.recorded.recording import Recording, find_recording
from fanet_ros.recorded.resume import Workplace, claim_workplace, identity_of
from fanet_ros.recorded.storage import NO_QOS, Channel, damaged, normal_qos, open_storage
from fanet_ros.recorded.survey import Survey, survey
from fanet_ros.recorded.topics import Choice, choose_topics
from fanet_ros.reports.report import RunReport, print_summary
from fanet_ros.resources import package_version
from fanet_ros.segmenter import Segmenter

if TYPE_CHECKING:
    from fanet_ros.recorded.segment_files import FileSegmentation


@dataclass
class _Tally:
    """What was found in all files so far, those of earlier runs included."""

    segmented: int
    kept_files: int
    refusals: Refusals


def segment_recording(path: Path, segmenter: Segmenter, settings: FileSegmentation) -> Path:
    """Segment the camera images of a rosbag2 folder, or of a .mcap or .db3 file.

    Writes the bag OUTPUT/<name>/<name>_segmented with the recorded messages and, beside them, masks, overlays and
    class names; contact_sheet.png and summary.json beside the bag. Files that an earlier run of the same command has
    finished are kept; a bag that is finished is left as it is.

    Returns:
        The folder written.

    Raises:
        SourceError: the recording cannot be read, or has no image to segment.
        SettingError: the results cannot be written, or would lie within the recording.
        BackendError: the network cannot be built for the size of the images.
    """
    recording = find_recording(path)
    output = settings.output.resolve()
    if path.is_dir() and output.is_relative_to(path.resolve()):
        raise SettingError(f"output {settings.output} lies within the recording {path}; give a folder outside")
    console = Console()
    found = survey(recording, output)
    keep_originals = not settings.only_results
    choice = choose_topics(found.images, found.others, settings.topics, keep_originals=keep_originals)
    _say(console, f"{path.name}: {choice}")
    for note in _notes(found, keep_originals):
        _say(console, f"{path.name}: {note}")
    identity = identity_of(recording, _settings_as_json(segmenter, settings, choice))
    work = claim_workplace(settings.output, recording.name, identity)
    if work.finished:
        _say(console, f"{path.name}: already segmented with the same settings: {work.bag}/")
        return work.folder
    with work.alone():
        _segment_files(recording, found, choice, work, segmenter, settings)
    return work.folder


def _segment_files(
    recording: Recording,
    found: Survey,
    choice: Choice,
    work: Workplace,
    segmenter: Segmenter,
    settings: FileSegmentation,
) -> None:
    work.begin()
    report = RunReport(work.folder, segmenter.label_set, video_rate_hz=None)
    started = perf_counter()
    files = [work.file(index) for index in range(len(recording.files))]
    tally = _Tally(0, 0, Refusals())
    try:
        _finish_files(recording, found, choice, files, tally, report, segmenter, settings)
    except (FanetError, KeyboardInterrupt) as error:
        finished = sum(file.is_file() for file in files)
        if not finished:
            work.give_up()
            raise
        rest = f"{finished} of {len(files)} files are finished and kept; the same command goes on from there"
        if isinstance(error, FanetError):
            raise type(error)(f"{error}; {rest}") from None
        _say(Console(), f"{recording.path.name}: {rest}")
        raise
    if not tally.segmented:
        work.give_up()
        raise SourceError(f"{recording.path}: no image can be used: {'; '.join(tally.refusals.as_list())}")
    write_metadata(work.unfinished, files)
    computed = tally.segmented - report.restored
    info = segmenter.backend_info
    extra: dict[str, Any] = {
        "source": str(recording.path),
        "bag": str(work.bag),
        "topics": ", ".join(f"{topic} -> {prefix}" for topic, prefix in choice.prefixes.items()),
        "files": len(files),
        "files_kept_from_an_earlier_run": tally.kept_files,
        "images_refused": tally.refusals.total,
        "backend": info.name,
        "device": info.device,
        "precision": info.precision,
        "temporal_frames": settings.temporal_frames,
        "fps": round(computed / (perf_counter() - started), 2),
    }
    if tally.refusals.total:
        extra["refused"] = tally.refusals.as_list()
    if notes := _notes(found, not settings.only_results):
        extra["notes"] = notes
    summary = report.finish(extra)
    work.publish()
    print_summary(summary, f"{recording.path.name} -> {work.bag}/")


def _finish_files(
    recording: Recording,
    found: Survey,
    choice: Choice,
    files: list[Path],
    tally: _Tally,
    report: RunReport,
    segmenter: Segmenter,
    settings: FileSegmentation,
) -> None:
    """Finish every file that no earlier run has finished, and count what is in all of them."""
    file_work = FileWork(
        segmenter,
        report,
        choice,
        overlay_alpha=settings.overlay_alpha,
        confidence_threshold=settings.confidence_threshold,
        keep_originals=not settings.only_results,
    )
    images = [sum(counts[topic] for topic in choice.prefixes) for counts in found.counts]
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task(recording.path.name, total=sum(images))
        for source_path, target_path, count in zip(recording.files, files, images, strict=True):
            if target_path.is_file():
                results = results_in(target_path)
                report.restore(results["segmented"], np.array(results["label_counts"], np.int64))
                progress.advance(task, count)
                tally.kept_files += 1
            else:
                before = report.label_counts
                with open_storage(
                    source_path,
                    messages_compressed=recording.messages_compressed,
                    scratch=target_path.parent,
                ) as source:
                    originals = () if settings.only_results else _with_qos(source.channels, recording)
                    with OutputFile(target_path, originals) as target:
                        segmented, refusals = file_work.run(source, target, lambda: progress.advance(task))
                        results = {
                            "segmented": segmented,
                            "refusals": asdict(refusals),
                            "label_counts": (report.label_counts - before).tolist(),
                        }
                        target.finish(results)
            tally.segmented += results["segmented"]
            for what, number in results["refusals"]["counts"].items():
                tally.refusals.add(what, results["refusals"]["reasons"][what], number)


def _with_qos(channels: tuple[Channel, ...], recording: Recording) -> tuple[Channel, ...]:
    """Take from metadata.yaml the QoS profiles of which a file says nothing."""
    try:
        return tuple(
            replace(channel, qos=normal_qos(recording.qos[channel.topic]))
            if channel.qos == NO_QOS and channel.topic in recording.qos
            else channel
            for channel in channels
        )
    except Exception as error:  # rosbags raises KeyError and others for what is no profile
        raise damaged(f"{recording.path}/metadata.yaml", error) from None


def _settings_as_json(segmenter: Segmenter, settings: FileSegmentation, choice: Choice) -> dict[str, Any]:
    """Return everything but the input on which results depend."""
    info = segmenter.backend_info
    return {
        "version": package_version(),
        "network": settings.network,
        "temporal_frames": settings.temporal_frames,
        "classes": segmenter.label_set.names,
        "colors": segmenter.label_set.colors,
        "backend": [info.name, info.device, info.precision],
        "overlay_alpha": settings.overlay_alpha,
        "confidence_threshold": settings.confidence_threshold,
        "only_results": settings.only_results,
        "topics": dict(choice.prefixes),
    }


def _notes(found: Survey, keep_originals: bool) -> list[str]:
    notes = list(found.notes)
    if found.undefined and keep_originals:
        types = ", ".join(sorted(found.undefined))
        notes.append(f"no definition is known of {types}: copied without, so Foxglove cannot show it")
    return notes


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
