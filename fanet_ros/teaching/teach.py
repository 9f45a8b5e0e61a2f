"""Makes a data set of unlabelled footage: what `fanet teach` does. Interrupted, it goes on where it was."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.decoding import read_grey
from fanet_ros.datasets.folder import IMAGES, LABEL_SET_FILE, LABELS
from fanet_ros.datasets.soft_labels import save_soft_labels
from fanet_ros.errors import FanetError, FrameError, SettingError, SourceError
from fanet_ros.files import remove_abandoned, replacing, write_whole
from fanet_ros.frames.frame import check_frame, to_rgb
from fanet_ros.model.labels import UNLABELLED, LabelSet, save_label_set
from fanet_ros.reports.render import Painter, contact_sheet
from fanet_ros.reports.report import make_folder, write_image
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size
from fanet_ros.sources import open_source
from fanet_ros.teaching.choice import Choice
from fanet_ros.teaching.footage import Footage, Shot, fingerprint, open_footage

SOFT, SHEET, IDENTITY = "soft", "contact_sheet.png", "teach.json"
TRAIN, VAL = "train", "val"

_SOFT_DIVISOR = 4  # pixels of an image for one of its soft labels, along each side
_LONGEST_SOFT = 480  # points; 11 classes of 480x270 are 0.2 MB on disk
_JPEG_QUALITY = 95
_SHEET_ROWS = 12
_UNPACKED = ".unpacked-"  # with which folders begin that fanet_ros.recorded.opening needs for a while

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What to teach of.

    Attributes:
        footage: images, videos, folders of these, recordings.
        output: folder of the data set.
        images: wanted, at least 1.
        sure: confidence in [0, 1] from which the teacher's label becomes a hard one.
        topics: of recordings; empty for all camera images.
        teacher: what tells this network and its settings from others; work goes on only with the same.
    """

    footage: tuple[Path, ...]
    output: Path
    images: int = 500
    sure: float = 0.9
    topics: tuple[str, ...] = ()
    teacher: str = ""


@dataclass(frozen=True)
class Taught:
    """What came out.

    Attributes:
        train: number of images to learn from.
        val: number of images held out.
        earlier: how many of both an earlier run had labelled.
        similar: frames left out because they look like another.
        shares: by class, the share of all pixels where the teacher is sure of it.
    """

    train: int
    val: int
    earlier: int
    similar: int
    shares: Mapping[str, float]


def teach(
    task: Task, segmenter: Segmenter, progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> Taught:
    """Choose frames, label them, and write them as a data set of kind `folder` with soft labels.

    Args:
        task: what to do.
        segmenter: with the teacher's network; its label set becomes the data set's.
        progress: told the stage, how many frames are done, and how many there are.

    Raises:
        SourceError: footage cannot be read, or holds nothing to learn from.
        SettingError: the output is something else's, or cannot be written; or the teacher gives labels alone.
        FanetError: the teacher cannot label a frame; what was labelled before is kept.
    """
    segmenter.check_tells_probabilities()
    output = task.output
    for path in task.footage:
        if path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise SettingError(f"output {output} lies within the footage {path}; give a folder outside")
    footage = open_footage(task.footage, task.topics, output)
    choice = Choice({name: length for each in footage for name, length in each.streams.items()}, task.images)
    with _alone(output, _identity(task, segmenter.label_set, footage)):
        try:
            return _teach(task, segmenter, footage, choice, progress)
        except OSError as error:
            raise SettingError(f"cannot write {error.filename or output}: {error.strerror or error}") from None


def _teach(
    task: Task,
    segmenter: Segmenter,
    footage: list[Footage],
    choice: Choice,
    progress: Callable[[str, int, int], None],
) -> Taught:
    output = task.output
    save_label_set(segmenter.label_set, output / LABEL_SET_FILE)
    remove_abandoned(output)
    for folder in (SOFT, *(f"{kind}/{split}" for kind in (IMAGES, LABELS) for split in (TRAIN, VAL))):
        make_folder(output / folder)
        remove_abandoned(output / folder)
    names: list[str] = []
    earlier, is_held_out = 0, False
    try:
        for name, split, image in _chosen(footage, choice, progress):
            if (output / SOFT / f"{name}.npz").is_file():
                earlier += 1
            else:
                _label(task, segmenter, name, split, image)
            names.append(name)
            is_held_out |= split == VAL
    except FanetError as error:
        kept = f"; {len(names)} images are labelled and kept; the same command goes on from there" if names else ""
        raise type(error)(f"{error}{kept}") from None
    if len(names) < 2:
        raise SourceError(f"{len(names)} image(s) are all that differ in this footage; give more of it")
    if not is_held_out:
        _hold_out(output, sorted(names)[-max(1, len(names) // 10) :])
    shares = _summarise(output, segmenter.label_set, progress)
    train, val = (len(list((output / LABELS / split).iterdir())) for split in (TRAIN, VAL))
    return Taught(train, val, earlier, choice.similar, shares)


def _chosen(
    footage: list[Footage], choice: Choice, progress: Callable[[str, int, int], None]
) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """Play all footage once; yield the name, split and pixels, uint8 rgb8, of each frame that is taken."""
    done, total = 0, sum(length for each in footage for length in each.streams.values())
    for each in footage:
        numbers = dict.fromkeys(each.streams, 0)
        for shot in each.shots():
            number = numbers[shot.stream]
            numbers[shot.stream] += 1
            part = choice.part_to_fill(shot.stream, number)
            image = None if part is None else _pixels(shot)
            if image is not None and part is not None and choice.take(shot.stream, part, image):
                split = VAL if choice.held_out(shot.stream, part) else TRAIN
                yield f"{shot.stream}_{number:06d}", split, image
            done += 1
            progress("frames", min(done, total), total)


def _pixels(shot: Shot) -> NDArray[np.uint8] | None:
    read = shot.read()
    if read is None:
        return None
    try:
        check_frame(*read)
    except FrameError as error:
        _log.warning("left out a frame of %s: %s", shot.stream, error)
        return None
    return to_rgb(*read)


def _label(task: Task, segmenter: Segmenter, name: str, split: str, image: NDArray[np.uint8]) -> None:
    """Write an image with its labels; the soft ones last, as they tell that all is there."""
    height, width = image.shape[:2]
    divisor = max(_SOFT_DIVISOR, max(image.shape) / _LONGEST_SOFT)
    points = Size(*(max(1, round(side / divisor)) for side in (width, height)))
    found, probabilities = segmenter.segment_softly(image, "rgb8", points, confidence_threshold=task.sure)
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_whole(task.output / IMAGES / split / f"{name}.jpg", jpeg.tobytes())
    _, png = cv2.imencode(".png", found.labels)
    write_whole(task.output / LABELS / split / f"{name}.png", png.tobytes())
    soft = task.output / SOFT / f"{name}.npz"
    try:
        with replacing(soft) as unfinished:
            save_soft_labels(unfinished, probabilities)
    except OSError as error:
        raise SettingError(f"cannot write {soft}: {error.strerror}") from None


def _hold_out(output: Path, names: Sequence[str]) -> None:
    """Have something to validate on also where no stream is long enough to spare a tenth."""
    for name in names:
        for kind, ending in ((IMAGES, "jpg"), (LABELS, "png")):
            with suppress(FileNotFoundError):  # an earlier run moved it
                (output / kind / TRAIN / f"{name}.{ending}").replace(output / kind / VAL / f"{name}.{ending}")


def _summarise(output: Path, label_set: LabelSet, progress: Callable[[str, int, int], None]) -> dict[str, float]:
    """Draw the contact sheet; return the share of all pixels that is surely of each class."""
    labels = sorted((path for split in (TRAIN, VAL) for path in (output / LABELS / split).iterdir()), key=_by_name)
    counts, rows = np.zeros(256, np.int64), []
    shown = {index * len(labels) // _SHEET_ROWS for index in range(_SHEET_ROWS)}
    painter = Painter(label_set)
    for index, path in enumerate(labels):
        hard = read_grey(path)
        counts += np.bincount(hard.ravel(), minlength=256)
        if index in shown:
            with open_source(str(output / IMAGES / path.parent.name / f"{path.stem}.jpg")) as source:
                frame = source.read()
            assert frame is not None  # a source of images opens only with a readable one
            image = np.ascontiguousarray(frame.image[..., ::-1])
            overlay, _ = painter.overlay(image, "rgb8", _likeliest(output / SOFT / f"{path.stem}.npz"), 0.5)
            rows.append((image, overlay.copy(), painter.color_mask(hard).copy()))
        progress("summing up", index + 1, len(labels))
    write_image(output / SHEET, contact_sheet(rows, label_set, ("camera", "teacher", "where it is sure")))
    total = max(1, int(counts.sum()))
    return {name: float(count / total) for name, count in zip(label_set.names, counts, strict=False)}


def _likeliest(path: Path) -> NDArray[np.uint8]:
    """The class that soft labels tell of, uint8 (h, w); unlabelled where they lack more than any class has."""
    with np.load(path) as arrays:
        soft = arrays[arrays.files[0]]
    return np.where(soft.max(0) < 255 - soft.sum(0, np.int32), UNLABELLED, soft.argmax(0)).astype(np.uint8)


def _by_name(path: Path) -> str:
    return path.name


def _identity(task: Task, label_set: LabelSet, footage: list[Footage]) -> str:
    """Return all on which the data set depends, as JSON."""
    content: dict[str, Any] = {
        "teacher": task.teacher,
        "classes": label_set.names,
        "merging": label_set.merging,
        "images": task.images,
        "sure": task.sure,
        "topics": task.topics,
        "footage": fingerprint(footage),
    }
    return json.dumps(content, indent=1) + "\n"


@contextmanager
def _alone(output: Path, identity: str) -> Iterator[None]:
    """Work in the output folder as the only run that does, and only if it is new or of the same work.

    Raises:
        SettingError: it is not.
    """
    make_folder(output)
    file = output / IDENTITY
    if not file.exists():
        leavings = (f".{IDENTITY}.", _UNPACKED)  # of runs that were killed before they had begun
        if not all(entry.name.startswith(leavings) for entry in output.iterdir()):
            raise SettingError(f"output {output} is not empty, and no work of fanet teach; give another folder")
        write_whole(file, identity)
    try:
        known = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} cannot be read ({error}); give another output") from None
    if known != identity:
        raise SettingError(
            f"output {output} was begun with another teacher, footage or setting ({file} says which); give another "
            "folder, or remove it"
        )
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"another run is at work in {output}; wait for its end or give another output") from None
        yield
