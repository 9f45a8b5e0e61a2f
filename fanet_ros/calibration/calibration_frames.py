"""The frames that quantisation is calibrated with and precisions are measured on, with or without a ground truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from fanet_ros.datasets import Dataset, folder
from fanet_ros.datasets.decoding import read_grey
from fanet_ros.datasets.files import PairedFiles
from fanet_ros.datasets.label_formats import GreyIds
from fanet_ros.datasets.matching import Pair, missing, read_lines, two_files
from fanet_ros.datasets.opening import find_split
from fanet_ros.errors import DatasetError, SourceError
from fanet_ros.evaluation.truth import open_truth
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.sources import SourceFrame, open_source
from fanet_ros.sources.images import IMAGE_SUFFIXES

_NO_CLASSES = LabelSet(folder.NO_LABELS, (), (), {})


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
            FanetError: a frame or its labels cannot be read or do not fit.
        """
        count = min(count, self.length)
        # the middles of `count` equal parts: neither the first nor the last frame of a drive is typical
        return self._read([(2 * i + 1) * self.length // (2 * count) for i in range(count)])

    @abstractmethod
    def _read(self, indices: Sequence[int]) -> Iterator[SourceFrame]:
        """Read the frames at these ascending, distinct positions."""


def open_frames(path: str, network: LabelSet | None = None, split: str = "val") -> FrameSet:
    """Open the frames that a user's words mean; labelled ones are read as `fanet evaluate` reads data set `folder`.

    Args:
        path: unlabelled: a folder of images, or a video. Labelled: a folder in the layout of data set `folder`, or one
            of its splits as FOLDER/SPLIT; or a text file (.txt) with lines `image label`, paths relative to the list's
            folder or one above it. Labels are grey images of up to 8 bits, or palette PNGs, of class ids; ids that are
            no class (255 by custom) are ignored. The ids are those of the `labels.yaml` in the folder or beside the
            list, or else the network's.
        network: its classes, to which those of `labels.yaml` are translated; None to leave ids as they are.
        split: taken of a folder with several.

    Raises:
        FanetError: there are no frames, or images and labels do not pair up; says what to do.
    """
    given = Path(path).expanduser()
    if _is_labelled(given):
        return _open_folder(given, network, split)
    if not given.exists() and _is_labelled(given.parent) and given.name in folder.LAYOUT.splits_in(given.parent):
        return _open_folder(given.parent, network, given.name)
    if given.is_file() and given.suffix.lower() == ".txt":
        return _open_list(given, network)
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

    def __init__(self, name: str, samples: Dataset, places: Sequence[str]) -> None:
        self.name, self.length = name, len(samples)
        self._samples, self._places = samples, places

    def _read(self, indices: Sequence[int]) -> Iterator[SourceFrame]:
        for index in indices:
            try:
                sample = self._samples.read(index)
            except DatasetError as error:
                raise DatasetError(f"{self._places[index]}: {error}") from None
            yield SourceFrame(sample.image, "rgb8", sample.labels, sample.name)


def _is_labelled(path: Path) -> bool:
    """Whether a folder has the layout of data set `folder`; a folder of images that holds others as well has not."""
    if not path.is_dir():
        return False
    if (path / folder.IMAGES).is_dir() and (path / folder.LABELS).is_dir():
        return True
    images = any(entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file() for entry in path.iterdir())
    return not images and folder.LAYOUT.recognises(path)


def _open_folder(root: Path, network: LabelSet | None, split: str) -> FrameSet:
    splits = folder.LAYOUT.splits_in(root)
    if len(splits) == 1:
        split = splits[0]
    elif split not in splits:
        raise SourceError(
            f"{root} has the splits {', '.join(splits)}, but no {split}: name the one to take, as {root / splits[0]}"
        )
    pairs = find_split(folder.LAYOUT, root, split, {"labels": folder.NO_LABELS}).pairs
    if not pairs:
        raise SourceError(f"the folder {root} holds no images of split {split}: put them into {root / folder.IMAGES}")
    without = set(missing([pair.labels for pair in pairs]))
    lonely = [pair for pair in pairs if pair.labels in without]
    if lonely:
        first = lonely[0]
        raise SourceError(
            f"{len(lonely)} of {len(pairs)} images have no labels of the same name, for example image {first.image}: "
            f"there is no {first.labels}; add them, or give the folder {first.image.parent} to use the images without "
            "labels"
        )
    name = root.resolve().name + ("" if split == folder.WHOLE else f"/{split}")
    return _labelled(name, root, pairs, [f"image {pair.image}" for pair in pairs], network)


def _open_list(path: Path, network: LabelSet | None) -> FrameSet:
    folders = path.resolve().parents

    def place(name: str) -> Path:
        return next((above / name for above in folders if (above / name).is_file()), folders[0] / name)

    pairs, places = [], []
    for line in read_lines(path):
        where = f"line {line.number} of {path}"
        image, labels = two_files(line, path, place)
        for what, file in (("image", image), (f"labels of image {image}", labels)):
            if not file.is_file():
                name = file.relative_to(folders[0]) if file.is_relative_to(folders[0]) else file
                raise SourceError(
                    f"{where} names {name} as the {what}, which is neither in {folders[0]} nor in a folder above it"
                )
        pairs.append(Pair(image, labels, image.stem))
        places.append(f"{where}, image {image}")
    if not pairs:
        raise SourceError(f"the list {path} is empty; write lines with the paths of an image and of its labels")
    return _labelled(f"{folders[0].name}/{path.name}", folders[0], pairs, places, network)


def _labelled(
    name: str, root: Path, pairs: Sequence[Pair], places: Sequence[str], network: LabelSet | None
) -> FrameSet:
    described = next((f for f in (root, root.parent) if (f / folder.LABEL_SET_FILE).is_file()), None)
    if described is None:
        return _LabelledFrames(name, PairedFiles(folder.LAYOUT.name, name, _NO_CLASSES, pairs, read_grey), places)
    own = load_label_set(str(described / folder.LABEL_SET_FILE))
    samples: Dataset = PairedFiles(folder.LAYOUT.name, name, own, pairs, GreyIds.of(own))
    if network is not None:
        samples, coarse = open_truth(samples, network)
        if coarse is not None:
            raise SourceError(
                f"the classes of {name}, '{own.name}', are coarse for these weights: no label is exact; give "
                f"the folder {pairs[0].image.parent} to use the images without labels"
            )
    return _LabelledFrames(name, samples, places)
