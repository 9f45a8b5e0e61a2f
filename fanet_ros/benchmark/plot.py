"""The results as one picture: network, frame and node side by side."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from fanet_ros.benchmark.results import Row, write_whole
from fanet_ros.errors import SettingError
from fanet_ros.extras import what_to_install
from fanet_ros.files import check_can_write

_DPI = 120
_REFERENCE_COLOUR, _NETWORK_COLOUR, _REST_COLOUR = "#9a9a9a", "#2f6f9f", "#e08a3c"
_QUANTILES = (("p50_ms", "#2f6f9f"), ("p90_ms", "#e08a3c"), ("p99_ms", "#b03a48"))


def check_can_plot(path: Path) -> None:
    """Refuse at once what would fail after minutes of measuring.

    Raises:
        SettingError: matplotlib is missing, or the file's name is of another kind or cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise SettingError(f"plot: received {path}, expected the name of a .png file")
    if importlib.util.find_spec("matplotlib") is None:
        raise SettingError(f"plot: needs {what_to_install('matplotlib', 'benchmark')}")
    check_can_write("plot", path)


def plot_results(data: dict[str, Any], path: Path) -> None:
    """Draw the first network at its first input size, its frames, and the node's latencies, into a PNG file.

    Args:
        data: as in the JSON file.
        path: of the picture.

    Raises:
        SettingError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.8), layout="constrained")
    FigureCanvasAgg(figure)  # needs no display
    axes = figure.subplots(1, 3)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    _draw_network(axes[0], _first_group(data["network"]))
    _draw_frames(axes[1], _first_group(data["frame"]))
    _draw_node(axes[2], [row for row in data["node"] if not row.get("error")])
    machine = data["machine"]
    peaks = machine.get("peak_gflops", {}).get("cpu", {})
    shown = "".join(f", {value:.0f} GFLOP/s {precision}" for precision, value in peaks.items())
    gpus = "".join(f", {gpu}" for gpu in machine["gpus"])
    figure.suptitle(f"fanet benchmark on {machine['cpu']}, {machine['cores_usable']} cores{shown}{gpus}", fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    write_whole(path, picture.getvalue())


def _first_group(rows: list[Row]) -> list[Row]:
    """The rows without errors of the first network and input size."""
    good = [row for row in rows if not row["error"] and row["median_ms"] is not None]
    key = ("weights", "width", "height")
    return [row for row in good if all(row[name] == good[0][name] for name in key)]


def _name(row: Row) -> str:
    return "PyTorch eager" if row["backend"] == "reference" else f"{row['backend']} {row['precision']}"


def _draw_network(axes: Any, rows: list[Row]) -> None:
    axes.set_title("Network")
    if _is_empty(axes, rows):
        return
    axes.set_title(f"Network: {rows[0]['model']}, {rows[0]['width']}x{rows[0]['height']}")
    times = [row["median_ms"] for row in rows]
    spread = [[row["median_ms"] - row["p25_ms"] for row in rows], [row["p75_ms"] - row["median_ms"] for row in rows]]
    colours = [_REFERENCE_COLOUR if row["backend"] == "reference" else _NETWORK_COLOUR for row in rows]
    axes.barh([_name(row) for row in rows], times, color=colours, xerr=spread, ecolor="#333333", capsize=2)
    for index, row in enumerate(rows):
        speedup = row["speedup_vs_reference"]
        label = f" {row['median_ms']:.1f} ms" + (f", {speedup:.1f}x" if speedup else "")
        axes.annotate(label, (row["p75_ms"], index), va="center", fontsize=9, xytext=(3, 0), textcoords="offset points")
    axes.set_xlim(0, 1.45 * max(row["p75_ms"] for row in rows))
    axes.set_xlabel("ms per image, median and quartiles (less is better)")
    axes.invert_yaxis()


def _draw_frames(axes: Any, rows: list[Row]) -> None:
    """Draw each contender's time on a camera frame: that of the network alone, and what the frame adds to it."""
    axes.set_title("Frame to labels")
    rows = [row for row in rows if row["backend"] != "reference"]  # many times longer, it would dwarf the others
    if _is_empty(axes, rows):
        return
    names = [f"{_name(row)}\n{row['camera_width']}x{row['camera_height']}" for row in rows]
    network = [min(row["network_ms"], row["median_ms"]) for row in rows]
    rest = [max(0.0, row["median_ms"] - row["network_ms"]) for row in rows]
    axes.barh(names, network, color=_NETWORK_COLOUR, label="network")
    axes.barh(names, rest, left=network, color=_REST_COLOUR, label="resizing and labels")
    for index, row in enumerate(rows):
        label = f" {row['median_ms']:.1f} ms, {row['over_network']:.2f}x network"
        axes.annotate(label, (row["median_ms"], index), va="center", fontsize=8)
    axes.set_xlim(0, 1.65 * max(row["median_ms"] for row in rows))
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("ms per frame, median (less is better)")
    axes.legend(fontsize=8, loc="lower right")
    axes.invert_yaxis()


def _draw_node(axes: Any, rows: list[Row]) -> None:
    axes.set_title("Node: camera stamp to mask received")
    if _is_empty(axes, rows):
        return
    names = [
        f"{row['camera_width']}x{row['camera_height']}\n{row['load']}, {row['missed']}/{row['sent']} missed"
        for row in rows
    ]
    height = 0.8 / len(_QUANTILES)
    for offset, (quantile, colour) in enumerate(_QUANTILES):
        places = [index + (offset - 1) * height for index in range(len(rows))]
        bars = axes.barh(places, [row[quantile] for row in rows], height, color=colour, label=quantile.split("_")[0])
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_xlim(0, 1.45 * max(row[quantile] for row in rows for quantile, _ in _QUANTILES))
    axes.set_xlabel(f"ms ({rows[0]['backend']} {rows[0]['precision']}; less is better)")
    axes.legend(fontsize=8, loc="lower right")
    axes.invert_yaxis()


def _is_empty(axes: Any, rows: list[Row]) -> bool:
    if not rows:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
    return not rows
