"""Work on a device with buffers at fixed addresses: one upload, one CUDA graph, one download, one wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.errors import InferenceError

DeviceWork = Callable[..., tuple[Tensor, ...]]
"""A stack of uint8 arrays, and a state for videos, on the device -> what becomes of them."""

_WARM_UPS = 3  # runs before the capture: kernels are compiled or chosen, and memory is allocated

_log = logging.getLogger(__name__)


class DeviceFunction:
    """A function of stacked uint8 arrays on a device, with buffers of its own; on a GPU captured as one CUDA graph.

    With a state it also has that of the videos which the arrays belong to. The function replaces it in place, so the
    graph has one fixed address to read and write; videos take turns through copies within the device.
    """

    def __init__(
        self,
        function: DeviceWork,
        shape: tuple[int, ...],
        device: torch.device,
        stream: torch.cuda.Stream | None,
        state_shape: tuple[int, ...] | None = None,
    ) -> None:
        """Allocate the buffers, run the function a few times and capture it.

        Args:
            function: always the same work for the same shape.
            shape: of the stack.
            device: where it runs.
            stream: on which, and which is the current one now; None on the CPU.
            state_shape: of the states, one for each array; None for a function without.
        """
        self._function = function
        self._stream = stream
        on_gpu = stream is not None
        # only copies from and to page-locked memory run beside the program, and at full speed
        self._host_input = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)
        self._input = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._state = () if state_shape is None else (torch.zeros(state_shape, device=device),)
        outputs = self._function(self._input, *self._state)
        self._host_outputs = tuple(torch.empty(t.shape, dtype=t.dtype, pin_memory=on_gpu) for t in outputs)
        self._graph: torch.cuda.CUDAGraph | None = None
        if stream is not None:
            for _ in range(_WARM_UPS - 1):
                self._function(self._input, *self._state)
            stream.synchronize()
            self._capture(stream)

    @torch.inference_mode()
    def __call__(
        self, arrays: Iterable[NDArray[np.uint8]], states: Sequence[Tensor | None] | None = None
    ) -> tuple[Tensor, ...]:
        """Run the function.

        Args:
            arrays: uint8, what the stack is made of; rows may be padded, and they are only read.
            states: on the device, one for each array, replaced in place; None for a state of zeros that nobody keeps.
                None altogether for a function without.

        Returns:
            The function's results on the host, valid until the next call.
        """
        for host, array in zip(self._host_input, arrays, strict=True):
            host.copy_(as_tensor(array))
        with torch.cuda.stream(self._stream):
            self._input.copy_(self._host_input, non_blocking=True)
            for state, row in self._rows(states):
                if state is None:
                    row.zero_()
                else:
                    row.copy_(state)
            if self._graph is None:
                outputs = self._function(self._input, *self._state)
            else:
                self._graph.replay()
                outputs = self._outputs
            for host, output in zip(self._host_outputs, outputs, strict=True):
                host.copy_(output, non_blocking=True)
            for state, row in self._rows(states):
                if state is not None:
                    state.copy_(row)
        if self._stream is not None:
            self._stream.synchronize()
        return self._host_outputs

    def _rows(self, states: Sequence[Tensor | None] | None) -> Iterable[tuple[Tensor | None, Tensor]]:
        return zip(states, self._state[0], strict=True) if states is not None and self._state else ()

    def _capture(self, stream: torch.cuda.Stream) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: what other threads of the program ask of the driver meanwhile cannot spoil the capture
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._outputs = self._function(self._input, *self._state)
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
