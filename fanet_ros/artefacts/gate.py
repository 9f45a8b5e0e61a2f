"""The accuracy gate: what each precision loses against fp32, and which precision may therefore be chosen by `auto`.

`fanet calibrate` measures; its results lie in the cache, those of shipped weights beside the weights. Nothing here
imports a framework: choosing must not cost a node its start.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fanet_ros.artefacts.cache import GRAPH_VERSION, discard, weights_digest
from fanet_ros.artefacts.place import cache_folder, distrusted, keep_from_others, lasting_folder, make_folder
from fanet_ros.errors import SettingError
from fanet_ros.files import locked_folder, remove_abandoned, replacing

MIOU, AGREEMENT = "miou", "agreement"

LIMITS: Mapping[str, Mapping[str, float]] = {
    MIOU: {"bf16": 0.2, "fp16": 0.2, "int8": 1.0},
    # Labels that differ from fp32's are as often right as wrong, so agreement falls faster than mIoU does. On CamVid
    # bf16 agrees on 99.9 % and int8 on 99.5 % of the pixels without losing mIoU; six times that much is a fault.
    AGREEMENT: {"bf16": 1.0, "fp16": 1.0, "int8": 3.0},
}
"""Points that a precision may lose, by metric; fp32 is what all are compared with and needs no gate."""

_FILE_NAME = "gate.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GateResult:
    """How one precision did against fp32 of the same backend on the same frames.

    Attributes:
        weights: SHA-256 of the weights file, hexadecimal.
        backend: that ran both.
        device: its kind, `cpu` or `cuda`.
        precision: that was measured.
        metric: `miou` (frames with labels: mean intersection over union) or `agreement` (frames without: share of the
            pixels with fp32's label).
        reference: of fp32, in points: percent of 1; 100 for `agreement`.
        value: of `precision`, in points.
        frames: number of frames.
        data: where they came from, in words.
        input_size: at which the network saw them, `WIDTHxHEIGHT` or how it follows from the frame.
        versions: of the libraries that took part.
        date: of the measurement, UTC, ISO 8601.
        graph_version: of the exported graph.
        network: fingerprint of the quantised network that was measured, so that a result never vouches for another
            one; empty where the weights alone determine the network.
        labels: key of the merged classes that were measured (model_card.merging_key); empty for the network's own,
            which vouch for all that are merged from them, too.
    """

    weights: str
    backend: str
    device: str
    precision: str
    metric: str
    reference: float
    value: float
    frames: int
    data: str
    input_size: str
    versions: Mapping[str, str]
    date: str
    graph_version: int = GRAPH_VERSION
    network: str = ""
    labels: str = ""

    def __post_init__(self) -> None:
        if self.metric not in LIMITS or self.precision not in LIMITS[self.metric]:
            raise ValueError(f"no limit for {self.precision!r} measured by {self.metric!r}")

    @property
    def loss(self) -> float:
        """Points lost against fp32; negative where the precision did better."""
        return self.reference - self.value

    @property
    def limit(self) -> float:
        """Points that may be lost."""
        return LIMITS[self.metric][self.precision]

    @property
    def passed(self) -> bool:
        """Whether `auto` may choose this precision."""
        return self.loss <= self.limit  # false for NaN, too

    def __str__(self) -> str:
        if self.metric == MIOU:
            change = f"mIoU {round(-self.loss, 2) + 0.0:+.2f} points against fp32"  # + 0.0: there is no -0.00
        else:
            change = f"{self.value:.2f} % of the labels as in fp32"
        return f"{change} on {self.frames} frames of {self.data}"


def choose_precision(
    weights: Path, backend: str, device: str, supported: Sequence[str], int8_network: str = "", labels: str = ""
) -> tuple[str, str]:
    """Return the fastest precision that passed the gate for these weights, and why it was chosen.

    Args:
        weights: the weights file.
        backend: that will run them.
        device: `cpu`, `cuda` or `cuda:<index>`.
        supported: precisions to choose from, the fastest first; fp32, which always passes, is among them.
        int8_network: fingerprint of the quantised network that int8 would run.
        labels: key of the merged classes that are wanted; empty for the network's own.

    Raises:
        WeightsError: the weights file cannot be read.
    """
    kind = device.partition(":")[0]
    results = [r for r in read_gate_results(weights) if (r.backend, r.device) == (backend, kind)]
    fitting = [r for r in results if r.network == (int8_network if r.precision == "int8" else "")]
    # sorted: what was measured for these very classes comes after, and takes precedence
    measured = {r.precision: r for r in fitting if r.labels in ("", labels)}
    passed_over = []
    for precision in supported:
        result = measured.get(precision)
        if precision == "fp32":
            break
        if result is None:
            passed_over.append(f"{precision} was not measured for these weights (fanet calibrate does)")
        elif not result.passed:
            passed_over.append(f"{precision} failed the accuracy gate: {result}")
        else:
            passed = f"{precision} passed the accuracy gate: {result}"
            return precision, "; ".join([passed, *passed_over])
    return "fp32", "; ".join(["fp32 needs no accuracy gate", *passed_over])


def read_gate_results(weights: Path) -> list[GateResult]:
    """Return the results that count for a weights file: shipped beside it, and one's own, which take precedence.

    Results of other weights or of an older graph are left out. A file that cannot be read is told of in the log.

    Raises:
        WeightsError: the weights file cannot be read.
    """
    digest = weights_digest(weights)
    return _merge(_read(shipped_gate_file(weights), digest), _read_own(cache_folder(digest) / _FILE_NAME, digest))


def write_gate_results(
    weights: Path, results: Sequence[GateResult], *, ship: bool = False, void: tuple[str, str, str] | None = None
) -> Path:
    """Store results in place of older ones of the same backend, device and precision.

    Args:
        weights: the weights file.
        results: of these weights.
        ship: whether to store them beside the weights, to be delivered with them, instead of in the cache.
        void: backend, kind of device and precision of an older result that is removed.

    Returns:
        The file written.

    Raises:
        WeightsError: the weights file cannot be read.
        SettingError: the results cannot be written.
    """
    digest = weights_digest(weights)
    path = shipped_gate_file(weights) if ship else lasting_folder(digest) / _FILE_NAME
    try:
        if not ship:
            make_folder(path.parent)
            remove_abandoned(path.parent)
        with locked_folder(path.parent):  # two at once would each drop the other's results
            older = _read(path, digest) if ship else _read_own(path, digest)
            merged = _merge([r for r in older if (r.backend, r.device, r.precision) != void], results)
            with replacing(path) as unfinished:
                unfinished.write_text(_as_json(merged), encoding="utf-8")
                keep_from_others(unfinished)
    except OSError as error:
        raise SettingError(f"cannot write the results of the accuracy gate to {path}: {error.strerror}") from None
    return path


def forget_calibration(weights: Path) -> list[Path]:
    """Remove one's own results and int8 networks of a weights file, so that those shipped beside it count again.

    Engines that were built from such a network go, too.

    Returns:
        What was removed from the cache; nothing where nothing was there.

    Raises:
        WeightsError: the weights file cannot be read.
        SettingError: something cannot be removed.
    """
    folder = cache_folder(weights_digest(weights))
    found = sorted(folder.glob("[!.]*_int8_*")) + sorted(folder.glob(_FILE_NAME))
    try:
        for path in found:  # the results last: of an int8 network that is gone they do no harm
            if path.is_dir():
                discard(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise SettingError(f"cannot remove {error.filename}: {error.strerror}; check its permissions") from None
    return found


def _as_json(results: Sequence[GateResult]) -> str:
    # loss and limit are for people: read_gate_results computes its own
    entries = [{**asdict(r), "loss": round(r.loss, 3), "limit": r.limit, "passed": r.passed} for r in results]
    return json.dumps({"results": entries}, indent=1) + "\n"


def shipped_gate_file(weights: Path) -> Path:
    """Return where the results lie that are delivered with weights."""
    return weights.with_suffix(".gate.json")


def _merge(older: Sequence[GateResult], newer: Sequence[GateResult]) -> list[GateResult]:
    merged = {(r.backend, r.device, r.precision, r.network, r.labels): r for r in (*older, *newer)}
    return [merged[key] for key in sorted(merged)]


def _read_own(path: Path, digest: str) -> list[GateResult]:
    """Read a file of the cache, where others may have written it."""
    problem = distrusted(path)
    if problem:
        _log.warning("the results of the accuracy gate are not used: %s", problem)
        return []
    return _read(path, digest)


def _read(path: Path, digest: str) -> list[GateResult]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["results"]
        results = [_parse(entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, OverflowError, KeyError, TypeError) as error:
        _log.warning(
            "the results of the accuracy gate in %s cannot be used (%s: %s); fanet calibrate makes new ones",
            path,
            type(error).__name__,
            error,
        )
        return []
    return [r for r in results if (r.weights, r.graph_version) == (digest, GRAPH_VERSION)]


def _parse(entry: Mapping[str, Any]) -> GateResult:
    entry = {"labels": "", **entry}  # older results have none
    for name in ("weights", "backend", "device", "precision", "network", "labels"):
        if not isinstance(entry[name], str):
            raise TypeError(f"{name} is {entry[name]!r}")  # results are sorted by these
    numbers = {"reference": float(entry["reference"]), "value": float(entry["value"]), "frames": int(entry["frames"])}
    return GateResult(**{**{field.name: entry[field.name] for field in fields(GateResult)}, **numbers})
