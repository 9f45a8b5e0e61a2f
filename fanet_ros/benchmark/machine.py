"""What the benchmark ran on: processor, memory, system and versions, without which its figures mean nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import psutil

from fanet_ros.backends.processor import processor_flags, processor_info
from fanet_ros.resources import package_version

_ROOT = Path(__file__).resolve().parents[2]

# What decides how fast convolutions can be: vector width, fused multiply-add, and instructions for bf16 and int8.
_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "avx_vnni_int8"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2"),
)

_DISTRIBUTIONS = {
    "torch": ("torch",),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
    "numpy": ("numpy",),
    "rclpy": ("rclpy", "ros-rclpy"),
}


def describe_machine() -> dict[str, Any]:
    """Return the machine's side of the result, ready for JSON; nothing that cannot be found out is an error."""
    cpu = processor_info()
    flags = processor_flags()
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": _number(cpu.get("cpu family")),
        "cpu_model": _number(cpu.get("model")),
        "cpu_flags": [flag for flag in _FLAGS if flag in flags],
        "cores_usable": len(os.sched_getaffinity(0)),
        "cores_by_quota": _quota(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": _output(
            "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"
        ).splitlines(),
        "os": _os_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {**{name: _version(*known) for name, known in _DISTRIBUTIONS.items()}, "opencv": cv2.__version__},
        "fanet_ros": package_version(),
        "commit": _commit(),
        "load_at_start": load_average(),
    }


def load_average() -> float:
    """Return how many processes wanted to run on average during the last minute."""
    return round(os.getloadavg()[0], 2)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _quota() -> float | None:
    """The CPUs' worth of time that a container may use (cgroup v2); None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else round(int(quota) / int(period), 2)


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform()


def _version(*distributions: str) -> str | None:
    for distribution in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return None


def _commit() -> str | None:
    """The commit of the source tree this runs from, marked if files were changed since; None for an installation."""
    if not (_ROOT / ".git").exists():
        return None
    return _output("git", "-C", str(_ROOT), "describe", "--always", "--dirty") or None


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
