"""What a run over many frames showed: video, contact sheet, and a summary as JSON and as a table."""

from __future__ import annotations

import json
import os
import random
from array import array
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fanet_ros.errors import SettingError
from fanet_ros.files import write_whole
from fanet_ros.model.labels import LabelSet
from fanet_ros.reports.render import Painter, contact_sheet
from fanet_ros.reports.scores import Scorer
from fanet_ros.reports.video_file import VideoFile
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

Image = NDArray[np.uint8]

_MAX_SAMPLES = 12
_MAX_LATENCIES = 10_000  # of one stage that are kept; the 99th percentile is then known to a few per mille


class _Latencies:
    """Milliseconds of one stage: all of them or, where they are many, a uniform sample (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self._values = array("d")
        self._seen = 0
        self._random = random.Random(0)

    def add(self, milliseconds: float) -> None:
        self._seen += 1
        if len(self._values) < _MAX_LATENCIES:
            self._values.append(milliseconds)
        elif (place := self._random.randrange(self._seen)) < _MAX_LATENCIES:
            self._values[place] = milliseconds

    def percentiles(self) -> dict[str, float]:
        p50, p99 = np.percentile(self._values, (50, 99))
        return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


class RunReport:
    """Collects frames as they are processed and writes the files of a run.

    Memory stays constant however long the run is: the video is written as it comes and the contact sheet keeps a few
    samples, evenly spread over the run.

    Attributes:
        frames: how many were added, without those of an earlier run.
    """

    def __init__(self, folder: Path, label_set: LabelSet, *, video_rate_hz: float | None) -> None:
        """Prepare the output folder.

        Args:
            folder: made if missing; overlay.mp4, contact_sheet.png and summary.json in it are replaced.
            label_set: of the labels to come.
            video_rate_hz: frame rate of overlay.mp4; None for no video.

        Raises:
            SettingError: the folder cannot be made or written.
        """
        make_folder(folder)
        self._folder = folder
        self._label_set = label_set
        self._video_rate_hz = video_rate_hz
        self._video: VideoFile | None = None
        self._codec = ""
        self._painter = Painter(label_set)
        self._samples: list[tuple[Image, Image, Image]] = []
        self._sample_interval = 1
        self._latencies: dict[str, _Latencies] = defaultdict(_Latencies)
        self._label_counts = np.zeros(256, np.int64)
        self._scorer = Scorer(len(label_set))
        self.frames = 0
        self._restored = 0

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """How many pixels of each label there were so far, int64 (256,); a copy."""
        return self._label_counts.copy()

    def restore(self, frames: int, label_counts: NDArray[np.int64]) -> None:
        """Count frames of an earlier run, whose pictures and latencies are no longer there.

        Args:
            frames: how many there were.
            label_counts: how many of their pixels had each label, int64 (256,).
        """
        self._label_counts += label_counts
        self._restored += frames

    def add_frame(self, camera: Image, overlay: Image, labels: Image, *, hold: int = 1) -> None:
        """Record one processed frame; what is kept is copied.

        Args:
            camera: rgb8.
            overlay: rgb8, with the colours of the classes.
            labels: uint8, (H, W).
            hold: for how many frames of the video the overlay is shown.
        """
        if self._video_rate_hz is not None:
            self._write_video(overlay, self._video_rate_hz, hold)
        self._label_counts += np.bincount(labels.ravel(), minlength=256)
        if self.frames % self._sample_interval == 0:
            self._samples.append((camera.copy(), self._painter.color_mask(labels).copy(), overlay.copy()))
            if len(self._samples) > _MAX_SAMPLES:
                self._samples = self._samples[::2]
                self._sample_interval *= 2
        self.frames += 1

    def add_latency(self, stage: str, milliseconds: float) -> None:
        """Record how long one stage took for one frame."""
        self._latencies[stage].add(milliseconds)

    def add_truth(self, labels: Image, truth: Image) -> None:
        """Compare the labels of a frame with its ground truth (uint8, same shape; 255 is ignored)."""
        self._scorer.add(labels, truth)

    def summary(self) -> dict[str, Any]:
        """Return latencies per stage, shares per class and, where a ground truth was added, IoU per class."""
        names = self._label_set.names
        shares = self._label_counts / max(1, int(self._label_counts.sum()))
        summary: dict[str, Any] = {
            "frames_processed": self.frames + self._restored,
            "latency_ms": {stage: latencies.percentiles() for stage, latencies in self._latencies.items()},
            "class_shares": {name: round(float(share), 4) for name, share in zip(names, shares, strict=False)},
        }
        if self._codec:
            summary["overlay_codec"] = self._codec
        if self._scorer.pixels:
            scores = self._scorer.scores()
            summary["mean_iou"] = round(scores.miou, 4)
            summary["iou"] = {
                name: round(float(iou), 4) for name, iou in zip(names, scores.iou, strict=True) if not np.isnan(iou)
            }
        return summary

    def finish(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Close the video, write contact_sheet.png and summary.json, and return the summary.

        Args:
            extra: entries that only the caller knows; they come first and replace the report's own of the same name.

        Raises:
            SettingError: a file cannot be written, or the video cannot be played; the others are written nevertheless.
        """
        cut_off = self._close_video()
        if self._samples:
            step = -(-len(self._samples) // (_MAX_SAMPLES // 2))
            sheet = contact_sheet(self._samples[::step], self._label_set)
            write_image(self._folder / "contact_sheet.png", sheet)
        summary = extra | {key: value for key, value in self.summary().items() if key not in extra}
        write_whole(self._folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        if cut_off:
            raise cut_off
        return summary

    def _close_video(self) -> SettingError | None:
        video, self._video = self._video, None
        try:
            if video is not None:
                video.close()
                self._codec = video.codec
        except SettingError as error:
            return error
        return None

    def _write_video(self, overlay: Image, rate_hz: float, hold: int) -> None:
        if self._video is None:
            height, width = overlay.shape[:2]
            self._video = VideoFile(self._folder / "overlay.mp4", width, height, rate_hz)
        for _ in range(hold):
            self._video.write(overlay)


def print_summary(summary: dict[str, Any], title: str) -> None:
    """Print a summary as tables for people: its plain entries, latencies and classes."""
    console = Console()
    facts = Table(title=escape(printable(title)), show_header=False)
    for key, value in summary.items():
        if not isinstance(value, dict):
            facts.add_row(
                key.replace("_", " "), "-" if value is None else escape(printable(str(value), MOST_OF_MESSAGE))
            )
    console.print(facts)

    stages = Table("stage", "p50 ms", "p99 ms")
    for stage, latency in summary["latency_ms"].items():
        stages.add_row(stage.replace("_", " "), f"{latency['p50']:.1f}", f"{latency['p99']:.1f}")
    console.print(stages)

    iou = summary.get("iou", {})
    classes = Table("class", "share of pixels", *(["IoU"] if iou else []))
    for name, share in sorted(summary["class_shares"].items(), key=lambda item: -item[1]):
        score = [f"{iou[name]:.3f}" if name in iou else "-"] if iou else []
        classes.add_row(escape(name), f"{share:6.1%}", *score)
    console.print(classes)


def make_folder(folder: Path) -> None:
    """Make an output folder and check that it can be written.

    Raises:
        SettingError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"output folder {folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise SettingError(f"output folder {folder} cannot be written; choose another or change its permissions")


def write_image(path: Path, picture: Image) -> None:
    """Write an rgb8 picture or a uint8 mask.

    Raises:
        SettingError: the file cannot be written.
    """
    content = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    _, encoded = cv2.imencode(path.suffix, content)
    try:
        path.write_bytes(encoded.tobytes())  # OpenCV cannot open names that are no UTF-8
    except OSError as error:
        with suppress(OSError):
            path.unlink()  # half a picture
        raise SettingError(f"cannot write {path}: {error.strerror}; is the disk full or the folder gone?") from None
