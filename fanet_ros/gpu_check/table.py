"""The rows of docs/gpu.md and of gpu_check.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.reports.statistics import Spread

BEGIN, END = "<!-- gpu_check: begin -->", "<!-- gpu_check: end -->"
NOT_MEASURED = "not measured"


@dataclass
class Row:
    """One network at one size, run in one way.

    Attributes:
        model: FANet-18 or FANet-34.
        height: of the input.
        width: of the input.
        how: it is run, in words.
        network: milliseconds of the network alone; None if not measured.
        frame: milliseconds from a BGR frame of the input's size to labels of that size.
        agreement: percent of the pixels labelled as by fp32; None where nothing was compared.
        why_not: why something is missing; empty if nothing is.
    """

    model: str
    height: int
    width: int
    how: str
    network: Spread | None = None
    frame: Spread | None = None
    agreement: float | None = None
    why_not: str = ""


@dataclass
class Check:
    """Something that is right or wrong.

    Attributes:
        what: is checked.
        result: in words.
    """

    what: str
    result: str = NOT_MEASURED


def as_json(machine: dict[str, Any], rows: Sequence[Row], checks: Sequence[Check]) -> dict[str, Any]:
    """Return everything as JSON knows it."""
    return {"machine": machine, "rows": [asdict(row) for row in rows], "checks": [asdict(check) for check in checks]}


def as_markdown(title: str, rows: Sequence[Row], checks: Sequence[Check]) -> str:
    """Return both tables; each speed-up is that over the first row of the same network and size."""
    lines = [
        title,
        "",
        "| network | input | how it runs | network ms | frame to labels ms | frames/s | speed-up | labels as fp32 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    references: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        reference = references.setdefault((row.model, row.height, row.width), row)
        lines.append(_line(row, reference))
    lines += ["", "| check | result |", "|---|---|"]
    lines += [f"| {check.what} | {_cell(check.result)} |" for check in checks]
    return "\n".join(lines) + "\n"


def replace_tables(document: Path, tables: str) -> None:
    """Put new tables between the markers of a document.

    Raises:
        SettingError: it cannot be read or written, or lacks the markers.
    """
    try:
        text = document.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SettingError(f"{document} lacks the lines {BEGIN} and {END}, between which the tables go")
        document.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"cannot update {document}: {error.strerror}") from None


def _line(row: Row, reference: Row) -> str:
    rate = f"{1000 / row.frame.median:.0f}" if row.frame else "-"
    speed_up = f"{reference.frame.median / row.frame.median:.1f}" if row.frame and reference.frame else "-"
    agreement = "-" if row.agreement is None else f"{row.agreement:.2f} %"
    missing = _cell(NOT_MEASURED + (f": {row.why_not}" if row.why_not else ""))
    cells = [row.model, f"{row.height}x{row.width}", row.how, _spread(row.network) or missing]
    cells += [_spread(row.frame) or (missing if row.network else "-"), rate, speed_up, agreement]
    return f"| {' | '.join(cells)} |"


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.3f} ({spread.p25:.3f}-{spread.p75:.3f})"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
