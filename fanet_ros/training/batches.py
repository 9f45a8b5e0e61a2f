"""Batches of a training: uint8 windows read by worker processes, ahead of the step that needs them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fanet_ros.datasets import Dataset
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.datasets.disturbances import disturb_some
from fanet_ros.datasets.meanings import Meaning
from fanet_ros.datasets.soft_labels import SoftLabels
from fanet_ros.errors import DatasetError, TrainingError
from fanet_ros.settings import Size
from fanet_ros.training.sampling import Choice, Placement, Placer, SamplePlan, disturbance_numbers

LONGEST_WAIT_S = 600.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (by which torch hands batches over)
_PREFETCHED = 2  # batches a worker
_PATIENCE_S = 0.5  # after which a wait looks whether it should end

_log = logging.getLogger(__name__)


class Past(NamedTuple):
    """The frames before those of a batch, newest first.

    Attributes:
        images: (N, T - 1, ...), each as those of the batch; black where there is none.
        known: bool (N, T - 1), whether there is one.
    """

    images: Tensor
    known: Tensor


class Batch(NamedTuple):
    """What one process works on in one step, before it is varied.

    Attributes:
        images: uint8 (N, h, w, 3), RGB windows.
        labels: uint8 (N, h, w), numbers of the training's label space, or IGNORED.
        affines: float32 (N, 2, 3), pixels of a window -> pixels of its crop, in all frames of a clip.
        parts: int64 (N,), which data set each sample is of, 0 for the main one.
        inside: float32 (N, 4), where in the window the image lies: left, top, right, bottom; its outermost pixels.
        soft: uint8 (N, classes, h', w'), probabilities times 255 at the loss's resolution of the crop, 0 where nothing
            is known; None where no data set has files of them.
        past: the same windows of the frames before; None where single images are learned from.
    """

    images: Tensor
    labels: Tensor
    affines: Tensor
    parts: Tensor
    inside: Tensor
    soft: Tensor | None = None
    past: Past | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; copies from pinned memory go on meanwhile."""

        def moved(value: Any) -> Any:
            if isinstance(value, Past):
                return Past(*map(moved, value))
            return None if value is None else value.to(device, non_blocking=True)

        return Batch(*map(moved, self))


class Part(NamedTuple):
    """A data set and what its ids are in the network's label set.

    Attributes:
        dataset: to read from.
        meaning: of its classes.
        ids: uint8 (256,), its id -> number in the training's label space, or IGNORED.
        step: from one frame of a clip to the next, in frames of its videos.
        soft: files of soft labels; None for none.
    """

    dataset: Dataset
    meaning: Meaning
    ids: NDArray[np.uint8]
    step: int = 1
    soft: SoftLabels | None = None


class SampleSettings(NamedTuple):
    """What is read besides images and labels.

    Attributes:
        frames: T, of a clip; 1 for single images.
        disturb: probability for each frame of being disturbed.
        seed: of the disturbances.
        soft_divisor: soft labels have the size of the crop divided by it.
    """

    frames: int = 1
    disturb: float = 0.0
    seed: int = 0
    soft_divisor: int = 1


class StepDataset(TorchDataset[Batch | DatasetError]):
    """The batches of one process, by iteration."""

    def __init__(
        self,
        parts: Sequence[Part],
        plan: SamplePlan,
        placer: Placer,
        rank: int,
        ranks: int,
        settings: SampleSettings = SampleSettings(),  # noqa: B008 (immutable)
    ) -> None:
        self._parts, self._plan, self._placer = parts, plan, placer
        self._rank, self._ranks, self._settings = rank, ranks, settings
        self._any_soft = any(part.soft is not None for part in parts)
        self._clips = [ClipDataset(part.dataset, settings.frames, part.step) for part in parts]

    @property
    def batch_bytes(self) -> int:
        """About how large a batch is: its images and labels, and soft labels where there are any."""
        window, crop, divisor = self._placer.window_size, self._placer.crop_size, self._settings.soft_divisor
        sample = window.width * window.height * (3 * self._settings.frames + 1)
        if self._any_soft:
            points = -(-crop.width // divisor) * -(-crop.height // divisor)
            sample += points * len(self._parts[0].meaning.network)
        return sample * len(self._plan.step(0)[self._rank :: self._ranks])

    def __getitem__(self, iteration: int) -> Batch | DatasetError:
        """Read the windows of a step, counted from 0.

        What cannot be read is returned as an error: raised in a worker, it would lose its form.
        """
        try:
            return self._read(iteration)
        except DatasetError as error:
            return error

    def _read(self, iteration: int) -> Batch:
        choices = self._plan.step(iteration)[self._rank :: self._ranks]
        samples = [self._sample(iteration, choice) for choice in choices]
        return Batch(*map(_stacked, zip(*samples, strict=True)))

    def _sample(self, iteration: int, choice: Choice) -> tuple[Any, ...]:
        """Read the fields of a batch for one sample, as arrays."""
        part, clips = self._parts[choice.part], self._clips[choice.part]
        size = part.dataset.size(choice.sample)
        placement = self._placer.place(size, iteration, choice.slot, choice.part)
        clip = clips.clip(choice.sample, placement.window)
        *earlier, image = self._disturbed(clip.images, iteration, choice.slot)
        left, top = placement.window.left, placement.window.top
        inside = np.array([-left, -top, size.width - 1 - left, size.height - 1 - top], np.float32)
        soft = self._soft(part, clip.name, size, placement) if self._any_soft else None
        past = None
        if self._settings.frames > 1:
            lacking = self._settings.frames - 1 - len(earlier)
            known = np.array([True] * len(earlier) + [False] * lacking)
            past = Past(np.array([*earlier[::-1], *[np.zeros_like(image)] * lacking]), known)  # type: ignore[arg-type]
        return image, part.ids[clip.labels], placement.affine, np.int64(choice.part), inside, soft, past

    def _soft(self, part: Part, name: str, size: Size, placement: Placement) -> NDArray[np.uint8]:
        """The soft labels of a crop, uint8 (classes, h, w); zeros for a data set that has none."""
        crop, divisor = self._placer.crop_size, self._settings.soft_divisor
        if part.soft is not None:
            return part.soft.crop(name, size, placement.of_image, crop, divisor)
        return np.zeros((len(part.meaning.network), -(-crop.height // divisor), -(-crop.width // divisor)), np.uint8)

    def _disturbed(self, images: Sequence[NDArray[np.uint8]], iteration: int, slot: int) -> Sequence[NDArray[np.uint8]]:
        """Disturb some frames, each by itself: the others are what memory is good for."""
        if not self._settings.disturb:
            return images
        rng = disturbance_numbers(self._settings.seed, iteration, slot)
        newest_first = [disturb_some(image, self._settings.disturb, rng) for image in reversed(images)]
        return newest_first[::-1]  # so that the newest is disturbed alike, however many there are


def _stacked(values: Sequence[Any]) -> Any:
    """One field of a batch from that of its samples: None, arrays, or the past."""
    if values[0] is None:
        return None
    if isinstance(values[0], Past):
        return Past(*map(_stacked, zip(*values, strict=True)))
    return torch.from_numpy(np.stack(values))


def load_steps(
    dataset: StepDataset,
    first: int,
    last: int,
    workers: int,
    pin: bool,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Batch | None]:
    """Read the batches of the steps from `first` to before `last`, in order.

    Args:
        dataset: to read from.
        first: step, counted from 0.
        last: step that is not read any more.
        workers: processes that read ahead; 0 reads when asked. Where shared memory, by which they hand batches over, is
            too small for that, there will be fewer or none.
        pin: whether to put batches into memory from which a GPU copies faster.
        asked_to_stop: asked while a batch is waited for; where it answers True, None comes in its place.

    Raises:
        DatasetError: a sample cannot be read.
        TrainingError: a worker process died or hangs.
    """
    workers = _workers_with_room(dataset, workers)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        prefetch_factor=_PREFETCHED if workers else None,
        pin_memory=pin,
        timeout=_PATIENCE_S if workers else 0,
        worker_init_fn=_start_worker,
    )
    others = multiprocessing.active_children()
    batches = iter(loader)
    waiting_since: float | None = None
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            waiting_since = waiting_since or monotonic() - _PATIENCE_S
            if "timed out" in reason and monotonic() - waiting_since < LONGEST_WAIT_S:
                if asked_to_stop():
                    for process in multiprocessing.active_children():
                        if process not in others:  # ours, of which one hangs: the loader would wait for its end
                            process.terminate()
                    yield None
                continue
            raise TrainingError(
                f"a process that reads ahead failed ({reason}); use fewer --workers, and more shared memory where "
                "it is short (docker run --shm-size 2g)"
            ) from error
        waiting_since = None
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


def _workers_with_room(dataset: StepDataset, workers: int) -> int:
    """Return how many processes can read ahead in the shared memory there is; where it is full, batches get lost."""
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    needed = dataset.batch_bytes * (_PREFETCHED + 1)  # and the one that is learnt from
    free = shutil.disk_usage(SHARED_MEMORY).free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's
    room = min(workers, free // needed)
    if room < workers:
        _log.warning(
            "shared memory (%s) has %.0f MB free, and each of %d processes that read ahead needs %.0f MB: %d of them "
            "will; give it more (docker run --shm-size 2g) if the training waits for images",
            SHARED_MEMORY,
            free / 1e6,
            workers,
            needed / 1e6,
            room,
        )
    return room


def _start_worker(_: int) -> None:
    # Out of the group to which terminals, torchrun and `timeout` send signals: the training finishes its step first,
    # and ends its workers itself.
    os.setpgrp()
    cv2.setNumThreads(0)  # the cores belong to the training, and each worker is a thread already
