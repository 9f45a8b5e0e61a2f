"""OpenVINO without its usage statistics, and its one core."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from fanet_ros.errors import BackendError
from fanet_ros.untrusted.text import printable

MODEL = "model.xml"
"""The file of a network in OpenVINO's form; its weights lie beside it in model.bin."""
DESCRIPTION = "network.json"
"""The file beside it that says what a foreign network takes and gives (fanet_ros.model.foreign)."""
NO_MEMORY = "it asks for more memory than there is"
_UNKNOWN = "No conversion rule found for operations: "  # in OpenVINO's messages


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


@cache
def openvino_core() -> Any:
    """Return the process's only Core, which lives as long as the process.

    The CPU plugin of a Core gives the thread that loads it a stack of its own for signal handlers, and on its end puts
    back the one from before. Of two Cores that do not end in the reverse order of their beginning, the second puts back
    a stack that the first has freed: the next signal (Ctrl-C, or the end of a child process) then ends the process with
    a segmentation fault.

    Raises:
        BackendError: OpenVINO is not installed; says how to install it.
    """
    return import_openvino().Core()


def reason_of(error: Exception) -> str:
    """Return what OpenVINO says, in one line and without the places in its sources."""
    if isinstance(error, MemoryError) or "bad_alloc" in str(error):
        return NO_MEMORY
    lines = [line.strip() for line in str(error).splitlines()]
    unknown = [line.partition(_UNKNOWN)[2] for line in lines if _UNKNOWN in line]
    if unknown:
        return f"it does not know these operations: {printable(unknown[0], 400)}"
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return printable("; ".join((telling or lines)[:3]), 400)
