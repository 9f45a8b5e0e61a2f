import math
from pathlib import Path

import pytest
import yaml

from fanet_ros.errors import SettingError
from fanet_ros.parameter_docs import TABLES, markdown_table, with_tables, yaml_text
from fanet_ros.parameters import Applies, CameraParameters, SegmentationParameters, unknown_parameter_hint

ROOT = Path(__file__).resolve().parent.parent
SPECS = SegmentationParameters.specs()


def test_defaults_are_valid() -> None:
    for spec in (*SPECS.values(), *CameraParameters.specs().values()):
        assert spec.validate(spec.default) == spec.default
        assert spec.description.endswith(".")


def test_yaml_file_lists_every_parameter_with_its_default_and_comment() -> None:
    text = (ROOT / "config" / "segment.yaml").read_text()
    assert text == yaml_text(), "run python -m fanet_ros.parameter_docs"
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {name: spec.default for name, spec in SPECS.items()}
    assert {type(v) for v in values.values()} <= {bool, int, float, str}


def test_readme_tables_are_current() -> None:
    readme = (ROOT / "README.md").read_text()
    assert with_tables(readme) == readme, "run python -m fanet_ros.parameter_docs"
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
    ],
)
def test_wrong_values_are_refused_with_the_reason(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingError, match=message) as error:
        SPECS[name].validate(value)
    assert f"parameter '{name}'" in str(error.value)


def test_whole_numbers_are_numbers() -> None:
    value = SPECS["overlay_alpha"].validate(1)
    assert value == 1.0 and isinstance(value, float)


def test_only_autostart_is_fixed_at_start() -> None:
    assert [s.name for s in SPECS.values() if s.applies is Applies.AT_START] == ["autostart"]


def test_misspelt_names_get_a_hint() -> None:
    assert "did you mean 'overlay_alpha'?" in unknown_parameter_hint("overlay_alfa", SPECS)
    assert "known ones: weights, labels" in unknown_parameter_hint("zzz", SPECS)
