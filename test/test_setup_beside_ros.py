"""What scripts/setup leaves alone of the packages that a sourced ROS 2 distribution brings."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture(scope="module")
def environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        import environment as module

        yield module
        for name in ("environment", "machine"):
            sys.modules.pop(name, None)


def chosen(module, monkeypatch: pytest.MonkeyPatch, names: list[str], facts: str) -> tuple[list[str], list[str]]:
    answer = subprocess.CompletedProcess([], 0, stdout=facts, stderr="")
    monkeypatch.setattr(module, "_output_of", lambda code: answer)
    pins = ["typer==0.20.0", "rich==14.0.0", "numpy==2.4.0", "lz4==4.4.5"]
    return module._leave_system_packages(names, pins)


NAMES = ["typer>=0.9", "rich>=12", "numpy", "opencv-python-headless", 'lz4; python_version >= "3.11"']


def test_what_is_there_stays_and_what_is_too_old_is_replaced(environment, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = '{"numpy": "1.26.4", "packages": {"typer": "0.4.0", "Rich": "13.7.1", "numpy": "1.26.4"}, "opencv": true}'
    names, pins = chosen(environment, monkeypatch, NAMES, facts)
    assert names == [name for name in NAMES if not name.startswith("opencv")]
    assert pins == ["typer==0.20.0", "lz4==4.4.5", "numpy==1.26.4"]


def test_versions_compare_as_numbers(environment) -> None:
    assert environment._is_met("typer>=0.9", {"typer": "0.19.2"})
    assert not environment._is_met("typer>=0.9", {"typer": "0.4.0"})
    assert environment._is_met("PyYAML", {"pyyaml": "5.4.1"})
    assert not environment._is_met("lz4", {})
    assert not environment._is_met("setuptools", {"setuptools": "59.6.0"}), "it serves pip alone"
