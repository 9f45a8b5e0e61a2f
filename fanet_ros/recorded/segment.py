"""Segment a recording: what `fanet segment` does for a bag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console

from fanet_ros.errors import FanetError, SettingError, SourceError
from fanet_ros.files import write_whole
from fanet_ros.recorded.bag_metadata import as_yaml, bag_metadata
from fanet_ros.recorded.file_work import FileWork, Refusals
from fanet_ros.recorded.frames import progress_bar
from fanet_ros.recorded.opening import open_storage
from fanet_ros.recorded.output import output_file, read_finished
from fanet_ros.recorded.recording import METADATA, Recording, find_recording
from fanet_ros.recorded.resume import Workplace, claim_workplace
from fanet_ros.recorded.segment_files import FileSegmentation, backend_facts
from fanet_ros.recorded.storage import Contents
from fanet_ros.recorded.survey import Survey, survey
from fanet_ros.recorded.topics import Choice, choose_topics
from fanet_ros.reports.report import RunReport, print_summary
from fanet_ros.resources import package_version
from fanet_ros.segmenter import Segmenter


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
    found = survey(recording, output)
    keep_originals = not settings.only_results
    choice = choose_topics(found.images, found.others, settings.topics, keep_originals=keep_originals)
    notes = list(found.notes)
    if found.undefined and keep_originals:
        types = ", ".join(sorted(found.undefined))
        notes.append(f"no definition is known of {types}: copied without, so Foxglove cannot show it")
    for text in (choice, *notes):
        _say(path, f"{text}")
    work = claim_workplace(settings.output, recording, _settings_as_json(segmenter, settings, choice))
    if work.bag.is_dir():
        _say(path, f"already segmented with the same settings: {work.bag}/")
        return work.folder
    with work.alone():
        _Run(recording, found, choice, work, segmenter, settings).run(notes)
    return work.folder


@dataclass
class _Run:
    """One run over a recording, and what was found in all files so far, those of earlier runs included."""

    recording: Recording
    survey: Survey
    choice: Choice
    work: Workplace
    segmenter: Segmenter
    settings: FileSegmentation
    segmented: int = 0
    files_kept: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    finished: dict[str, Contents] = field(default_factory=dict)  # files by name

    def run(self, notes: Sequence[str]) -> None:
        """Do what is left to do, and sum up all."""
        recording, work = self.recording, self.work
        work.begin()
        report = RunReport(work.folder, self.segmenter.label_set, video_rate_hz=None)
        started = perf_counter()
        try:
            self._finish_files(report)
        except (FanetError, KeyboardInterrupt) as error:
            files = [work.file(index) for index in range(len(recording.files))]
            finished = sum(file.is_file() for file in files)
            if not finished:
                work.give_up()
                raise
            rest = f"{finished} of {len(files)} files are finished and kept; the same command goes on from there"
            if isinstance(error, FanetError):
                raise type(error)(f"{error}; {rest}") from None
            _say(recording.path, rest)
            raise
        if not self.segmented:
            work.give_up()
            raise SourceError(f"{recording.path}: no image can be used: {'; '.join(self.refusals.as_list())}")
        metadata = {"rosbag2_bagfile_information": bag_metadata(self.finished)}
        write_whole(work.unfinished / METADATA, as_yaml(metadata))
        extra: dict[str, Any] = {
            "source": str(recording.path),
            "bag": str(work.bag),
            "topics": ", ".join(f"{topic} -> {prefix}" for topic, prefix in self.choice.prefixes.items()),
            "files": len(recording.files),
            "files_kept_from_an_earlier_run": self.files_kept,
            "images_refused": self.refusals.total,
            **backend_facts(self.segmenter),
            "temporal_frames": self.settings.temporal_frames,
            "fps": round((self.segmented - report.restored) / (perf_counter() - started), 2),
        }
        if self.refusals:
            extra["refused"] = self.refusals.as_list()
        if notes:
            extra["notes"] = list(notes)
        summary = report.finish(extra)
        work.publish()
        print_summary(summary, f"{recording.path.name} -> {work.bag}/")

    def _finish_files(self, report: RunReport) -> None:
        """Finish every file that no earlier run has finished, and count what is in all of them."""
        file_work = FileWork(self.segmenter, report, self.choice, self.settings)
        images = [sum(counts[topic] for topic in self.choice.prefixes) for counts in self.survey.counts]
        with progress_bar() as progress:
            task = progress.add_task(self.recording.path.name, total=sum(images))
            for index, source_path in enumerate(self.recording.files):
                path = self.work.file(index)
                kept = path.is_file()
                if not kept:
                    before = report.label_counts
                    with open_storage(self.recording, source_path, path.parent) as source, output_file(path) as target:
                        segmented, refusals = file_work.run(source, target, lambda: progress.advance(task))
                        target.results = {
                            "segmented": segmented,
                            "refusals": refusals,
                            "label_counts": (report.label_counts - before).tolist(),
                        }
                self.finished[path.name], results = read_finished(path)
                if kept:
                    report.restore(results["segmented"], np.array(results["label_counts"], np.int64))
                    progress.advance(task, images[index])
                    self.files_kept += 1
                self.segmented += results["segmented"]
                for what, (number, reason) in results["refusals"].items():
                    self.refusals.add(what, reason, number)


def _settings_as_json(segmenter: Segmenter, settings: FileSegmentation, choice: Choice) -> dict[str, Any]:
    """Return everything but the input on which results depend."""
    return {
        "version": package_version(),
        "network": settings.network,
        "temporal_frames": settings.temporal_frames,
        "classes": segmenter.label_set.names,
        "colors": segmenter.label_set.colors,
        **backend_facts(segmenter),
        "overlay_alpha": settings.overlay_alpha,
        "confidence_threshold": settings.confidence_threshold,
        "only_results": settings.only_results,
        "topics": dict(choice.prefixes),
    }


def _say(path: Path, text: str) -> None:
    Console().print(f"{path.name}: {text}", markup=False, highlight=False, soft_wrap=True)
