"""The frames that quantisation is calibrated with and precisions are measured on, with or without a ground truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from fanet_ros.datasets.decoding import read_grey
from fanet_ros.datasets.folder import LABEL_SET_FILE
from fanet_ros.datasets.matching import Files, missing, read_names
from fanet_ros.errors import SourceError
from fanet_ros.sources import SourceFrame, open_source

_FILES = Files("images/*", "labels/*")
_SHAPE_TOLERANCE = 0.02  # labels of another size than their image still have to show the same picture


class FrameSet(ABC):
    """Frames to sample from.

    Attributes:
        name: for people.
        labelled: whether every frame has a ground truth.
        length: number of frames, for videos as the container claims.
        label_set: path of the file that says what the ids in the ground truth are; empty where there is none.
    """

    name: str
    labelled: bool
    length: int
    label_set: str = ""

    def sample(self, count: int) -> Iterator[SourceFrame]:
        """Read at most `count` frames, evenly spread over all, the same ones every time.

        Raises:
            FanetError: a frame or its labels cannot be read or do not fit.
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
        FanetError: there are no frames, or images and labels do not pair up; says what to do.
    """
    given = Path(path).expanduser()
    if (given / "images").is_dir() and (given / "labels").is_dir():
        frames = _LabelledFrames(given.resolve().name, _pairs_in_folder(given))
        frames.label_set = str(given / LABEL_SET_FILE) if (given / LABEL_SET_FILE).is_file() else ""
        return frames
    if given.is_file() and given.suffix.lower() == ".txt":
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
            with open_source(str(image_path)) as source:
                frame = source.read()
            assert frame is not None  # a source of images opens only with a readable one
            labels = read_grey(label_path)
            (height, width), shape = labels.shape, frame.image.shape
            if abs(width / height * shape[0] / shape[1] - 1) > _SHAPE_TOLERANCE:
                raise SourceError(
                    f"labels {label_path} are {width}x{height} pixels but their image is {shape[1]}x{shape[0]}; both "
                    "must show the same picture"
                )
            yield SourceFrame(frame.image, frame.encoding, labels, image_path.stem)


def _pairs_in_folder(folder: Path) -> list[tuple[Path, Path]]:
    pairs, _ = _FILES.find(folder)
    if not pairs:
        raise SourceError(f"the folder {folder / 'images'} holds no images")
    lonely = missing([pair.labels for pair in pairs])
    if lonely:
        raise SourceError(
            f"{len(lonely)} of {len(pairs)} images have no labels of the same name in {folder / 'labels'}, for example "
            f"{lonely[0].name}; add them, or give the folder {folder / 'images'} to use the images without labels"
        )
    return [(pair.image, pair.labels) for pair in pairs]


def _pairs_in_list(path: Path) -> list[tuple[Path, Path]]:
    pairs = []
    for number, words in enumerate(read_names(path), 1):
        where = f"entry {number} of {path}"
        if len(words) != 2:
            raise SourceError(f"{where} is {' '.join(words)!r}, expected the paths of an image and of its labels")
        image, labels = (_find(word, path, where) for word in words)
        pairs.append((image, labels))
    if not pairs:
        raise SourceError(f"the list {path} is empty; write lines with the paths of an image and of its labels")
    return pairs


def _find(name: str, listing: Path, where: str) -> Path:
    folders = listing.resolve().parents
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{where} names {name}, which is neither in {folders[0]} nor in a folder above it")
