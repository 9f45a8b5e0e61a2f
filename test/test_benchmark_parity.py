"""The comparison of precisions on a GPU, tried on what there is, and the document it fills."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fanet_ros.benchmark.contest import Bench, Contest
from fanet_ros.benchmark.frames import FrameStore
from fanet_ros.benchmark.gpu_work import GpuRun
from fanet_ros.benchmark.levels import run_stills
from fanet_ros.benchmark.parity import BEGIN, END, as_markdown, run_gpu_tests, split_document
from fanet_ros.benchmark.plan import COMPILED, REFERENCE, Contender, make_plan
from fanet_ros.benchmark.progress import ProgressLine
from fanet_ros.benchmark.results import Results
from fanet_ros.benchmark.runners import Candidate
from fanet_ros.errors import BackendError, SettingError
from fanet_ros.processes import child_environment
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--device", "cpu", "--quick", "--size", "96x64", "--rounds", "2", "--threads", "1"]
SMALL += ["--backend", "torch", "--backend", "tensorrt", "--precision", "fp32"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/gpu_check's command."""
    program = [sys.executable, "-m", "fanet_ros.commands.cli", "benchmark", "--parity", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=170, check=False, env=child_environment())


def new_bench(folder: Path, until: float) -> Bench:
    plan = replace(make_plan([DEFAULT_WEIGHTS], parity=True, device="cpu", quick=True, rounds=2), threads=1)
    progress = ProgressLine(Console(file=io.StringIO()))
    return Bench(plan, Results({"peak_gflops": {}}, None), FrameStore(folder), progress, until=until)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def measured(folder: Path) -> dict[str, Any]:
    document = folder / "gpu.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    result = command(*SMALL, "--document", str(document), "--json", str(folder / "results.json"))
    assert result.returncode == 0, result.stdout + result.stderr
    data: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return data


@pytest.mark.slow
def test_random_and_shipped_weights_are_compared_with_fp32(measured: dict[str, Any]) -> None:
    shipped, random = DEFAULT_WEIGHTS.name, "random_resnet18.safetensors"
    for weights in (random, shipped):
        rows = {f"{row['backend']} {row['precision']}": row for row in measured["network"] if row["weights"] == weights}
        assert set(rows) == {"reference fp32", "torch fp32", "tensorrt fp32"}
        for row in rows.values():
            assert bool(row["error"]) != bool(row["median_ms"]), row
        for how in ("reference fp32", "torch fp32"):
            assert rows[how]["agreement_with_reference"] > 0.999 and rows[how]["largest_logit_error"] < 0.01, rows[how]
    for row in measured["frame"]:
        assert (row["camera_width"], row["camera_height"]) == (96, 64), "nothing is resized that could differ"
        assert row["error"] or row["agreement_with_reference"] > 0.99, row
    (video,) = (row for row in measured["temporal"] if (row["backend"], row["precision"]) == ("torch", "fp32"))
    assert video["agreement_with_reference"] >= video["least_agreement"] > 0.999
    assert video["weights"] == shipped and video["temporal_frames"] == 2


@pytest.mark.slow
def test_the_document_holds_it(measured: dict[str, Any], folder: Path) -> None:
    assert measured["checks"][0]["result"].startswith("0 of 6144 labels differ"), "the same functions on a CPU"
    text = (folder / "gpu.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n") and text.endswith(f"\n{END}\nafter\n") and "old" not in text
    assert "| FANet-18, random_resnet18.safetensors | 96x64 | torch fp32 | " in text
    assert "| fused label kernel against plain torch, 96x64 | 0 of 6144 labels differ" in text
    assert "| video with memory, tensorrt fp32 | not measured: backend tensorrt runs on NVIDIA GPUs" in text


def test_tables_say_what_was_measured_and_what_not() -> None:
    machine = {
        **dict.fromkeys(("cpu", "cpu_family", "cpu_model", "cores_usable", "memory_gb", "os", "python"), "?"),
        **{"gpus": ["A GPU"], "versions": {}, "commit": "abc"},
    }
    row = {
        **{"model": "FANet-18", "weights": "w.pth", "width": 1024, "height": 512, "precision": "fp16", "error": None},
        **{"median_ms": 2.0, "p25_ms": 1.9, "p75_ms": 2.25, "largest_logit_error": 0.0546},
    }
    nothing = dict.fromkeys(("median_ms", "p25_ms", "p75_ms", "largest_logit_error"))
    missing = {**row, **nothing, "backend": "tensorrt", "error": "no | library"}
    row["backend"] = "torch"
    frame = {"median_ms": 4.0, "p25_ms": 4.0, "p75_ms": 4.1, "agreement_with_reference": 0.99987}
    frames = [{**row, **frame, "speedup_vs_reference": 4.2}]
    frames += [{**missing, "agreement_with_reference": None, "speedup_vs_reference": None}]
    failed = {"backend": "torch", "precision": "bf16", "error": "too old"}
    data = {"machine": machine, "network": [row, missing], "frame": frames, "temporal": [failed], "checks": []}
    text = as_markdown(data)
    assert "A GPU" in text and "commit abc" in text
    way = "| FANet-18, w.pth | 1024x512 | torch fp16 |"
    assert f"{way} 2.000 (1.900-2.250) | 4.000 (4.000-4.100) | 250 | 4.2 | 99.99 % | 0.0546 |" in text
    assert "| tensorrt fp16 | not measured: no / library | not measured: no / library | - | - | - | - |" in text
    assert "| video with memory, torch bf16 | not measured: too old |" in text


def test_the_shipped_document_has_a_place_for_the_tables() -> None:
    before, after = split_document(ROOT / "docs" / "gpu.md")
    assert before.endswith(f"{BEGIN}\n\n") and after.startswith(f"\n{END}")


# stands for python3: keeps its arguments beside itself, and fails if asked to
INTERPRETER = """#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments"
case "$*" in *fail*) exit 3; esac
"""


def gpu_check(folder: Path, out: str, *arguments: str) -> tuple[int, list[str]]:
    interpreter = folder / "interpreter"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(interpreter), "OUT": out}
    code = subprocess.run([ROOT / "scripts" / "gpu_check", *arguments], env=environment, timeout=60).returncode
    return code, (folder / "interpreter.arguments").read_text().split()


def test_the_script_keeps_all_in_the_folder_out(tmp_path: Path) -> None:
    out, shipped = tmp_path / "out", ROOT / "docs" / "gpu.md"
    out.mkdir()
    fixed = ["-m", "fanet_ros.commands.cli", "benchmark", "--parity", "--document", str(shipped)]
    kept = [*fixed, "--json", str(out / "gpu_check.json")]
    assert gpu_check(tmp_path, "", "--minutes", "3") == (0, [*fixed, "--minutes", "3"])
    assert gpu_check(tmp_path, str(out), "--fail") == (3, [*kept, "--fail"])
    assert not list(out.iterdir())
    assert gpu_check(tmp_path, str(out), "--minutes", "3") == (0, [*kept, "--minutes", "3"])
    assert (out / "gpu.md").read_text() == shipped.read_text()
    own = tmp_path / "own.md"
    for text, options in (("first", ["--document", str(own)]), ("second", [f"--document={own}", "--minutes", "3"])):
        own.write_text(text)
        assert gpu_check(tmp_path, str(out), *options) == (0, [*kept, *options])
        assert (out / "gpu.md").read_text() == text
    own = out / "gpu.md"
    assert gpu_check(tmp_path, str(out), "--document", str(own))[0] == 0, "it is where the copy would go"


def test_a_document_without_marks_is_refused_at_once(tmp_path: Path) -> None:
    document = tmp_path / "gpu.md"
    with pytest.raises(SettingError, match="cannot read"):
        split_document(document)
    document.write_text("no marks\n")
    with pytest.raises(SettingError, match="lacks the lines"):
        split_document(document)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused_at_once() -> None:
    result = command()
    assert result.returncode == 2
    assert result.stderr.startswith("error: device 'cuda' was asked for")


def test_torch_compile_is_a_contender_like_others() -> None:
    (compiled,) = (
        c for c in make_plan([DEFAULT_WEIGHTS], parity=True, device="cpu").contenders if c.backend == COMPILED
    )
    candidate = Candidate(str(DEFAULT_WEIGHTS), **asdict(compiled), threads=1, width=96, height=64)
    with pytest.raises(BackendError, match="backend torch on cpu does not compute in fp16"):
        candidate.runner()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("contender", [Contender(REFERENCE, "fp32", "cuda:0"), Contender("torch", "fp16", "cuda:0")])
def test_a_gpu_times_its_own_work(contender: Contender) -> None:
    candidate = Candidate(str(DEFAULT_WEIGHTS), **asdict(contender), threads=0, width=96, height=64)
    run = candidate.runner().network_run(np.zeros((64, 96, 3), np.uint8))
    assert isinstance(run, GpuRun)
    assert 0 < run() < 1000 and 0 < run() < 1000


def test_without_time_nothing_is_started(tmp_path: Path) -> None:
    bench = new_bench(tmp_path, monotonic())
    run_stills(bench, DEFAULT_WEIGHTS, Size(96, 64))
    rows = bench.results.data["network"] + bench.results.data["frame"]
    assert len(rows) == 2 * (1 + len(bench.plan.contenders))
    assert {row["error"] for row in rows} == {"no time was left"}


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    bench = new_bench(tmp_path, monotonic() + 0.5)
    with Contest(bench, "test") as contest:
        entrant = contest.enter("slow", {}, work="ground", width=640, height=360)
        contest.start()
        assert entrant.error.startswith("did not answer within"), entrant.error


def test_there_is_no_limit_unless_asked_for() -> None:
    assert make_plan([DEFAULT_WEIGHTS]).minutes == inf
    assert make_plan([DEFAULT_WEIGHTS], parity=True).minutes == 7
    assert make_plan([DEFAULT_WEIGHTS], parity=True, minutes=3).minutes == 3


def test_what_the_tests_for_gpus_came_to_is_one_line() -> None:
    result = run_gpu_tests(0.01, Console(file=io.StringIO()))
    assert result == "not measured: the tests took more than 0 s"
