"""`fanet train` as people start it: in processes of their own, killed, resumed, and spread by torchrun.

What no process is needed for runs in this one, where the command does the same.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from labelled_folder import DRIVABLE, MAPPING, write_folder
from narrow_network import narrow_networks
from tiny_camvid import make_tiny_camvid, write_tiny_recipe
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.model.model_card import read_card, resolve_label_set
from fanet_ros.model.weights import load_weights
from fanet_ros.processes import child_environment
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.training.checkpoint import STATE_FILE, load_state

FANET = (sys.executable, str(Path(__file__).with_name("narrow_network.py")))  # the command, with a small network
LIMIT_S = 150
STOP_LIMIT_S = 5  # takes 0.7 s; as long as torch waits for a worker that hangs


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the command does in this process shall be what it does in another, and change nothing for later tests."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("fanet_ros.memory.keep_all_blocks", lambda: True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def narrow() -> Iterator[None]:
    with narrow_networks():
        yield


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


def train_here(*words: str) -> str:
    """Give the command in this process; return what it prints."""
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def start(*command: str, environment: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start a process, whose output can be read."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=child_environment(environment), text=True, **output, **options)


def train_in_two(*words: str) -> str:
    """Give the command in this process and in another, with what torchrun would tell them; return what both print."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        group = {"MASTER_ADDR": "localhost", "MASTER_PORT": f"{free.getsockname()[1]}", "WORLD_SIZE": "2"}
    first, second = ({**group, "RANK": rank, "LOCAL_RANK": rank} for rank in "01")
    with start(*FANET, *words, environment=second) as process, pytest.MonkeyPatch.context() as patch:
        try:
            for name, value in first.items():
                patch.setenv(name, value)
            output = train_here(*words)
            output += process.communicate(timeout=LIMIT_S)[0]
        finally:
            process.kill()
    assert process.returncode == 0, output
    return output


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process; return the rest of its output."""
    with process:
        output, _ = process.communicate(timeout=LIMIT_S)
    return output


def wait_for(process: subprocess.Popen[str], iteration: int) -> None:
    """Wait until a training says that it has come so far."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(f"iteration {iteration} "):
            return
    raise AssertionError("".join(seen))


def network_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_state(folder)["network"]


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path, data: Path) -> None:
    more = ("--iterations", "30", "--set", "run.save_every=4", "--set", "run.validate_every=1000")
    with start(*FANET, *arguments(tmp_path, data, "killed", *more)) as process:
        wait_for(process, 10)
        process.kill()
    reached = load_state(tmp_path / "killed")["iteration"]
    assert 8 <= reached < 30

    train_here("train", "--resume", f"{tmp_path / 'killed'}", "--device", "cpu")
    train_here(*arguments(tmp_path, data, "whole", *more))
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
    endless = arguments(tmp_path, data, "stopped", "--iterations", "100000", "--set", "run.save_every=100000")
    process = start(*FANET, *endless, start_new_session=True)
    wait_for(process, 10)
    os.killpg(process.pid, signal.SIGTERM)  # to the workers, too, as service managers and torchrun do
    output = ended(process)
    assert process.returncode == 130, output
    assert "go on with: fanet train --resume" in output
    assert load_state(tmp_path / "stopped")["iteration"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_training_that_waits_for_images(tmp_path: Path, data: Path, number: signal.Signals) -> None:
    """As on a file system that hangs: reading a pipe into which nobody writes never ends."""
    os.mkfifo(data / "pipe")
    for image in (data / "train").iterdir():
        image.unlink()
        os.link(data / "pipe", image)
    process = start(*FANET, *arguments(tmp_path, data, "waiting", "--set", "loss.class_weights=none"))
    with (data / "pipe").open("wb"):  # returns when the other side reads
        began = monotonic()
        process.send_signal(number)
        assert process.stdout is not None
        said = next((line for line in process.stdout if line.startswith("stopped after 0 iterations")), "")
        took_s = monotonic() - began  # without the end of the interpreter, which takes many seconds on a busy machine
        ended(process)
    assert said and process.returncode == 130
    assert took_s < STOP_LIMIT_S
    assert load_state(tmp_path / "waiting")["iteration"] == 0


@pytest.mark.slow
def test_little_shared_memory_is_told_and_trained_without(tmp_path: Path, data: Path) -> None:
    command = shlex.join([*FANET, *arguments(tmp_path, data, "small", "--workers", "2")])
    small = "mount -t tmpfs -o size=64k tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", small], check=False).returncode:
        pytest.skip("no mounts can be made here: little shared memory was NOT tried")
    output = ended(start("unshare", "-m", "sh", "-c", f"{small} && {command}", environment={"COLUMNS": "300"}))
    assert "shared memory (/dev/shm) has 0 MB free, and each of 2 processes" in output
    assert "done after 6 iterations" in output


@pytest.mark.slow
def test_a_folder_is_trained_in_by_one_process(tmp_path: Path, data: Path) -> None:
    endless = ("--iterations", "100000", "--set", "run.save_every=1")
    with start(*FANET, *arguments(tmp_path, data, "held", *endless)) as process:
        wait_for(process, 10)
        for words in (["train", "--resume", f"{tmp_path / 'held'}"], arguments(tmp_path, data, "held")):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 2 and "another process trains in" in " ".join(result.output.split())
        process.kill()
    resumed = CliRunner().invoke(app, ["train", "--resume", f"{tmp_path / 'held'}", "--data", "nothing=/tmp"])
    assert "no data set 'nothing'" in " ".join(resumed.output.split())  # the lock went with the process


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
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    "clips", [[], ["network.temporal_frames=2", "network.through_time=true"]], ids=["images", "clips"]
)
def test_two_processes_do_what_one_does(tmp_path: Path, clips: list[str]) -> None:
    """Without what depends on the process (batch norm of its own samples, noise), gradients average to the same."""
    data = make_tiny_camvid(tmp_path / "camvid", video=bool(clips))
    more = [word for setting in [*clips, *ALIKE] for word in ("--set", setting)]
    assert train_in_two(*arguments(tmp_path, data, "two", *more)).count("done after 6 iterations") == 1
    train_here(*arguments(tmp_path, data, "one", *more))
    train_here(*arguments(tmp_path, data, "start", *more, "--iterations", "1", "--set", "optimizer.rate=1e-12"))
    before, one_state, two_state = (network_of(tmp_path / name) for name in ("start", "one", "two"))
    assert one_state.keys() == two_state.keys()
    moved = 0.0
    for name, tensor in one_state.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(two_state[name], tensor, atol=2e-5, rtol=1e-3)
            moved = max(moved, float((tensor - before[name]).abs().max()))
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
@pytest.mark.usefixtures("narrow")
def test_two_processes_lose_as_much_on_a_mixture_as_one_does(tmp_path: Path, data: Path) -> None:
    """However coarse labels and those of a guide are shared out among the processes."""
    coarse = write_folder(tmp_path / "coarse", DRIVABLE, MAPPING, dark=False)
    mix = {"dataset": "folder", "name": "coarse", "share": 0.4, "loss_weight": 0.5, "soft": {"from": "weights"}}
    train_here(*arguments(tmp_path, data, "before", "--iterations", "1"))
    more = ["--data", f"coarse={coarse}", "--weights", f"{tmp_path / 'before' / 'final.safetensors'}"]
    for setting in [*ALIKE, f"data.mix={json.dumps([mix])}", "run.save_every=1", "data.validation=[]"]:
        more += ["--set", setting]
    train_in_two(*arguments(tmp_path, data, "two", *more))
    train_here(*arguments(tmp_path, data, "one", *more))
    one, two = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-3)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(tmp_path: Path, data: Path) -> None:
    script = tmp_path / "second_asks.py"
    script.write_text("""
import os, signal
from narrow_network import NARROW, use
from fanet_ros.training.learner import Learner
step = Learner.step
def ask_at_the_third_step(learner, batch):
    if learner.iteration == 2 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    return step(learner, batch)
Learner.step = ask_at_the_third_step
use(NARROW, 16)
from fanet_ros.commands.cli import main
main()
""")
    process = start(
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        f"{script}",
        *arguments(tmp_path, data, "stopped", "--set", "run.batch=4", "--set", "run.save_every=100"),
    )
    output = ended(process)
    assert "stopped after 3 iterations" in output, output
    assert load_state(tmp_path / "stopped")["iteration"] == 3


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
    lean = ("optimizer.kind=sgd", "optimizer.average=0", "data.validation=[]")  # it is the large network
    more = [word for setting in ("optimizer.rate=1e-9", *lean) for word in ("--set", setting)]
    train_here(*arguments(tmp_path, data, "tuned", "--weights", "shipped", "--iterations", "1", *more))
    shipped = load_weights(DEFAULT_WEIGHTS).state_dict
    tuned = network_of(tmp_path / "tuned")
    for name in ("clslayer.conv_out.weight", "resnet.conv1.weight"):
        torch.testing.assert_close(tuned[name], shipped[name], atol=1e-6, rtol=0)
    assert (tmp_path / "tuned" / STATE_FILE).exists()


@pytest.mark.usefixtures("narrow")
def test_a_network_of_merged_classes(tmp_path: Path, data: Path) -> None:
    (tmp_path / "mine.yaml").write_text("classes: {thing: [car, building, tree]}\nrest: other\n")
    more = ("--set", f"network.labels={tmp_path / 'mine.yaml'}", "--iterations", "1")
    train_here(*arguments(tmp_path, data, "run", *more))
    weights = tmp_path / "run" / "final.safetensors"
    card = read_card(weights)
    own = resolve_label_set("", card, 2)
    assert own.names == ("thing", "other") and own.network is None and load_weights(weights).config.classes == 2
    assert resolve_label_set(str(tmp_path / "mine.yaml"), card, 2).label_of is None, (
        "what was asked for is there already"
    )
