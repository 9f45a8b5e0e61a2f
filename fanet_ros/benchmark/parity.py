"""What `fanet benchmark --parity` does besides contests: random weights, the GPU's tests, the tables of docs/gpu.md."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from fanet_ros.benchmark.results import Row
from fanet_ros.benchmark.tables import CHECKS, TEMPORAL, Column, machine_line, number, share, text
from fanet_ros.errors import SettingError
from fanet_ros.processes import child_environment

BEGIN, END = "<!-- gpu_check: begin -->", "<!-- gpu_check: end -->"
"""The lines between which the tables go."""

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "gpu.md"

_CLASSES = 19
_TESTS = (
    "cuda_path",
    "postprocess_torch",
    "torch_backend",
    "tensorrt_backend",
    "temporal_backends",
    "nvidia",
    "benchmark_parity",
)


def _milliseconds(heading: str, prefix: str) -> Column:
    def cell(row: Row) -> str:
        median, low, high = (row[f"{prefix}{name}_ms"] for name in ("median", "p25", "p75"))
        return f"not measured: {row['error']}" if median is None else f"{median:.3f} ({low:.3f}-{high:.3f})"

    return Column(heading, cell)


_WAYS = (
    *(text("network", "{model}, {weights}"), text("input", "{width}x{height}")),
    *(text("how it runs", "{backend} {precision}"), _milliseconds("network ms", "")),
    *(_milliseconds("frame to labels ms", "frame_"), number("frames/s", "frame_rate_hz")),
    number("speed-up", "frame_speedup_vs_reference", 1),
    *(share("labels as fp32", "frame_agreement_with_reference"), number("logit error", "largest_logit_error", 4)),
)


def random_weights(backbone: str, folder: Path) -> Path:
    """Make weights that no rounding was ever tuned to, and return their file."""
    import torch
    from safetensors.torch import save_file

    from fanet_ros.model.network import FANet, FANetConfig

    path = folder / f"random_{backbone}.safetensors"
    torch.manual_seed(0)
    save_file(FANet(FANetConfig(backbone, _CLASSES)).state_dict(), path)
    return path


def run_gpu_tests(within_s: float, console: Console) -> str:
    """Run the tests that need a GPU, show what failed, and return pytest's last line."""
    files = [str(_ROOT / "test" / f"test_{name}.py") for name in _TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=0", *files]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=child_environment(), capture_output=True, text=True, timeout=within_s
        )
    except subprocess.TimeoutExpired:
        return f"not measured: the tests took more than {within_s:.0f} s"
    if done.returncode:
        console.print(done.stdout[-6000:], done.stderr[-2000:], markup=False, highlight=False)
    return (done.stdout.strip().splitlines() or [f"pytest ended with {done.returncode} and said nothing"])[-1]


def as_markdown(data: dict[str, Any]) -> str:
    """Return the results as the tables of docs/gpu.md; data as in the JSON file."""
    ways = []
    for network, frame in zip(data["network"], data["frame"], strict=True):  # of the same contests in the same order
        rate_hz = 1000 / frame["median_ms"] if frame["median_ms"] else None
        ways.append({**network, "frame_rate_hz": rate_hz, **{f"frame_{name}": frame[name] for name in frame}})
    temporal = [row for row in data["temporal"] if not row["error"]]
    failed = [
        {"check": f"video with memory, {row['backend']} {row['precision']}", "result": f"not measured: {row['error']}"}
        for row in data["temporal"]
        if row["error"]
    ]
    machine = data["machine"]
    title = f"{machine_line(machine)}, commit {machine['commit']}, {date.today():%Y-%m-%d}; median (quartiles)."
    tables = (_table(_WAYS, ways), _table(TEMPORAL, temporal), _table(CHECKS, data["checks"] + failed))
    return "\n\n".join((title, *tables)) + "\n"


def split_document(document: Path) -> tuple[str, str]:
    """Return what stands before and after the tables of a document, the marks included.

    Raises:
        SettingError: it cannot be read, or lacks the marks.
    """
    try:
        content = document.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"document: cannot read {document}: {error.strerror}") from None
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SettingError(f"document: {document} lacks the lines {BEGIN} and {END}, between which the tables go")
    return f"{before}{begin}\n\n", f"\n{end}{after}"


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    lines = [[column.heading for column in columns], ["---"] * len(columns)]
    lines += [[" ".join(column.cell(row).replace("|", "/").split()) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
