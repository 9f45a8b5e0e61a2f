import array
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from parameter_docs import FILES, TABLES, ParameterFile, markdown_table, with_tables, yaml_text

from fanet_ros.errors import SettingError
from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.parameters.segmentation import MAX_CAMERAS, SegmentationParameters
from fanet_ros.parameters.specs import Applies, Parameters, parameter, unknown_parameter_hint

ROOT = Path(__file__).resolve().parent.parent
SPECS = SegmentationParameters.specs()


def test_defaults_are_valid() -> None:
    nodes = (CameraParameters, *(file.parameters for file in FILES.values()))
    for spec in (spec for parameters in nodes for spec in parameters.specs().values()):
        assert spec.validate(spec.default) == spec.default
        assert spec.description.endswith(".")


@pytest.mark.parametrize("name", FILES)
def test_yaml_files_list_every_parameter_with_its_default_and_comment(name: str) -> None:
    text = (ROOT / "config" / name).read_text()
    assert text == yaml_text(FILES[name]), "run python tools/parameter_docs.py"
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    specs = FILES[name].parameters.specs()
    assert {key: specs[key].validate(value) for key, value in values.items()} == {
        key: spec.default for key, spec in specs.items()
    }


@dataclass(frozen=True)
class OtherParameters(Parameters):
    """Of a node that is not ours."""

    speed: float = parameter(0.5, "How fast.", Applies.AT_ONCE, minimum=0.0)
    names: tuple[str, ...] = parameter(("front", "left"), "Of some.", Applies.AT_CONFIGURE)


def test_yaml_text_of_another_node() -> None:
    text = yaml_text(ParameterFile(OtherParameters, "other node", "/other", "other.launch.py params_file:=", "/points"))
    assert text.startswith("# Every parameter of the other node with its default.")
    assert "ros2 launch fanet_ros other.launch.py params_file:=" in text
    assert "write the node's name (/other)" in text and "qos_overrides./points." in text
    assert "# [at once] How fast. (at least 0)\n    speed: 0.5\n" in text
    assert yaml.safe_load(text)["/**"]["ros__parameters"] == {"speed": 0.5, "names": ["front", "left"]}


def test_tables_in_the_docs_are_current() -> None:
    text = (ROOT / "docs" / "interface.md").read_text()
    assert with_tables(text) == text, "run python tools/parameter_docs.py"
    for parameters in TABLES.values():
        assert all(f"`{name}`" in markdown_table(parameters) for name in parameters.specs())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("overlay_alpha", 1.5, "received 1.5, expected a value from 0 to 1"),
        ("overlay_alpha", "much", "received 'much', expected a number"),
        ("overlay_alpha", math.nan, "expected a finite number"),
        ("overlay_alpha", True, "received True, expected a number"),
        ("threads", 2.0, "expected a whole number"),
        ("threads", -1, "expected a value from 0 to 256"),
        ("autostart", 1, "expected a boolean"),
        ("backend", "tensorflow", "received 'tensorflow', expected one of auto, torch"),
        ("image_transport", "theora", "one of raw, compressed"),
        ("input_size", "1x1", "'input_size': received '1x1'"),
        ("device", "gpu", "expected auto, cpu, cuda"),
        ("input_timeout", 0.0, "expected a value at least 0.1"),
        ("weights", None, "received None, expected a string"),
        ("labels", ["a"], r"received \['a'\], expected a string"),
        ("latency_budget_ms", -1.0, "expected a value at least 0"),
        ("cameras", "front", "received 'front', expected a list of strings"),
        ("cameras", ["front", 1], r"received \['front', 1\], expected a list of strings"),
        ("cameras", ["front", "front"], "received 'front' 2 times, expected different names"),
        ("cameras", ["front/left"], "received the name 'front/left', expected a letter and then"),
        ("cameras", ["1st"], "received the name '1st'"),
        ("cameras", [""], "received the name ''"),
        ("cameras", ["a" * 51], "at most 49 letters"),
        ("rotation", 90.0, r"received '90.0', expected 0, 90, 180 or 270 \(degrees clockwise\)"),
        ("rotation", [0, True], "received 'True', expected 0, 90"),
        ("rotation", None, "received None, expected a list of strings"),
        ("cameras", [f"c{i}" for i in range(MAX_CAMERAS + 1)], "received 9 cameras, expected at most 8"),
    ],
)
def test_wrong_values_are_refused_with_the_reason(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingError, match=message) as error:
        SPECS[name].validate(value)
    assert f"parameter '{name}'" in str(error.value)


def test_whole_numbers_are_numbers() -> None:
    value = SPECS["overlay_alpha"].validate(1)
    assert value == 1.0 and isinstance(value, float)


@pytest.mark.parametrize("value", [["front", "left"], ("front", "left")])
def test_lists_become_tuples(value: list[str] | tuple[str, ...]) -> None:
    assert SPECS["cameras"].validate(value) == ("front", "left")


def test_an_empty_list_of_any_type_is_an_empty_list() -> None:
    for empty in ([], (), array.array("q")):
        assert SPECS["cameras"].validate(empty) == ()


def test_only_autostart_is_fixed_at_start() -> None:
    assert [s.name for s in SPECS.values() if s.applies is Applies.AT_START] == ["autostart"]


def test_misspelt_names_get_a_hint() -> None:
    assert "did you mean 'overlay_alpha'?" in unknown_parameter_hint("overlay_alfa", SPECS)
    assert "known ones: weights, labels" in unknown_parameter_hint("zzz", SPECS)
