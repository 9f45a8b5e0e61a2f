"""The results as tables for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from fanet_ros.benchmark.results import Row

_MISSING = "-"


def print_results(data: dict[str, Any], console: Console) -> None:
    """Print everything that was measured, and why the rest was not.

    Args:
        data: as in the JSON file.
        console: about 120 columns wide, better than narrower.
    """
    _print_machine(data["machine"], console)
    for title, rows in _by_size(data["network"]).items():
        _print_network(title, rows, console)
    for title, rows in _by_size(data["frame"]).items():
        _print_frame(title, rows, console)
    _print_temporal([row for row in data["temporal"] if not row["error"]], console)
    _print_node([row for row in data["node"] if not row.get("error")], console)
    _print_startup(data["startup"], console)
    _print_batch([row for row in data["batch"] if not row["error"]], console)
    _print_ground([row for row in data["ground"] if not row["error"]], console)
    _print_errors(data, console)


def _print_machine(machine: dict[str, Any], console: Console) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    console.print(
        f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']}), "
        f"{machine['cores_usable']} cores, {machine['memory_gb']} GB; {', '.join(machine['gpus']) or 'no GPU'}; "
        f"{machine['os']}, Python {machine['python']}, {versions}",
        highlight=False,
    )
    for device, peaks in machine.get("peak_gflops", {}).items():
        shown = ", ".join(f"{value:.0f} GFLOP/s in {precision}" for precision, value in peaks.items())
        console.print(f"peak of {device}: {shown}", highlight=False)
    console.print(f"load average {machine['load_at_start']} at the start, {machine.get('load_at_end', '?')} at the end")


def _by_size(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows without errors by network and input size."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row["error"]:
            groups.setdefault(f"{row['model']} ({row['weights']}), input {row['width']}x{row['height']}", []).append(
                row
            )
    return groups


def _print_network(title: str, rows: list[Row], console: Console) -> None:
    table = _table(
        f"Network: {title}",
        *("backend", "device", "ms", "p25 - p75", "runs", "speed-up", "p25 - p75", "GFLOP/s", "agrees", "RSS MB"),
    )
    for row in rows:
        table.add_row(
            f"{row['backend']} {row['precision']}",
            row["device"],
            _number(row["median_ms"], 2),
            _range(row, "p25_ms", "p75_ms", 2),
            str(row["runs"]),
            _number(row["speedup_vs_reference"], 2),
            _range(row, "speedup_p25", "speedup_p75", 2),
            _number(row["gflop_per_s"], 0),
            _MISSING if row["agreement_with_reference"] is None else f"{row['agreement_with_reference']:.2%}",
            _number(row["rss_mb"], 0),
        )
    console.print(table)


def _print_frame(title: str, rows: list[Row], console: Console) -> None:
    table = _table(
        f"Frame to labels: {title}", "camera", "backend", "ms", "p25 - p75", "over network", "p25 - p75", "speed-up"
    )
    for row in rows:
        table.add_row(
            f"{row['camera_width']}x{row['camera_height']}",
            f"{row['backend']} {row['precision']}",
            _number(row["median_ms"], 2),
            _range(row, "p25_ms", "p75_ms", 2),
            _number(row["over_network"], 2),
            _range(row, "over_network_p25", "over_network_p75", 2),
            _number(row["speedup_vs_reference"], 2),
        )
    console.print(table)


def _print_temporal(rows: list[Row], console: Console) -> None:
    if not rows:
        return
    names = ("camera", "input", "backend", "single ms", "video ms", "video over single", "p25 - p75", "runs")
    table = _table(f"Attention to {rows[0]['temporal_frames']} frames, frame to labels", *names)
    for row in rows:
        table.add_row(
            f"{row['camera_width']}x{row['camera_height']}",
            f"{row['width']}x{row['height']}",
            f"{row['backend']} {row['precision']}",
            _number(row["single_ms"], 2),
            _number(row["temporal_ms"], 2),
            _number(row["over_single"], 3),
            _range(row, "over_single_p25", "over_single_p75", 3),
            str(row["runs"]),
        )
    console.print(table)


def _print_node(rows: list[Row], console: Console) -> None:
    if not rows:
        return
    names = ("camera", "input", "load", "masks/s", "p50 ms", "p90", "p99", "jitter", "missed", "inference", "rest")
    title = f"Node to node, stamp to mask, {rows[0]['backend']} {rows[0]['precision']}"
    table = _table(title, *names, "CPU %", "RSS MB")
    for row in rows:
        table.add_row(
            f"{row['camera_width']}x{row['camera_height']}",
            f"{row['width']}x{row['height']}",
            row["load"],
            _number(row["mean_rate_hz"], 1),
            *(_number(row[name], 1) for name in ("p50_ms", "p90_ms", "p99_ms", "jitter_ms")),
            f"{row['missed']}/{row['sent']}",
            *(_number(row[name], 1) for name in ("inference_ms", "overhead_ms")),
            *(_number(row[name], 0) for name in ("cpu_percent", "rss_mb")),
        )
    console.print(table)


def _print_startup(rows: list[Row], console: Console) -> None:
    for row in rows:
        times = ", ".join(f"{seconds:.2f}" for seconds in row["seconds"])
        console.print(
            f"start of the node with {row['backend']} {row['precision']} at {row['width']}x{row['height']}: "
            f"first mask after {row['median_s']:.2f} s ({times}), {row['rss_mb']:.0f} MB",
            highlight=False,
        )


def _print_batch(rows: list[Row], console: Console) -> None:
    if not rows:
        return
    camera = f"{rows[0]['camera_width']}x{rows[0]['camera_height']}"
    table = _table(
        f"Frames of {camera} that wait together, one after the other and as one batch",
        *("input", "backend", "frames", "one by one ms", "frames/s", "batched ms", "frames/s", "gain", "p25 - p75"),
    )
    for row in rows:
        table.add_row(
            f"{row['width']}x{row['height']}",
            f"{row['backend']} {row['precision']}",
            str(row["waiting"]),
            *(_number(row[name], 1) for name in ("one_by_one_ms", "one_by_one_fps", "batched_ms", "batched_fps")),
            _number(row["gain"], 3),
            _range(row, "gain_p25", "gain_p75", 3),
        )
    console.print(table)


def _print_ground(rows: list[Row], console: Console) -> None:
    if not rows:
        return
    table = _table(
        f"Ground projection of a mask of {rows[0]['mask_width']}x{rows[0]['mask_height']}, one thread",
        *("result", "ms", "p25 - p75", "runs", "the usual way ms", "speed-up", "p25 - p75"),
    )
    for row in rows:
        table.add_row(
            row["result"],
            _number(row["median_ms"], 2),
            _range(row, "p25_ms", "p75_ms", 2),
            str(row["runs"]),
            _number(row["usual_ms"], 1),
            _number(row["speedup"], 1),
            _MISSING if row["speedup"] is None else _range(row, "speedup_p25", "speedup_p75", 1),
        )
    console.print(table)


def _print_errors(data: dict[str, Any], console: Console) -> None:
    """Name what could not be measured, each reason once."""
    reasons: dict[str, list[str]] = {}
    for table in ("network", "frame", "temporal", "node", "batch", "ground"):
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
    return f"node, {row['backend']}" if table == "node" else f"{row['backend']} {row['precision']}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        is_text = column in ("backend", "device", "camera", "input", "load", "result")
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    return table


def _number(value: float | None, digits: int) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def _range(row: Row, low: str, high: str, digits: int) -> str:
    return f"{_number(row[low], digits)} - {_number(row[high], digits)}"
