"""Calibrates int8 and measures every precision against fp32: what `fanet calibrate` does.

Measured is what the node runs, frame -> labels at the labels' size, in the same backend. Calibration and measurement
are one step, as a result holds only for the network that was measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.artefacts.cache import ArtefactKey
from fanet_ros.artefacts.gate import AGREEMENT, MIOU, GateResult, write_gate_results
from fanet_ros.backends import BackendInfo, backend_class
from fanet_ros.backends.base import Backend, no_progress
from fanet_ros.backends.foreign import describe_network, input_sizes_of
from fanet_ros.calibration.accuracy import Accuracy, compare
from fanet_ros.calibration.calibration_frames import FrameSet
from fanet_ros.errors import SettingError
from fanet_ros.files import locked_folder, replacing
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.model.model_card import merging_key, read_card
from fanet_ros.model.weights import load_weights
from fanet_ros.resources import loaded_versions
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size

Counter = Callable[[str, int, int], None]
"""Told what is being done, how many frames are done, and how many there are."""

_LIBRARIES = {"torch": ("torch",), "openvino": ("openvino", "nncf"), "tensorrt": ("tensorrt", "tensorrt_rtx")}


@dataclass(frozen=True)
class Task:
    """What to calibrate and measure.

    Attributes:
        weights: a checkpoint that fanet_ros.model.weights can read.
        calibration: frames for int8's ranges.
        gate: frames to measure on, labelled or not.
        calibration_frames: at most so many of `calibration`, at least 1.
        gate_frames: likewise of `gate`.
        backend: `auto` or a backend's name.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        precisions: to measure; empty for all that the backend computes in here.
        input_size: `auto`, `camera` or WIDTHxHEIGHT.
        labels: label set, as for `Segmenter`.
        twin: weights of the same training before it learned from the gate's frames, to measure on in place of
            `weights`, whose loss on frames that they have learned from says too little; None to measure `weights`.
    """

    weights: Path
    calibration: FrameSet
    gate: FrameSet
    calibration_frames: int = 100
    gate_frames: int = 500
    backend: str = "auto"
    device: str = "auto"
    precisions: tuple[str, ...] = ()
    input_size: str = "auto"
    labels: str = ""
    twin: Path | None = None


@dataclass(frozen=True)
class Measurement:
    """How one precision did.

    Attributes:
        precision: that was measured.
        accuracy: and speed.
        result: for the gate; None for fp32, which needs none.
    """

    precision: str
    accuracy: Accuracy
    result: GateResult | None


@dataclass(frozen=True)
class Calibration:
    """What came out.

    Attributes:
        backend: that was measured.
        device: on which.
        measurements: fp32 first.
        int8_model: folder of the quantised network; None if int8 was not measured.
        gate_file: where the results are stored.
    """

    backend: str
    device: str
    measurements: tuple[Measurement, ...]
    int8_model: Path | None
    gate_file: Path


def calibrate(task: Task, counter: Counter) -> Calibration:
    """Quantise int8 if it is asked for, measure every precision, and store model and results in the cache.

    If it is interrupted or fails after quantising, neither the new int8 network nor results of the old one stay.

    Raises:
        FanetError: frames, weights, backend or settings cannot be used; each says what to do.
    """
    write_gate_results(task.weights, [])  # a cache that cannot be written should not be met after minutes of work
    if task.twin is None:
        return _calibrate(task, counter)
    _check_twin(task.weights, task.twin)
    measured = _calibrate(replace(task, weights=task.twin, twin=None), counter)
    with _alone(task, measured.backend, counter):
        model = None if measured.int8_model is None else quantise_int8(task, measured.backend, counter)
        measurements = tuple(_on_behalf_of(task, m) for m in measured.measurements)
        gate_file = write_gate_results(task.weights, [m.result for m in measurements if m.result is not None])
    return replace(measured, measurements=measurements, int8_model=model, gate_file=gate_file)


def _calibrate(task: Task, counter: Counter) -> Calibration:
    with closing(_segmenter(task, task.backend, task.device, "fp32")) as reference:
        backend, device = reference.backend_info.name, reference.backend_info.device
        precisions = _precisions(task.precisions, backend_class(backend), backend, device)
        with ExitStack() as stack:
            model = None
            if "int8" in precisions:
                # till the end, as a result must not be taken for that of another's network
                stack.enter_context(_alone(task, backend, counter))
                model = quantise_int8(task, backend, counter)
            try:
                segmenters = [reference]
                for precision in precisions:
                    segmenters.append(stack.enter_context(closing(_segmenter(task, backend, device, precision))))
                measurements = _measure(task, segmenters, counter)
                gate_file = write_gate_results(task.weights, [m.result for m in measurements if m.result is not None])
            except BaseException:
                if model is not None:
                    artefacts.discard(model)
                raise
    return Calibration(backend, device, tuple(measurements), model, gate_file)


def _check_twin(weights: Path, twin: Path) -> None:
    network, other = load_weights(weights).config, load_weights(twin).config
    if network != other:
        raise SettingError(f"twin: {twin} holds a {other}, but {weights} a {network}; give weights of the same network")


def _on_behalf_of(task: Task, measurement: Measurement) -> Measurement:
    """Return what was measured on a twin as a result of the weights that it stands for."""
    result = measurement.result
    if result is None:
        return measurement
    assert task.twin is not None
    data = f"{result.data}, measured on the twin {artefacts.weights_digest(task.twin)[:12]}"
    network = _network_of(task.weights, result.backend, result.precision)
    weights = artefacts.weights_digest(task.weights)
    labels = merging_key(task.labels, read_card(task.weights))
    return replace(measurement, result=replace(result, weights=weights, data=data, network=network, labels=labels))


def ship(task: Task, calibration: Calibration) -> list[Path]:
    """Copy results and int8 network beside the weights, to be delivered together with them.

    The int8 network of tensorrt is not: it is calibrated where its engine is built, so its result is left out, too.

    Returns:
        What was written.

    Raises:
        SettingError: there is nothing to ship, or the folder of the weights cannot be written.
    """
    results = [m.result for m in calibration.measurements if m.result is not None]
    if calibration.backend != "openvino":
        results = [result for result in results if result.precision != "int8"]
    written = [write_gate_results(task.weights, results, ship=True)]
    if calibration.int8_model is not None and calibration.backend == "openvino":
        from fanet_ros.backends.openvino.backend import shipped_int8_folder

        target = shipped_int8_folder(task.weights)
        try:
            with locked_folder(target.parent), replacing(target) as unfinished:
                shutil.copytree(calibration.int8_model, unfinished, copy_function=shutil.copyfile)
                unfinished.chmod(target.parent.stat().st_mode)  # the cache's may be private
                artefacts.discard(target)
        except OSError as error:
            raise SettingError(f"cannot write {target}: {error.strerror}") from None
        written.append(target)
    return written


def _segmenter(task: Task, backend: str, device: str, precision: str) -> Segmenter:
    return Segmenter(
        task.weights,
        labels=task.labels,
        backend=backend,
        device=device,
        precision=precision,
        input_size=task.input_size,
    )


def _precisions(asked: Sequence[str], kind: type[Backend], backend: str, device: str) -> list[str]:
    supported = kind.precisions(device)
    unknown = [precision for precision in asked if precision not in supported]
    if unknown:
        raise SettingError(
            f"precision: received {unknown[0]!r}, but backend {backend} on {device} computes in {', '.join(supported)}"
        )
    return [precision for precision in dict.fromkeys(asked or supported) if precision != "fp32"]


def quantise_int8(task: Task, backend: str, counter: Counter) -> Path:
    """Quantise the network of a backend on the task's calibration frames, and put it into the cache.

    One's own result of the network that it replaces is removed.

    Returns:
        The artefact's folder.

    Raises:
        FanetError: frames or weights cannot be used, or a library is missing; says what to do.
    """
    count = min(task.calibration_frames, task.calibration.length)
    images = _network_inputs(task, count)
    digest = artefacts.weights_digest(task.weights)

    def count_images(done: int) -> None:
        counter("calibrating int8", done, count)

    if backend == "openvino":
        from fanet_ros.backends.openvino import quantise as openvino_quantise
        from fanet_ros.backends.openvino.backend import MODEL, obtain_exact

        exact = obtain_exact(task.weights, digest, no_progress)
        device = "cpu"
        quantise = partial(openvino_quantise.quantise, exact / MODEL, images, count)
    else:
        from fanet_ros.backends.tensorrt import quantise as tensorrt_quantise

        device = "cuda"
        quantise = partial(tensorrt_quantise.quantise, task.weights, images)

    def build(folder: Path) -> None:
        quantise(folder, progress=count_images)
        # before the new network is in place: after a power cut nobody could, and the old result would pass for its own
        write_gate_results(task.weights, [], void=(backend, device, "int8"))

    return artefacts.store(_int8_key(digest, backend), build, lasting=True)


def _int8_key(digest: str, backend: str) -> ArtefactKey:
    if backend == "openvino":
        from fanet_ros.backends.openvino.backend import model_key

        return model_key(digest, "int8")
    from fanet_ros.backends.tensorrt.quantise import quantised_key

    return quantised_key(digest)


def _alone(task: Task, backend: str, counter: Counter) -> AbstractContextManager[None]:
    """Let one process at a time calibrate int8 of these weights; the others wait."""
    key = _int8_key(artefacts.weights_digest(task.weights), backend)
    return artefacts.building(key, lambda _: counter("waiting for another calibration", 0, 1))


def _network_inputs(task: Task, count: int) -> Iterator[NDArray[np.uint8]]:
    fit = input_sizes_of(task.weights, task.input_size)
    network = describe_network(task.weights)
    resizer = FrameResizer(align_corners=network is None or network.align_corners)
    only: Size | None = None  # NNCF cannot compare what attention over all places gives at one size with another's
    for frame in task.calibration.sample(count):
        frame_size = Size(frame.image.shape[1], frame.image.shape[0])
        size = only or fit(frame_size)
        only = None if network is None else size
        yield resizer.to_network_input(frame.image, frame.encoding, size).copy()  # NNCF may keep it


def _measure(task: Task, segmenters: Sequence[Segmenter], counter: Counter) -> list[Measurement]:
    count = min(task.gate_frames, task.gate.length)
    accuracies = compare(segmenters, task.gate, count, lambda done: counter("measuring", done, count))
    measurements = []
    for segmenter, accuracy in zip(segmenters, accuracies, strict=True):
        info = segmenter.backend_info
        result = None if segmenter is segmenters[0] else _gate_result(task, info, accuracy, accuracies[0])
        measurements.append(Measurement(info.precision, accuracy, result))
    return measurements


def _gate_result(task: Task, info: BackendInfo, accuracy: Accuracy, exact: Accuracy) -> GateResult:
    if accuracy.miou is None or exact.miou is None:
        metric, value, reference = AGREEMENT, accuracy.agreement, 100.0
    else:
        metric, value, reference = MIOU, accuracy.miou, exact.miou
    return GateResult(
        weights=artefacts.weights_digest(task.weights),
        backend=info.name,
        device=info.device.partition(":")[0],
        precision=info.precision,
        metric=metric,
        reference=round(reference, 4),
        value=round(value, 4),
        frames=accuracy.frames,
        data=task.gate.name,
        input_size=", ".join(str(size) for size in accuracy.input_sizes),
        versions=loaded_versions(*_LIBRARIES[info.name]),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        network=_network_of(task.weights, info.name, info.precision),
        labels=merging_key(task.labels, read_card(task.weights)),
    )


def _network_of(weights: Path, backend: str, precision: str) -> str:
    """Return the fingerprint of the quantised network; an empty one where the weights alone determine it."""
    return backend_class(backend).int8_network(weights) if precision == "int8" else ""
