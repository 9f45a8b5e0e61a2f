"""TensorRT on an NVIDIA GPU: engines built once per input size, run on CUDA tensors without a copy to the host."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.place import keep_from_others
from fanet_ros.backends.base import Backend, BackendRequest
from fanet_ros.backends.cuda.nvidia import require_gpu
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.kept import KeptLast
from fanet_ros.backends.request import FrameRequest
from fanet_ros.backends.tensorrt.api import Engine, EngineError, library
from fanet_ros.backends.tensorrt.build import ENGINE, engine_key, require_quantised
from fanet_ros.backends.tensorrt.quantise import find_quantised
from fanet_ros.errors import BackendError, SettingError
from fanet_ros.files import remove_abandoned, write_whole
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.labelling.postprocess_torch import enlarge_labels, labels_from_logits
from fanet_ros.model.graph import INPUT_NAME, OUTPUT_NAME, STATE_INPUT_NAME, STATE_OUTPUT_NAME
from fanet_ros.model.network import state_size
from fanet_ros.model.weights import load_weights
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory

_BUILDER = "fanet_ros.backends.tensorrt.build"
_RUNTIME_CACHE = "runtime.cache"  # beside the engine, but no part of the artefact: it grows while the engine runs
_KEPT_SIZES = 2  # engines in memory at least

_log = logging.getLogger(__name__)


class TensorrtBackend(Backend):
    """Engines of the module `tensorrt` or `tensorrt_rtx`, whichever is installed.

    It has no batches: an engine is built for one batch size, which takes minutes, so that every size would take twice
    as long to build and to keep.

    Attributes:
        path: from frame to labels.
    """

    name = "tensorrt"

    def __init__(self, request: BackendRequest) -> None:
        """Read what the engines are made from; they are built or loaded by `prepare`.

        Raises:
            WeightsError: the checkpoint cannot be used.
            BackendError: there is no TensorRT, or int8 was not calibrated or is asked for on videos.
        """
        super().__init__(replace(request, reason=f"{library().name} {library().version}; {request.reason}"))
        self._request = request
        self._device = torch.device(request.device)
        if request.precision == "int8":
            require_quantised(request.weights, request.temporal_frames)
        states = decide = None
        if self.network is not None:
            self.classes = self.network.classes
            decide = self._decide
        else:
            config = load_weights(request.weights).config
            self.classes = config.classes
            states = self._states_of(state_size(config))
        self._networks: KeptLast[Size, _EngineOnDevice] = KeptLast(max(_KEPT_SIZES, request.kept_sizes))
        self.path = CudaPath(
            self._network_for,
            self._device,
            request.kept_sizes,
            states,
            decide or labels_from_logits,
            align_corners=self.align_corners,
        )
        self._memories = states and self.path

    def _decide(
        self, logits: Tensor, size: Size, *, confidence: bool = False, label_of: NDArray[np.uint8] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Do what labels_from_logits does, with what a foreign network gives."""
        aligned = self.align_corners
        if self.gives_labels:
            return enlarge_labels(logits, size, self.classes, label_of=label_of, align_corners=aligned), None
        return labels_from_logits(
            logits,
            size,
            confidence=confidence,
            label_of=label_of,
            align_corners=aligned,
            probabilities=self.gives_probabilities,
        )

    @classmethod
    def find_device(cls, device: str) -> str:  # noqa: D102 (documented by Backend)
        if device == "cpu":
            raise BackendError(
                "backend tensorrt runs on NVIDIA GPUs, but device 'cpu' was asked for; use backend openvino or torch"
            )
        index = int(device.partition(":")[2] or 0)  # of auto and cuda, too
        require_gpu(index)
        library().require_supported(index)
        if not torch.cuda.is_available():
            raise BackendError(
                f"backend tensorrt keeps its buffers in CUDA tensors, but torch {torch.__version__} has no CUDA here; "
                "install a CUDA build of torch (see pytorch.org) that fits the driver"
            )
        return f"cuda:{index}"

    @classmethod
    def precisions(cls, device: str) -> tuple[str, ...]:  # noqa: D102 (documented by Backend)
        # where the layers around int8's convolutions run in fp32, fp16 moves less memory
        return ("int8", "fp16", "fp32") if library().mixes_precisions else ("fp16", "int8", "fp32")

    @classmethod
    def int8_network(cls, weights: Path) -> str:  # noqa: D102 (documented by Backend)
        model = find_quantised(artefacts.weights_digest(weights))
        return "" if model is None else artefacts.fingerprint(model.parent)

    def prepare(self, input_size: Size, batch: int = 1) -> None:  # noqa: D102 (documented by Backend)
        self._network_for(input_size)

    def infer(  # noqa: D102 (documented by Backend)
        self, image: NDArray[np.uint8], memory: VideoMemory | None = None
    ) -> NDArray[np.float32]:
        return self.path.infer_batch(image[None], [memory])[0]

    def segment(self, request: FrameRequest, input_size: Size) -> LabelBuffers:  # noqa: D102 (documented by Backend)
        return self.path.segment(request, input_size, self.label_of)

    def close(self) -> None:  # noqa: D102 (documented by Backend)
        self._networks.clear()
        self.path.close()

    def _network_for(self, size: Size) -> _EngineOnDevice:
        return self._networks.obtain(size, lambda: self._load(size))

    def _load(self, size: Size) -> _EngineOnDevice:
        """Load the engine from the cache, building it if need be; a second time if it cannot be loaded."""
        folder = self._obtain(size)
        try:
            return self._load_from(folder)
        except EngineError as error:
            _log.warning("%s cannot be used and is built anew: %s", folder, error)
            artefacts.discard(folder)
        return self._load_from(self._obtain(size))

    def _obtain(self, size: Size) -> Path:
        arguments = {
            "weights": str(self._request.weights.resolve()),
            "precision": self._request.precision,
            "width": size.width,
            "height": size.height,
            "device": self._request.device,
            "temporal_frames": self._request.temporal_frames,
        }
        key = engine_key(self._request, size)
        return artefacts.obtain(key, builder=_BUILDER, arguments=arguments, progress=self._request.progress)

    def _load_from(self, folder: Path) -> _EngineOnDevice:
        cache_file = folder / _RUNTIME_CACHE
        known = cache_file.read_bytes() if cache_file.is_file() else b""
        with torch.cuda.stream(torch.cuda.Stream(self._device)):  # TensorRT is slow on the default stream
            engine = library().load((folder / ENGINE).read_bytes(), known)
            network = _EngineOnDevice(engine, self._device)
        compiled = engine.runtime_cache()
        if compiled != known:
            try:
                remove_abandoned(folder)
                write_whole(cache_file, compiled)
                keep_from_others(cache_file)
            except (SettingError, OSError) as error:
                _log.info("%s: the next start compiles the same again", error)
        return network


class _EngineOnDevice:
    """An engine with its inputs and outputs as CUDA tensors, at addresses that stay, as CUDA graphs need it."""

    def __init__(self, engine: Engine, device: torch.device) -> None:
        self._engine = engine
        self._device = device
        self._tensors = {
            name: torch.zeros(shape, dtype=torch.uint8 if name == INPUT_NAME else torch.float32, device=device)
            for name, shape in engine.shapes.items()
        }
        engine.bind({name: tensor.data_ptr() for name, tensor in self._tensors.items()})
        self._enqueue()  # what is compiled or allocated at first use must not be met in a capture
        torch.cuda.synchronize(device)

    def __call__(self, frame: Tensor, state: Tensor | None = None) -> Tensor:
        """Run the network on the current stream: uint8 (1, h, w, 3) -> logits, valid until the next call.

        The state of a video, float32 (1, T - 1, state size), is replaced by the next one. The engine has buffers of its
        own for both: nothing says that it has read the one before it writes the other.
        """
        self._tensors[INPUT_NAME].copy_(frame)
        if state is None:
            self._enqueue()
        else:
            self._tensors[STATE_INPUT_NAME].copy_(state)
            self._enqueue()
            state.copy_(self._tensors[STATE_OUTPUT_NAME])
        return self._tensors[OUTPUT_NAME]

    def _enqueue(self) -> None:
        self._engine.enqueue(torch.cuda.current_stream(self._device).cuda_stream)
