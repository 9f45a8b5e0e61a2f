"""`fanet`: the command line, without ROS."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.logging import RichHandler

from fanet_ros.commands.benchmark import benchmark
from fanet_ros.commands.calibrate import calibrate
from fanet_ros.commands.console import errors
from fanet_ros.commands.dataset import app as dataset_app
from fanet_ros.commands.evaluate import evaluate
from fanet_ros.commands.export import export
from fanet_ros.commands.segment import segment
from fanet_ros.commands.teach import teach
from fanet_ros.commands.temper import temper
from fanet_ros.commands.train import train
from fanet_ros.commands.view import view
from fanet_ros.processes import leave_out_working_directory
from fanet_ros.resources import package_version

app = typer.Typer(
    help="Real-time semantic segmentation with FANet.", no_args_is_help=True, pretty_exceptions_show_locals=False
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version())
        raise typer.Exit


@app.callback()
def main_options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Real-time semantic segmentation with FANet."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_path=False)],
    )


app.command()(segment)
app.command()(calibrate)
app.command()(evaluate)
app.command()(export)
app.command()(benchmark)
app.command()(teach)
app.command()(train)
app.command()(temper)
app.command()(view)
app.add_typer(dataset_app, name="dataset")


def main() -> None:
    """Run the command line."""
    leave_out_working_directory()
    app()


if __name__ == "__main__":
    main()
