"""YAML that others have written: small files stay small, and what is refused says where."""

from pathlib import Path

import pytest
import yaml

from fanet_ros.resources import config_folders
from fanet_ros.untrusted.text import printable, shown
from fanet_ros.untrusted.yaml_text import DEEPEST, YamlError, parse_yaml, read_yaml

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))


@pytest.mark.parametrize("path", sorted(config_folders()[1].rglob("*.yaml")), ids=lambda path: path.name)
def test_what_is_shipped_reads_as_ever(path: Path) -> None:
    assert read_yaml(path) == yaml.safe_load(path.read_text())


def test_values() -> None:
    text = "{a: [1, -2, 0x1f, 1.5, 1e-4, -.5, .inf, true, null, 'x', 12:30:45, 1_000], b: {}, c: 2026-11-28}"
    found = parse_yaml(text)
    assert found["a"] == [1, -2, 31, 1.5, 1e-4, -0.5, float("inf"), True, None, "x", "12:30:45", 1000]
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LAUGHS, r"references \(&a0\) are not read here; write the value out in line 1, column 5"),
        ("x: *y", r"references \(\*y\)"),
        ("a: {<<: {b: 1}}", r"merge keys \(<<\) are not read here.* in line 1, column 5"),
        ("[" * 20_000, f"nested deeper than {DEEPEST} levels in line 1, column {DEEPEST + 1}"),
        ("[" * 100 + "]" * 100, "nested deeper"),
        ("a: " + "9" * 5000, "a number of more than 30 digits in line 1, column 4"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 1\na: 2", "a name is given twice"),
        ("a: [1", "line 1"),
        ("a: 2024-13-45", "month must be in 1..12"),
        ("a\x00b", "special characters are not allowed"),
    ],
)
def test_what_is_refused_says_where(text: str, problem: str) -> None:
    with pytest.raises(YamlError, match=problem) as refused:
        parse_yaml(text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_numbers_in_base_60_are_texts() -> None:
    text = ":".join(["59"] * 20_000)
    assert parse_yaml(f"a: {text}") == {"a": text}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(YamlError, match=r"no UTF-8 text \(invalid start byte at byte 3\)"):
        read_yaml(path)
    path.write_bytes(b"#" * 101)
    with pytest.raises(YamlError, match="larger than 100 bytes"):
        read_yaml(path, 100)


def test_values_are_shown_short_and_names_without_what_terminals_obey() -> None:
    nested: list[object] = ["lol"]
    for _ in range(30):
        nested = [nested] * 10
    assert len(shown(nested)) < 500
    assert len(shown("x" * 10**6)) < 200 and len(shown({"a": [10**4000]})) < 200
    assert shown("a\x1b[31m") == r"'a\x1b[31m'"
    assert printable("/cam\x1b[2J\n\u202e") == r"/cam\x1b[2J\n\u202e" and printable("Straße é") == "Straße é"
    assert len(printable("n" * 10**6)) < 130 and printable("\udcff") == r"\udcff"
