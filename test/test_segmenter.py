import errno
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fanet_ros.backends.base import BackendRequest, HostBackend
from fanet_ros.errors import (
    BackendError,
    FanetError,
    FrameError,
    InferenceError,
    LabelSetError,
    NoRoomError,
    SettingError,
    WeightsError,
)
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess import LabelBuffers, labels_from_logits
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.scheduling.batching import BatchReport, BatchTiming
from fanet_ros.segmenter import FrameRequest, Segmentation, Segmenter
from fanet_ros.settings import Size

RNG = np.random.default_rng(3)
FRAME = cv2.GaussianBlur(RNG.integers(0, 256, (90, 160, 3), np.uint8), (0, 0), 5)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu", input_size="160x96")


class BrightnessBackend(HostBackend):
    """Answers class 1 where the image is bright, class 0 elsewhere, on a 1/8-size grid whose corners are the image's.

    What a network with perfectly aligned corners would say, so that any shift of the mask is the segmenter's.
    """

    name = "brightness"
    classes = 2

    @classmethod
    def find_device(cls, device: str) -> str:
        return "cpu"

    @classmethod
    def precisions(cls, device: str) -> tuple[str, ...]:
        return ("fp32",)

    def prepare(self, input_size: Size, batch: int = 1) -> None:
        """Nothing to build."""

    def _run(self, images: NDArray[np.uint8], *states: NDArray[np.float32]) -> NDArray[np.float32]:
        grey = torch.from_numpy(images).float().mean(3)[:, None]
        size = (-(-images.shape[1] // 8), -(-images.shape[2] // 8))
        grid = torch.nn.functional.interpolate(grey, size, mode="bilinear", align_corners=True).numpy()
        return np.concatenate([np.full_like(grid, 127.5), grid], 1)

    def close(self) -> None:
        raise AssertionError("not closed in this test")


@pytest.mark.parametrize("frame_size", [Size(640, 360), Size(641, 361), Size(1280, 720)])
@pytest.mark.parametrize("input_size", ["camera", "auto", "512x256", "320x320"])
def test_mask_lines_up_with_the_camera_image(
    monkeypatch: pytest.MonkeyPatch, frame_size: Size, input_size: str
) -> None:
    brightness = BrightnessBackend(BackendRequest(Path("none"), "cpu", "fp32"))
    monkeypatch.setattr("fanet_ros.segmenter.create_backend", lambda *_, **__: brightness)
    monkeypatch.setattr("fanet_ros.segmenter.resolve_label_set", lambda *_: None)
    segmenter = Segmenter(input_size=input_size)
    # a triangle wave of 256 pixels changes by 2 grey values a pixel and crosses the threshold at known places
    for axis, length in ((1, frame_size.width), (0, frame_size.height)):
        wave = 255 - np.abs(np.arange(length) % 256 * 2.0 - 255)
        across = wave[None, :] if axis == 1 else wave[:, None]
        frame = np.broadcast_to(across[..., None], (frame_size.height, frame_size.width, 3)).round().astype(np.uint8)
        labels = segmenter.segment(frame).labels
        assert labels.shape == frame.shape[:2]
        line = labels[frame_size.height // 2] if axis == 1 else labels[:, frame_size.width // 2]
        found = np.flatnonzero(np.diff(line.astype(int)))
        expected = np.flatnonzero(np.diff((wave > 127.5).astype(int)))
        assert len(found) == len(expected) >= 2
        assert np.abs(found - expected).max() <= 1


def test_labels_are_the_networks_logits_enlarged(segmenter: Segmenter) -> None:
    image = FrameResizer().to_network_input(FRAME, "rgb8", Size(160, 96))
    logits = segmenter._backend.infer(image)
    expected, expected_confidence = labels_from_logits(logits, Size(160, 90), confidence=True)
    result = segmenter.segment(FRAME, confidence=True)
    np.testing.assert_array_equal(result.labels, expected)
    assert result.confidence is not None and expected_confidence is not None
    np.testing.assert_array_equal(result.confidence, expected_confidence)
    assert result.input_size == Size(160, 96)
    assert len(np.unique(result.labels)) > 1, "a mask of one class would prove nothing"


def test_channel_order_is_honoured(segmenter: Segmenter) -> None:
    swapped = np.ascontiguousarray(FRAME[..., ::-1])
    np.testing.assert_array_equal(segmenter.segment(FRAME, "rgb8").labels, segmenter.segment(swapped, "bgr8").labels)
    assert (segmenter.segment(FRAME, "rgb8").labels != segmenter.segment(swapped, "rgb8").labels).any()


def test_output_size(segmenter: Segmenter) -> None:
    result = segmenter.segment(FRAME, output_size=Size(40, 20), confidence=True)
    assert result.labels.shape == (20, 40)
    assert result.confidence is not None and result.confidence.shape == (20, 40)


def test_confidence_only_on_demand(segmenter: Segmenter) -> None:
    assert segmenter.segment(FRAME).confidence is None
    assert segmenter.segment(FRAME, confidence_threshold=0.5).confidence is None


def test_uncertain_pixels_become_unlabelled(segmenter: Segmenter) -> None:
    full = segmenter.segment(FRAME, confidence=True)
    assert full.confidence is not None
    threshold = float(np.median(full.confidence)) / 255
    cut = segmenter.segment(FRAME, confidence_threshold=threshold).labels
    uncertain = full.confidence < threshold * 255
    assert 0 < uncertain.mean() < 1
    assert (cut[uncertain] == UNLABELLED).all()
    np.testing.assert_array_equal(cut[~uncertain], full.labels[~uncertain])


def test_results_are_not_overwritten_by_the_next_frame(segmenter: Segmenter) -> None:
    first = segmenter.segment(FRAME).labels
    before = first.copy()
    segmenter.segment(255 - FRAME)
    np.testing.assert_array_equal(first, before)


def test_what_cannot_be_built_is_not_tried_for_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(device="cpu", input_size="160x96")
    tried: list[Size] = []

    def fail(size: Size) -> None:
        tried.append(size)
        raise BackendError("the compiler gave up")

    monkeypatch.setattr(segmenter._backend, "prepare", fail)
    for _ in range(3):
        with pytest.raises(BackendError, match="the compiler gave up"):
            segmenter.segment(FRAME)
    assert tried == [Size(160, 96)]


@pytest.mark.parametrize("kind", ["room", "disk"])
def test_what_lacks_room_is_tried_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(device="cpu", input_size="160x96")
    with monkeypatch.context() as patch:

        def fail(size: Size) -> None:
            if kind == "room":
                raise NoRoomError("the GPU's memory is full")
            raise BackendError("cannot be built") from OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(segmenter._backend, "prepare", fail)
        with pytest.raises(BackendError):
            segmenter.segment(FRAME)
    assert segmenter.segment(FRAME).labels.shape == FRAME.shape[:2]


@pytest.mark.parametrize("error", [RuntimeError("std::exception"), MemoryError()])
def test_a_library_that_fails_while_it_builds_costs_no_other_frame_its_labels(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="camera")
    prepare = segmenter._backend.prepare

    def fail_for_large_ones(size: Size) -> None:
        if size.width > 160:
            raise error
        prepare(size)

    monkeypatch.setattr(segmenter._backend, "prepare", fail_for_large_ones)
    large = np.zeros((96, 320, 3), np.uint8)
    good, bad = segmenter.segment_batch([FrameRequest(FRAME, "rgb8"), FrameRequest(large, "rgb8")])
    assert labels_of(good).shape == FRAME.shape[:2]
    assert isinstance(bad, BackendError) and type(error).__name__ in str(bad)


def test_given_arrays_are_written_to(segmenter: Segmenter) -> None:
    expected = segmenter.segment(FRAME, confidence=True)
    memory = np.full((2, 90, 160), 77, np.uint8)
    result = segmenter.segment(FRAME, confidence=True, out=LabelBuffers(memory[0], memory[1]))
    assert np.shares_memory(result.labels, memory) and result.confidence is not None
    np.testing.assert_array_equal(memory[0], expected.labels)
    np.testing.assert_array_equal(memory[1], expected.confidence)

    threshold = float(np.median(memory[1])) / 255
    segmenter.segment(FRAME, confidence_threshold=threshold, out=LabelBuffers(memory[0], None))
    np.testing.assert_array_equal(memory[0], segmenter.segment(FRAME, confidence_threshold=threshold).labels)


def test_a_frame_allocates_nothing_of_its_size(segmenter: Segmenter) -> None:
    """All of it, with threshold and confidence; what the network itself needs is the backend's affair."""
    frame = np.zeros((720, 1280, 3), np.uint8)
    out = LabelBuffers(np.empty((720, 1280), np.uint8), np.empty((720, 1280), np.uint8))

    def segment() -> None:
        segmenter.segment(frame, "bgr8", confidence=True, confidence_threshold=0.5, out=out)

    segment()
    tracemalloc.start()
    try:
        segment()
        assert tracemalloc.get_traced_memory()[1] < 720 * 1280 / 8
    finally:
        tracemalloc.stop()


def test_class_shares() -> None:
    labels = np.array([[0, 0, 1, 255]], np.uint8)
    np.testing.assert_allclose(Segmentation(labels, None, Size(4, 1)).class_shares(3), [0.5, 0.25, 0])


def test_bad_frame_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(FrameError, match="shape"):
        segmenter.segment(np.zeros((10, 10, 4), np.uint8), "rgb8")


def test_bad_settings_name_themselves() -> None:
    with pytest.raises(SettingError, match="input_size: received 'huge'"):
        Segmenter(input_size="huge")
    with pytest.raises(SettingError, match="backend: received 'caffe', expected one of auto, torch"):
        Segmenter(backend="caffe")
    with pytest.raises(SettingError, match="precision: received 'int3'"):
        Segmenter(precision="int3")
    with pytest.raises(SettingError, match="device: received 'tpu'"):
        Segmenter(device="tpu")


def test_bad_weights_and_labels() -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        Segmenter(Path("/nowhere/model.safetensors"))
    with pytest.raises(LabelSetError, match="19 classes but the weights have 11"):
        Segmenter(labels="cityscapes19")


# -- several input sizes -----------------------------------------------------------------------------------------------


def test_scale_is_the_networks_input(segmenter: Segmenter) -> None:
    both = Segmenter(device="cpu", input_size="160x96", scales=(1.0, 0.6))
    small = Segmenter(device="cpu", input_size="96x64")
    result = both.segment(FRAME, scale=0.6)
    assert result.input_size == Size(96, 64) and result.labels.shape == FRAME.shape[:2]
    np.testing.assert_array_equal(result.labels, small.segment(FRAME).labels)
    np.testing.assert_array_equal(both.segment(FRAME).labels, segmenter.segment(FRAME).labels)
    with pytest.raises(SettingError, match=r"scale: received 0.5, expected one of 1.0, 0.6"):
        both.segment(FRAME, scale=0.5)
    with pytest.raises(SettingError, match=r"scales: received \(1.0, 0.0\), expected numbers above 0 and up to 1"):
        Segmenter(device="cpu", scales=(1.0, 0.0))


def built_sizes(segmenter: Segmenter) -> list[Size]:
    return list(segmenter._backend._infer_requests)  # type: ignore[attr-defined]


def test_all_scales_are_built_before_they_are_needed_and_kept() -> None:
    """By warm_up for the usual aspect ratio, and at its first frame for any other; what is not needed goes."""
    segmenter = Segmenter(backend="openvino", precision="fp32", scales=(0.2, 0.1))
    usual = [segmenter.input_size_for(Size(1280, 720), scale) for scale in (0.2, 0.1)]
    segmenter.warm_up()
    assert sorted(built_sizes(segmenter), reverse=True) == usual
    tall = np.zeros((100, 50, 3), np.uint8)
    segmenter.segment(tall, scale=0.2)
    assert sorted(built_sizes(segmenter)) == sorted(segmenter.input_size_for(Size(50, 100), s) for s in (0.2, 0.1))


# -- several frames ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batching_segmenter() -> Segmenter:
    """Two frames are a batch, whatever this machine says."""
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="160x96")
    segmenter._batches.report = BatchReport(2, (BatchTiming(1.0, Size(160, 96), 2.0, 1.0),))
    return segmenter


def note_runs(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each run of the network has."""
    runs: list[int] = []
    infer_batch = segmenter._backend.infer_batch

    def noted(images: NDArray[np.uint8], memories: Any) -> NDArray[np.float32]:
        runs.append(len(images))
        return infer_batch(images, memories)

    monkeypatch.setattr(segmenter._backend, "infer_batch", noted)
    return runs


def labels_of(result: Segmentation | FanetError) -> NDArray[np.uint8]:
    assert isinstance(result, Segmentation)
    return result.labels


def test_a_batch_gives_what_its_frames_give_alone(
    batching_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = np.ascontiguousarray(FRAME[::-1, :150, 0])
    requests = [
        FrameRequest(FRAME, "rgb8", confidence=True),
        FrameRequest(grey, "mono8", output_size=Size(80, 40)),
        FrameRequest(FRAME[:, ::-1], "bgr8"),
    ]
    alone = [
        batching_segmenter.segment(r.frame, r.encoding, output_size=r.output_size, confidence=r.confidence)
        for r in requests
    ]
    runs = note_runs(batching_segmenter, monkeypatch)
    together = batching_segmenter.segment_batch(requests)
    assert runs == [2, 1], "two as one batch, and one alone"
    for result, expected in zip(together, alone, strict=True):
        assert isinstance(result, Segmentation) and result.input_size == expected.input_size
        assert result.labels.shape == expected.labels.shape
        assert (result.labels == expected.labels).mean() >= 0.999
        assert (result.confidence is None) == (expected.confidence is None)
        if result.confidence is not None and expected.confidence is not None:
            assert np.abs(result.confidence.astype(int) - expected.confidence).max() <= 1
    assert len({labels_of(result).tobytes() for result in together}) == 3


def test_a_bad_frame_costs_no_other_its_labels(batching_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = note_runs(batching_segmenter, monkeypatch)
    bad = FrameRequest(np.zeros((10, 10, 4), np.uint8), "rgb8")
    first, refused, second = batching_segmenter.segment_batch(
        [FrameRequest(FRAME, "rgb8"), bad, FrameRequest(255 - FRAME, "rgb8")]
    )
    assert isinstance(refused, FrameError) and "shape (10, 10, 4)" in str(refused)
    assert runs == [2]
    assert (labels_of(first) == batching_segmenter.segment(FRAME).labels).mean() >= 0.999
    assert (labels_of(second) == batching_segmenter.segment(255 - FRAME).labels).mean() >= 0.999
    assert batching_segmenter.segment_batch([]) == []


def test_unusable_logits_cost_no_other_frame_its_labels(
    batching_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer_batch = batching_segmenter._backend.infer_batch

    def spoil_the_last(images: NDArray[np.uint8], memories: Any) -> NDArray[np.float32]:
        logits = infer_batch(images, memories).copy()
        logits[-1, 0, 0, 0] = np.nan
        return logits

    monkeypatch.setattr(batching_segmenter._backend, "infer_batch", spoil_the_last)
    good, unusable = batching_segmenter.segment_batch([FrameRequest(FRAME, "rgb8")] * 2)
    assert labels_of(good).shape == (90, 160) and isinstance(unusable, InferenceError)
    (alone,) = batching_segmenter.segment_batch([FrameRequest(FRAME, "rgb8")])
    assert isinstance(alone, InferenceError)


def test_uncertain_pixels_of_a_batch_become_unlabelled(batching_segmenter: Segmenter) -> None:
    """In arrays that are given, without one for the confidence: each frame needs memory of its own for that."""
    frames = [FRAME, np.ascontiguousarray(255 - FRAME[::-1])]
    expected = [batching_segmenter.segment(frame, confidence_threshold=0.6).labels for frame in frames]
    outs = [LabelBuffers(np.zeros((90, 160), np.uint8)) for _ in frames]
    requests = [FrameRequest(frame, "rgb8", out=out) for frame, out in zip(frames, outs, strict=True)]
    results = batching_segmenter.segment_batch(requests, confidence_threshold=0.6)
    for result, out, labels in zip(results, outs, expected, strict=True):
        assert labels_of(result) is out.labels
        assert 0 < (labels == UNLABELLED).mean() < 1
        assert (out.labels == labels).mean() >= 0.999


def test_a_batch_that_fails_is_never_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="160x96")
    segmenter._batches.report = BatchReport(2, (BatchTiming(1.0, Size(160, 96), 2.0, 1.0),))
    tried: list[int] = []

    def fail(requests: list[FrameRequest], input_size: Size) -> None:
        tried.append(len(requests))
        raise BackendError("out of memory")

    monkeypatch.setattr(segmenter._backend, "segment_batch", fail)
    for _ in range(2):
        for result in segmenter.segment_batch([FrameRequest(FRAME, "rgb8")] * 2):
            np.testing.assert_array_equal(labels_of(result), segmenter.segment(FRAME).labels)
    assert tried == [2]
    assert str(segmenter.batching).endswith("one after the other: a batch of 2 failed: out of memory")


def test_what_cannot_be_built_is_an_error_for_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(device="cpu", input_size="160x96")

    def fail(size: Size) -> None:
        raise BackendError("the compiler gave up")

    monkeypatch.setattr(segmenter._backend, "prepare", fail)
    results = segmenter.segment_batch([FrameRequest(FRAME, "rgb8")] * 2)
    assert [str(result) for result in results] == ["the compiler gave up"] * 2


def test_warm_up_finds_out_whether_a_batch_pays() -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="160x96", scales=(1.0, 0.5))
    assert str(segmenter.batching) == "frames that wait together run one after the other: no batch was asked for"
    segmenter.warm_up(batch=2)
    report = segmenter.batching
    assert report.batch == 2
    assert [timing.input_size for timing in report.timings] == [Size(160, 96), Size(64, 64)]
    assert all(timing.single_ms > 0 and timing.batched_ms > 0 for timing in report.timings)
    kept = list(segmenter._backend._batch_requests)  # type: ignore[attr-defined]
    assert kept == [(timing.input_size, 2) for timing in report.timings if timing.pays]
    assert len(segmenter.segment_batch([FrameRequest(FRAME, "rgb8")] * 3, scale=0.5)) == 3


def test_batches_are_measured_for_the_shapes_that_come() -> None:
    """What warm_up has guessed goes when the first image has another shape, and is used for no other."""
    segmenter = Segmenter(backend="openvino", precision="fp32", kept_sizes=4, scales=(0.2,))
    usual, square = Size(1280, 720), Size(80, 80)
    segmenter.warm_up(batch=3)
    assert segmenter.batch_for(square, 0.2) == 1, "a batch of another shape was not measured"
    segmenter.segment(np.zeros((80, 80, 3), np.uint8), scale=0.2)
    assert built_sizes(segmenter) == [segmenter.input_size_for(square, 0.2)]
    assert list(segmenter._backend._batch_requests) == []  # type: ignore[attr-defined]
    assert segmenter.measure_batch(square, 2) and not segmenter.measure_batch(square, 2)
    (timing,) = segmenter.batching.timings
    assert timing.input_size == segmenter.input_size_for(square, 0.2)
    assert segmenter.batch_for(square, 0.2) == (2 if timing.pays else 1)
    assert segmenter.batch_for(usual, 0.2) == 1, "what was measured before is no longer prepared"
    assert str(timing.input_size) in segmenter.batching_in_words
    assert not segmenter.measure_batch(square, 1) and segmenter.batch_for(square, 0.2) == 1


def test_images_of_ever_new_shapes_cost_no_measurement_each(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="camera")
    measured: list[Size] = []

    def measure(_: object, frame: FrameRequest, sizes: dict[float, Size], batch: int) -> BatchReport:
        measured.append(sizes[1.0])
        return BatchReport(batch, (BatchTiming(1.0, sizes[1.0], 2.0, 1.0),))

    monkeypatch.setattr("fanet_ros.scheduling.batch_choice.measure_batches", measure)
    shapes = [Size(64 + 8 * number, 64) for number in range(200)]
    for shape in shapes:
        segmenter.measure_batch(shape, 2)
    assert measured == shapes[:24]
    assert segmenter.batch_for(shapes[-1]) == 1 and "too many shapes" in segmenter.batching_in_words
    segmenter.measure_batch(shapes[0], 2)
    assert segmenter.batch_for(shapes[0]) == 2, "what was measured still holds"


def test_each_result_tells_how_many_ran_together(batching_segmenter: Segmenter) -> None:
    results = batching_segmenter.segment_batch([FrameRequest(FRAME, "rgb8")] * 3)
    assert [result.batch for result in results if isinstance(result, Segmentation)] == [2, 2, 1]
    assert batching_segmenter.segment(FRAME).batch == 1


def test_sizes_that_take_turns_are_kept_or_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanet_ros")
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="camera", kept_sizes=2)
    pictures = [np.zeros((64, width, 3), np.uint8) for width in (64, 96, 128)]
    for picture in pictures[:2] * 3:
        segmenter.segment(picture)
    assert caplog.text.count("the network was compiled for") == 1 and "again" not in caplog.text
    for picture in pictures * 2:
        segmenter.segment(picture)
    assert caplog.text.count("images of more input sizes take turns than the 2 that are kept") == 1


def test_nothing_is_measured_where_nothing_can_be_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    of_any_size = Segmenter(device="cpu", input_size="camera")
    of_any_size.warm_up(batch=2)
    assert "with input_size camera nothing is known before the first frame" in str(of_any_size.batching)
    brightness = BrightnessBackend(BackendRequest(Path("none"), "cpu", "fp32"))
    monkeypatch.setattr("fanet_ros.segmenter.create_backend", lambda *_, **__: brightness)
    monkeypatch.setattr("fanet_ros.segmenter.resolve_label_set", lambda *_: None)
    without = Segmenter(input_size="160x96")
    without.warm_up(batch=2)
    assert "backend brightness has no batches" in str(without.batching)
    assert len(without.segment_batch([FrameRequest(FRAME, "rgb8")] * 2)) == 2


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_classes_are_merged_whatever_runs_the_network(backend: str, tmp_path: Path) -> None:
    text = "classes: {nature: [tree, sky], way: [road, pavement]}\nrest: other\ngroups: {drivable: [way]}\n"
    (tmp_path / "mine.yaml").write_text(text)
    merged = Segmenter(
        labels=str(tmp_path / "mine.yaml"), backend=backend, device="cpu", precision="fp32", input_size="160x96"
    )
    assert merged.label_set.names == ("nature", "way", "other") and len(merged.label_set.of_network) == 11
    image = FrameResizer().to_network_input(FRAME, "rgb8", Size(160, 96))
    logits = torch.from_numpy(merged.logits(image))[None].double()
    chances = torch.nn.functional.interpolate(logits, (90, 160), mode="bilinear", align_corners=True)[0].softmax(0)
    label_of = np.array(merged.label_set.merging)
    sums = torch.stack([chances[label_of == label].sum(0) for label in range(3)]).numpy()
    result = merged.segment(FRAME, confidence=True)
    assert (result.labels == sums.argmax(0)).mean() > 0.9999 and set(np.unique(result.labels)) == {0, 1, 2}
    assert (result.labels != label_of[chances.argmax(0)]).any(), "else a table after the decision would do"
    assert result.confidence is not None and np.abs(result.confidence - 255 * sums.max(0)).max() <= 1
    assert merged.segment_batch([FrameRequest(FRAME, "rgb8")] * 2)[1].class_shares(3).sum() == pytest.approx(1)  # type: ignore[union-attr]
    merged.close()


def test_merged_classes_that_do_not_fit_the_network_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("classes: {way: [raod]}\n")
    with pytest.raises(LabelSetError, match="'raod' is no class of the network's"):
        Segmenter(labels=str(tmp_path / "mine.yaml"), device="cpu", input_size="160x96")


@pytest.mark.parametrize("weights", ["/dev/zero", "/", "/proc/self/mem", "/dev/stdin"])
def test_weights_that_are_no_file_are_refused_at_once(weights: str) -> None:
    with pytest.raises(WeightsError, match=f"^{weights}: .*(no file|not a file|no ordinary file)"):
        Segmenter(weights)
