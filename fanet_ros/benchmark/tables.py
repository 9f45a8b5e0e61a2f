"""The results as tables for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from fanet_ros.benchmark.results import Row

_MISSING = "-"


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        heading: above it.
        cell: what a row shows there.
        is_text: whether it is aligned to the left.
    """

    heading: str
    cell: Callable[[Row], str]
    is_text: bool = False


def text(heading: str, template: str) -> Column:
    """Show some of a row's entries in a template of str.format."""
    return Column(heading, lambda row: template.format(**row), is_text=True)


def number(heading: str, key: str, digits: int = 0, scale: float = 1.0, unit: str = "") -> Column:
    """Show a number, or that there is none."""
    return Column(heading, lambda row: _MISSING if row[key] is None else f"{scale * row[key]:.{digits}f}{unit}")


def share(heading: str, key: str) -> Column:
    """Show a share in percent."""
    return number(heading, key, 2, 100, " %")


def _quartiles(low: str, high: str, digits: int) -> Column:
    return Column(
        "p25 - p75",
        lambda row: _MISSING if row[low] is None else f"{row[low]:.{digits}f} - {row[high]:.{digits}f}",
    )


def _spread(heading: str, key: str, digits: int) -> tuple[Column, Column]:
    """A ratio with its quartiles."""
    prefix = key.removesuffix("_vs_reference")
    return number(heading, key, digits), _quartiles(f"{prefix}_p25", f"{prefix}_p75", digits)


_CAMERA, _INPUT = text("camera", "{camera_width}x{camera_height}"), text("input", "{width}x{height}")
_BACKEND = text("backend", "{backend} {precision}")
_MS, _MS_QUARTILES, _RUNS = number("ms", "median_ms", 2), _quartiles("p25_ms", "p75_ms", 2), number("runs", "runs")
_SPEED_UP = _spread("speed-up", "speedup_vs_reference", 2)
_AGREES = share("agrees", "agreement_with_reference")

TEMPORAL = (
    *(_CAMERA, _INPUT, _BACKEND, number("single ms", "single_ms", 2), number("video ms", "temporal_ms", 2)),
    *_spread("video over single", "over_single", 3),
    *(_RUNS, _AGREES, share("least", "least_agreement")),
)
"""Columns of the table `temporal`."""

CHECKS = text("check", "{check}"), text("result", "{result}")
"""Columns of the table `checks`."""

_TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "network": (
        "Network: {model} ({weights}), input {width}x{height}",
        (
            *(_BACKEND, text("device", "{device}"), _MS, _MS_QUARTILES, _RUNS, *_SPEED_UP),
            *(number("GFLOP/s", "gflop_per_s"), _AGREES, number("RSS MB", "rss_mb")),
        ),
    ),
    "frame": (
        "Frame to labels: {model} ({weights}), input {width}x{height}",
        (
            *(_CAMERA, _BACKEND, _MS, _MS_QUARTILES, *_spread("over network", "over_network", 2)),
            *(_SPEED_UP[0], number("upside down ms", "turned_ms", 2), _AGREES),
        ),
    ),
    "temporal": ("Attention to {temporal_frames} frames, frame to labels", TEMPORAL),
    "node": (
        "Node to node, stamp to mask, {backend} {precision}",
        (
            *(_CAMERA, _INPUT, text("load", "{load}"), number("masks/s", "mean_rate_hz", 1)),
            *(number("p50 ms", "p50_ms", 1), number("p90", "p90_ms", 1), number("p99", "p99_ms", 1)),
            *(number("jitter", "jitter_ms", 1), Column("missed", lambda row: f"{row['missed']}/{row['sent']}")),
            *(number("inference", "inference_ms", 1), number("rest", "overhead_ms", 1)),
            *(number("CPU %", "cpu_percent"), number("RSS MB", "rss_mb")),
            *(number("PNG/s", "compressed_rate_hz", 1), number("kB", "compressed_kb", 1)),
        ),
    ),
    "startup": (
        "Start of the node until its first mask, {backend} {precision}",
        (
            *(_CAMERA, _INPUT, number("median s", "median_s", 2), number("RSS MB", "rss_mb")),
            Column("all", lambda row: ", ".join(f"{seconds:.2f}" for seconds in row["seconds"])),
        ),
    ),
    "batch": (
        "Frames of {camera_width}x{camera_height} that wait together, one after the other and as one batch",
        (
            *(_INPUT, _BACKEND, number("frames", "waiting")),
            *(number("one by one ms", "one_by_one_ms", 1), number("frames/s", "one_by_one_fps", 1)),
            *(number("batched ms", "batched_ms", 1), number("frames/s", "batched_fps", 1)),
            *_spread("gain", "gain", 3),
        ),
    ),
    "ground": (
        "Ground projection of a mask of {mask_width}x{mask_height}, one thread",
        (
            *(text("result", "{result}"), _MS, _MS_QUARTILES, _RUNS, number("the usual way ms", "usual_ms", 1)),
            *_spread("speed-up", "speedup", 1),
        ),
    ),
    "soak": (
        "Memory of both nodes over {frames} frames; a leak is 1 MB or more per 100 000",
        (
            *(text("node", "{node}"), number("seconds", "seconds"), number("RSS MB, after warm-up", "first_mb", 1)),
            *(number("at the end", "last_mb", 1), number("MB per 100 000 frames", "growth_mb", 2)),
        ),
    ),
    "checks": ("Checks", CHECKS),
}


def print_results(data: dict[str, Any], console: Console) -> None:
    """Print everything that was measured, and why the rest was not.

    Args:
        data: as in the JSON file.
        console: about 120 columns wide, better than narrower.
    """
    _print_machine(data["machine"], console)
    for name, (title, columns) in _TABLES.items():
        groups: dict[str, list[Row]] = {}
        for row in data[name]:
            if not row.get("error"):
                groups.setdefault(title.format(**row), []).append(row)
        for heading, rows in groups.items():
            table = Table(title=heading, title_justify="left")
            for column in columns:
                table.add_column(column.heading, justify="left" if column.is_text else "right", overflow="fold")
            for row in rows:
                table.add_row(*(column.cell(row) for column in columns))
            console.print(table)
    _print_errors(data, console)


def machine_line(machine: dict[str, Any]) -> str:
    """Return processor, memory, GPUs, system and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return (
        f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']}), "
        f"{machine['cores_usable']} cores, {machine['memory_gb']} GB; {', '.join(machine['gpus']) or 'no GPU'}; "
        f"{machine['os']}, Python {machine['python']}, {versions}"
    )


def _print_machine(machine: dict[str, Any], console: Console) -> None:
    console.print(machine_line(machine), highlight=False)
    for device, peaks in machine.get("peak_gflops", {}).items():
        shown = ", ".join(f"{value:.0f} GFLOP/s in {precision}" for precision, value in peaks.items())
        console.print(f"peak of {device}: {shown}", highlight=False)
    console.print(f"load average {machine['load_at_start']} at the start, {machine.get('load_at_end', '?')} at the end")


def _print_errors(data: dict[str, Any], console: Console) -> None:
    """Name what could not be measured, each reason once."""
    reasons: dict[str, list[str]] = {}
    for table in _TABLES:
        for row in data[table]:
            if row.get("error"):
                names = reasons.setdefault(row["error"], [])
                name = _what_failed(table, row)
                if name not in names:
                    names.append(name)
    for entry in data["not_run"]:
        reasons.setdefault(entry["reason"], []).append(f"level {entry['level']}")
    for reason, names in reasons.items():
        console.print(f"[yellow]not measured:[/] {', '.join(names)}: ", end="")
        console.print(reason, markup=False, highlight=False, soft_wrap=True)
    for note in data["machine"].get("transport_notes", []):
        console.print(f"[yellow]note:[/] {note}", soft_wrap=True)


def _what_failed(table: str, row: Row) -> str:
    if table == "ground":
        return "ground projection"
    if table == "soak":
        return "soak"
    return f"node, {row['backend']}" if table == "node" else f"{row['backend']} {row['precision']}"
