"""PyTorch on the CPU or a CUDA GPU: needs no build step, runs everywhere, and is what others are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.base import MAX_BATCH, BackendRequest, HostBackend
from fanet_ros.backends.cuda.device_function import as_tensor
from fanet_ros.backends.cuda.nvidia import require_gpu
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.processor import has_native_bf16
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError, FanetError
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.graph import FrameToLogits, prepare_for_inference
from fanet_ros.model.weights import load_network
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_WITH_BF16 = (8, 0)  # compute capability of Ampere; older GPUs emulate it slowly

_DEFAULT_THREADS = torch.get_num_threads()


class TorchBackend(HostBackend):
    """The graph with batch norm folded and channels last; on a GPU the whole way from frame to labels as well.

    Attributes:
        graph: uint8 (N, h, w, 3) -> logits, on the device; with the state of N videos also their next one.
        path: from frame to labels on a GPU; None on the CPU.
    """

    name = "torch"
    max_batch = MAX_BATCH

    def __init__(self, request: BackendRequest, *, compiled: bool = False) -> None:
        """Load and prepare the network.

        Args:
            request: what to run on which device. Its threads hold for the whole process, as torch has one pool.
            compiled: whether torch.compile generates kernels for every input size, which takes up to minutes each; for
                measurements.

        Raises:
            WeightsError: the checkpoint cannot be used.
            BackendError: the device cannot compute in that precision, or its memory does not suffice.
        """
        if request.network is not None:
            raise BackendError(
                f"backend torch runs FANet only, but {request.weights.name} is another network; use backend openvino, "
                "or tensorrt on a GPU"
            )
        super().__init__(request)
        torch.set_num_threads(request.threads or _DEFAULT_THREADS)
        network = load_network(request.weights)
        self.classes = network.config.classes
        device = torch.device(request.device)
        graph = prepare_for_inference(FrameToLogits(network)).to(device=device, dtype=_DTYPES[request.precision])
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.graph: Callable[..., Any] = torch.compile(graph, dynamic=False) if compiled else graph
        self.path: CudaPath | None = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the weights are there before another stream reads them
            states = self._states_of(network.state_size)
            self.path = CudaPath(lambda _: self._run_on_gpu, device, request.kept_sizes, states)
            self._memories = states and self.path
        else:
            self._look_back(network.state_size)

    @classmethod
    def find_device(cls, device: str) -> str:  # noqa: D102 (documented by Backend)
        if device == "auto":
            return "cuda:0" if torch.cuda.is_available() else "cpu"
        if device == "cpu":
            return "cpu"
        index = torch.device(device).index or 0
        if torch.version.cuda is None:
            raise BackendError(
                f"device '{device}' was asked for, but this torch was built without CUDA; install a CUDA build of "
                "torch (see pytorch.org), or use device cpu or auto"
            )
        require_gpu(index)
        if not torch.cuda.is_available():
            raise BackendError(
                f"device '{device}' was asked for, but torch {torch.__version__} cannot use the GPU: is the NVIDIA "
                f"driver too old for CUDA {torch.version.cuda}? Use device cpu or auto"
            )
        return f"cuda:{index}"

    @classmethod
    def precisions(cls, device: str) -> tuple[str, ...]:  # noqa: D102 (documented by Backend)
        if device == "cpu":
            return ("bf16", "fp32") if has_native_bf16() else ("fp32",)
        if torch.cuda.get_device_capability(device) >= _FIRST_WITH_BF16:
            return ("fp16", "bf16", "fp32")
        return ("fp16", "fp32")

    def prepare(self, input_size: Size, batch: int = 1) -> None:
        """Do nothing: there is nothing to build, and buffers depend on the frame, too."""

    def drop_batch(self, input_size: Size, batch: int) -> None:  # noqa: D102 (documented by Backend)
        if self.path is not None:
            self.path.drop_batch(input_size, batch)

    def infer_batch(  # noqa: D102 (documented by Backend)
        self, images: NDArray[np.uint8], memories: Sequence[VideoMemory | None] | None = None
    ) -> NDArray[np.float32]:
        if self.path is None:
            return super().infer_batch(images, memories)
        return self.path.infer_batch(images, memories)

    def segment(self, request: FrameRequest, input_size: Size) -> LabelBuffers:  # noqa: D102 (documented by Backend)
        if self.path is None:
            return super().segment(request, input_size)
        return self.path.segment(request, input_size, self.label_of)

    def segment_batch(self, requests: Sequence[FrameRequest], input_size: Size) -> list[LabelBuffers | FanetError]:
        """Do what Backend.segment_batch says; on a GPU only frames that are alike in all run as one batch.

        There the whole way from frame to labels is one CUDA graph, which another shape or encoding would change.
        """
        if self.path is None:
            return super().segment_batch(requests, input_size)
        if self.path.are_alike(requests):
            return self.path.segment_batch(requests, input_size, self.label_of)
        return self.segment_each(requests, input_size)

    def close(self) -> None:  # noqa: D102 (documented by Backend)
        del self.graph
        if self.path is not None:
            self.path.close()

    @torch.inference_mode()
    def _run(self, images: NDArray[np.uint8], *states: NDArray[np.float32]) -> NDArray[np.float32]:
        if not states:
            return self.graph(as_tensor(images)).contiguous().numpy()
        before, after = map(torch.from_numpy, states)
        logits, following = self.graph(as_tensor(images), before)
        after.copy_(following)
        return logits.contiguous().numpy()

    def _run_on_gpu(self, images: Tensor, state: Tensor | None = None) -> Tensor:
        # cuDNN times its algorithms for every size, and fp32 means fp32: its default is the less exact TF32
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
            if state is None:
                logits: Tensor = self.graph(images)
            else:
                logits, following = self.graph(images, state)
                state.copy_(following)
        return logits
