"""The twins of the label kernel for GPUs: the plain one against the equations, the fused one against the plain one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fanet_ros.labelling import postprocess_torch
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits, has_triton, labels_from_logits
from fanet_ros.settings import Size

GRIDS = [(5, 7), (1, 1), (1, 6), (3, 1)]
LABEL_OF = np.array([1, 0, 255, 1, 0, 1], np.uint8)
SIZES = [Size(56, 40), Size(37, 23), Size(7, 5), Size(3, 2), Size(300, 1)]


def exact(logits: np.ndarray, size: Size) -> np.ndarray:
    """Bilinear sampling with aligned corners, in double precision: (classes, H, W)."""
    _, height, width = logits.shape
    y = np.arange(size.height) * (height - 1) / max(1, size.height - 1)
    x = np.arange(size.width) * (width - 1) / max(1, size.width - 1)
    top, left = y.astype(int), x.astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top)[:, None], x - left
    upper = logits[:, top][:, :, left] * (1 - dx) + logits[:, top][:, :, right] * dx
    lower = logits[:, bottom][:, :, left] * (1 - dx) + logits[:, bottom][:, :, right] * dx
    return upper * (1 - dy) + lower * dy


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_plain_twin_matches_the_equations(grid: tuple[int, int], size: Size) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (6, *grid)).astype(np.float32)
    values = exact(logits.astype(np.float64), size)
    labels, confidence = labels_from_logits(torch.from_numpy(logits), size, confidence=True)
    np.testing.assert_array_equal(labels.numpy(), values.argmax(0))
    probability = np.exp(values.max(0)) / np.exp(values).sum(0)
    assert confidence is not None
    assert np.abs(confidence.numpy() - probability * 255).max() <= 0.51
    assert labels.dtype == confidence.dtype == torch.uint8


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", SIZES)
def test_plain_twin_adds_up_merged_classes(grid: tuple[int, int], size: Size) -> None:
    logits, label_of = np.random.default_rng(2).normal(0, 2, (6, *grid)).astype(np.float32), LABEL_OF
    values = np.exp(exact(logits.astype(np.float64), size))
    sums = np.stack([values[label_of == label].sum(0) for label in (0, 1, 255)]) / values.sum(0)
    labels, confidence = labels_from_logits(torch.from_numpy(logits), size, confidence=True, label_of=label_of)
    np.testing.assert_array_equal(labels.numpy(), np.array([0, 1, 255])[sums.argmax(0)])
    assert confidence is not None and np.abs(confidence.numpy() - sums.max(0) * 255).max() <= 0.51
    plain, nothing = labels_from_logits(torch.from_numpy(logits), size, label_of=label_of)
    assert nothing is None and torch.equal(plain, labels)


def test_labels_do_not_depend_on_confidence_being_asked_for() -> None:
    logits = torch.randn(11, 9, 13)
    plain, nothing = labels_from_logits(logits, Size(100, 70))
    with_confidence, _ = labels_from_logits(logits, Size(100, 70), confidence=True)
    assert nothing is None
    assert torch.equal(plain, with_confidence)


def test_ties_and_nan() -> None:
    labels, confidence = labels_from_logits(torch.zeros(4, 3, 3), Size(20, 20), confidence=True)
    assert not labels.any()
    assert confidence is not None and (confidence == 64).all()  # a quarter of 255, rounded
    logits = torch.zeros(4, 3, 3)
    logits[2:] = float("nan")
    assert (labels_from_logits(logits, Size(20, 20))[0] == 2).all()


def test_logits_are_not_changed_and_half_precision_is_decided_in_single() -> None:
    logits = torch.randn(3, 4, 4).half()
    before = logits.clone()
    labels, _ = labels_from_logits(logits, Size(32, 32), confidence=True)
    assert torch.equal(logits, before)
    assert torch.equal(labels, labels_from_logits(logits.float(), Size(32, 32))[0])


def check_fused(device: str, grids: list[tuple[int, int]], sizes: list[Size]) -> None:
    """Do so for both geometries, and for probabilities as for logits."""
    for align_corners in (True, False):
        for probabilities in (False, True):
            check_fused_as(device, grids, sizes, align_corners=align_corners, probabilities=probabilities)


def check_fused_as(device: str, grids: list[tuple[int, int]], sizes: list[Size], **kind: bool) -> None:
    """Compare the fused kernel with the plain twin wherever the winner is not a matter of the last bit."""
    from fanet_ros.labelling.postprocess_triton import fused_labels_from_logits

    generator = torch.Generator().manual_seed(3)
    decided = 0
    for classes, grid in [(6, grid) for grid in grids] + [(1, (4, 5)), (19, (8, 16))]:
        logits = (torch.randn(classes, *grid, generator=generator) * 3).to(device)
        if kind["probabilities"]:
            logits = logits.softmax(0)
        for size in sizes:
            labels, confidence = fused_labels_from_logits(logits, size, confidence=True, **kind)
            expected, expected_confidence = dense_labels_from_logits(logits, size, confidence=True, **kind)
            shape = (size.height, size.width)
            values = torch.nn.functional.interpolate(
                logits[None], shape, mode="bilinear", align_corners=kind["align_corners"]
            )[0]
            first = values.topk(min(2, classes), dim=0).values
            clear = (first[0] - first[-1] > 1e-5) | (classes == 1)
            decided += int(clear.sum())
            assert torch.equal(labels[clear], expected[clear]), (classes, grid, size)
            assert (confidence.int() - expected_confidence.int()).abs().max() <= 1
            assert torch.equal(fused_labels_from_logits(logits, size, **kind)[0], labels)
            if classes == 6:
                kind_of_labels = {**kind, "label_of": LABEL_OF}
                labels, confidence = fused_labels_from_logits(logits, size, confidence=True, **kind_of_labels)
                expected, expected_confidence = dense_labels_from_logits(
                    logits, size, confidence=True, **kind_of_labels
                )
                each = values if kind["probabilities"] else values.softmax(0)
                sums = torch.stack([each[np.equal(LABEL_OF, label)].sum(0) for label in (0, 1, 255)])
                first = sums.topk(2, dim=0).values
                assert torch.equal(labels[first[0] - first[1] > 1e-5], expected[first[0] - first[1] > 1e-5])
                assert (confidence.int() - expected_confidence.int()).abs().max() <= 1
                assert torch.equal(fused_labels_from_logits(logits, size, **kind_of_labels)[0], labels)
    assert decided > 0.95 * (len(grids) + 2) * sum(size.width * size.height for size in sizes)
    ties = torch.zeros(5, 3, 3, device=device)
    assert not fused_labels_from_logits(ties, Size(20, 20))[0].any()
    ties[2:4] = float("nan")
    assert (fused_labels_from_logits(ties, Size(20, 20))[0] == 2).all()


@pytest.mark.skipif(not has_triton(), reason="triton is not installed (it comes with torch's CUDA builds)")
def test_fused_twin_on_the_cpu_in_tritons_interpreter() -> None:
    code = (
        "import test_postprocess_torch as t\n"
        "t.check_fused('cpu', [(5, 7), (1, 6)], [t.Size(7, 5), t.Size(300, 2), t.Size(5, 11)]); print('checked')"
    )
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "checked", done.stderr


def test_a_triton_that_does_not_work_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if has_triton():
        pytest.skip("Triton is installed here")
    (tmp_path / "triton.py").write_text("raise RuntimeError('no C compiler')\n")
    monkeypatch.syspath_prepend(tmp_path)
    postprocess_torch._fused_kernel_works.cache_clear()
    assert has_triton()
    assert not postprocess_torch._fused_kernel_works() and not postprocess_torch._fused_kernel_works()
    assert caplog.text.count("RuntimeError: no C compiler") == 1
    postprocess_torch._fused_kernel_works.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; this machine has none")
@pytest.mark.skipif(not has_triton(), reason="triton is not installed (it comes with torch's CUDA builds)")
def test_fused_twin_on_a_gpu() -> None:
    check_fused("cuda", GRIDS, [*SIZES, Size(1280, 720)])
