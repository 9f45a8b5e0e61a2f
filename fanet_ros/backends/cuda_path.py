"""From frame to labels on one GPU, with any network: one upload, one CUDA graph, one download, one wait."""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.errors import BackendError, InferenceError
from fanet_ros.frame_torch import TorchFrameResizer
from fanet_ros.postprocess import LabelBuffers
from fanet_ros.postprocess_torch import labels_from_logits
from fanet_ros.settings import Size

Network = Callable[[Tensor], Tensor]
"""uint8 (1, h, w, 3) RGB -> logits (1, classes, ceil(h/8), ceil(w/8)), on the device and its current stream."""

# functions with buffers and graph of their own: for a camera, with and without confidence, and for one change of size
_KEPT = 4
_WARM_UPS = 3  # runs before the capture: kernels are compiled or chosen, and memory is allocated

_log = logging.getLogger(__name__)


class _Key(NamedTuple):
    """All that fixes what a frame's way to its labels computes."""

    frame_shape: tuple[int, ...]
    encoding: str
    input_size: Size
    output_size: Size
    confidence: bool


class CudaPath:
    """Turns frames into labels with a network on a GPU; used by one thread at a time.

    On the CPU it does the same without streams and graphs, which is for tests.

    Attributes:
        network_for: returns the network for an input size.
    """

    def __init__(self, network_for: Callable[[Size], Network], device: torch.device) -> None:
        """Use the networks that `network_for` returns for each input size, on `device`."""
        self.network_for = network_for
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._functions: OrderedDict[Hashable, DeviceFunction] = OrderedDict()

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone, as fanet_ros.backends.base.Backend.infer says.

        Raises:
            BackendError: the GPU's memory does not suffice.
        """

        def make() -> Callable[[Tensor], tuple[Tensor, ...]]:
            network = self.network_for(Size(image.shape[1], image.shape[0]))
            return lambda frame: (network(frame[None])[0].float().contiguous(),)

        (logits,) = self._function(image.shape, image.shape, make)(image)
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
        frame = frame.reshape(*frame.shape[:2], -1)  # mono frames may lack the axis of channels; no copy
        key = _Key(frame.shape, encoding, input_size, output_size, confidence)
        labels, checksum, *sureness = self._function(key, frame.shape, lambda: self._frame_to_labels(key))(frame)
        if not checksum.isfinite():
            raise InferenceError(
                "the network's logits are not all finite numbers, so its mask would be wrong: is the precision too low "
                "(use precision fp32), or do the weights not fit?"
            )
        if out is None:
            arrays = (np.empty(tensor.shape, np.uint8) for tensor in (labels, *sureness))
            out = LabelBuffers(*arrays)
        torch.from_numpy(out.labels).copy_(labels)  # torch copies with several threads
        if out.confidence is not None:
            torch.from_numpy(out.confidence).copy_(sureness[0])
        return out

    def close(self) -> None:
        """Free the device's memory."""
        self._functions.clear()
        if self._stream is not None:
            gc.collect()  # graphs and closures refer to each other
            torch.cuda.empty_cache()

    def _frame_to_labels(self, key: _Key) -> Callable[[Tensor], tuple[Tensor, ...]]:
        frame_size = Size(key.frame_shape[1], key.frame_shape[0])
        resize = TorchFrameResizer(frame_size, key.encoding, key.input_size, self._device)
        network = self.network_for(key.input_size)

        def run(frame: Tensor) -> tuple[Tensor, ...]:
            logits = network(resize(frame)[None])[0]
            labels, sureness = labels_from_logits(logits, key.output_size, confidence=key.confidence)
            # a sum is finite where all its terms are, and costs one small kernel
            checksum = logits.sum(dtype=torch.float32)
            return (labels, checksum) if sureness is None else (labels, checksum, sureness)

        return run

    def _function(
        self, key: Hashable, shape: tuple[int, ...], make: Callable[[], Callable[[Tensor], tuple[Tensor, ...]]]
    ) -> DeviceFunction:
        """Return the function kept under `key`; made anew if need be, in the place of the one unused for longest."""
        if key not in self._functions:
            while len(self._functions) >= _KEPT:
                self._functions.popitem(last=False)
            try:
                with torch.inference_mode(), torch.cuda.stream(self._stream):
                    self._functions[key] = DeviceFunction(make(), shape, self._device, self._stream)
            except torch.cuda.OutOfMemoryError as error:
                self.close()
                raise BackendError(
                    f"the memory of {self._device} does not suffice for this image and input size: use a smaller "
                    f"input_size or end other programs on the GPU ({str(error).splitlines()[0]})"
                ) from None
        self._functions.move_to_end(key)
        return self._functions[key]


class DeviceFunction:
    """A function of one uint8 array on a device, with buffers of its own; on a GPU captured as one CUDA graph."""

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
            shape: of the array.
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
    def __call__(self, array: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """Run the function.

        Args:
            array: uint8, of the shape given before; rows may be padded, and it is only read.

        Returns:
            The function's results on the host, valid until the next call.
        """
        self._host_input.copy_(as_tensor(array))
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
