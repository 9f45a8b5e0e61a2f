"""TensorRT behind one door: the module `tensorrt` (8.6 or later; Jetson, data centres) or `tensorrt_rtx`.

What differs between them and their versions is dealt with here and nowhere else. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fanet_ros.backends.cuda.nvidia import compute_capability, gpu_name
from fanet_ros.errors import BackendError, InferenceError, NoRoomError
from fanet_ros.settings import Size

_MODULES = ("tensorrt", "tensorrt_rtx")
_KEPT_ERRORS = 3

_log = logging.getLogger(__name__)


class EngineError(BackendError):
    """An engine that cannot be loaded: damaged, or built by another version or for another GPU."""


class Plan(NamedTuple):
    """What a build gives.

    Attributes:
        engine: the serialised engine.
        timing_cache: what the build measured of the GPU, which speeds up the next build; empty where none is kept.
    """

    engine: bytes
    timing_cache: bytes


@cache
def library() -> Library:
    """Return the first of the two libraries that can be imported.

    Raises:
        BackendError: neither can; says how to install one.
    """
    reasons = []
    for name in _MODULES:
        try:
            return Library(importlib.import_module(name))
        except (ImportError, OSError, RuntimeError) as error:  # the bindings may be there without their libraries
            reasons.append(f"{name}: {' '.join(str(error).split())}")
    raise BackendError(
        f"backend tensorrt needs TensorRT ({'; '.join(reasons)}): on a Jetson it comes with JetPack, elsewhere "
        "pip install tensorrt-rtx-cu13 (or -cu12, as your torch's CUDA); or use backend torch"
    )


class Library:
    """One of the two modules.

    Attributes:
        name: of the module.
        version: of the library; engines fit one version only.
        mixes_precisions: whether layers without an int8 form run in fp16 beside int8 ones; else they run in fp32.
    """

    def __init__(self, module: Any) -> None:
        self._trt = module
        self._logger = _new_logger(module)
        self.name: str = module.__name__
        self.version: str = module.__version__
        self.mixes_precisions = hasattr(module.BuilderFlag, "INT8")

    def require_supported(self, index: int) -> None:
        """Check that the library runs on a GPU, before minutes go into an engine that does not.

        Raises:
            BackendError: it does not, or there is no such GPU.
        """
        capability = compute_capability(index)
        # what tensorrt_rtx 1.7 answers on others: "Supported compute capabilities: 8.0 8.6 8.9 12.0 12.1 >12.0"
        if self.name == "tensorrt_rtx" and capability[0] != 8 and capability < (12, 0):
            raise BackendError(
                f"tensorrt_rtx {self.version} does not run on {gpu_name(index)} (compute capability "
                f"{capability[0]}.{capability[1]}), only on 8.x and from 12.0 on; install the module tensorrt (pip "
                "install tensorrt), or use backend torch"
            )

    def build(self, onnx: Path, size: Size, precision: str, timing_cache: bytes = b"", *, typed: bool = True) -> Plan:
        """Build an engine for the current GPU, or without one where the library can (tensorrt_rtx).

        Args:
            onnx: the exported graph (model.graph), for frames of this or of every size, single or of videos: in float32
                for fp32, in float16 for fp16, with QuantizeLinear and DequantizeLinear for int8.
            size: of the frames.
            precision: fp32 (never TF32), fp16 or int8.
            timing_cache: of an earlier build; ignored where it does not fit.
            typed: whether the file says what each layer computes in; False for float32 that the library is to lower.

        Raises:
            BackendError: the library refuses the network or this machine; says what it said.
        """
        trt = self._trt
        self._logger.errors.clear()
        creation = trt.NetworkDefinitionCreationFlag
        if precision == "fp16" and not typed and not self.mixes_precisions:
            raise BackendError(
                f"{self.name} {self.version} computes in what an ONNX file says, and lowers none to fp16: use "
                "precision fp32, or the module tensorrt"
            )
        # strongly typed: every layer computes in the type the ONNX file says
        lowered = precision == "int8" or (precision == "fp16" and not typed)
        typed = hasattr(creation, "STRONGLY_TYPED") and not (lowered and self.mixes_precisions)
        flags = 1 << int(creation.STRONGLY_TYPED) if typed else 0
        if not typed and hasattr(creation, "EXPLICIT_BATCH"):  # the only way there is, but TensorRT 8 wants it said
            flags |= 1 << int(creation.EXPLICIT_BATCH)
        try:
            builder = trt.Builder(self._logger)
        except (TypeError, RuntimeError) as error:
            raise BackendError(f"{self.name} {self.version} cannot start here: {self._said(error)}") from None
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(onnx)):
            problems = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise BackendError(f"{self.name} {self.version} cannot read the network: {problems}")
        network.get_input(0).shape = (1, size.height, size.width, 3)  # that of a state is fixed in the file

        config = builder.create_builder_config()
        if not typed and precision != "fp32":
            config.set_flag(trt.BuilderFlag.FP16)
            if precision == "int8":
                config.set_flag(trt.BuilderFlag.INT8)
        config.clear_flag(trt.BuilderFlag.TF32)
        if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # or tensorrt_rtx cannot be captured as a CUDA graph
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        times = self.name == "tensorrt"  # the other one times nothing while it builds
        if times:
            known = config.create_timing_cache(timing_cache)  # None where it is damaged
            if known is None or not config.set_timing_cache(known, ignore_mismatch=False):
                config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise BackendError(f"{self.name} {self.version} cannot build the network for {size}: {self._said()}")
        return Plan(bytes(engine), bytes(config.get_timing_cache().serialize()) if times else b"")

    def load(self, engine: bytes, runtime_cache: bytes = b"") -> Engine:
        """Load an engine onto the current GPU.

        Args:
            engine: a serialised engine.
            runtime_cache: kernels that an earlier load compiled (`Engine.runtime_cache`); ignored if they do not fit.

        Raises:
            EngineError: it does not fit this version and GPU, or is damaged; build it anew.
            NoRoomError: it is good, but cannot run now: most often the GPU's memory is full.
        """
        self._logger.errors.clear()
        runtime = self._trt.Runtime(self._logger)
        loaded = runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise EngineError(f"{self.name} {self.version} cannot load the engine: {self._said()}")
        context, cache = _new_context(loaded, runtime_cache)
        if context is None:
            reason = self._said("is the GPU's memory full?")
            raise NoRoomError(f"{self.name} {self.version} cannot prepare the engine to run: {reason}")
        return Engine(runtime, loaded, context, cache)

    def _said(self, otherwise: object = "it did not say why") -> str:
        return "; ".join(self._logger.errors) or str(otherwise)


class Engine:
    """A network on a GPU, with device memory of its own for what lies between its input and output.

    Attributes:
        shapes: of its inputs and outputs by their names in the exported graph (model.graph): `frame` and `logits`,
            for videos also `state` and `next_state`.
    """

    def __init__(self, runtime: Any, engine: Any, context: Any, cache: Any) -> None:
        self._runtime, self._engine = runtime, engine  # must outlive the context
        self._context = context
        self._cache = cache
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say where on the device each input lies and each output goes; the frame is uint8, all else float32.

        Args:
            addresses: one for each of `shapes`; they stay.
        """
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise BackendError(f"TensorRT refuses the address of {name}")

    def enqueue(self, stream: int) -> None:
        """Put the network's work onto a CUDA stream (its handle) and return at once.

        Raises:
            InferenceError: TensorRT refuses; its log says why.
        """
        if not self._context.execute_async_v3(stream):
            raise InferenceError("TensorRT did not run the network; its messages in the log say why")

    def runtime_cache(self) -> bytes:
        """Return the kernels that were compiled for this GPU at run time; empty where the library compiles none."""
        return b"" if self._cache is None else bytes(self._cache.serialize())


def _new_context(engine: Any, runtime_cache: bytes) -> tuple[Any, Any]:
    """Return an execution context and, with tensorrt_rtx, the cache of the kernels it compiles."""
    config: Any = engine.create_runtime_config() if hasattr(engine, "create_runtime_config") else None
    if not hasattr(config, "create_runtime_cache"):
        return engine.create_execution_context(), None
    cache = config.create_runtime_cache()
    if runtime_cache:
        cache.deserialize(runtime_cache)
    config.set_runtime_cache(cache)
    return engine.create_execution_context(config), cache


def _new_logger(trt: Any) -> Any:
    """Return a logger that forwards to the standard library's and keeps the latest errors for messages."""
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,
    }  # what is missing, VERBOSE, is thousands of lines per build

    class Logger(trt.ILogger):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_KEPT_ERRORS)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity)
            if level is None:
                return
            if level == logging.ERROR:
                self.errors.append(message)
            _log.log(level, "%s", message)

    return Logger()
