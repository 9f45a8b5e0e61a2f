"""What every backend does: answer one question about one frame."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.host_states import HostStates
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError, FanetError, InferenceError
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess import LabelBuffers, enlarge_labels, labels_from_logits
from fanet_ros.model.foreign import LABELS, PROBABILITIES, ForeignNetwork
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory, VideoStates, check_temporal_frames

_log = logging.getLogger(__name__)

Progress = Callable[[str], None]
"""Told every few seconds what a long build is doing, in words; may raise to give the build up."""

MAX_BATCH = 8
"""Frames that a backend with batches runs as one at most: cameras of a robot; memory grows with every frame."""


def no_progress(_: str) -> None:
    """Ignore the progress of a build."""


class BackendInfo(NamedTuple):
    """What was chosen to run the network, and why, in words for logs and diagnostics."""

    name: str
    device: str
    precision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} on {self.device} in {self.precision} ({self.reason})"


@dataclass(frozen=True)
class BackendRequest:
    """What a backend is made from; `create_backend` has put what it chose in place of every `auto`.

    Attributes:
        weights: a checkpoint that fanet_ros.model.weights can read.
        device: `cpu` or `cuda:<index>`, as the backend's `find_device` returned it.
        precision: one of the backend's `precisions` on that device.
        threads: CPU threads of the network; 0 for as many as the process may use.
        reason: why this backend, device and precision were chosen.
        progress: told what a long build is doing.
        kept_sizes: for how many input sizes a backend that compiles for each keeps what it compiled, at least 1, and
            for as many what it compiled for batches. A camera has one, and should not pay memory for the guess that
            was made before its first frame.
        temporal_frames: T, how many frames of a video attention sees, the present one included, 1 to
            video_memory.MAX_TEMPORAL_FRAMES; 1 for single frames.
        labels: key of the merged classes that are wanted (model_card.merging_key), whose loss the precision `auto` is
            chosen by; empty for the network's own.
        network: what the weights hold (fanet_ros.backends.foreign); None for FANet.

    Raises:
        SettingError: `temporal_frames` is out of range.
    """

    weights: Path
    device: str
    precision: str
    threads: int = 0
    reason: str = "asked for"
    progress: Progress = no_progress
    kept_sizes: int = 1
    temporal_frames: int = 1
    labels: str = ""
    network: ForeignNetwork | None = None

    def __post_init__(self) -> None:
        check_temporal_frames(self.temporal_frames)


class _MakesMemories(Protocol):
    def new_memory(self) -> VideoMemory: ...


class Backend(ABC):
    """Runs the exported graph (fanet_ros.model.graph) on one device; used by one thread at a time.

    Attributes:
        info: what runs it.
        classes: number of classes of the network; of one that gives labels the fewest it can have, until it is told.
        network: that it runs; None for FANet.
        max_batch: frames of one input size that it can run as one batch at most; 1 for one after the other.
        temporal_frames: T, how many frames of a video attention sees, the present one included; 1 for single frames.
        label_of: uint8 (classes,), the label that each class stands for; None: its own number. It is set before the
            first frame (fanet_ros.labelling.postprocess).
    """

    name: str  # of the backend, one of settings.BACKENDS
    info: BackendInfo
    classes: int
    max_batch = 1
    temporal_frames: int
    label_of: NDArray[np.uint8] | None = None

    @abstractmethod
    def __init__(self, request: BackendRequest) -> None:
        """Load the weights.

        Raises:
            WeightsError: the checkpoint cannot be used.
            BackendError: the backend cannot start as requested; says why.
        """
        supported = self.precisions(request.device)
        if request.precision not in supported:
            raise BackendError(
                f"backend {self.name} on {request.device} does not compute in {request.precision} here; use one of "
                f"{', '.join(supported)}"
            )
        self.info = BackendInfo(self.name, request.device, request.precision, request.reason)
        self.temporal_frames = request.temporal_frames
        self.network = request.network
        self._memories: _MakesMemories | None = None

    @property
    def align_corners(self) -> bool:
        """Where frame, network input and logits lie on each other."""
        return self.network is None or self.network.align_corners

    @property
    def gives_labels(self) -> bool:
        """Whether the network decides labels itself, so that there is no confidence."""
        return self.network is not None and self.network.answer == LABELS

    @property
    def gives_probabilities(self) -> bool:
        """Whether the network gives probabilities in place of logits."""
        return self.network is not None and self.network.answer == PROBABILITIES

    @classmethod
    @abstractmethod
    def find_device(cls, device: str) -> str:
        """Return the device that would be used: `cpu` or `cuda:<index>`.

        Args:
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.

        Raises:
            BackendError: a library or the device is missing here; says which, and how to get it.
        """

    @classmethod
    @abstractmethod
    def precisions(cls, device: str) -> tuple[str, ...]:
        """Return the precisions that the device computes in natively, the fastest first.

        Args:
            device: as `find_device` returned it.
        """

    @classmethod
    def int8_network(cls, weights: Path) -> str:
        """Return the fingerprint of the quantised network that int8 would run; empty where there is none.

        Raises:
            WeightsError: the weights file cannot be read.
        """
        return ""

    @abstractmethod
    def prepare(self, input_size: Size, batch: int = 1) -> None:
        """Build or load what network inputs of this size need; all that runs the network does it by itself.

        Args:
            input_size: of the network.
            batch: frames in one run, 1 to `max_batch`.

        Raises:
            BackendError: it cannot be built here; says why.
        """

    def drop_batch(self, input_size: Size, batch: int) -> None:  # noqa: B027 (where nothing is kept, nothing is freed)
        """Free what `prepare` made for a batch of more than one, which turned out not to be worth its memory."""

    def drop(self, input_size: Size) -> None:  # noqa: B027 (likewise)
        """Free what `prepare` made for single frames of this size, as no frame will have it."""

    def new_memory(self) -> VideoMemory:
        """Return an empty memory for one video; with single frames (T = 1) it stays empty."""
        return VideoMemory(self.info) if self._memories is None else self._memories.new_memory()

    def _states_of(self, state_size: int) -> VideoStates | None:
        """What the memories of a network hold that keeps so many numbers of a frame; None for single frames."""
        return VideoStates(self.info, self.temporal_frames - 1, state_size) if self.temporal_frames > 1 else None

    @abstractmethod
    def infer(self, image: NDArray[np.uint8], memory: VideoMemory | None = None) -> NDArray[np.float32]:
        """Run the network alone, for comparing backends output by output.

        Args:
            image: uint8, (H, W, 3), RGB, contiguous, at the network's input size.
            memory: of the video whose next frame this is: read, and the frame put into it. None for a frame on its own.

        Returns:
            Logits, float32, (classes, ceil(H / 8), ceil(W / 8)); valid until the next call. Of a foreign network what
            it gives (model.foreign), on a grid of its own; labels as numbers in one channel.

        Raises:
            SettingError: the memory was made by another backend.
        """

    def infer_batch(
        self, images: NDArray[np.uint8], memories: Sequence[VideoMemory | None] | None = None
    ) -> NDArray[np.float32]:
        """Run the network alone on several images: as one batch where `max_batch` allows, else one after the other.

        Args:
            images: uint8, (N, H, W, 3), as for `infer`.
            memories: N as for `infer`, each of another video; None for none.

        Returns:
            Logits, float32, (N, classes, ceil(H / 8), ceil(W / 8)); valid until the next call.

        Raises:
            SettingError: a memory was made by another backend.
        """
        pairs = zip(images, memories or [None] * len(images), strict=True)
        return np.stack([self.infer(image, memory).copy() for image, memory in pairs])

    @abstractmethod
    def segment(self, request: FrameRequest, input_size: Size) -> LabelBuffers:
        """Resize a frame, run the network and decide every pixel (fanet_ros.labelling.postprocess).

        Args:
            request: a checked frame (frames.frame) and what is wanted of it; the frame is only read.
            input_size: at which the network sees the frame, upright.

        Returns:
            Labels and confidence (or None), both uint8, of the request's `result_size`. A network that gives labels
            has no confidence, whatever is asked for.

        Raises:
            InferenceError: the network's logits are not finite; the memory is reset.
            SettingError: the memory was made by another backend.
        """

    def segment_batch(self, requests: Sequence[FrameRequest], input_size: Size) -> list[LabelBuffers | FanetError]:
        """Do for several checked frames what `segment` does for one: as one batch where that can be done.

        Args:
            requests: at most `max_batch` where that is more than 1; no two with the same memory.
            input_size: at which the network sees each of them.

        Returns:
            For each request its labels and confidence, or what makes them unusable.
        """
        return self.segment_each(requests, input_size)

    def segment_each(self, requests: Sequence[FrameRequest], input_size: Size) -> list[LabelBuffers | FanetError]:
        """Segment frames one after the other, of which one that cannot be costs no other its result."""
        results: list[LabelBuffers | FanetError] = []
        for request in requests:
            try:
                results.append(self.segment(request, input_size))
            except FanetError as error:
                results.append(error)
            except Exception as error:  # raised, it would have frames that went well run and remembered again
                _log.debug("a frame was lost", exc_info=True)
                results.append(InferenceError(f"{type(error).__name__}: {error}"))
        return results

    @abstractmethod
    def close(self) -> None:
        """Free the device's memory; the backend is not used afterwards."""


class HostBackend(Backend):
    """A backend whose network runs on the CPU: frame and labels are OpenCV's and our kernel's work."""

    def __init__(self, request: BackendRequest) -> None:
        super().__init__(request)
        self._threads = request.threads
        self._resizer = FrameResizer(align_corners=self.align_corners)
        self._images = np.empty((0, 0, 0, 3), np.uint8)  # of the last batch
        self._states: HostStates | None = None

    def _look_back(self, state_size: int) -> None:
        """Have memories, where videos are asked for, for a network that keeps so many numbers of a frame."""
        states = self._states_of(state_size)
        self._memories = self._states = states and HostStates(states)

    @abstractmethod
    def _run(self, images: NDArray[np.uint8], *states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network as `infer_batch` says.

        Args:
            images: uint8, (N, H, W, 3).
            states: of videos, to read and to write, both float32 (N, T - 1, state size); nothing for single frames.
        """

    def infer(  # noqa: D102 (documented by Backend)
        self, image: NDArray[np.uint8], memory: VideoMemory | None = None
    ) -> NDArray[np.float32]:
        return self.infer_batch(image[None], [memory])[0]

    def infer_batch(  # noqa: D102 (documented by Backend)
        self, images: NDArray[np.uint8], memories: Sequence[VideoMemory | None] | None = None
    ) -> NDArray[np.float32]:
        if self._states is None:
            return self._run(images)
        memories = memories or [None] * len(images)
        logits = self._run(images, *self._states.gather(memories, Size(images.shape[2], images.shape[1])))
        self._states.keep(memories)
        return logits

    def segment(self, request: FrameRequest, input_size: Size) -> LabelBuffers:  # noqa: D102 (documented by Backend)
        image = self._resizer.to_network_input(request.frame, request.encoding, input_size, request.look.rotation)
        return self._labels(self.infer(image, request.memory), request)

    def segment_batch(  # noqa: D102 (documented by Backend)
        self, requests: Sequence[FrameRequest], input_size: Size
    ) -> list[LabelBuffers | FanetError]:
        shape = (len(requests), input_size.height, input_size.width, 3)
        if self._images.shape != shape:
            self._images = np.empty(shape, np.uint8)
        for image, request in zip(self._images, requests, strict=True):
            rotation = request.look.rotation
            image[:] = self._resizer.to_network_input(request.frame, request.encoding, input_size, rotation)
        batch = self.infer_batch(self._images, [request.memory for request in requests])
        results: list[LabelBuffers | FanetError] = []
        for logits, request in zip(batch, requests, strict=True):
            try:
                results.append(self._labels(logits, request))
            except InferenceError as error:
                results.append(error)
        return results

    def _labels(self, logits: NDArray[np.float32], request: FrameRequest) -> LabelBuffers:
        """Decide every pixel; a frame without usable logits is not remembered, nor what may have spoilt it."""
        size, out = request.result_size, request.out
        if request.look.rotation:  # back to how the camera sees, while there is little to turn
            logits = np.ascontiguousarray(np.rot90(logits, request.look.rotation // 90, axes=(1, 2)))
        if self.gives_labels:
            aligned, label_of = self.align_corners, self.label_of
            return enlarge_labels(logits, size, self.classes, out=out, label_of=label_of, align_corners=aligned)
        try:
            return labels_from_logits(
                logits,
                size,
                confidence=request.confidence,
                threads=self._threads,
                out=out,
                label_of=self.label_of,
                align_corners=self.align_corners,
                probabilities=self.gives_probabilities,
            )
        except InferenceError:
            if request.memory is not None:
                request.memory.reset("the network's answer was not finite")
            raise
