"""What is known of this machine's processor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm names of the same ability


def has_native_bf16() -> bool:
    """Whether bfloat16 is faster than float32 here: the processor multiplies it without emulation."""
    return bool(_NATIVE_BF16 & processor_flags())


def processor_flags() -> frozenset[str]:
    """Return the processor's abilities as Linux names them; empty where Linux does not run."""
    info = processor_info()
    return frozenset((info.get("flags") or info.get("Features") or "").split())  # x86 and Arm names of the line


@cache
def processor_info() -> Mapping[str, str]:
    """Return what Linux tells of the first processor; empty where Linux does not run."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
