"""From frame to labels on one GPU, with any network: one upload, one CUDA graph, one download, one wait."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.cuda.device_function import DeviceFunction, DeviceWork
from fanet_ros.backends.cuda.device_memory import DeviceMemory
from fanet_ros.backends.kept import KeptLast
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import FanetError, InferenceError, NoRoomError
from fanet_ros.frames.frame_torch import TorchFrameResizer
from fanet_ros.labelling.postprocess import NOT_FINITE, LabelBuffers
from fanet_ros.labelling.postprocess_torch import labels_from_logits
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory, VideoStates

Network = Callable[..., Tensor]
"""uint8 (N, h, w, 3) RGB -> logits (N, classes, ceil(h/8), ceil(w/8)), on the device and its current stream.

For videos it is also given their state, float32 (N, T - 1, state size), and puts the next one into its place."""

Decide = Callable[..., tuple[Tensor, Tensor | None]]
"""What `labels_from_logits` does, or something in its place."""

# functions with buffers and graph of their own that are kept: for each input size with and without confidence, ...
_KEPT_PER_SIZE = 2
_KEPT_BESIDES = 2  # ... and for one change of size


class _Key(NamedTuple):
    """All that fixes what the way of a batch of frames to their labels computes."""

    batch: int
    frame_shape: tuple[int, ...]  # (H, W, C)
    encoding: str
    input_size: Size
    output_size: Size | None  # None for the network alone, whose frames are its inputs
    confidence: bool
    label_of: bytes | None = None  # the label that each class stands for
    rotation: int = 0  # of the frames


class CudaPath:
    """Turns frames into labels with a network on a GPU; used by one thread at a time.

    On the CPU it does the same without streams and graphs, which is for tests.

    Attributes:
        network_for: returns the network for an input size.
    """

    def __init__(
        self,
        network_for: Callable[[Size], Network],
        device: torch.device,
        kept_sizes: int = 1,
        states: VideoStates | None = None,
        decide: Decide = labels_from_logits,
        *,
        align_corners: bool = True,
    ) -> None:
        """Use the networks that `network_for` returns for each input size, on `device`.

        `decide` turns logits into labels and confidence, which it may lack, and `align_corners` says where frame and
        network input lie on each other.

        Buffers and graphs are kept for `kept_sizes` input sizes, and for as many those of batches; `states` is what the
        network is given of videos, None for single frames.
        """
        self.network_for = network_for
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._states = states
        self._decide, self._align_corners = decide, align_corners
        room = _KEPT_PER_SIZE * kept_sizes + _KEPT_BESIDES
        self._functions: KeptLast[_Key, DeviceFunction] = KeptLast(room)
        self._batch_functions: KeptLast[_Key, DeviceFunction] = KeptLast(room)

    def new_memory(self) -> DeviceMemory:
        """Return an empty memory for one video; there are none for single frames."""
        assert self._states is not None, "a network of single frames remembers nothing"
        return DeviceMemory(self._states, self._device, self._stream)

    def infer_batch(
        self, images: NDArray[np.uint8], memories: Sequence[VideoMemory | None] | None = None
    ) -> NDArray[np.float32]:
        """Run the network alone on several images, as fanet_ros.backends.base.Backend.infer_batch says.

        Raises:
            NoRoomError: the GPU's memory does not suffice.
        """
        size = Size(images.shape[2], images.shape[1])
        key = _Key(len(images), images.shape[1:], "rgb8", size, None, confidence=False)
        memories = memories or [None] * len(images)
        states = self._enter(memories, size)
        logits, *checksums = self._function(key, self._images_to_logits)(images, states)
        for sums in checksums:  # which there are for videos only
            self._remember(memories, sums)
        return logits.numpy()

    def segment(
        self, request: FrameRequest, input_size: Size, label_of: NDArray[np.uint8] | None = None
    ) -> LabelBuffers:
        """Do what fanet_ros.backends.base.Backend.segment says.

        Raises:
            InferenceError: the network's logits are not finite.
            NoRoomError: the GPU's memory does not suffice.
        """
        (result,) = self.segment_batch([request], input_size, label_of)
        if isinstance(result, FanetError):
            raise result
        return result

    @staticmethod
    def are_alike(requests: Sequence[FrameRequest]) -> bool:
        """Whether one graph can do all the requests."""
        return len({(_shape(r.frame), r.encoding, r.result_size, r.confidence, r.look) for r in requests}) == 1

    def segment_batch(
        self, requests: Sequence[FrameRequest], input_size: Size, label_of: NDArray[np.uint8] | None = None
    ) -> list[LabelBuffers | FanetError]:
        """Do for requests that are alike what fanet_ros.backends.base.Backend.segment_batch says.

        Raises:
            NoRoomError: the GPU's memory does not suffice.
        """
        first = requests[0]
        shape = _shape(first.frame)
        merging = None if label_of is None else label_of.tobytes()
        what = first.encoding, input_size, first.result_size, first.confidence, merging, first.look.rotation
        key = _Key(len(requests), shape, *what)
        frames = [request.frame.reshape(shape) for request in requests]  # no copy
        memories = [request.memory for request in requests]
        states = self._enter(memories, input_size)
        checksums, labels, *sureness = self._function(key, self._frames_to_labels)(frames, states)
        self._remember(memories, checksums)
        results: list[LabelBuffers | FanetError] = []
        for index, request in enumerate(requests):
            if not checksums[index, 0].isfinite():
                results.append(InferenceError(NOT_FINITE))
                continue
            tensors = [tensor[index] for tensor in (labels, *sureness)]
            out = request.out or LabelBuffers(*(np.empty(tensor.shape, np.uint8) for tensor in tensors))
            if len(tensors) == 1 and out.confidence is not None:  # a network that gives labels has none
                out = LabelBuffers(out.labels)
            for array, tensor in zip(out, tensors, strict=False):  # without confidence that is None
                torch.from_numpy(array).copy_(tensor)  # torch copies with several threads
            results.append(out)
        return results

    def drop_batch(self, input_size: Size, batch: int) -> None:
        """Free the buffers and graphs of batches of this input size."""
        for key in [key for key in self._batch_functions if (key.input_size, key.batch) == (input_size, batch)]:
            del self._batch_functions[key]
        self._free_cache()

    def close(self) -> None:
        """Free the device's memory."""
        self._functions.clear()
        self._batch_functions.clear()
        self._free_cache()

    def _free_cache(self) -> None:
        if self._stream is not None:
            gc.collect()  # graphs and closures refer to each other
            torch.cuda.empty_cache()

    def _enter(self, memories: Sequence[VideoMemory | None], input_size: Size) -> list[Tensor | None] | None:
        """Return the states of the videos whose next frames come; None where the network has none."""
        if self._states is None:
            return None
        states: list[Tensor | None] = []
        for memory in memories:
            if memory is not None:
                memory.enter(self._states.maker, input_size)
                assert isinstance(memory, DeviceMemory)
            states.append(None if memory is None else memory.state)
        return states

    def _remember(self, memories: Sequence[VideoMemory | None], checksums: Tensor) -> None:
        """Count the frames that have come; what is spoilt by numbers that are not finite is forgotten."""
        if self._states is not None:
            for memory, sums in zip(memories, checksums, strict=True):
                if memory is not None:
                    memory.remember(is_finite=bool(sums.isfinite().all()))

    def _images_to_logits(self, key: _Key) -> DeviceWork:
        network = self.network_for(key.input_size)

        def run(images: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            logits = network(images, *state).float().contiguous()
            return (logits, _checksums(logits, *state)) if state else (logits,)

        return run

    def _frames_to_labels(self, key: _Key) -> DeviceWork:
        assert key.output_size is not None, "labels have a size"
        output_size = key.output_size
        label_of = None if key.label_of is None else np.frombuffer(key.label_of, np.uint8)
        frame_size = Size(key.frame_shape[1], key.frame_shape[0])
        aligned, quarters = self._align_corners, key.rotation // 90
        resize = TorchFrameResizer(
            *(frame_size, key.encoding, key.input_size, self._device), align_corners=aligned, rotation=key.rotation
        )
        network = self.network_for(key.input_size)

        def run(frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            logits = network(_stacked([resize(frame) for frame in frames]), *state)
            checksums = _checksums(logits, *state)
            if quarters:  # back to how the camera sees, while there is little to turn
                logits = torch.rot90(logits, quarters, (2, 3)).contiguous()
            results = [self._decide(each, output_size, confidence=key.confidence, label_of=label_of) for each in logits]
            labels = _stacked([labels for labels, _ in results])
            sureness = [each for _, each in results if each is not None]
            return (checksums, labels, _stacked(sureness)) if sureness else (checksums, labels)

        return run

    def _function(self, key: _Key, make: Callable[[_Key], DeviceWork]) -> DeviceFunction:
        """Return the function kept under `key`, made anew if need be."""

        def new_function() -> DeviceFunction:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                shape = (key.batch, *key.frame_shape)
                state_shape = None if self._states is None else (key.batch, *self._states[1:])
                return DeviceFunction(make(key), shape, self._device, self._stream, state_shape)

        kept = self._functions if key.batch == 1 else self._batch_functions
        try:
            return kept.obtain(key, new_function)
        except torch.cuda.OutOfMemoryError as error:
            self.close()
            raise NoRoomError(
                f"the memory of {self._device} does not suffice for this image and input size: use a smaller "
                f"input_size or end other programs on the GPU ({str(error).splitlines()[0]})"
            ) from None


def _shape(frame: NDArray[np.uint8]) -> tuple[int, ...]:
    """Height, width and channels; mono frames may lack the axis of channels."""
    return (*frame.shape, 1)[:3]


def _checksums(logits: Tensor, *state: Tensor) -> Tensor:
    """Return for each frame a number that is finite where its logits are, and for videos one more for their states.

    A sum is finite where all its terms are, and costs one small kernel.
    """
    sums = [each.sum(dim=tuple(range(1, each.dim())), dtype=torch.float32) for each in (logits, *state)]
    return sums[0][:, None] if len(sums) == 1 else torch.stack(sums, dim=1)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors, without a copy where there is only one."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))
