"""`fanet dataset`: what a data set's folder holds, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fanet_ros.commands.console import errors, one_line_errors, progress_bars, say
from fanet_ros.commands.options import DataOptions, read_option_words
from fanet_ros.errors import DatasetError, SettingError
from fanet_ros.files import check_can_write, write_whole

if TYPE_CHECKING:
    from fanet_ros.datasets.check import SplitReport
    from fanet_ros.datasets.meanings import Meaning
    from fanet_ros.datasets.soft_labels import SoftLabels
    from fanet_ros.model.labels import LabelSet

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
    option: DataOptions = None,
    soft: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also read the soft labels of every image, which lie there.")
    ] = None,
    soft_file: Annotated[str, typer.Option(help="Name of an image's file of soft labels.")] = "{name}.npz",
    soft_labels: Annotated[str, typer.Option(metavar="LABEL_SET", help="What the classes of soft labels are.")] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write everything that was found to this file.")
    ] = None,
) -> None:
    """Read every file of a data set: say what is missing, damaged or mislabelled, and how often each class occurs."""
    with one_line_errors():
        from fanet_ros.datasets.check import check_dataset
        from fanet_ros.datasets.opening import detect_dataset, layout_of

        if json_file is not None:
            check_can_write("json", json_file)
        if soft is None and soft_labels:
            raise SettingError("soft-labels: has no meaning without --soft, the folder of the soft labels")
        options = read_option_words(option)
        if dataset == "street":
            raise SettingError("data set street is rendered when it is read; there are no files to check")
        name = dataset or detect_dataset(path)
        layout = layout_of(name)
        with progress_bars() as progress:
            given = None if soft is None else _soft_labels(soft, soft_file, soft_labels)
            reports = check_dataset(layout, path, split or None, options, progress, given)
        mappings, wrong = _mappings(reports[0].label_set)
        for report in reports:
            if not report.unlisted:
                Console().print(_table(name, report, mappings))
            say(*_lines(report), *(f"mapping that cannot be used: {text}" for text in wrong))
        if json_file is not None:
            _write_json(json_file, name, path, reports)
    seen = [report.split for report in reports]
    empty = [] if split else [one for one in layout.splits_in(path.expanduser()) if one not in seen]
    if empty:
        say(f"there is nothing of split {', '.join(empty)}")
    faulty = [report.split for report in reports if report.faulty or wrong]
    if faulty:
        say(f"something is wrong with {name}'s {', '.join(faulty)}", to=errors)
        raise typer.Exit(1)
    say(f"{f'what there is of {name}' if empty else name} is complete and readable")


def _soft_labels(folder: Path, pattern: str, labels: str) -> SoftLabels:
    from fanet_ros.datasets.meanings import find_meaning
    from fanet_ros.datasets.soft_labels import SoftLabels
    from fanet_ros.model.labels import load_label_set

    if not labels:
        raise SettingError("soft: give --soft-labels, too: the label set of the soft labels, such as cityscapes19")
    own = load_label_set(labels)
    return SoftLabels(folder, pattern, find_meaning(own, own))


def _mappings(label_set: LabelSet) -> tuple[dict[str, Meaning], list[str]]:
    """What the classes are in each shipped label set that they have a mapping to, and what is wrong with others."""
    from fanet_ros.datasets.meanings import find_meaning
    from fanet_ros.model.labels import load_label_set, shipped_label_sets

    meanings, wrong = {}, []
    for name in label_set.mappings:
        if name in shipped_label_sets():
            try:
                meanings[name] = find_meaning(label_set, load_label_set(name))
            except DatasetError as error:
                wrong.append(str(error))
    return meanings, wrong


def _table(name: str, report: SplitReport, mappings: Mapping[str, Meaning]) -> Table:
    table = Table(title=escape(f"{name} {report.split}: {report.pairs} pairs"))
    table.add_column("id", justify="right")
    table.add_column("class")
    table.add_column("% of pixels", justify="right")
    for other in mappings:
        table.add_column(f"in {escape(other)}")
    for index, (class_name, share) in enumerate(report.shares.items()):
        never = class_name in report.absent
        there = [_named(meaning, index) for meaning in mappings.values()]
        table.add_row(str(index), escape(class_name), "[yellow]never[/]" if never else f"{100 * share:.3f}", *there)
    table.add_row("", "[dim]ignored[/]", f"{100 * report.ignored:.3f}")
    return table


def _named(meaning: Meaning, own: int) -> str:
    """What a class is in another label set, in words."""
    ids, names = meaning.may_be[own], meaning.network.names
    lacking = [name for index, name in enumerate(names) if index not in ids]
    if len(ids) > len(names) / 2 and lacking:
        return escape("any but " + ", ".join(lacking))
    return escape(" or ".join(names[index] for index in ids)) or "[dim]ignored[/]"


def _lines(report: SplitReport) -> list[str]:
    from fanet_ros.datasets.check import FAULTS

    if report.unlisted:
        return [f"{report.split} cannot be checked: {report.unlisted}"]
    sizes = [f"{size} ({count})" for size, count in report.sizes.most_common()]
    lines = ["sizes: " + _shortened(sizes)] if sizes else []
    lines += [f"classes that never occur: {_shortened(report.absent)}"] if report.absent else []
    faults = [(title, report.faults[name]) for name, title in FAULTS.items()]
    faults.append(("values that the data set does not know", [str(stranger) for stranger in report.strangers]))
    if report.turned:
        title = (
            "files with an EXIF orientation, which is not looked at; labels must fit the pixels as they lie in the file"
        )
        faults.append((title, report.turned))
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
