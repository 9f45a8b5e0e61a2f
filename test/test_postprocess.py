import threading
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fanet_ros.errors import InferenceError
from fanet_ros.labelling import kernels
from fanet_ros.labelling.postprocess import LabelBuffers, labels_from_logits
from fanet_ros.settings import Size

ROUNDING = 2e-6  # of an interpolated logit, relative to the largest: a few units in the last place of float32


def naive(logits: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear sampling with aligned corners, pixel by pixel, then argmax and softmax."""
    classes, height, width = logits.shape
    labels = np.zeros((size.height, size.width), np.uint8)
    confidence = np.zeros((size.height, size.width), np.float64)
    for v in range(size.height):
        for u in range(size.width):
            y = v * (height - 1) / max(1, size.height - 1)
            x = u * (width - 1) / max(1, size.width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            dy, dx = y - y0, x - x0
            value = (
                logits[:, y0, x0] * (1 - dy) * (1 - dx)
                + logits[:, y0, x1] * (1 - dy) * dx
                + logits[:, y1, x0] * dy * (1 - dx)
                + logits[:, y1, x1] * dy * dx
            )
            labels[v, u] = value.argmax()
            exponents = np.exp(value - value.max())
            confidence[v, u] = exponents.max() / exponents.sum()
    return labels, confidence


def enlarge(logits: NDArray[np.float32], size: Size) -> torch.Tensor:
    shape = (size.height, size.width)
    return F.interpolate(torch.from_numpy(logits)[None], shape, mode="bilinear", align_corners=True)[0]


def assert_as_torch(result: LabelBuffers, logits: NDArray[np.float32], size: Size) -> None:
    """Compare labels and confidence with torch's dense answer, labels wherever that is no tie."""
    enlarged = enlarge(logits, size)
    best, expected = enlarged.max(0)
    differs = torch.from_numpy(result.labels) != expected
    chosen = enlarged.gather(0, torch.from_numpy(result.labels)[None].long())[0]
    lost = (best - chosen)[differs]
    tie = ROUNDING * np.abs(logits).max()
    assert (lost <= tie).all(), f"{(lost > tie).sum()} pixels have another label than torch"
    assert result.confidence is not None
    probability = (enlarged - best).exp().sum(0).reciprocal() * 255
    assert np.abs(result.confidence - probability.numpy()).max() <= 1.0


def noise(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def smooth(seed: int, *shape: int) -> NDArray[np.float32]:
    """Blobs of classes with noise on top, as networks give; up to +-25."""
    classes, height, width = shape
    coarse = torch.from_numpy(4 * noise(seed, classes, height // 8 + 2, width // 8 + 2))[None]
    blobs = F.interpolate(coarse, (height, width), mode="bicubic")[0].numpy()
    return np.ascontiguousarray(np.clip(blobs, -25, 25) + noise(seed + 1, *shape) / 6, np.float32)


def tied(seed: int, *shape: int) -> NDArray[np.float32]:
    """Few distinct values, so that many classes are equal."""
    return np.round(noise(seed, *shape) / 3)


@pytest.mark.parametrize("grid", [(5, 7), (1, 1), (1, 6), (3, 1)])
@pytest.mark.parametrize("size", [Size(56, 40), Size(37, 23), Size(7, 5), Size(3, 2)])
def test_matches_the_equations(grid: tuple[int, int], size: Size) -> None:
    logits = noise(1, 6, *grid)
    labels, confidence = labels_from_logits(logits, size, confidence=True)
    expected_labels, expected_confidence = naive(logits.astype(np.float64), size)
    np.testing.assert_array_equal(labels, expected_labels)
    assert confidence is not None
    assert np.abs(confidence - expected_confidence * 255).max() <= 0.6
    assert labels.dtype == confidence.dtype == np.uint8


@pytest.mark.parametrize("make", [noise, smooth, tied])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("classes", "grid", "size"),
    [
        (19, (64, 128), Size(1280, 720)),
        (11, (45, 80), Size(640, 360)),
        (11, (45, 80), Size(1919, 1079)),
        (255, (9, 14), Size(160, 90)),
        (2, (30, 40), Size(317, 241)),
        (1, (5, 6), Size(50, 40)),
        (7, (30, 40), Size(17, 11)),  # smaller than the grid: cells without a pixel
        (7, (30, 40), Size(40, 200)),  # as wide as the grid
        (7, (30, 40), Size(200, 30)),  # as high as the grid
        (7, (30, 40), Size(40, 30)),
        (7, (30, 40), Size(1, 1)),
        (7, (1, 40), Size(300, 20)),
        (7, (40, 1), Size(20, 300)),
        (5, (2, 2), Size(8192, 9)),
        (5, (2, 2), Size(9, 8192)),
    ],
)
def test_matches_torch(make, threads: int, classes: int, grid: tuple[int, int], size: Size) -> None:
    logits = make(2, classes, *grid)
    result = labels_from_logits(logits, size, confidence=True, threads=threads)
    assert_as_torch(result, logits, size)
    plain = labels_from_logits(logits, size, threads=threads)
    assert plain.confidence is None
    np.testing.assert_array_equal(plain.labels, result.labels)


def test_matches_torch_for_random_sizes() -> None:
    random = np.random.default_rng(3)
    for seed in range(80):
        classes, height, width = random.integers(1, 24), *random.integers(1, 30, 2)
        size = Size(*random.integers(1, 150, 2).tolist())
        logits = (noise, smooth, tied)[seed % 3](seed, classes, height, width)
        threads = int(random.integers(0, 4))
        assert_as_torch(labels_from_logits(logits, size, confidence=True, threads=threads), logits, size)


@pytest.mark.parametrize("factor", [1e-30, 1e3, 1e30])
def test_matches_torch_for_logits_of_any_magnitude(factor: float) -> None:
    logits = noise(4, 6, 8, 9) * np.float32(factor)
    size = Size(200, 170)
    assert_as_torch(labels_from_logits(logits, size, confidence=True), logits, size)


def test_real_borders_are_not_taken_from_the_grid() -> None:
    logits, size = smooth(5, 11, 45, 80), Size(640, 360)
    exact = labels_from_logits(logits, size).labels
    nearest = enlarge(logits.argmax(0)[None].astype(np.float32), size)[0].round().numpy()
    assert 0.01 < (exact != nearest).mean() < 0.3  # else the other tests would see only insides of classes


def test_ties_go_to_the_lowest_class() -> None:
    labels, confidence = labels_from_logits(np.zeros((4, 3, 3), np.float32), Size(20, 20), confidence=True)
    assert not labels.any()
    assert confidence is not None and (confidence == 64).all()  # a quarter of 255, rounded
    logits = np.zeros((4, 3, 3), np.float32)
    logits[1] = logits[3] = 1
    assert (labels_from_logits(logits, Size(20, 20)).labels == 1).all()


def test_logits_are_not_changed() -> None:
    logits = noise(6, 3, 4, 4)
    logits.flags.writeable = False
    before = logits.copy()
    labels_from_logits(logits, Size(4, 4), confidence=True)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.nan, np.inf, -np.inf]])
@pytest.mark.parametrize("size", [Size(160, 120), Size(20, 70), Size(9, 7)])
def test_not_finite_logits_are_an_error_or_torchs_answer(values: list[float], size: Size, threads: int) -> None:
    random = np.random.default_rng(7)
    logits = noise(7, 5, 15, 20)
    for value in values:
        logits.flat[random.integers(0, logits.size, 12)] = value
    with pytest.raises(InferenceError, match="not all finite.*fp32"):
        labels_from_logits(logits, size, threads=threads)
    result = LabelBuffers(*(np.empty((size.height, size.width), np.uint8) for _ in range(2)))
    assert not kernels.labels_from_logits(logits, *result, threads)
    enlarged = enlarge(logits, size)
    best, labels = enlarged.max(0)
    # With few distinct classes at 12 places, no tie is among the finite pixels of this seed.
    np.testing.assert_array_equal(result.labels, labels.numpy())
    probability = (enlarged - best).exp().sum(0).reciprocal().nan_to_num(0.0).mul(255).numpy()
    assert result.confidence is not None
    assert np.abs(result.confidence - probability).max() <= 1.0
    assert (result.confidence[~np.isfinite(best.numpy())] == 0).all()
    assert not torch.isfinite(best).all()


def test_a_single_bad_logit_is_found_wherever_it_is() -> None:
    for position in np.ndindex(3, 5, 9):
        logits = noise(8, 3, 5, 9)
        logits[position] = np.nan
        with pytest.raises(InferenceError):
            labels_from_logits(logits, Size(2, 2))


def test_out_is_written_in_place_and_nothing_around_it() -> None:
    logits, size = noise(9, 6, 10, 12), Size(101, 67)
    expected = labels_from_logits(logits, size, confidence=True)
    guard, count = 13, 101 * 67  # an odd offset, as in a message's buffer
    storage = np.full((2, count + 2 * guard), 99, np.uint8)
    labels, confidence = (row[guard:-guard].reshape(67, 101) for row in storage)
    result = labels_from_logits(logits, size, confidence=True, out=LabelBuffers(labels, confidence), threads=2)
    assert result.labels is labels and result.confidence is confidence
    np.testing.assert_array_equal(labels, expected.labels)
    np.testing.assert_array_equal(confidence, expected.confidence)
    assert (storage[:, :guard] == 99).all() and (storage[:, -guard:] == 99).all()


def test_with_out_nothing_of_the_images_size_is_allocated() -> None:
    logits, size = noise(10, 6, 10, 12), Size(1280, 720)
    out = LabelBuffers(np.empty((720, 1280), np.uint8), np.empty((720, 1280), np.uint8))
    labels_from_logits(logits, size, confidence=True, out=out)
    tracemalloc.start()
    try:
        labels_from_logits(logits, size, confidence=True, out=out)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_callers_in_several_threads_do_not_disturb_each_other() -> None:
    size = Size(320, 180)
    inputs = [smooth(seed, 7, 23, 40) for seed in range(4)]
    expected = [labels_from_logits(logits, size, confidence=True) for logits in inputs]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            result = labels_from_logits(inputs[index], size, confidence=True, threads=2)
            if not all(np.array_equal(*pair) for pair in zip(result, expected[index], strict=True)):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((4, 5, 6), np.float64), "are float64, expected C-contiguous float32"),
        (np.zeros((4, 5, 6), np.float16), "are float16"),
        (np.zeros((5, 6), np.float32), r"shape \(5, 6\)"),
        (np.zeros((1, 4, 5, 6), np.float32), r"shape \(1, 4, 5, 6\)"),
        (np.zeros((256, 2, 2), np.float32), r"shape \(256, 2, 2\)"),
        (np.zeros((0, 2, 2), np.float32), r"shape \(0, 2, 2\)"),
        (np.zeros((3, 0, 2), np.float32), r"shape \(3, 0, 2\)"),
        (np.zeros((5, 6, 4), np.float32).transpose(2, 0, 1), "strides"),
        (np.zeros((4, 5, 12), np.float32)[:, :, ::2], "strides"),
        (torch.zeros(4, 5, 6), "type Tensor"),
    ],
)
def test_unfit_logits_are_refused(logits, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels_from_logits(logits, Size(60, 50))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (LabelBuffers(np.zeros((60, 50), np.uint8), np.zeros((50, 60), np.uint8)), r"out.labels .*\(60, 50\)"),
        (LabelBuffers(np.zeros((50, 60), np.uint8), np.zeros((50, 61), np.uint8)), r"out.confidence .*\(50, 61\)"),
        (LabelBuffers(np.zeros((50, 60), np.int8), np.zeros((50, 60), np.uint8)), "out.labels is int8"),
        (LabelBuffers(np.zeros((50, 120), np.uint8)[:, ::2], np.zeros((50, 60), np.uint8)), "C-contiguous: False"),
        (LabelBuffers(np.zeros((50, 60), np.uint8), None), "confidence is True, but out.confidence is NoneType"),
        (LabelBuffers(np.frombuffer(bytes(3000), np.uint8).reshape(50, 60), None), "writable: False"),
    ],
)
def test_unfit_buffers_are_refused(out: LabelBuffers, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels_from_logits(noise(11, 3, 5, 6), Size(60, 50), confidence="writable" not in message, out=out)


@pytest.mark.parametrize("size", [Size(0, 50), Size(60, -1), Size(8193, 50)])
def test_unfit_sizes_are_refused(size: Size) -> None:
    with pytest.raises(ValueError, match="sides from 1 to 8192"):
        labels_from_logits(noise(11, 3, 5, 6), size)


@pytest.mark.parametrize("threads", [-1, 65])
def test_unfit_numbers_of_threads_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        labels_from_logits(noise(11, 3, 5, 6), Size(60, 50), threads=threads)


DRIVABLE3 = np.array([255, 2, 2, 0, 1, 2, 2, 2, 2, 2, 2], np.uint8)  # of camvid11


def merged_labels(logits: NDArray[np.float32], size: Size, label_of: NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
    """Sums of the softmax probabilities, float64 (labels, H, W), and which label each is of."""
    shape = (size.height, size.width)
    enlarged = F.interpolate(torch.from_numpy(logits)[None].double(), shape, mode="bilinear", align_corners=True)[0]
    ids = torch.from_numpy(np.unique(label_of))
    return torch.stack([enlarged.softmax(0)[label_of == label].sum(0) for label in ids.numpy()]), ids


def assert_as_merged(
    logits: NDArray[np.float32], size: Size, label_of: NDArray[np.uint8], threads: int = 0
) -> NDArray[np.uint8]:
    result = labels_from_logits(logits, size, confidence=True, label_of=label_of, threads=threads)
    sums, ids = merged_labels(logits, size, label_of)
    best, places = sums.max(0)
    differs = ids[places].numpy() != result.labels
    chosen = torch.stack(
        [(torch.from_numpy(result.labels) == label) * value for label, value in zip(ids, sums, strict=True)]
    ).sum(0)
    lost = (1 - chosen / best).numpy()[differs]
    assert (lost < 1e-4).all(), f"{(lost >= 1e-4).sum()} pixels have another label, though the sums differ"
    assert result.confidence is not None
    assert np.abs(result.confidence - 255 * best.numpy()).max() <= 0.6
    plain = labels_from_logits(logits, size, label_of=label_of, threads=threads).labels
    assert (plain != result.labels)[lost_free(sums)].sum() == 0
    return result.labels


def lost_free(sums: torch.Tensor) -> NDArray[np.bool_]:
    """Where the two largest sums differ by more than rounding."""
    if len(sums) == 1:
        return np.ones(sums.shape[1:], bool)
    first, second = sums.topk(2, 0).values
    return (second / first < 0.999).numpy()


@pytest.mark.parametrize("make", [noise, smooth])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((45, 80), Size(640, 360)),
        ((45, 80), Size(1919, 1079)),
        ((30, 40), Size(17, 11)),
        ((30, 40), Size(200, 30)),
        ((1, 40), Size(300, 20)),
        ((40, 1), Size(20, 300)),
        ((2, 2), Size(9, 1000)),
        ((1, 1), Size(5, 6)),
    ],
)
def test_merged_classes_add_up_before_the_decision(make, threads: int, grid: tuple[int, int], size: Size) -> None:
    logits = make(20, 11, *grid)
    merged = assert_as_merged(logits, size, DRIVABLE3, threads)
    if size == Size(640, 360):  # else a table after the decision would do
        best = np.append(DRIVABLE3, 0)[labels_from_logits(logits, size).labels]
        assert 0.0005 < (best != merged).mean() < 0.5


def test_merged_classes_of_random_shapes() -> None:
    random = np.random.default_rng(21)
    for seed in range(60):
        classes, height, width = random.integers(1, 24), *random.integers(1, 30, 2)
        size = Size(*random.integers(1, 150, 2).tolist())
        label_of = random.choice([0, 1, 2, 7, 254, 255], classes).astype(np.uint8)
        assert_as_merged((noise, smooth)[seed % 2](seed, classes, height, width), size, label_of, int(seed % 4))


@pytest.mark.parametrize("factor", [1e-30, 30, 1e3, 1e30])
def test_merged_classes_of_any_magnitude(factor: float) -> None:
    assert_as_merged(noise(22, 11, 8, 9) * np.float32(factor), Size(200, 170), DRIVABLE3)


def test_three_weak_classes_beat_a_strong_one_and_equal_sums_go_to_the_lowest_label() -> None:
    logits = np.zeros((4, 3, 3), np.float32)
    logits[0] = 0.9  # e^0.9 = 2.46, against 3
    label_of = np.array([0, 1, 1, 1], np.uint8)
    labels, confidence = labels_from_logits(logits, Size(20, 20), confidence=True, label_of=label_of)
    assert (labels == 1).all() and confidence is not None
    assert (confidence == round(255 * 3 / (3 + np.exp(0.9)))).all()
    ties = np.array([255, 3, 2, 255], np.uint8)
    equal = labels_from_logits(np.zeros((4, 3, 3), np.float32), Size(9, 9), label_of=ties[[1, 2, 1, 2]])
    assert (equal.labels == 2).all()
    assert (labels_from_logits(np.zeros((4, 3, 3), np.float32), Size(9, 9), label_of=ties).labels == 255).all()


def test_each_class_its_own_label_is_the_same_as_none() -> None:
    logits, size = smooth(23, 11, 45, 80), Size(640, 360)
    result = labels_from_logits(logits, size, confidence=True, label_of=np.arange(11, dtype=np.uint8))
    assert_as_torch(result, logits, size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_merged_logits_that_are_not_finite_are_an_error(value: float) -> None:
    for position in [(0, 0, 0), (10, 14, 19), (5, 7, 3)]:
        logits = noise(24, 11, 15, 20)
        logits[position] = value
        with pytest.raises(InferenceError, match="not all finite"):
            labels_from_logits(logits, Size(160, 120), confidence=True, label_of=DRIVABLE3)


@pytest.mark.parametrize(
    "label_of",
    [np.zeros(10, np.uint8), np.zeros(11, np.int64), np.zeros((1, 11), np.uint8), np.zeros(22, np.uint8)[::2]],
)
def test_unfit_labels_of_classes_are_refused(label_of: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"label_of is .*expected contiguous uint8 of shape \(11,\)"):
        labels_from_logits(noise(25, 11, 5, 6), Size(60, 50), label_of=label_of)
