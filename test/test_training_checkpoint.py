from pathlib import Path

import pytest
import torch

from fanet_ros.errors import TrainingError
from fanet_ros.training.checkpoint import STATE_FILE, load_state, save_state


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the file ran code')",)


def test_a_state_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path, {"iteration": 3, "network": {"a": torch.arange(4)}, "best": None})
    state = load_state(tmp_path)
    assert state["iteration"] == 3 and state["best"] is None
    assert torch.equal(state["network"]["a"], torch.arange(4))
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


def test_a_failed_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, {"iteration": 1})

    def fail(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(TrainingError, match="No space left"):
        save_state(tmp_path, {"iteration": 2})
    assert load_state(tmp_path)["iteration"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no last.pt"):
        load_state(tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(TrainingError, match="damaged"):
        load_state(tmp_path)
    torch.save({"format": 99}, tmp_path / STATE_FILE)
    with pytest.raises(TrainingError, match="this version"):
        load_state(tmp_path)
    torch.save({"format": 1, "evil": _Code()}, tmp_path / STATE_FILE)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_state(tmp_path)
