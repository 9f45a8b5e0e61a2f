"""The check for GPUs, tried on what there is, and the document it fills."""

import json
import re
from pathlib import Path
from time import monotonic

import pytest
import torch

from fanet_ros.errors import BackendError, SettingError
from fanet_ros.gpu_check.__main__ import DOCUMENT, WAYS, GpuCheck, main
from fanet_ros.gpu_check.measure import Effort
from fanet_ros.gpu_check.table import BEGIN, END, Check, Row, as_markdown, replace_tables
from fanet_ros.reports.statistics import Spread


def test_document_has_a_place_for_the_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    assert before and END in rest


def test_tables_say_what_was_measured_and_what_not() -> None:
    spread = Spread(2.0, 1.9, 2.2, 30)
    rows = [
        Row("FANet-18", 512, 1024, "reference", spread, Spread(4.0, 4.0, 4.1, 9), 100.0),
        Row("FANet-18", 512, 1024, "graph", Spread(0.5, 0.5, 0.5, 9), Spread(0.8, 0.8, 0.9, 9), 99.987),
        Row("FANet-18", 512, 1024, "engine", why_not="no | library"),
    ]
    text = as_markdown("A GPU.", rows, [Check("something"), Check("another", "fine")])
    assert "| reference | 2.000 (1.900-2.200) | 4.000 (4.000-4.100) | 250 | 1.0 | 100.00 % |" in text
    assert "| graph | 0.500 (0.500-0.500) | 0.800 (0.800-0.900) | 1250 | 5.0 | 99.99 % |" in text
    assert "| engine | not measured: no / library | - | - | - | - |" in text
    assert "| something | not measured |" in text and "| another | fine |" in text


def test_only_what_lies_between_the_markers_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "gpu.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_tables(document, "new\n")
    assert document.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    document.write_text("no markers\n")
    with pytest.raises(SettingError, match="lacks the lines"):
        replace_tables(document, "new\n")
    assert document.read_text() == "no markers\n"


@pytest.mark.slow
def test_whole_check_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    document = tmp_path / "document.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    assert main(["--smoke", "--document", str(document)]) == 0
    result = json.loads((tmp_path / "gpu_check.json").read_text())
    rows = {row["how"]: row for row in result["rows"]}
    assert len(rows) == len(WAYS)
    for row in rows.values():
        assert bool(row["why_not"]) != bool(row["network"] and row["frame"]), row
    for how in ("reference: torch eager fp32", "torch, one CUDA graph, fp32"):
        assert rows[how]["agreement"] > 99.9 and rows[how]["frame"]["median"] > 0, rows[how]
    assert "0 of 6144 labels differ" in result["checks"][0]["result"]
    checks = {check["what"]: check["result"] for check in result["checks"]}
    video = checks["attention to 2 frames, video of 20, torch fp32 against eager torch fp32"]
    assert re.match(r"(100.00|99.9\d) % of the labels agree, at least .* ms without memory", video), video
    assert rows["reference: torch eager fp32"]["how"] in document.read_text()
    assert (tmp_path / "gpu.md").read_text() == document.read_text()


def test_without_time_nothing_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    assert main(["--smoke", "--minutes", "0", "--document", str(document)]) == 0
    assert document.read_text().count("no time was left") >= len(WAYS)


def test_a_build_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    def new_check(seconds: float) -> GpuCheck:
        return GpuCheck(torch.device("cpu"), Effort(0.1, 1), monotonic() + seconds, tmp_path)

    new_check(60).keep_time("building")
    with pytest.raises(BackendError, match="no time was left"):
        new_check(-1).keep_time("building")
