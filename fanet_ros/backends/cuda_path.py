"""From frame to labels on one GPU, with any network: one upload, one CUDA graph, one download, one wait."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.kept import KeptLast
from fanet_ros.batching import FrameRequest
from fanet_ros.errors import BackendError, InferenceError
from fanet_ros.frame_torch import TorchFrameResizer
from fanet_ros.postprocess import LabelBuffers
from fanet_ros.postprocess_torch import labels_from_logits
from fanet_ros.settings import Size

Network = Callable[[Tensor], Tensor]
"""uint8 (N, h, w, 3) RGB -> logits (N, classes, ceil(h/8), ceil(w/8)), on the device and its current stream."""

# functions with buffers and graph of their own that are kept: for each input size with and without confidence, ...
_KEPT_PER_SIZE = 2
_KEPT_BESIDES = 2  # ... and for one change of size
_WARM_UPS = 3  # runs before the capture: kernels are compiled or chosen, and memory is allocated

_log = logging.getLogger(__name__)


class _Key(NamedTuple):
    """All that fixes what the way of a batch of frames to their labels computes.

    Attributes:
        batch: number of frames.
        frame_shape: of each, (H, W, C).
        encoding: of each.
        input_size: of the network.
        output_size: of the labels; None for the network alone, whose frames are its inputs.
        confidence: whether the confidence is computed, too.
    """

    batch: int
    frame_shape: tuple[int, ...]
    encoding: str
    input_size: Size
    output_size: Size | None
    confidence: bool


class CudaPath:
    """Turns frames into labels with a network on a GPU; used by one thread at a time.

    On the CPU it does the same without streams and graphs, which is for tests.

    Attributes:
        network_for: returns the network for an input size.
    """

    def __init__(self, network_for: Callable[[Size], Network], device: torch.device, kept_sizes: int = 1) -> None:
        """Use the networks that `network_for` returns for each input size, on `device`.

        Args:
            network_for: told the size.
            device: where all of it runs.
            kept_sizes: for how many input sizes buffers and graphs are kept, and for as many those of batches.
        """
        self.network_for = network_for
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        room = _KEPT_PER_SIZE * kept_sizes + _KEPT_BESIDES
        self._functions: KeptLast[_Key, DeviceFunction] = KeptLast(room)
        self._batch_functions: KeptLast[_Key, DeviceFunction] = KeptLast(room)

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone, as fanet_ros.backends.base.Backend.infer says.

        Raises:
            BackendError: the GPU's memory does not suffice.
        """
        return self.infer_batch(image[None])[0]

    def infer_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone on several images, as fanet_ros.backends.base.Backend.infer_batch says.

        Raises:
            BackendError: the GPU's memory does not suffice.
        """
        size = Size(images.shape[2], images.shape[1])
        key = _Key(len(images), images.shape[1:], "rgb8", size, None, confidence=False)
        (logits,) = self._function(key, self._images_to_logits)(images)
        return logits.numpy()

    def segment(
        self,
        frame: NDArray[np.uint8],
        encoding: str,
        input_size: Size,
        output_size: Size,
        *,
        confidence: bool,
        out: LabelBuffers | None = None,
    ) -> LabelBuffers:
        """Do what fanet_ros.backends.base.Backend.segment says.

        Raises:
            InferenceError: the network's logits are not finite.
            BackendError: the GPU's memory does not suffice.
        """
        (result,) = self.segment_batch([FrameRequest(frame, encoding, output_size, confidence, out)], input_size)
        if isinstance(result, InferenceError):
            raise result
        return result

    @staticmethod
    def are_alike(requests: Sequence[FrameRequest]) -> bool:
        """Whether one graph can do all the requests."""
        return len({(_shape(r.frame), r.encoding, r.result_size, r.confidence) for r in requests}) == 1

    def segment_batch(self, requests: Sequence[FrameRequest], input_size: Size) -> list[LabelBuffers | InferenceError]:
        """Do for requests that are alike what fanet_ros.backends.base.Backend.segment_batch says.

        Raises:
            BackendError: the GPU's memory does not suffice.
        """
        first = requests[0]
        shape = _shape(first.frame)
        key = _Key(len(requests), shape, first.encoding, input_size, first.result_size, first.confidence)
        frames = [request.frame.reshape(shape) for request in requests]  # no copy
        checksums, labels, *sureness = self._function(key, self._frames_to_labels)(frames)
        results: list[LabelBuffers | InferenceError] = []
        for index, request in enumerate(requests):
            if not checksums[index].isfinite():
                results.append(
                    InferenceError(
                        "the network's logits are not all finite numbers, so its mask would be wrong: is the precision "
                        "too low (use precision fp32), or do the weights not fit?"
                    )
                )
                continue
            tensors = [tensor[index] for tensor in (labels, *sureness)]
            out = request.out or LabelBuffers(*(np.empty(tensor.shape, np.uint8) for tensor in tensors))
            for array, tensor in zip(out, tensors, strict=False):  # without confidence that is None
                torch.from_numpy(array).copy_(tensor)  # torch copies with several threads
            results.append(out)
        return results

    def drop_batch(self, input_size: Size, batch: int) -> None:
        """Free the buffers and graphs of batches of this input size."""
        for key in [key for key in self._batch_functions if (key.input_size, key.batch) == (input_size, batch)]:
            self._batch_functions.drop(key)
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

    def _images_to_logits(self, key: _Key) -> Callable[[Tensor], tuple[Tensor, ...]]:
        network = self.network_for(key.input_size)
        return lambda images: (network(images).float().contiguous(),)

    def _frames_to_labels(self, key: _Key) -> Callable[[Tensor], tuple[Tensor, ...]]:
        assert key.output_size is not None, "labels have a size"
        output_size = key.output_size
        frame_size = Size(key.frame_shape[1], key.frame_shape[0])
        resize = TorchFrameResizer(frame_size, key.encoding, key.input_size, self._device)
        network = self.network_for(key.input_size)

        def run(frames: Tensor) -> tuple[Tensor, ...]:
            logits = network(_stacked([resize(frame) for frame in frames]))
            # a sum is finite where all its terms are, and costs one small kernel
            checksums = logits.sum(dim=(1, 2, 3), dtype=torch.float32)
            results = [labels_from_logits(each, output_size, confidence=key.confidence) for each in logits]
            labels = _stacked([labels for labels, _ in results])
            if not key.confidence:
                return checksums, labels
            return checksums, labels, _stacked([sureness for _, sureness in results if sureness is not None])

        return run

    def _function(self, key: _Key, make: Callable[[_Key], Callable[[Tensor], tuple[Tensor, ...]]]) -> DeviceFunction:
        """Return the function kept under `key`, made anew if need be."""

        def new_function() -> DeviceFunction:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                return DeviceFunction(make(key), (key.batch, *key.frame_shape), self._device, self._stream)

        kept = self._functions if key.batch == 1 else self._batch_functions
        try:
            return kept.get(key, new_function)
        except torch.cuda.OutOfMemoryError as error:
            self.close()
            raise BackendError(
                f"the memory of {self._device} does not suffice for this image and input size: use a smaller "
                f"input_size or end other programs on the GPU ({str(error).splitlines()[0]})"
            ) from None


class DeviceFunction:
    """A function of stacked uint8 arrays on a device, with buffers of its own; on a GPU captured as one CUDA graph."""

    def __init__(
        self,
        function: Callable[[Tensor], tuple[Tensor, ...]],
        shape: tuple[int, ...],
        device: torch.device,
        stream: torch.cuda.Stream | None,
    ) -> None:
        """Allocate the buffers, run the function a few times and capture it.

        Args:
            function: device tensors of uint8 -> device tensors; always the same work for the same shape.
            shape: of the stack.
            device: where it runs.
            stream: on which, and which is the current one now; None on the CPU.
        """
        self._function = function
        self._stream = stream
        on_gpu = stream is not None
        # only copies from and to page-locked memory run beside the program, and at full speed
        self._host_input = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)
        self._input = torch.zeros(shape, dtype=torch.uint8, device=device)
        outputs = self._function(self._input)
        self._host_outputs = tuple(torch.empty(t.shape, dtype=t.dtype, pin_memory=on_gpu) for t in outputs)
        self._graph: torch.cuda.CUDAGraph | None = None
        if stream is not None:
            for _ in range(_WARM_UPS - 1):
                self._function(self._input)
            stream.synchronize()
            self._capture(stream)

    @torch.inference_mode()
    def __call__(self, arrays: Iterable[NDArray[np.uint8]]) -> tuple[Tensor, ...]:
        """Run the function.

        Args:
            arrays: uint8, what the stack is made of; rows may be padded, and they are only read.

        Returns:
            The function's results on the host, valid until the next call.
        """
        for host, array in zip(self._host_input, arrays, strict=True):
            host.copy_(as_tensor(array))
        with torch.cuda.stream(self._stream):
            self._input.copy_(self._host_input, non_blocking=True)
            if self._graph is None:
                outputs = self._function(self._input)
            else:
                self._graph.replay()
                outputs = self._outputs
            for host, output in zip(self._host_outputs, outputs, strict=True):
                host.copy_(output, non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        return self._host_outputs

    def _capture(self, stream: torch.cuda.Stream) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: what other threads of the program ask of the driver meanwhile cannot spoil the capture
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._outputs = self._function(self._input)
            graph.replay()
            stream.synchronize()
        except (RuntimeError, InferenceError) as error:  # torch's, and TensorRT's refusal to be captured
            _log.warning(
                "the GPU's work cannot be captured as one CUDA graph, so every frame takes longer: %s",
                str(error).splitlines()[0],
            )
            return
        self._graph = graph


def _shape(frame: NDArray[np.uint8]) -> tuple[int, ...]:
    """Height, width and channels; mono frames may lack the axis of channels."""
    return (*frame.shape, 1)[:3]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors, without a copy where there is only one."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def as_tensor(array: NDArray[np.uint8]) -> Tensor:
    """Return a tensor that shares an array's memory where it can, for reading only.

    torch warns of memory that is read-only, and cannot run through an array backwards: such an array is copied.
    """
    if min(array.strides) < 0:
        return torch.from_numpy(array.copy())
    if array.flags.writeable:
        return torch.from_numpy(array)
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """Claims that an array's memory may be written to, and keeps it alive."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
