"""What runs the network for a contender: one of the backends, as the node uses it, or the reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends import Backend, create_backend
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.request import FrameRequest
from fanet_ros.benchmark.plan import COMPILED, REFERENCE
from fanet_ros.benchmark.work import Run, wall
from fanet_ros.frames.look import Look
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.settings import Size
from fanet_ros.sources import open_source

if TYPE_CHECKING:
    from fanet_ros.backends.cuda.path import CudaPath

EXACT = "exact "
"""Before the names of the reference's answers in fp32 throughout, which TF32, torch's default on GPUs, is not."""

_CALIBRATION_FRAMES = 8

Answers = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Candidate:
    """A contender with all that its process needs to know, in JSON's types.

    Attributes:
        weights: a checkpoint.
        backend: a backend's name, or REFERENCE or COMPILED.
        device: as for create_backend.
        precision: likewise.
        threads: likewise.
        width: of the network's input.
        height: of the network's input.
        calibrate: whether TensorRT's int8 network is made from a few frames of the street where there is none.
    """

    weights: str
    backend: str
    device: str
    precision: str
    threads: int
    width: int
    height: int
    calibrate: bool = False

    @property
    def size(self) -> Size:
        """Of the network's input."""
        return Size(self.width, self.height)

    def backend_for(self, temporal_frames: int = 1, kept_sizes: int = 1) -> Backend:
        """Start the backend.

        Raises:
            FanetError: as create_backend.
        """
        if self.backend == COMPILED:
            from fanet_ros.backends.torch_backend import TorchBackend  # imports torch, which not every contender needs

            device = TorchBackend.find_device(self.device)
            request = BackendRequest(
                Path(self.weights), device, self.precision, threads=self.threads, temporal_frames=temporal_frames
            )
            return TorchBackend(request, compiled=True)
        if self.calibrate and (self.backend, self.precision) == ("tensorrt", "int8"):
            self._calibrate()
        return create_backend(
            Path(self.weights),
            backend=self.backend,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            input_size=self.size,
            kept_sizes=kept_sizes,
            temporal_frames=temporal_frames,
        )

    def runner(self, temporal_frames: int = 1) -> Runner:
        """Start what runs the network, of single frames or of a video.

        Raises:
            FanetError: it cannot start.
        """
        if self.backend != REFERENCE:
            return BackendRunner(self.backend_for(temporal_frames), self.size)
        if is_foreign(Path(self.weights)):
            return ExactRunner(replace(self, backend="openvino", device="cpu").backend_for(), self.size)
        from fanet_ros.benchmark.reference import EagerReference  # imports torch

        return EagerReference(self, temporal_frames)

    def _calibrate(self) -> None:
        from fanet_ros.backends.tensorrt.quantise import quantise, quantised_key

        def street(seed: int) -> NDArray[np.uint8]:
            with open_source("street", width=self.width, height=self.height, seed=seed) as source:
                frame = source.read()
            assert frame is not None and frame.encoding == "rgb8", "the street is endless"
            return frame.image

        key = quantised_key(artefacts.weights_digest(Path(self.weights)))
        if artefacts.find(key) is None:
            images = (street(seed) for seed in range(_CALIBRATION_FRAMES))
            artefacts.store(key, lambda folder: quantise(Path(self.weights), images, folder))


class Runner(ABC):
    """Runs the network at one input size.

    Attributes:
        device: on which, `cpu` or `cuda:<index>`.
    """

    device: str

    @abstractmethod
    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone: uint8 RGB (H, W, 3) to logits, float32 (classes, ceil(H/8), ceil(W/8))."""

    @abstractmethod
    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the class ids of a frame, uint8 bgr8 (H, W, 3) to (H, W), valid until the next call."""

    @abstractmethod
    def restart(self) -> None:
        """Forget the frames of the video so far."""

    @abstractmethod
    def network_run(self, image: NDArray[np.uint8]) -> Run:
        """Return what times `infer`, and on a GPU the network alone by the GPU's clock, without any copy."""

    def facts(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Return what is to be told about it, and about its work on an image."""
        return {"device": self.device}

    def answers(self, make: Callable[[], Answers]) -> Answers:
        """Return what `make` returns, and whatever else is to be known of it."""
        return make()


class BackendRunner(Runner):
    """A backend as Segmenter.segment uses it; the labels' memory is reused, as the node does."""

    def __init__(self, backend: Backend, size: Size) -> None:
        self._backend = backend
        self._size = size
        self._out: dict[Size, LabelBuffers] = {}
        self.device = backend.info.device
        self.restart()

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102 (documented by Runner)
        return self._backend.infer(image)

    def segment(  # noqa: D102 (documented by Runner)
        self, frame: NDArray[np.uint8], rotation: int = 0
    ) -> NDArray[np.uint8]:
        camera, look = Size(frame.shape[1], frame.shape[0]), Look(rotation)
        request = FrameRequest(frame, "bgr8", camera, out=self._out.get(camera), memory=self._memory, look=look)
        self._out[camera] = self._backend.segment(request, self._size)
        return self._out[camera].labels

    def restart(self) -> None:  # noqa: D102 (documented by Runner)
        self._memory = self._backend.new_memory() if self._backend.temporal_frames > 1 else None

    def network_run(self, image: NDArray[np.uint8]) -> Run:  # noqa: D102 (documented by Runner)
        path: CudaPath | None = getattr(self._backend, "path", None)  # which backends for GPUs have
        if path is None:
            return wall(lambda: self._backend.infer(image))
        from fanet_ros.benchmark.gpu_work import GpuRun

        return GpuRun(path.network_for(self._size), image, self.device, capture=True)


class ExactRunner(BackendRunner):
    """Openvino in fp32 as the reference of networks that are not FANet: no file holds what they were made with."""

    def facts(self, image: NDArray[np.uint8]) -> dict[str, Any]:  # noqa: D102 (documented by Runner)
        network = self._backend.network
        assert network is not None
        return {"model": network.name, "device": self.device}

    def answers(self, make: Callable[[], Answers]) -> Answers:  # noqa: D102 (documented by Runner)
        answers = make()
        return {**answers, **{EXACT + name: answer for name, answer in answers.items()}}
