"""Everything that was measured, and on what, as one JSON document."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fanet_ros.artefacts import cache as artefacts
from fanet_ros.backends import BackendInfo
from fanet_ros.backends.foreign import describe_network
from fanet_ros.datasets import Dataset
from fanet_ros.evaluation.confidence import ConfidenceMeter
from fanet_ros.evaluation.plan import Plan
from fanet_ros.evaluation.run import Evaluation
from fanet_ros.evaluation.truth import CoarseTruth
from fanet_ros.files import write_whole
from fanet_ros.model.weights import load_weights
from fanet_ros.resources import loaded_versions

_LIBRARIES = ("torch", "numpy", "cv2", "openvino", "tensorrt", "tensorrt_rtx")


def describe_weights(path: Path) -> dict[str, str]:
    """Return what tells weights apart; before a run, as a training may replace the file meanwhile.

    Raises:
        WeightsError: the file is missing or holds no network.
    """
    network = describe_network(path)
    name = load_weights(path).config.name if network is None else network.name
    return {"file": path.name, "sha256": artefacts.weights_digest(path), "network": name}


def summarise(
    evaluation: Evaluation,
    plan: Plan,
    dataset: Dataset,
    folder: Path | None,
    weights: dict[str, str],
    info: BackendInfo,
    coarse: CoarseTruth | None = None,
    meter: ConfidenceMeter | None = None,
) -> dict[str, Any]:
    """Return all figures of a run and what they depend on, in JSON's types; shares and scores are in [0, 1].

    Args:
        evaluation: the run.
        plan: of the run.
        dataset: that was evaluated.
        folder: of the data set; None for one that is rendered.
        weights: what `describe_weights` said of them.
        info: what ran the network.
        coarse: what merged predictions into coarse classes; None for nothing.
        meter: of the confidence; None where it was not looked at.
    """
    protocol = plan.protocol
    return {
        "command": shlex.join(["fanet", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **loaded_versions(*_LIBRARIES)},
        "weights": weights,
        "backend": info._asdict(),
        "dataset": {
            "name": dataset.name,
            "split": dataset.split,
            "path": None if folder is None else str(folder.expanduser().absolute()),
            "options": dict(plan.settings.options),
            "images": len(dataset),
            "label_set": dataset.label_set.name,
        },
        "settings": plan.as_json(),
        "protocol": None
        if protocol is None
        else {
            "name": protocol.name,
            "published": [{"network": p.network, "source": p.source, **p.figures} for p in protocol.published],
            "differences": list(plan.differences),
        },
        "complete": evaluation.complete,
        "input_sizes": [str(size) for size in evaluation.input_sizes],
        "median_ms": round(evaluation.median_ms, 2),
        "scores": evaluation.scores.as_json(dataset.label_set.names),
        "calibration_error": None if meter is None else _number(meter.error()),
        "found": None
        if coarse is None
        else {
            name: dict(zip(coarse.meaning.network.names, row, strict=True))
            for name, row in zip(coarse.meaning.own.names, coarse.found.tolist(), strict=True)
        },
        "images": [
            {"name": i.name, "miou": _number(i.miou), "pixel_accuracy": _number(i.pixel_accuracy)}
            for i in evaluation.images
        ],
    }


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write a summary; the file appears complete or not at all.

    Raises:
        SettingError: it cannot be written.
    """
    write_whole(path, (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)
