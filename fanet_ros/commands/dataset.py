"""`fanet dataset`: what a data set's folder holds, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fanet_ros.benchmark.results import write_whole
from fanet_ros.commands.console import errors, one_line_errors, progress_bars
from fanet_ros.errors import SettingError
from fanet_ros.output_files import check_can_write

if TYPE_CHECKING:
    from fanet_ros.datasets.check import SplitReport

app = typer.Typer(help="Look at data sets (docs/datasets.md).", no_args_is_help=True)

_SHOWN = 10  # faults of a kind; --json has them all


@app.callback()
def _dataset() -> None:  # with a callback, typer keeps `check` a command of its own
    """Look at data sets (docs/datasets.md)."""


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="Folder of the data set in its official layout.")],
    dataset: Annotated[
        str, typer.Option(help="Its name, such as camvid or folder; recognised by the folder's content if left out.")
    ] = "",
    split: Annotated[str, typer.Option(help="The split to look at; all that there are if left out.")] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the data set; repeat it for several.", metavar="KEY=VALUE")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write everything that was found to this file.")
    ] = None,
) -> None:
    """Read every file of a data set: say what is missing, damaged or mislabelled, and how often each class occurs."""
    with one_line_errors():
        from fanet_ros.datasets.check import check_dataset
        from fanet_ros.datasets.opening import detect_dataset, layout_of
        from fanet_ros.datasets.options import read_option_words

        if json_file is not None:
            check_can_write("json", json_file)
        options = read_option_words(option or ())
        if dataset == "street":
            raise SettingError("data set street is rendered when it is read; there are no files to check")
        name = dataset or detect_dataset(path)
        layout = layout_of(name)
        with progress_bars() as progress:
            reports = check_dataset(layout, path, split or None, options, progress)
        console = Console()
        for report in reports:
            if not report.unlisted:
                console.print(_table(name, report))
            for line in _lines(report):
                console.print(line, highlight=False, soft_wrap=True, markup=False)
        if json_file is not None:
            _write_json(json_file, name, path, reports)
    seen = [report.split for report in reports]
    empty = [] if split else [one for one in layout.splits(path.expanduser()) if one not in seen]
    if empty:
        console.print(f"there is nothing of split {', '.join(empty)}", highlight=False, soft_wrap=True, markup=False)
    faulty = [report.split for report in reports if report.faulty]
    if faulty:
        errors.print(f"something is wrong with {name}'s {', '.join(faulty)}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    whole = f"what there is of {name}" if empty else name
    console.print(f"{whole} is complete and readable", highlight=False, soft_wrap=True, markup=False)


def _table(name: str, report: SplitReport) -> Table:
    table = Table(title=escape(f"{name} {report.split}: {report.pairs} pairs"))
    table.add_column("id", justify="right")
    table.add_column("class")
    table.add_column("% of pixels", justify="right")
    for index, (class_name, share) in enumerate(report.shares.items()):
        never = class_name in report.absent
        table.add_row(str(index), escape(class_name), "[yellow]never[/]" if never else f"{100 * share:.3f}")
    table.add_row("", "[dim]ignored[/]", f"{100 * report.ignored:.3f}")
    return table


def _lines(report: SplitReport) -> list[str]:
    if report.unlisted:
        return [f"{report.split} cannot be checked: {report.unlisted}"]
    sizes = [f"{size} ({count})" for size, count in report.sizes.most_common()]
    lines = ["sizes: " + _shortened(sizes)] if sizes else []
    lines += [f"classes that never occur: {_shortened(report.absent)}"] if report.absent else []
    faults: tuple[tuple[str, Sequence[str]], ...] = (
        ("missing files", [str(path) for path in report.missing]),
        ("labels without an image", [str(path) for path in report.strays]),
        ("files that cannot be read", report.damaged),
        ("labels of another size than their image", report.mismatched),
        (
            "values that the data set does not know",
            [
                f"{stranger.value}: {stranger.pixels} pixels in {stranger.files} files, for example {stranger.example}"
                for stranger in report.strangers
            ],
        ),
    )
    for title, entries in faults:
        if entries:
            lines.append(f"{title}: {len(entries)}")
            lines += [f"  {entry}" for entry in entries[:_SHOWN]]
            lines += [f"  and {len(entries) - _SHOWN} more"] if len(entries) > _SHOWN else []
    return lines


def _shortened(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _write_json(file: Path, name: str, path: Path, reports: Sequence[SplitReport]) -> None:
    content = {
        "dataset": name,
        "path": str(path),
        "faulty": any(report.faulty for report in reports),
        "splits": [report.as_json() for report in reports],
    }
    write_whole(file, (json.dumps(content, indent=2) + "\n").encode())
