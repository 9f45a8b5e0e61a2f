from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from fanet_ros.commands.options import NetworkOptions, check_options, grouped, read_option_words, weights_path
from fanet_ros.errors import SettingError
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import DEFAULT_WEIGHTS

RUNNER = CliRunner()


@dataclass(frozen=True)
class Extended(NetworkOptions):
    """With an option of its own, under another name."""

    times: Annotated[int, typer.Option("--repeat", min=1, help="How often.")] = 1


@grouped
def command(
    name: Annotated[str, typer.Argument()], what: Extended, loud: Annotated[bool, typer.Option()] = False
) -> None:
    """Say what was given."""
    print(name, what.weights, what.backend, what.times, loud)


APP = typer.Typer()
APP.command()(command)


def test_fields_of_groups_are_options_beside_those_of_the_command() -> None:
    given = ["x", "--weights", "w", "--repeat", "3", "--loud"]
    assert RUNNER.invoke(APP, given).output == "x w auto 3 True\n"
    assert RUNNER.invoke(APP, ["x"]).output == "x  auto 1 False\n"
    told = RUNNER.invoke(APP, ["--help"], env={"COLUMNS": "300"}).output
    assert "Say what was given." in told and "How often." in told
    assert SegmentationParameters.specs()["backend"].description in told
    assert RUNNER.invoke(APP, ["x", "--repeat", "0"]).exit_code == 2


def test_options_of_the_node_are_checked_as_its_parameters_are() -> None:
    check_options(backend="torch", device="cuda:1", threads=4)
    with pytest.raises(SettingError, match="parameter 'threads': received 999, expected a value from 0 to 256"):
        check_options(threads=999)


def test_words_of_options() -> None:
    assert read_option_words(None) == {} and read_option_words(["a=1", "b=c=d"]) == {"a": "1", "b": "c=d"}
    for words, message in (
        (["eroded"], "received 'eroded', expected KEY=VALUE"),
        (["=1"], "received '=1', expected KEY=VALUE"),
        (["a=1", "a=2"], "a is given twice, as '1' and '2'; give it once"),
    ):
        with pytest.raises(SettingError, match=f"option: {message}"):
            read_option_words(words)


def test_no_weights_are_the_shipped_ones() -> None:
    assert weights_path("") == DEFAULT_WEIGHTS and weights_path("~/w.pth").is_absolute()
