"""Segment a recording: what `fanet segment` does for a bag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fanet_ros.errors import SettingError, SourceError
from fanet_ros.files import write_whole
from fanet_ros.recorded.bag_metadata import as_yaml, bag_metadata
from fanet_ros.recorded.file_work import FileWork, Refusals
from fanet_ros.recorded.frames import progress_bar, say
from fanet_ros.recorded.inputs import absolute
from fanet_ros.recorded.names import Names
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.output import output_file, read_finished
from fanet_ros.recorded.recording import METADATA, Recording, find_recording
from fanet_ros.recorded.resume import Workplace, claim_workplace
from fanet_ros.recorded.segment_files import FileSegmentation, backend_facts, look_facts
from fanet_ros.recorded.storage import Contents
from fanet_ros.recorded.survey import survey
from fanet_ros.recorded.topics import Choice, choose_topics
from fanet_ros.reports.report import RunReport, print_summary
from fanet_ros.resources import package_version
from fanet_ros.segmenter import Segmenter
from fanet_ros.untrusted.text import printable


def segment_recording(path: Path, segmenter: Segmenter, settings: FileSegmentation, names: Names | None = None) -> Path:
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
    found = survey(recording, output)
    keep_originals = not settings.only_results
    choice = choose_topics(found.images, found.others, settings.topics, keep_originals=keep_originals)
    notes = list(found.notes)
    if found.undefined and keep_originals:
        types = printable(", ".join(sorted(found.undefined)))
        notes.append(f"no definition is known of {types}: copied without, so Foxglove cannot show it")
    for text in (choice, *notes):
        say(f"{path.name}: {text}")
    work = claim_workplace(
        settings.output, recording, _settings_as_json(segmenter, settings, choice), names, overwrite=settings.overwrite
    )
    if work.bag.is_dir():
        say(f"{path.name}: already segmented with the same settings: {work.bag}/")
        return work.folder
    with work.alone():
        report = RunReport(work.folder, segmenter.label_set, video_rate_hz=None)
        file_work = FileWork(segmenter, report, choice, settings)
        images = [sum(counts[topic] for topic in choice.prefixes) for counts in found.counts]
        started = perf_counter()
        tally = _finish_files(recording, work, file_work, report, images, quiet=settings.quiet)
        if not tally.segmented:
            for file in work.files:
                file.unlink()
            raise SourceError(f"{path}: no image can be used: {'; '.join(tally.refusals.as_list())}")
        write_whole(work.unfinished / METADATA, as_yaml({"rosbag2_bagfile_information": bag_metadata(tally.files)}))
        extra: dict[str, Any] = {
            "source": str(absolute(path)),
            "bag": str(absolute(work.bag)),
            "topics": ", ".join(f"{topic} -> {prefix}" for topic, prefix in choice.prefixes.items()),
            "files": len(work.files),
            "files_kept_from_an_earlier_run": tally.kept,
            "images_refused": tally.refusals.total,
            **backend_facts(segmenter),
            **look_facts(settings.look),
            "temporal_frames": settings.temporal_frames,
            "fps": round(report.frames / (perf_counter() - started), 2),
            "refused": tally.refusals.as_list(),
            "notes": notes,
        }
        summary = report.finish({key: value for key, value in extra.items() if value != []})
    if not settings.quiet:
        print_summary(summary, f"{path.name} -> {work.bag}/")
    return work.folder


@dataclass
class _Tally:
    """What is in all finished files, those of earlier runs included."""

    files: dict[str, Contents] = field(default_factory=dict)  # by name
    segmented: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    kept: int = 0  # files of earlier runs


def _finish_files(
    recording: Recording,
    work: Workplace,
    file_work: FileWork,
    report: RunReport,
    images: Sequence[int],
    *,
    quiet: bool,
) -> _Tally:
    """Finish every file that no earlier run has finished; `images` says how many each of them has."""
    tally = _Tally()
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task(printable(recording.path.name), total=sum(images))
        for source_path, path, count in zip(recording.files, work.files, images, strict=True):
            kept = path.is_file()
            if not kept:
                with open_storage(recording, source_path, path.parent) as source, output_file(path) as target:
                    file_work.run(source, target, lambda: progress.advance(task))
            tally.files[path.name], results = read_finished(path)
            tally.segmented += results["segmented"]
            for what, (number, reason) in results["refusals"].items():
                tally.refusals.add(what, reason, number)
            if kept:
                tally.kept += 1
                report.restore(results["segmented"], np.array(results["label_counts"], np.int64))
                progress.advance(task, count)
    return tally


def _settings_as_json(segmenter: Segmenter, settings: FileSegmentation, choice: Choice) -> dict[str, Any]:
    """Return everything but the input on which results depend."""
    return {
        "version": package_version(),
        "network": settings.network,
        "temporal_frames": settings.temporal_frames,
        **look_facts(settings.look),
        "classes": segmenter.label_set.names,
        "colors": segmenter.label_set.colors,
        **backend_facts(segmenter),
        "overlay_alpha": settings.overlay_alpha,
        "confidence_threshold": settings.confidence_threshold,
        "only_results": settings.only_results,
        "topics": dict(choice.prefixes),
    }
