"""PyTorch on the CPU or a CUDA GPU: needs no build step, runs everywhere, and is what others are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.base import MAX_BATCH, Backend, BackendRequest, HostBackend
from fanet_ros.backends.cuda_path import CudaPath, as_tensor
from fanet_ros.backends.nvidia import require_gpu
from fanet_ros.backends.processor import has_native_bf16
from fanet_ros.batching import FrameRequest
from fanet_ros.errors import BackendError, InferenceError
from fanet_ros.graph import FrameToLogits, prepare_for_inference
from fanet_ros.postprocess import LabelBuffers
from fanet_ros.settings import Size
from fanet_ros.weights import load_network

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_WITH_BF16 = (8, 0)  # compute capability of Ampere; older GPUs emulate it slowly

_DEFAULT_THREADS = torch.get_num_threads()


class TorchBackend(HostBackend):
    """The graph with batch norm folded and channels last; on a GPU the whole way from frame to labels as well.

    Attributes:
        graph: uint8 (N, h, w, 3) -> logits, on the device.
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
        super().__init__(request)
        supported = self.precisions(request.device)
        if request.precision not in supported:
            raise BackendError(
                f"backend torch on {request.device} does not compute in {request.precision} here; use one of "
                f"{', '.join(supported)}"
            )
        torch.set_num_threads(request.threads or _DEFAULT_THREADS)
        network = load_network(request.weights)
        self.classes = network.config.classes
        device = torch.device(request.device)
        graph = prepare_for_inference(FrameToLogits(network)).to(device=device, dtype=_DTYPES[request.precision])
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.graph: Callable[[Tensor], Tensor] = torch.compile(graph, dynamic=False) if compiled else graph
        self.path: CudaPath | None = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the weights are there before another stream reads them
            self.path = CudaPath(lambda _: self._run_on_gpu, device, request.kept_sizes)

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

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102 (documented by Backend)
        return self.infer_batch(image[None])[0]

    @torch.inference_mode()
    def infer_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102 (documented by Backend)
        if self.path is not None:
            return self.path.infer_batch(images)
        return self.graph(as_tensor(images)).contiguous().numpy()

    def segment(  # noqa: D102 (documented by Backend)
        self,
        frame: NDArray[np.uint8],
        encoding: str,
        input_size: Size,
        output_size: Size,
        *,
        confidence: bool,
        out: LabelBuffers | None = None,
    ) -> LabelBuffers:
        segment = super().segment if self.path is None else self.path.segment
        return segment(frame, encoding, input_size, output_size, confidence=confidence, out=out)

    def segment_batch(self, requests: Sequence[FrameRequest], input_size: Size) -> list[LabelBuffers | InferenceError]:
        """Do what Backend.segment_batch says; on a GPU only frames that are alike in all run as one batch.

        There the whole way from frame to labels is one CUDA graph, which another shape or encoding would change.
        """
        if self.path is None:
            return super().segment_batch(requests, input_size)
        if self.path.are_alike(requests):
            return self.path.segment_batch(requests, input_size)
        return Backend.segment_batch(self, requests, input_size)

    def close(self) -> None:  # noqa: D102 (documented by Backend)
        del self.graph
        if self.path is not None:
            self.path.close()

    def _run_on_gpu(self, image: Tensor) -> Tensor:
        # cuDNN times its algorithms for every size, and fp32 means fp32: its default is the less exact TF32
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
            return self.graph(image)
