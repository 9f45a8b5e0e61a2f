from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from evaluation_data import write_weights
from numpy.typing import NDArray
from torch.nn import functional

from fanet_ros.errors import InferenceError, SettingError
from fanet_ros.evaluation.looks import Looks
from fanet_ros.evaluation.prediction import AveragingPredictor, SinglePredictor, make_predictor
from fanet_ros.evaluation.windows import window_weights
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size

IMAGE_SIZE = Size(136, 88)


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Segmenter]]:
    weights = write_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")
    opened = {
        size: Segmenter(weights, backend="torch", device="cpu", precision="fp32", input_size=size, threads=1)
        for size in ("camera", "96x64")
    }
    yield opened
    for segmenter in opened.values():
        segmenter.close()


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(3).integers(0, 256, (11, 17, 3), np.uint8)
    return cv2.resize(coarse, IMAGE_SIZE, interpolation=cv2.INTER_CUBIC)


def agreement(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
    return float(np.mean(some == others))


def probabilities(segmenter: Segmenter, image: NDArray[np.uint8]) -> torch.Tensor:
    """Those of an image as it is, (classes, H, W), in double precision."""
    logits = torch.from_numpy(segmenter.logits(np.ascontiguousarray(image)).astype(np.float64))
    size = image.shape[:2]
    return functional.interpolate(logits[None], size, mode="bilinear", align_corners=True)[0].softmax(0)


@pytest.mark.parametrize("input_size", ["camera", "96x64"])
def test_one_look_is_what_the_segmenter_does(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], input_size: str
) -> None:
    segmenter = segmenters[input_size]
    expected = segmenter.segment(image).labels.copy()
    assert len(np.unique(expected)) > 2
    averaged = AveragingPredictor(segmenter, Looks()).predict(image)
    assert averaged.dtype == np.uint8 and averaged.shape == image.shape[:2]
    assert agreement(averaged, expected) > 0.9999  # but for ties
    single = make_predictor(segmenter, Looks())
    assert isinstance(single, SinglePredictor)
    np.testing.assert_array_equal(single.predict(image), expected)


def test_mirrored_images_have_mirrored_labels(segmenters: dict[str, Segmenter], image: NDArray[np.uint8]) -> None:
    predictor = make_predictor(segmenters["camera"], Looks(flip=True))
    labels = predictor.predict(image)
    mirrored = predictor.predict(np.ascontiguousarray(image[:, ::-1]))
    assert agreement(mirrored[:, ::-1], labels) > 0.999
    plain = make_predictor(segmenters["camera"], Looks())
    once = plain.predict(image).copy()
    twice = plain.predict(np.ascontiguousarray(image[:, ::-1]))
    assert agreement(twice[:, ::-1], once) < 0.99  # so it is the mirror that makes the difference


def test_scales_are_averaged_as_probabilities(segmenters: dict[str, Segmenter], image: NDArray[np.uint8]) -> None:
    segmenter = segmenters["camera"]
    predictor = make_predictor(segmenter, Looks(scales=(0.5, 1.0)))
    assert predictor.input_sizes(IMAGE_SIZE) == (Size(64, 48), IMAGE_SIZE)  # 68x44 in steps of 8
    labels = predictor.predict(image)
    small = FrameResizer().to_network_input(image, "rgb8", Size(64, 48))
    logits = torch.from_numpy(segmenter.logits(small).copy())
    size = image.shape[:2]
    half = functional.interpolate(logits[None], size, mode="bilinear", align_corners=True)[0].softmax(0)
    expected = (half + probabilities(segmenter, image)).argmax(0).numpy()
    assert agreement(labels, expected) > 0.999
    assert agreement(labels, segmenter.segment(image).labels) < 0.99


def test_windows_side_by_side_are_images_of_their_own(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8]
) -> None:
    segmenter = segmenters["camera"]
    predictor = make_predictor(segmenter, Looks(window=Size(68, 44)))
    assert predictor.input_sizes(IMAGE_SIZE) == (Size(68, 44),)
    labels = predictor.predict(image)
    for top in (0, 44):
        for left in (0, 68):
            part = np.ascontiguousarray(image[top : top + 44, left : left + 68])
            expected = segmenter.segment(part).labels
            assert agreement(labels[top : top + 44, left : left + 68], expected) > 0.999


@pytest.mark.parametrize(
    ("window", "stride"), [(Size(64, 48), Size(40, 32)), (Size(64, 48), Size(64, 48)), (Size(136, 40), Size(136, 8))]
)
def test_windows_that_overlap_are_weighted(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], window: Size, stride: Size
) -> None:
    segmenter = segmenters["camera"]
    labels = make_predictor(segmenter, Looks(window=window, stride=stride)).predict(image)
    total = torch.zeros(11, IMAGE_SIZE.height, IMAGE_SIZE.width, dtype=torch.float64)
    weights = torch.from_numpy(window_weights(window))
    # a plain sum over the whole image, with windows written down in another way: from both ends
    tops = {min(top, IMAGE_SIZE.height - window.height) for top in range(0, IMAGE_SIZE.height, stride.height)}
    lefts = {min(left, IMAGE_SIZE.width - window.width) for left in range(0, IMAGE_SIZE.width, stride.width)}
    for top in tops:
        for left in lefts:
            there = (slice(top, top + window.height), slice(left, left + window.width))
            total[:, there[0], there[1]] += weights * probabilities(segmenter, image[there])
    assert agreement(labels, total.argmax(0).numpy()) > 0.999


@pytest.mark.parametrize("window", [Size(136, 88), Size(500, 400)])
def test_a_window_that_covers_the_image_is_the_image(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], window: Size
) -> None:
    predictor = make_predictor(segmenters["96x64"], Looks(window=window, stride=Size(32, 32)))
    assert isinstance(predictor, AveragingPredictor)
    assert agreement(predictor.predict(image), segmenters["96x64"].segment(image).labels) > 0.9999


@pytest.mark.gpu
def test_sums_on_a_gpu_are_the_same(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    weights = write_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")
    looks = Looks(scales=(0.75, 1.0), flip=True, window=Size(64, 48), stride=Size(40, 32))
    segmenter = Segmenter(weights, backend="torch", device="cuda", precision="fp32", input_size="camera")
    on_gpu = make_predictor(segmenter, looks).predict(image)
    segmenter.close()
    assert agreement(on_gpu, make_predictor(segmenters["camera"], looks).predict(image)) > 0.999


def test_logits_that_are_no_numbers(image: NDArray[np.uint8]) -> None:
    broken = SimpleNamespace(
        backend_info=SimpleNamespace(device="cpu"),
        network=None,
        label_set=("a", "b"),
        input_size_for=lambda size: size,
        logits=lambda pixels: np.full((2, 11, 17), np.nan, np.float32),
    )
    with pytest.raises(InferenceError, match="use precision fp32"):
        AveragingPredictor(cast(Any, broken), Looks(flip=True)).predict(image)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nstack"), "9 bytes"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "CUDA out of memory"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_memory_that_does_not_suffice(
    failure: Exception,
    words: str,
    segmenters: dict[str, Segmenter],
    image: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(functional, "interpolate", fail)
    whole = make_predictor(segmenters["96x64"], Looks(scales=(1.0, 2.0)))
    with pytest.raises(
        InferenceError, match="average 11 classes over an image of 136x88, seen at up to 192x128: give a"
    ):
        whole.predict(image)
    windows = make_predictor(segmenters["camera"], Looks(window=Size(64, 48)))
    with pytest.raises(
        InferenceError, match=r"136x88 in windows of 64x48, .* a smaller --window or --input-size"
    ) as told:
        windows.predict(image)
    assert words in str(told.value) and "\n" not in str(told.value)


def test_other_faults_are_no_lack_of_memory(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(functional, "interpolate", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        make_predictor(segmenters["camera"], Looks(flip=True)).predict(image)


def test_looks_that_cannot_be() -> None:
    for settings, text in (
        ({"scales": ()}, "scales: received none, expected numbers from 0.1 to 8"),
        ({"scales": (1.0, 0.0)}, "scales: received 1, 0, expected"),
        ({"scales": (float("nan"),)}, "scales: received nan"),
        ({"stride": Size(32, 32)}, "stride: received 32x32 without a window"),
        ({"window": Size(64, 64), "stride": Size(64, 65)}, "expected at most the window's 64x64"),
    ):
        with pytest.raises(SettingError, match=text):
            Looks(**settings)  # type: ignore[arg-type]


def test_an_input_that_grows_too_large(segmenters: dict[str, Segmenter]) -> None:
    predictor = make_predictor(segmenters["camera"], Looks(scales=(8.0,)))
    with pytest.raises(SettingError, match="8 makes the network's input 16384x512, expected sides up to 8192"):
        predictor.input_sizes(Size(2048, 64))


def test_merged_classes_are_the_sums_of_all_looks(
    segmenters: dict[str, Segmenter], image: NDArray[np.uint8], tmp_path: Path
) -> None:
    plain = segmenters["camera"]
    names = plain.label_set.names
    (tmp_path / "mine.yaml").write_text(f"classes: {{some: [{', '.join(names[:4])}], more: [{', '.join(names[4:7])}]}}")
    segmenter = Segmenter(
        write_weights(tmp_path / "random.safetensors"),
        labels=str(tmp_path / "mine.yaml"),
        backend="torch",
        precision="fp32",
        input_size="camera",
    )
    single = segmenter.segment(image).labels
    assert agreement(AveragingPredictor(segmenter, Looks()).predict(image), single) > 0.999
    chances = probabilities(plain, image)
    sums = torch.stack([chances[:4].sum(0), chances[4:7].sum(0), chances[7:].sum(0)])
    assert agreement(np.array([0, 1, 255])[sums.argmax(0)], single) > 0.999 and len(np.unique(single)) > 1
    windows = AveragingPredictor(segmenter, Looks(window=Size(96, 64), stride=Size(40, 24), flip=True)).predict(image)
    assert set(np.unique(windows)) <= {0, 1, 255}
    segmenter.close()
