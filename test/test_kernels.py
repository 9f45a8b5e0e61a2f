import ctypes.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import fanet_ros
from fanet_ros.errors import FanetError, KernelError
from fanet_ros.labelling import kernels

ROOT = Path(__file__).resolve().parent.parent


def decide(
    logits: np.ndarray, shape: tuple[int, int], threads: int = 1, portable: bool = False
) -> tuple[np.ndarray, np.ndarray, bool]:
    labels, confidence = np.full(shape, 77, np.uint8), np.full(shape, 77, np.uint8)
    finite = kernels.labels_from_logits(logits, labels, confidence, threads, portable=portable)
    return labels, confidence, finite


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("shape", [(360, 640), (97, 203), (20, 30), (7, 9), (1, 1)])
@pytest.mark.parametrize("scale", [1, 100])
def test_both_sets_of_instructions_agree_with_torch(portable: bool, shape: tuple[int, int], scale: int) -> None:
    logits = np.random.default_rng(1).normal(0, 3 * scale, (19, 20, 30)).astype(np.float32)
    labels, confidence, finite = decide(logits, shape, portable=portable)
    enlarged = F.interpolate(torch.from_numpy(logits)[None], shape, mode="bilinear", align_corners=True)[0]
    best, expected = enlarged.topk(2, 0).values, enlarged.max(0).indices.numpy()
    clear = (best[0] - best[1] > 1e-5 * scale).numpy()
    assert finite
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], expected[clear])
    probability = (enlarged - best[0]).exp().sum(0).reciprocal().numpy()
    assert np.abs(confidence - 255 * probability).max() <= 1.0


def test_both_sets_of_instructions_agree_on_merged_classes() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (19, 20, 30)).astype(np.float32)
    label_of = np.array([0, 1, *[2] * 7, 1, 255, *[2] * 8], np.uint8)
    results = []
    for portable in (False, True):
        labels, confidence = np.empty((2, 360, 640), np.uint8)
        assert kernels.labels_from_logits(logits, labels, confidence, 1, label_of=label_of, portable=portable)
        results.append((labels, confidence.astype(int)))
    assert (results[0][0] != results[1][0]).mean() < 1e-4 and set(np.unique(results[0][0])) == {0, 1, 2, 255}
    assert np.abs(results[0][1] - results[1][1]).max() <= 1


@pytest.mark.parametrize("portable", [False, True])
def test_not_finite_logits_are_reported(portable: bool) -> None:
    logits = np.zeros((3, 4, 5), np.float32)
    logits[2, 3, 4] = np.nan
    labels, confidence, finite = decide(logits, (40, 50), portable=portable)
    assert not finite
    assert labels[-1, -1] == 2 and confidence[-1, -1] == 0
    assert not labels[:20].any() and (confidence[:20] == 85).all()


@pytest.mark.parametrize("threads", [0, 2, 5, 64])
def test_the_number_of_threads_does_not_change_the_result(threads: int) -> None:
    logits = np.random.default_rng(2).normal(0, 3, (5, 33, 40)).astype(np.float32)
    expected, got = decide(logits, (300, 400)), decide(logits, (300, 400), threads)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])


def test_no_more_threads_are_chosen_than_processors_may_be_used() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from fanet_ros.labelling.kernels import library; assert library().fanet_usable_processors() == 1"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert kernels.library().fanet_usable_processors() == len(os.sched_getaffinity(0))


def test_python_goes_on_meanwhile() -> None:
    """The GIL is free: another thread runs while the kernel does."""
    logits = np.random.default_rng(3).normal(0, 3, (50, 200, 300)).astype(np.float32)
    started, finished = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        decide(logits, (2000, 3000))
        finished.set()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    steps = 0
    while not finished.is_set():
        steps += 1
    worker.join()
    assert steps > 1000


def test_a_forked_child_can_use_it() -> None:
    code = """if True:
        import os, sys
        import numpy as np
        from fanet_ros.labelling import kernels
        logits, labels = np.zeros((2, 8, 8), np.float32), np.ones((64, 64), np.uint8)
        kernels.labels_from_logits(logits, labels, None, 3)
        child = os.fork()
        if child == 0:
            labels[:] = 1
            kernels.labels_from_logits(logits, labels, None, 3)
            os._exit(int(labels.any()))
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_it_is_loaded_without_torch() -> None:
    code = "import sys, fanet_ros.labelling.postprocess; from fanet_ros.labelling.kernels import library; library()"
    code += "; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_there_is_one_library() -> None:
    found = {os.path.realpath(path) for folder in fanet_ros.__path__ for path in Path(folder).glob("libfanet_kernels*")}
    assert len(found) == 1, f"one of these is stale: {found}"


def test_a_missing_library_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"is in none of .*scripts/setup.*colcon build.*pip install") as error:
        kernels.find_library([str(tmp_path)])
    assert str(tmp_path) in str(error.value)
    assert isinstance(error.value, FanetError)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / kernels.LIBRARY
    path.write_bytes(b"not a library")
    assert kernels.find_library(["/nonexistent", str(tmp_path)]) == path
    with pytest.raises(KernelError, match="cannot be loaded: .*scripts/setup"):
        kernels.load(path)


def test_another_library_is_refused() -> None:
    name = ctypes.util.find_library("m")
    assert name is not None
    with pytest.raises(KernelError, match="cannot be loaded: .*fanet_kernels_version.*scripts/setup"):
        kernels.load(Path(name))


def test_a_stale_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernels.find_library(list(fanet_ros.__path__))
    monkeypatch.setattr(kernels, "VERSION", kernels.VERSION + 1)
    with pytest.raises(KernelError, match=rf"has version {kernels.VERSION - 1}, .* needs {kernels.VERSION}: build it"):
        kernels.load(path)


def test_both_builds_use_the_same_options() -> None:
    cmake, setup = ((ROOT / name).read_text(encoding="utf-8") for name in ("CMakeLists.txt", "setup.py"))
    for option in ("-O3", "-Wno-psabi", "-ffp-contract=off"):
        assert option in cmake and option in setup
    assert all(path.name in setup for path in (ROOT / "src").iterdir()), "setup.py's depends lacks a file of src/"
    assert all(path.name in cmake for path in (ROOT / "src").glob("*.cpp"))
