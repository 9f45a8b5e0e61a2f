"""The frames that quantisation is calibrated with and precisions are measured on, with or without a ground truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets.files import images_in, pair_by_stem
from fanet_ros.errors import SourceError
from fanet_ros.sources import SourceFrame, open_source

_IMAGES, _LABELS = "images", "labels"  # folders of a labelled data set
_LIST_SUFFIX = ".txt"
_SHAPE_TOLERANCE = 0.02  # labels of another size than their image still have to show the same picture


class FrameSet(ABC):
    """Frames to sample from.

    Attributes:
        name: for people.
        labelled: whether every frame has a ground truth.
        length: number of frames, for videos as the container claims.
    """

    name: str
    labelled: bool
    length: int

    def sample(self, count: int) -> Iterator[SourceFrame]:
        """Read at most `count` frames, evenly spread over all, the same ones every time.

        Raises:
            SourceError: a frame or its labels cannot be read or do not fit.
        """
        count = min(count, self.length)
        # the middles of `count` equal parts: neither the first nor the last frame of a drive is typical
        return self._read([(2 * i + 1) * self.length // (2 * count) for i in range(count)])

    @abstractmethod
    def _read(self, indices: Sequence[int]) -> Iterator[SourceFrame]:
        """Read the frames at these ascending, distinct positions."""


def open_frames(path: str) -> FrameSet:
    """Open the frames that a user's words mean.

    Args:
        path: unlabelled: a folder of images, or a video. Labelled: a folder with the folders `images` and `labels`
            (files with the same stem belong together), or a text file (.txt) with lines `image label`, paths relative
            to the list's folder or one above it. Labels are 8-bit grey images of class ids; ids that are no class of
            the network (255 by custom) are ignored.

    Raises:
        SourceError: there are no frames, or images and labels do not pair up; says what to do.
    """
    given = Path(path).expanduser()
    if given.is_dir() and (given / _IMAGES).is_dir() and (given / _LABELS).is_dir():
        return _LabelledFrames(given.resolve().name, _pairs_in_folder(given))
    if given.is_file() and given.suffix.lower() == _LIST_SUFFIX:
        return _LabelledFrames(f"{given.resolve().parent.name}/{given.name}", _pairs_in_list(given))
    return _UnlabelledFrames(path)


class _UnlabelledFrames(FrameSet):
    labelled = False

    def __init__(self, spec: str) -> None:
        with open_source(spec) as source:
            if source.length is None:
                raise SourceError(
                    f"{spec} has no known end, so no evenly spread frames can be taken from it; give a video file or a "
                    "folder of images"
                )
            self.length = source.length
        self.name = Path(spec).expanduser().resolve().name
        self._spec = spec

    def _read(self, indices: Sequence[int]) -> Iterator[SourceFrame]:
        wanted = set(indices)
        with open_source(self._spec) as source:
            for index in range(indices[-1] + 1):
                frame = source.read()
                if frame is None:  # a container that claims too much, or images that cannot be decoded
                    return
                if index in wanted:
                    yield SourceFrame(frame.image, frame.encoding, None, frame.name)


class _LabelledFrames(FrameSet):
    labelled = True

    def __init__(self, name: str, pairs: Sequence[tuple[Path, Path]]) -> None:
        self.name = name
        self.length = len(pairs)
        self._pairs = pairs

    def _read(self, indices: Sequence[int]) -> Iterator[SourceFrame]:
        for index in indices:
            image_path, label_path = self._pairs[index]
            image, labels = _read_image(image_path), _read_labels(label_path)
            shape, expected = labels.shape[1] / labels.shape[0], image.shape[1] / image.shape[0]
            if abs(shape / expected - 1) > _SHAPE_TOLERANCE:
                raise SourceError(
                    f"labels {label_path} are {labels.shape[1]}x{labels.shape[0]} pixels but their image is "
                    f"{image.shape[1]}x{image.shape[0]}; both must show the same picture"
                )
            yield SourceFrame(image, "bgr8", labels, image_path.stem)


def _pairs_in_folder(folder: Path) -> list[tuple[Path, Path]]:
    images = images_in(folder / _IMAGES)
    if not images:
        raise SourceError(f"the folder {folder / _IMAGES} holds no images")
    pairs, lonely = pair_by_stem(images, images_in(folder / _LABELS))
    if lonely:
        raise SourceError(
            f"{len(lonely)} of {len(images)} images have no labels of the same name in {folder / _LABELS}, for example "
            f"{lonely[0].name}; add them, or give the folder {folder / _IMAGES} to use the images without labels"
        )
    return pairs


def _pairs_in_list(path: Path) -> list[tuple[Path, Path]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the list {path}: {error}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise SourceError(f"line {number} of {path} is {line!r}, expected the paths of an image and of its labels")
        pairs.append((_find(words[0], path, number), _find(words[1], path, number)))
    if not pairs:
        raise SourceError(f"the list {path} is empty; write lines with the paths of an image and of its labels")
    return pairs


def _find(name: str, list_path: Path, line: int) -> Path:
    for folder in list_path.resolve().parents:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(
        f"line {line} of {list_path} names {name}, which is neither in {list_path.resolve().parent} nor in a folder "
        "above it"
    )


def _read_image(path: Path) -> NDArray[np.uint8]:
    with open_source(str(path)) as source:  # the source's decoding: EXIF orientation, 8 bits, BGR
        frame = source.read()
        assert frame is not None  # a source of images opens only with a readable one
        return frame.image


def _read_labels(path: Path) -> NDArray[np.uint8]:
    labels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    if labels is None:
        raise SourceError(f"labels {path} are no readable image")
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise SourceError(
            f"labels {path} are an image of {labels.dtype} with shape {labels.shape}, expected 8-bit grey, one class "
            "id per pixel (not colours)"
        )
    return labels
