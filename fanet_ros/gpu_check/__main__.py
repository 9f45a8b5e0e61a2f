"""Measures every way to run FANet on a GPU, and compares each with fp32. See docs/gpu.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends.base import BackendRequest
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.request import FrameRequest
from fanet_ros.backends.tensorrt.api import library
from fanet_ros.backends.tensorrt.backend import TensorrtBackend
from fanet_ros.backends.tensorrt.quantise import quantise, quantised_key
from fanet_ros.backends.torch_backend import TorchBackend
from fanet_ros.benchmark.machine import describe_machine
from fanet_ros.errors import BackendError, FanetError
from fanet_ros.gpu_check.measure import Effort, Reference, agreement_percent, frame_ms, network_ms
from fanet_ros.gpu_check.table import NOT_MEASURED, Check, Row, as_json, as_markdown, replace_tables
from fanet_ros.gpu_check.video import TEMPORAL_FRAMES, VIDEO_FRAMES, compare_video
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits, labels_from_logits
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.network import FANet, FANetConfig
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size
from fanet_ros.sources import open_source

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "gpu.md"
MODELS = ("resnet18", "resnet34")
SIZES = (Size(1024, 512), Size(2048, 1024))
REFERENCE = "reference: torch eager fp32"
TORCH = ("fp32", "fp16", "bf16")
TENSORRT = ("fp32", "fp16", "int8")
CALIBRATION_FRAMES = 8
CLASSES = 19
GPU_TESTS = (
    "cuda_path",
    "frame_torch",
    "postprocess_torch",
    "torch_backend",
    "tensorrt_backend",
    "temporal_backends",
    "nvidia",
)

TORCH_GRAPH = "torch, one CUDA graph, {}"
TORCH_COMPILED = "torch.compile, one CUDA graph, fp16"
TENSORRT_GRAPH = "tensorrt, one CUDA graph, {}"
WAYS = (
    REFERENCE,
    *(TORCH_GRAPH.format(precision) for precision in TORCH),
    *(TENSORRT_GRAPH.format(precision) for precision in TENSORRT),
    TORCH_COMPILED,
)
SHIPPED_SIZE = Size(1024, 512)


class GpuCheck:
    """One run of the check."""

    def __init__(self, device: torch.device, effort: Effort, deadline: float, folder: Path) -> None:
        """Prepare a run that starts nothing new after `deadline` (of the monotonic clock)."""
        self.device = device
        self.effort = effort
        self.deadline = deadline
        self.folder = folder  # for weights and engines

    def measure(self, model: str, size: Size) -> list[Row]:
        """Measure all ways to run one network at one size."""
        name = FANetConfig(model, CLASSES).name
        rows = [Row(name, size.height, size.width, how) for how in WAYS]
        weights = self._weights(model)
        frame = np.ascontiguousarray(_street(size)[..., ::-1])  # BGR, as most cameras deliver
        reference = Reference(FrameToLogits(load_network(weights)).to(self.device).eval(), self.device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            expected = reference.segment(frame)

        def run_reference(row: Row) -> None:
            row.agreement = agreement_percent(reference.segment(frame), expected)
            row.network = network_ms(reference.graph, size, self.device, self.effort, capture=False)
            row.frame = frame_ms(reference.segment, frame, self.effort)

        def run_torch(row: Row, precision: str, compiled: bool = False) -> None:
            request = BackendRequest(weights, str(self.device), precision)
            with closing(TorchBackend(request, compiled=compiled)) as backend:
                graph = backend.graph
                path = backend.path or CudaPath(lambda _: graph, self.device)
                self._run_path(row, path, size, frame, expected)

        def run_tensorrt(row: Row, precision: str) -> None:
            device = TensorrtBackend.find_device(str(self.device))
            row.how = row.how.replace("tensorrt", f"{library().name} {library().version}", 1)
            if precision == "int8":
                self._calibrate(weights, size)
            request = BackendRequest(weights, device, precision, progress=self.keep_time)
            with closing(TensorrtBackend(request)) as backend:
                self._run_path(row, backend.path, size, frame, expected)

        ways: dict[str, Callable[[Row], None]] = {REFERENCE: run_reference}
        for precision in TORCH:
            ways[TORCH_GRAPH.format(precision)] = partial(run_torch, precision=precision)
        for precision in TENSORRT:
            ways[TENSORRT_GRAPH.format(precision)] = partial(run_tensorrt, precision=precision)
        ways[TORCH_COMPILED] = partial(run_torch, precision="fp16", compiled=True)
        for row in rows:
            row.why_not = self.guarded(partial(ways[row.how], row))
            print(f"{row.model} {size} {row.how}: {row.why_not or _summary(row)}", flush=True)
        return rows

    def guarded(self, run: Callable[[], None]) -> str:
        """Run something; return why it did not work, or nothing."""
        if monotonic() > self.deadline:
            return "no time was left"
        try:
            run()
        except Exception as error:  # whatever is wrong with one way must not cost the others
            lines = str(error).strip().splitlines() or [""]
            return lines[0] if isinstance(error, FanetError) else f"{type(error).__name__}: {lines[0]}"
        return ""

    def keep_time(self, _: str) -> None:
        """Give an engine's build up that is still going on at the deadline; it can take minutes.

        Raises:
            BackendError: the deadline has passed.
        """
        if monotonic() > self.deadline:
            raise BackendError("no time was left to build the engine")

    @torch.inference_mode()
    def compare_kernels(self, size: Size) -> str:
        """Return how the fused label kernel differs from plain torch functions."""
        logits = torch.randn(CLASSES, size.height // 8, size.width // 8, device=self.device)
        labels, sureness = labels_from_logits(logits, size, confidence=True)
        expected, expected_sureness = dense_labels_from_logits(logits, size, confidence=True)
        assert sureness is not None and expected_sureness is not None
        apart = int((labels != expected).sum())
        largest = int((sureness.int() - expected_sureness.int()).abs().max())
        return f"{apart} of {labels.numel()} labels differ, confidence by at most {largest} of 255"

    def compare_shipped(self, size: Size, precision: str, backend: str) -> str:
        """Return how the shipped, trained weights label a street in this precision, against float32."""
        kind: type[TorchBackend] | type[TensorrtBackend] = TorchBackend if backend == "torch" else TensorrtBackend
        frame = _street(size)
        results = []
        for chosen, tried in ((TorchBackend, "fp32"), (kind, precision)):
            device = chosen.find_device(str(self.device))
            if tried == "int8":
                self._calibrate(DEFAULT_WEIGHTS, size)
            request = BackendRequest(DEFAULT_WEIGHTS, device, tried, progress=self.keep_time)
            with closing(chosen(request)) as started:
                logits = started.infer(frame).copy()
                labels, _ = dense_labels_from_logits(torch.from_numpy(logits), size)
                results.append((logits, labels.numpy()))
        (exact, expected), (rounded, decided) = results
        error = float(np.abs(rounded - exact).max())
        return f"{agreement_percent(decided, expected):.2f} % of the labels agree; largest error of a logit {error:.3g}"

    def compare_video(self, size: Size, precision: str, backend: str) -> str:
        """Return how the shipped weights label a video with a memory in this precision, and what the memory costs."""
        kind: type[TorchBackend] | type[TensorrtBackend] = TorchBackend if backend == "torch" else TensorrtBackend
        device = kind.find_device(str(self.device))

        def start(temporal_frames: int) -> TorchBackend | TensorrtBackend:
            return kind(
                BackendRequest(
                    DEFAULT_WEIGHTS, device, precision, progress=self.keep_time, temporal_frames=temporal_frames
                )
            )

        return compare_video(start, DEFAULT_WEIGHTS, size, self.device, self.effort)

    def _run_path(
        self, row: Row, path: CudaPath, size: Size, frame: NDArray[np.uint8], expected: NDArray[np.uint8]
    ) -> None:
        out = LabelBuffers(np.empty((size.height, size.width), np.uint8))

        def segment(frame: NDArray[np.uint8]) -> LabelBuffers:
            return path.segment(FrameRequest(frame, "bgr8", size, out=out), size)

        row.agreement = agreement_percent(segment(frame).labels, expected)
        row.frame = frame_ms(segment, frame, self.effort)
        row.network = network_ms(path.network_for(size), size, self.device, self.effort, capture=True)

    def _weights(self, model: str) -> Path:
        """Random weights, which no quantisation or rounding was ever tuned to."""
        path = self.folder / f"{model}.safetensors"
        if not path.is_file():
            torch.manual_seed(0)
            save_file(FANet(FANetConfig(model, CLASSES)).state_dict(), path)
        return path

    def _calibrate(self, weights: Path, size: Size) -> None:
        key = quantised_key(artefacts.weights_digest(weights))
        if artefacts.find(key) is None:
            images = (_street(size, seed) for seed in range(CALIBRATION_FRAMES))
            artefacts.store(key, lambda folder: quantise(weights, images, folder))


def main(arguments: list[str] | None = None) -> int:
    """Run the check; the exit code is 1 where there is no GPU."""
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.0, help="start nothing new after so long (default: 7)")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="whose tables to replace (docs/gpu.md)")
    parser.add_argument("--smoke", action="store_true", help="try the check itself, tiny and also on the CPU")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not options.smoke:
        print("gpu_check needs a CUDA GPU and a torch that can use it; --smoke tries the check without one")
        return 1
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    effort = Effort(0.05, 3) if options.smoke else Effort(1.0, 500)
    models, sizes = (MODELS[:1], (Size(96, 64),)) if options.smoke else (MODELS, SIZES)
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        check = GpuCheck(device, effort, monotonic() + 60 * options.minutes, Path(folder))
        rows = [row for size in sizes for model in models for row in check.measure(model, size)]
        checks = _checks(check, sizes[-1], smoke=options.smoke)
    machine = describe_machine()
    title = f"{_machine_name(device, machine)}, {date.today():%Y-%m-%d}; median (quartiles)."
    tables = as_markdown(title, rows, checks)
    print(tables)
    replace_tables(options.document, tables)
    out = os.environ.get("OUT")
    if out:
        (Path(out) / "gpu_check.json").write_text(json.dumps(as_json(machine, rows, checks), indent=1) + "\n")
        (Path(out) / "gpu.md").write_text(options.document.read_text(encoding="utf-8"), encoding="utf-8")
    return 0


def _checks(check: GpuCheck, size: Size, *, smoke: bool) -> list[Check]:
    shipped = size if smoke else SHIPPED_SIZE
    runs: dict[str, Callable[[], str]] = {
        f"fused Triton kernel against plain torch, {size.height}x{size.width}": lambda: check.compare_kernels(size)
    }
    for backend, precisions in (("torch", TORCH[1:]), ("tensorrt", TENSORRT)):
        for precision in precisions:
            title = f"shipped weights, {backend} {precision} against torch fp32, {shipped.height}x{shipped.width}"
            runs[title] = partial(check.compare_shipped, shipped, precision, backend)
    for backend, precisions in (("torch", TORCH), ("tensorrt", TENSORRT[:2])):
        for precision in precisions:
            title = f"attention to {TEMPORAL_FRAMES} frames, video of {VIDEO_FRAMES}, {backend} {precision}"
            runs[f"{title} against eager torch fp32"] = partial(check.compare_video, shipped, precision, backend)
    if not smoke:
        runs["tests marked gpu"] = lambda: _run_tests(check.deadline)
    checks = []
    for title, run in runs.items():
        entry = Check(title)

        def fill(entry: Check = entry, run: Callable[[], str] = run) -> None:
            entry.result = run()

        problem = check.guarded(fill)
        if problem:
            entry.result = f"{NOT_MEASURED}: {problem}"
        print(f"{entry.what}: {entry.result}", flush=True)
        checks.append(entry)
    return checks


def _run_tests(deadline: float) -> str:
    """Run the tests that need a GPU and return pytest's last line."""
    files = [str(ROOT / "test" / f"test_{name}.py") for name in GPU_TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=0", *files]
    seconds = max(20.0, deadline + 30 - monotonic())
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BackendError(f"the tests took more than {seconds:.0f} s") from None
    print(done.stdout[-6000:], done.stderr[-2000:])
    return (done.stdout.strip().splitlines() or [f"pytest ended with {done.returncode} and said nothing"])[-1]


def _street(size: Size, seed: int = 0) -> NDArray[np.uint8]:
    """Return a frame of the street camera, RGB."""
    with open_source("street", width=size.width, height=size.height, seed=seed) as source:
        frame = source.read()
    assert frame is not None and frame.encoding == "rgb8"
    return frame.image


def _machine_name(device: torch.device, machine: dict[str, Any]) -> str:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU only, {machine['cpu']}"
    return f"{gpu}, torch {torch.__version__}, commit {machine['commit']}"


def _summary(row: Row) -> str:
    assert row.network is not None and row.frame is not None
    return f"network {row.network.median:.3f} ms, frame {row.frame.median:.3f} ms, {row.agreement:.2f} % as fp32"


if __name__ == "__main__":
    sys.exit(main())
