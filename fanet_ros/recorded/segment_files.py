"""Segment images, videos and recordings: what `fanet segment` does for each path."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from fanet_ros.errors import FrameError, SourceError
from fanet_ros.extras import what_to_install
from fanet_ros.files import looked_for
from fanet_ros.frames.look import AS_IT_COMES, WHOLE, Look
from fanet_ros.recorded.frames import FramePainter, progress_bar, say, timed
from fanet_ros.recorded.inputs import Input, absolute
from fanet_ros.recorded.names import Names
from fanet_ros.recorded.recording import is_recording
from fanet_ros.recorded.resume import claim_folder
from fanet_ros.reports.report import RunReport, print_summary, write_image
from fanet_ros.segmenter import Segmenter
from fanet_ros.sources import FrameSource, open_source
from fanet_ros.sources.images import ImageSource
from fanet_ros.untrusted.text import printable

_MOST_OF = 0.9


@dataclass(frozen=True)
class FileSegmentation:
    """What to write, and where.

    Attributes:
        output: folder; every path gets a folder of its own in it.
        overlay_alpha: opacity of the class colours in [0, 1].
        confidence_threshold: in [0, 1]; pixels with a lower confidence become 255.
        video_masks: whether to write a mask for every frame of a video, too.
        topics: of a recording to segment; empty for all of its camera images.
        only_results: whether the new bag of a recording leaves out the recorded messages.
        network: what tells this network and its input size from others; finished work is kept only for the same.
        temporal_frames: that the segmenter's attention sees in videos and recordings; likewise.
        look: how the network looks at the images; likewise.
        overwrite: whether results of an earlier run in the same place are removed first.
        quiet: whether neither progress bars nor summaries are printed; summary.json has them.
    """

    output: Path
    overlay_alpha: float = 0.5
    confidence_threshold: float = 0.0
    video_masks: bool = False
    topics: tuple[str, ...] = ()
    only_results: bool = False
    network: str = ""
    temporal_frames: int = 1
    look: Look = AS_IT_COMES
    overwrite: bool = False
    quiet: bool = False


def segment_input(given: Input, segmenter: Segmenter, settings: FileSegmentation) -> Path:
    """Segment what one or several paths of a command stand for; as `segment_path`."""
    if not given.images:
        return segment_path(given.path, segmenter, settings, given.names)
    with ImageSource(given.path, given.images) as source:
        return _segment_opened(given.path, source, segmenter, settings, given.names)


def segment_path(path: Path, segmenter: Segmenter, settings: FileSegmentation, names: Names | None = None) -> Path:
    """Segment one image, folder of images, video or recording, with a progress bar and a summary at the end.

    A recording becomes a new bag (fanet_ros/recorded/segment.py). Of everything else this writes contact_sheet.png and
    summary.json; for a video overlay.mp4, for images <name>_mask.png (class ids), <name>_color.png and
    <name>_overlay.png. What was computed until an interruption (Ctrl-C) is kept and summed up. `names` are those that
    the results' folder may have, where the path's own will not do.

    Returns:
        The folder written.

    Raises:
        SourceError: the path cannot be read, or some of its images; those that can are segmented nevertheless.
        SettingError: the results cannot be written.
    """
    if not path.exists():
        raise SourceError(
            f"{printable(str(path))} does not exist{looked_for(path)}; give an image, a video, a folder of images or a "
            "recording"
        )
    if is_recording(path):
        try:  # what recordings need and nothing else does
            from fanet_ros.recorded.segment import segment_recording
        except ModuleNotFoundError as error:
            raise SourceError(f"reading recordings needs {what_to_install(error.name)}") from error
        return segment_recording(path, segmenter, settings, names)
    # a name that a camera has, such as 0, is a file here
    with open_source(str(path.absolute())) as source:
        return _segment_opened(path, source, segmenter, settings, names)


def _segment_opened(
    path: Path, source: FrameSource, segmenter: Segmenter, settings: FileSegmentation, names: Names | None
) -> Path:
    name = printable(path.name)
    names = names or Names(path.resolve().stem)
    folder = claim_folder(settings.output, names, source=path, overwrite=settings.overwrite)
    # images have no frame rate, so a source without one gets pictures instead of a video
    report = RunReport(folder, segmenter.label_set, video_rate_hz=source.rate_hz)
    started = perf_counter()
    try:
        _segment_source(name, source, segmenter, report, folder, settings)
    except KeyboardInterrupt:
        say(
            f"{name}: stopped after {report.frames} of {source.length or 'unknown'} frames, which are in {folder}/; "
            "the same command begins anew, in a new folder or, with --overwrite, in this one"
        )
        raise
    finally:
        if report.frames:
            place = absolute(path) if path.exists() else path  # several images have a name only
            extra = {"source": str(place), **backend_facts(segmenter), **look_facts(settings.look)}
            extra["fps"] = round(report.frames / (perf_counter() - started), 2)
            if source.rate_hz is not None:
                extra["temporal_frames"] = settings.temporal_frames
                extra["frames_stated"] = source.length
            if isinstance(source, ImageSource):
                extra["images_refused"] = len(source.unreadable)
            summary = report.finish(extra)
            if not settings.quiet:
                print_summary(summary, f"{path.name} -> {folder}/")
    if source.rate_hz is not None and report.frames < _MOST_OF * (source.length or 0):  # a few may be off in any file
        say(f"{name}: only {report.frames} of the {source.length} frames that it states could be read; is it complete?")
    if isinstance(source, ImageSource) and source.unreadable:
        raise SourceError(
            f"{name}: {len(source.unreadable)} of {source.length} images cannot be read, first: "
            f"{printable(source.unreadable[0].name)}; the others are in {folder}/"
        )
    return folder


def backend_facts(segmenter: Segmenter) -> dict[str, Any]:
    """Return what a summary says of what ran the network."""
    info = segmenter.backend_info
    return {"backend": info.name, "device": info.device, "precision": info.precision}


def look_facts(look: Look) -> dict[str, Any]:
    """Return what a summary says of how the network looked at the images; nothing where it saw them as they are."""
    return {} if look == AS_IT_COMES else {"rotation": look.rotation, "region": str(look.region or WHOLE)}


def _segment_source(
    name: str,
    source: FrameSource,
    segmenter: Segmenter,
    report: RunReport,
    folder: Path,
    settings: FileSegmentation,
) -> None:
    painter = FramePainter(report, segmenter.label_set, settings.overlay_alpha)
    is_video = source.rate_hz is not None
    memory = segmenter.new_memory() if is_video else None  # images beside each other need not follow each other
    names: Counter[str] = Counter()
    with progress_bar(quiet=settings.quiet) as progress:
        task = progress.add_task(name, total=source.length)
        for frame, watch in timed(iter(source.read, None)):
            try:
                labels = segmenter.segment(
                    frame.image,
                    frame.encoding,
                    confidence_threshold=settings.confidence_threshold,
                    memory=memory,
                    look=settings.look,
                ).labels
            except FrameError as error:
                raise FrameError(f"{name}: {printable(frame.name)}: {error}") from None
            watch.lap("inference")
            watch.tell(report)
            overlay = painter.overlay(frame.image, frame.encoding, labels)
            names[frame.name] += 1  # a folder may hold a.png and a.jpg
            stem = frame.name if names[frame.name] == 1 else f"{frame.name}_{names[frame.name]}"
            if not is_video or settings.video_masks:
                write_image(folder / f"{stem}_mask.png", labels)
            if not is_video:
                write_image(folder / f"{stem}_overlay.png", overlay)
                write_image(folder / f"{stem}_color.png", painter.colors(labels))
            progress.advance(task)
