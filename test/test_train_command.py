"""`fanet train` as people start it: in processes of their own, killed, resumed, and spread by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from labelled_folder import DRIVABLE, MAPPING, write_folder
from tiny_camvid import make_tiny_camvid, write_tiny_recipe
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.model.weights import load_weights
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.training.checkpoint import STATE_FILE, load_state

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 150
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_tiny_camvid(tmp_path / "camvid")


def arguments(tmp_path: Path, data: Path, output: str, *more: str) -> list[str]:
    recipe = write_tiny_recipe(tmp_path)
    return [
        "train",
        "--recipe",
        f"{recipe}",
        "--data",
        f"{data}",
        "--output",
        f"{tmp_path / output}",
        "--device",
        "cpu",
        *more,
    ]


def fanet(*words: str) -> list[str]:
    return [sys.executable, "-m", "fanet_ros.commands.cli", *words]


def finish(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def network_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_state(folder)["network"]


def logged(folder: Path) -> int:
    """The last iteration that a training has noted."""
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return json.loads(lines[-1])["iteration"] if lines else 0


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path, data: Path) -> None:
    more = ("--iterations", "30", "--set", "run.save_every=4", "--set", "run.validate_every=1000")
    finish(fanet(*arguments(tmp_path, data, "whole", *more)))

    process = subprocess.Popen(
        fanet(*arguments(tmp_path, data, "killed", *more)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + LIMIT_S
    while logged(tmp_path / "killed") < 10:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)  # a file is watched, which nothing announces
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = load_state(tmp_path / "killed")["iteration"]
    assert 8 <= reached < 30

    finish(fanet("train", "--resume", f"{tmp_path / 'killed'}", "--device", "cpu"))
    whole, killed = network_of(tmp_path / "whole"), network_of(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    for name in ("log.jsonl", "final.safetensors"):
        assert (tmp_path / "killed" / name).exists()
    iterations = [
        json.loads(line)["iteration"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    ]
    assert iterations == sorted(iterations)


@pytest.mark.slow
def test_a_signal_ends_a_training_after_its_step(tmp_path: Path, data: Path) -> None:
    command = fanet(*arguments(tmp_path, data, "stopped", "--iterations", "100000", "--set", "run.save_every=100000"))
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + LIMIT_S
    while logged(tmp_path / "stopped") < 10:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)  # to the workers, too, as service managers and torchrun do
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, output
    assert "go on with: fanet train --resume" in output
    assert load_state(tmp_path / "stopped")["iteration"] >= 10


# What would depend on the process is left out; every crop lies within its image, so that all have as many labels; and
# plain SGD does not magnify rounding.
ALIKE = [
    "network.freeze_batch_norm=true",
    "augmentation.brightness=0",
    "augmentation.saturation=0",
    "augmentation.noise=0",
    "augmentation.scale=[1, 1]",
    "augmentation.rotation_deg=0",
    "augmentation.crop=64x64",
    "optimizer.kind=sgd",
    "loss.class_weights=none",
    "optimizer.rate=0.01",
    "run.batch=4",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "clips", [[], ["network.temporal_frames=2", "network.through_time=true"]], ids=["images", "clips"]
)
def test_two_processes_do_what_one_does(tmp_path: Path, clips: list[str]) -> None:
    """Without what depends on the process (batch norm of its own samples, noise), gradients average to the same."""
    data = make_tiny_camvid(tmp_path / "camvid", video=bool(clips))
    more = [word for setting in [*clips, *ALIKE] for word in ("--set", setting)]
    finish(fanet(*arguments(tmp_path, data, "one", *more)))
    two = finish([*TORCHRUN, "-m", "fanet_ros.commands.cli", *arguments(tmp_path, data, "two", *more)])
    assert two.stdout.count("done after 6 iterations") == 1
    one_state, two_state = network_of(tmp_path / "one"), network_of(tmp_path / "two")
    assert one_state.keys() == two_state.keys()
    moved = 0.0
    start = network_of_start(tmp_path, data, more)
    for name, tensor in one_state.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(two_state[name], tensor, atol=2e-5, rtol=1e-3)
            moved = max(moved, float((tensor - start[name]).abs().max()))
    assert moved > 1e-3  # so the agreement means something
    scores = [
        [
            json.loads(line)["miou"]
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
            if "miou" in line
        ]
        for name in ("one", "two")
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


@pytest.mark.slow
def test_two_processes_lose_as_much_on_a_mixture_as_one_does(tmp_path: Path, data: Path) -> None:
    """However coarse labels and those of a guide are shared out among the processes."""
    coarse = write_folder(tmp_path / "coarse", DRIVABLE, MAPPING, dark=False)
    mix = {"dataset": "folder", "name": "coarse", "share": 0.4, "loss_weight": 0.5, "soft": {"from": "weights"}}
    more = ["--data", f"coarse={coarse}", "--weights", "shipped"]
    for setting in [*ALIKE, f"data.mix={json.dumps([mix])}", "run.save_every=1", "data.validation=[]"]:
        more += ["--set", setting]
    finish(fanet(*arguments(tmp_path, data, "one", *more)))
    finish([*TORCHRUN, "-m", "fanet_ros.commands.cli", *arguments(tmp_path, data, "two", *more)])
    one, two = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-3)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(tmp_path: Path, data: Path) -> None:
    script = tmp_path / "second_asks.py"
    script.write_text("""
import os, signal, sys
from fanet_ros.training.learner import Learner
step = Learner.step
def ask_at_the_third_step(learner, batch):
    if learner.iteration == 2 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    return step(learner, batch)
Learner.step = ask_at_the_third_step
from fanet_ros.commands.cli import main
main()
""")
    command = [
        *TORCHRUN,
        f"{script}",
        *arguments(tmp_path, data, "stopped", "--set", "run.batch=4", "--set", "run.save_every=100"),
    ]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT_S)
    assert "stopped after 3 iterations" in done.stdout, done.stderr
    assert load_state(tmp_path / "stopped")["iteration"] == 3


def network_of_start(tmp_path: Path, data: Path, more: list[str]) -> dict[str, torch.Tensor]:
    finish(fanet(*arguments(tmp_path, data, "start", *more, "--iterations", "1", "--set", "optimizer.rate=1e-12")))
    return network_of(tmp_path / "start")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "give --recipe FILE"),
        (["train", "--recipe", "missing.yaml"], "cannot read recipe"),
        (["train", "--resume", "nowhere"], "holds no last.pt"),
        (["train", "--resume", "nowhere", "--iterations", "5"], "--iterations: not together with --resume"),
        (["train", "--resume", "nowhere", "--seed", "0"], "--seed: not together with --resume"),
        (["train", "--device", "gpu"], "device"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_data_that_cannot_be_used_is_one_line(tmp_path: Path, data: Path) -> None:
    def refused(*more: str) -> str:
        result = CliRunner().invoke(app, arguments(tmp_path, data, "out", *more))
        assert result.exit_code == 2
        assert not (tmp_path / "out").exists()
        return " ".join(result.output.split())

    assert "no data set 'cityscapes'; it has camvid" in refused("--data", "cityscapes=/tmp")
    assert "two folders" in refused("--data", "/tmp")
    assert "two folders" in refused("--data", f"camvid={data}")
    assert "--encoder or --weights, not both" in refused("--encoder", "a.pth", "--weights", "shipped")
    (data / "train.txt").unlink()
    assert "train.txt" in refused()


def test_fine_tuning_starts_from_the_shipped_weights(tmp_path: Path, data: Path) -> None:
    more = ("--weights", "shipped", "--iterations", "1", "--set", "optimizer.rate=1e-9")
    finish(fanet(*arguments(tmp_path, data, "tuned", *more)))
    shipped = load_weights(DEFAULT_WEIGHTS).state_dict
    tuned = network_of(tmp_path / "tuned")
    for name in ("clslayer.conv_out.weight", "resnet.conv1.weight"):
        torch.testing.assert_close(tuned[name], shipped[name], atol=1e-6, rtol=0)
    assert (tmp_path / "tuned" / STATE_FILE).exists()
