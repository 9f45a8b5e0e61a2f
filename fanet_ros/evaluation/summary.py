"""Everything that was measured, and on what, as one JSON document."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fanet_ros import artefacts
from fanet_ros.backends import BackendInfo
from fanet_ros.benchmark.results import write_whole
from fanet_ros.datasets import Dataset
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.plan import Plan
from fanet_ros.evaluation.run import Evaluation
from fanet_ros.resources import package_version
from fanet_ros.weights import load_weights

_LIBRARIES = ("torch", "torchmetrics", "numpy", "cv2", "openvino", "tensorrt", "tensorrt_rtx")


def check_json_path(path: Path) -> None:
    """Refuse at once what would fail after the whole data set was predicted.

    Raises:
        SettingError: there is no such folder, or the path is one.
    """
    if not path.parent.is_dir():
        raise SettingError(f"json: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise SettingError(f"json: {path} is a folder; give the name of a file")


def summarise(evaluation: Evaluation, plan: Plan, dataset: Dataset, weights: Path, info: BackendInfo) -> dict[str, Any]:
    """Return all figures of a run and what they depend on, in JSON's types; shares and scores are in [0, 1].

    Raises:
        WeightsError: the weights file is gone.
    """
    protocol = plan.protocol
    return {
        "command": shlex.join(["fanet", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
        "weights": {
            "file": weights.name,
            "sha256": artefacts.weights_digest(weights),
            "network": load_weights(weights).config.name,
        },
        "backend": info._asdict(),
        "dataset": {
            "name": dataset.name,
            "split": dataset.split,
            "options": dict(plan.options),
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
        "input_sizes": [str(size) for size in evaluation.input_sizes],
        "median_ms": round(evaluation.median_ms, 2),
        "scores": evaluation.scores.as_json(dataset.label_set.names),
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


def _versions() -> dict[str, str]:
    loaded = {name: sys.modules[name] for name in _LIBRARIES if sys.modules.get(name) is not None}
    versions = {name: str(module.__version__) for name, module in loaded.items()}
    return {"fanet_ros": package_version(), "python": platform.python_version(), **versions}


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)
