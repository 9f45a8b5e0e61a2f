"""What this machine's processor computes natively."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm names of the same ability


@cache
def has_native_bf16() -> bool:
    """Whether bfloat16 is faster than float32 here: the processor multiplies it without emulation."""
    return bool(_NATIVE_BF16 & processor_flags())


@cache
def processor_flags() -> frozenset[str]:
    """Return the processor's abilities as Linux names them; empty where Linux does not run."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features")))
    return frozenset(next(found, []))


@cache
def processor_name() -> str:
    """Return the processor's name, family and model: equal names may hide different generations in virtual machines."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = values.get("model name", platform.machine())
    family, model = values.get("cpu family"), values.get("model")
    return f"{name} (family {family}, model {model})" if family and model else name
