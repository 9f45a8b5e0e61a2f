"""OpenVINO without its usage statistics."""

from __future__ import annotations

import sys
from typing import Any

from fanet_ros.errors import BackendError


def import_openvino() -> Any:
    """Import OpenVINO; a robot's perception node neither calls home nor waits for a name server to answer.

    `import openvino` and NNCF report to Google Analytics through the package openvino_telemetry, and write a client's
    id into ~/intel, unless that package is missing; so for this process it is missing.

    Raises:
        BackendError: OpenVINO is not installed; says how to install it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    try:
        import openvino
    except ImportError as error:
        raise BackendError(
            f"backend openvino needs OpenVINO ({error}): pip install openvino; or use backend torch"
        ) from None
    return openvino
