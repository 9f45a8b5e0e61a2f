"""OpenVINO on the CPU: the fastest way to run the network without a GPU, in little memory and without torch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.backends.base import MAX_BATCH, BackendRequest, HostBackend, Progress
from fanet_ros.backends.kept import KeptLast
from fanet_ros.backends.openvino.loading import MODEL, import_openvino, openvino_core, reason_of
from fanet_ros.backends.openvino.video import STATE_OUTPUT, add_state, state_size
from fanet_ros.backends.processor import has_native_bf16
from fanet_ros.errors import BackendError
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.settings import Size

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What layers compute in that are not quantised; never left to OpenVINO, which takes bf16 wherever the CPU has it."""

_MOST_REMEMBERED = 1000  # sizes that were compiled; images of any size may come

_log = logging.getLogger(__name__)


class OpenvinoBackend(HostBackend):
    """Compiles the network for each input size when it is met (up to seconds), and keeps the last ones as requested."""

    name = "openvino"
    max_batch = MAX_BATCH

    def __init__(self, request: BackendRequest) -> None:
        """Find or build the network in OpenVINO's form.

        Raises:
            WeightsError: the checkpoint cannot be used.
            BackendError: the network cannot be built, was never calibrated for int8, or cannot look back at earlier
                frames.
        """
        super().__init__(request)
        self._request = request
        self._core = openvino_core()
        self._folder = self._find_model()
        model = self._read_model()
        self.classes = model.output(0).partial_shape[1].get_length()
        if self.network is not None:
            self.classes = self.network.classes
            self.max_batch = MAX_BATCH if self.network.batches else 1
        if request.temporal_frames > 1:
            self._look_back(state_size(model))
        # apart, so that batches never cost a single frame what was compiled for it
        self._infer_requests: KeptLast[Size, Any] = KeptLast(request.kept_sizes)
        self._batch_requests: KeptLast[tuple[Size, int], Any] = KeptLast(request.kept_sizes)
        self._compiled: set[Size] = set()  # for single frames, whether kept or not
        self._said_again = False

    @classmethod
    def find_device(cls, device: str) -> str:  # noqa: D102 (documented by Backend)
        if device not in ("auto", "cpu"):
            raise BackendError(f"backend openvino runs on the CPU, but device '{device}' was asked for; use device cpu")
        import_openvino()
        return "cpu"

    @classmethod
    def precisions(cls, device: str) -> tuple[str, ...]:  # noqa: D102 (documented by Backend)
        return ("int8", "bf16", "fp32") if has_native_bf16() else ("int8", "fp32")

    @classmethod
    def int8_network(cls, weights: Path) -> str:  # noqa: D102 (documented by Backend)
        folder = find_int8(weights, artefacts.weights_digest(weights))
        return "" if folder is None else artefacts.fingerprint(folder)

    def prepare(self, input_size: Size, batch: int = 1) -> None:  # noqa: D102 (documented by Backend)
        self._infer_request_for(input_size, batch)

    def drop(self, input_size: Size) -> None:  # noqa: D102 (documented by Backend)
        self._infer_requests.pop(input_size, None)

    def drop_batch(self, input_size: Size, batch: int) -> None:  # noqa: D102 (documented by Backend)
        self._batch_requests.pop((input_size, batch), None)

    def _run(self, images: NDArray[np.uint8], *states: NDArray[np.float32]) -> NDArray[np.float32]:
        batch, height, width, _ = images.shape
        infer_request = self._infer_request_for(Size(width, height), batch)
        before, after = states[:1], states[1:]
        for array in after:
            infer_request.set_tensor(STATE_OUTPUT, import_openvino().Tensor(array, shared_memory=True))
        infer_request.infer([images, *before], share_inputs=True, share_outputs=True)
        return infer_request.get_output_tensor(0).data

    def close(self) -> None:  # noqa: D102 (documented by Backend)
        self._infer_requests.clear()
        self._batch_requests.clear()

    def _infer_request_for(self, input_size: Size, batch: int) -> Any:
        if batch == 1:
            return self._infer_requests.obtain(input_size, lambda: self._compile_single(input_size))
        return self._batch_requests.obtain((input_size, batch), lambda: self._compile(input_size, batch))

    def _compile_single(self, input_size: Size) -> Any:
        """Compile for single frames, and say where that would slow every frame: more sizes in turns than are kept."""
        began = perf_counter()
        infer_request = self._compile(input_size, 1)
        is_again, is_first = input_size in self._compiled, not self._compiled
        self._compiled.add(input_size)
        if len(self._compiled) > _MOST_REMEMBERED:
            self._compiled.clear()
        seconds = perf_counter() - began
        if is_again:
            _log.log(
                logging.DEBUG if self._said_again else logging.WARNING,
                "the network was compiled again for %s (%.1f s): images of more input sizes take turns than the %d "
                "that are kept; give them one shape, or set input_size to WIDTHxHEIGHT",
                *(input_size, seconds, self._request.kept_sizes),
            )
            self._said_again = True
        elif not is_first:
            _log.info("the network was compiled for %s in %.1f s", input_size, seconds)
        return infer_request

    def _compile(self, input_size: Size, batch: int) -> Any:
        model = self._read_model()
        hints = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.info.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads or len(os.sched_getaffinity(0)),
        }
        try:
            model.reshape([batch, input_size.height, input_size.width, 3])
            if self.temporal_frames > 1:
                add_state(model, self.temporal_frames)
            return self._core.compile_model(model, "CPU", hints).create_infer_request()
        except RuntimeError as error:
            frames = f"{batch} frames of {input_size}" if batch > 1 else str(input_size)
            raise BackendError(f"OpenVINO cannot compile the network for {frames}: {reason_of(error)}") from None

    def _find_model(self) -> Path:
        weights, precision = self._request.weights, self._request.precision
        digest = artefacts.weights_digest(weights)
        if precision != "int8":  # one file serves both, the hint decides
            return obtain_exact(weights, digest, self._request.progress)
        folder = find_int8(weights, digest)
        if folder is None:
            raise BackendError(
                f"precision int8 needs a calibration of {weights.name} on your images, once: "
                f"fanet calibrate FOLDER_OR_VIDEO --weights {weights}; or use another precision"
            )
        return folder

    def _read_model(self) -> Any:
        try:
            return self._core.read_model(self._folder / MODEL)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot read {self._folder / MODEL}: {reason_of(error)}") from None


def obtain_exact(weights: Path, digest: str, progress: Progress) -> Path:
    """Return the folder of the float32 network, which is built where it is not in the cache.

    Raises:
        FanetError: the weights or their card cannot be used; says why.
    """
    builder = f"fanet_ros.backends.openvino.{'foreign' if is_foreign(weights) else 'build'}"
    arguments = {"weights": str(weights.absolute())}
    return artefacts.obtain(model_key(digest, "fp32"), builder=builder, arguments=arguments, progress=progress)


def find_int8(weights: Path, digest: str) -> Path | None:
    """Return the folder of the quantised network: one's own calibration, else the one delivered with the weights."""
    key = model_key(digest, "int8")
    return artefacts.find(key) or artefacts.find_shipped(shipped_int8_folder(weights), key)


def shipped_int8_folder(weights: Path) -> Path:
    """Return where a quantised network lies that is delivered with weights."""
    return weights.with_suffix(".openvino-int8")


def model_key(digest: str, precision: str) -> ArtefactKey:
    """Return the key of the network in OpenVINO's form; it serves every input size."""
    version = import_openvino().__version__.split("-")[0]
    return ArtefactKey(digest, "openvino", version, precision, None, "cpu")
