"""Temporal fast attention in every backend and precision there is here, against the plain network on a real video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fanet_ros.backends import backend_class, create_backend
from fanet_ros.backends.base import Backend, BackendRequest
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.openvino.backend import OpenvinoBackend
from fanet_ros.backends.torch_backend import TorchBackend
from fanet_ros.errors import BackendError, FrameError, InferenceError, SettingError
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.graph import FrameToLogits, prepare_for_inference
from fanet_ros.model.weights import load_network
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.scheduling.batching import BatchReport, BatchTiming
from fanet_ros.segmenter import FrameRequest, Segmentation, Segmenter
from fanet_ros.settings import Size
from fanet_ros.sources import open_source
from fanet_ros.video.video_memory import MAX_TEMPORAL_FRAMES, VideoMemory, VideoStates

SIZE = Size(320, 192)
FRAMES = 10  # attention here looks back at three
STATE_SIZE = 1 + 32 * (64 + 128 + 256 + 512)
NOT_A_NUMBER = float("nan")

# share of fp32's labels at the logits' size over the whole video; measured: fp32 1.0, bf16 0.9994 (torch) and 0.9997,
# int8 0.994
WAYS = {
    ("torch", "fp32"): 0.999,
    ("openvino", "fp32"): 0.999,
    ("torch", "bf16"): 0.99,
    ("openvino", "bf16"): 0.99,
    ("openvino", "int8"): 0.985,
    ("cuda path on the CPU", "fp32"): 0.999,
}

REMEMBERED = {"fp32": 1e-5, "bf16": 0.03, "int8": 0.15}  # errors relative to the contexts' norm


def read_video(seed: int, frames: int = FRAMES) -> list[NDArray[np.uint8]]:
    with open_source("street", width=SIZE.width, height=SIZE.height, seed=seed) as source:
        read = (source.read() for _ in range(frames))
        return [np.ascontiguousarray(frame.image) for frame in read if frame is not None]


@pytest.fixture(scope="module")
def video() -> list[NDArray[np.uint8]]:
    return read_video(0)


@pytest.fixture(scope="module")
def other_video() -> list[NDArray[np.uint8]]:
    return read_video(3, 4)


@cache
def plain_graph() -> FrameToLogits:
    """The network as it is written down: batch norm not folded, attention not rescaled, single precision."""
    return FrameToLogits(load_network(DEFAULT_WEIGHTS)).eval()


@torch.inference_mode()
def plain_logits(video: list[NDArray[np.uint8]], temporal_frames: int) -> list[NDArray[np.float32]]:
    state = torch.zeros(1, temporal_frames - 1, STATE_SIZE)
    logits = []
    for frame in video:
        found, state = plain_graph()(torch.from_numpy(frame)[None], state)
        logits.append(found[0].numpy())
    return logits


@pytest.fixture(scope="module")
def expected(video: list[NDArray[np.uint8]]) -> Callable[[int], list[NDArray[np.float32]]]:
    return cache(lambda temporal_frames: plain_logits(video, temporal_frames))


def start(name: str, precision: str, temporal_frames: int) -> Backend:
    if name == "cuda path on the CPU":
        backend = TorchBackend(BackendRequest(DEFAULT_WEIGHTS, "cpu", precision, temporal_frames=temporal_frames))
        states = VideoStates(backend.info, temporal_frames - 1, STATE_SIZE) if temporal_frames > 1 else None
        backend.path = CudaPath(lambda _: backend._run_on_gpu, torch.device("cpu"), 1, states)
        backend._memories = states and backend.path
        return backend
    kind = {"torch": TorchBackend, "openvino": OpenvinoBackend}[name]
    if precision not in kind.precisions("cpu"):
        pytest.skip(f"this processor has no {precision}")
    return create_backend(
        DEFAULT_WEIGHTS, backend=name, device="cpu", precision=precision, temporal_frames=temporal_frames
    )


@pytest.fixture(params=["torch", "openvino", "cuda path on the CPU"], scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend in fp32 whose attention sees two frames."""
    with closing(start(request.param, "fp32", 2)) as backend:
        yield backend


@pytest.fixture(scope="module")
def single() -> Iterator[Backend]:
    """A backend in fp32 whose attention sees the frame alone."""
    with closing(start("torch", "fp32", 1)) as backend:
        yield backend


@pytest.fixture(scope="module")
def stranger() -> Iterator[VideoMemory]:
    """A memory of a backend that no test runs."""
    with closing(start("openvino", "fp32", 3)) as backend:
        yield backend.new_memory()


@pytest.mark.parametrize("temporal_frames", [2, 4])
@pytest.mark.parametrize(("name", "precision"), WAYS)
def test_a_video_is_seen_as_by_the_plain_network(
    name: str,
    precision: str,
    temporal_frames: int,
    video: list[NDArray[np.uint8]],
    expected: Callable[[int], list[NDArray[np.float32]]],
) -> None:
    with closing(start(name, precision, temporal_frames)) as backend:
        check_video(backend, video, expected(temporal_frames), WAYS[name, precision])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; this machine has none")
@pytest.mark.parametrize("temporal_frames", [2, 4])
@pytest.mark.parametrize(
    ("name", "precision", "agreement"),
    [("torch", "fp32", 0.999), ("torch", "fp16", 0.99), ("tensorrt", "fp32", 0.999), ("tensorrt", "fp16", 0.99)],
)
def test_a_video_on_a_gpu(
    name: str,
    precision: str,
    agreement: float,
    temporal_frames: int,
    video: list[NDArray[np.uint8]],
    expected: Callable[[int], list[NDArray[np.float32]]],
) -> None:
    kind = backend_class(name)
    try:
        device = kind.find_device("cuda")
    except BackendError as error:
        pytest.skip(str(error))
    request = BackendRequest(DEFAULT_WEIGHTS, device, precision, temporal_frames=temporal_frames)
    with closing(kind(request)) as backend:
        check_video(backend, video, expected(temporal_frames), agreement)


def check_video(
    backend: Backend, video: list[NDArray[np.uint8]], expected: list[NDArray[np.float32]], agreement: float
) -> None:
    agreements, errors, changes, counts = [], [], [], []
    memory = backend.new_memory()
    for frame, logits in zip(video, expected, strict=True):
        found = backend.infer(frame, memory).copy()
        alone = backend.infer(frame)
        agreements.append((found.argmax(0) == logits.argmax(0)).mean())
        errors.append(np.abs(found - logits).max() / logits.std())
        changes.append(np.abs(found - alone).max() / logits.std())
        counts.append(memory.frames)
    assert counts == [min(seen, backend.temporal_frames - 1) for seen in range(1, FRAMES + 1)]
    assert np.mean(agreements) >= agreement
    if backend.info.precision == "fp32":
        assert max(errors) < 1e-3
    assert changes[0] < 1e-2 * max(changes), "there is nothing yet to look back at"
    assert min(changes[1:]) > 5e-3, "the memory was not used"


@pytest.mark.parametrize(("name", "precision"), WAYS)
def test_what_is_remembered_is_what_the_plain_network_remembers(
    name: str, precision: str, video: list[NDArray[np.uint8]]
) -> None:
    """Stage by stage, as numbers of one stage would hide errors in another's."""
    graph = prepare_for_inference(plain_graph())  # whose contexts are scaled as those of the backends
    expected = torch.zeros(1, 3, STATE_SIZE)
    with closing(start(name, precision, 4)) as backend:
        memory = backend.new_memory()
        for frame in video[::5]:
            backend.infer(frame, memory)
            with torch.inference_mode():
                _, expected = graph(torch.from_numpy(frame)[None], expected)
        found = torch.as_tensor(memory.state).reshape(3, STATE_SIZE)  # type: ignore[attr-defined]
    assert found[:, 0].tolist() == expected[0, :, 0].tolist() == [1, 1, 0]
    for past, remembered in zip(found[:2], expected[0], strict=False):
        stages = (32 * 64, 32 * 128, 32 * 256, 32 * 512)
        for received, wanted in zip(past[1:].split(stages), remembered[1:].split(stages), strict=True):
            assert (received - wanted).norm() < REMEMBERED[precision] * wanted.norm()


def test_a_frame_without_memory_is_seen_alone(pair: Backend, single: Backend, video: list[NDArray[np.uint8]]) -> None:
    memory = pair.new_memory()
    for frame in video[:3]:
        pair.infer(frame, memory)
        np.testing.assert_allclose(pair.infer(frame), single.infer(frame), atol=1e-3)


@pytest.mark.parametrize("name", ["torch", "openvino", "cuda path on the CPU"])
def test_single_frames_with_a_memory_are_what_they_are_without(name: str, video: list[NDArray[np.uint8]]) -> None:
    with closing(start(name, "fp32", 1)) as backend:
        memory = backend.new_memory()
        for frame in video[:3]:
            alone = backend.infer(frame).copy()
            np.testing.assert_array_equal(backend.infer(frame, memory), alone)
            without = backend.segment(FrameRequest(frame, "rgb8", SIZE), SIZE)
            remembering = backend.segment(FrameRequest(frame, "rgb8", SIZE, memory=memory), SIZE)
            np.testing.assert_array_equal(remembering.labels, without.labels)
        assert memory.frames == 0
        memory.reset()


def test_memories_of_two_cameras_do_not_mix(
    pair: Backend, video: list[NDArray[np.uint8]], other_video: list[NDArray[np.uint8]]
) -> None:
    first, second = pair.new_memory(), pair.new_memory()
    videos = (video[:4], other_video)
    found: list[list[NDArray[np.float32]]] = [[], []]
    for frames in zip(*videos, strict=True):
        for frame, memory, logits in zip(frames, (first, second), found, strict=True):
            logits.append(pair.infer(frame, memory).copy())
    for frames, logits in zip(videos, found, strict=True):
        for expected, received in zip(plain_logits(frames, 2), logits, strict=True):
            np.testing.assert_allclose(received, expected, atol=1e-3)


def test_a_batch_with_memories_is_what_single_runs_are(
    pair: Backend, video: list[NDArray[np.uint8]], other_video: list[NDArray[np.uint8]]
) -> None:
    """The first camera begins earlier, the last frame has no memory."""
    alone = [pair.new_memory(), pair.new_memory()]
    together = [pair.new_memory(), pair.new_memory()]
    for memory in (alone[0], together[0]):
        pair.infer(video[0], memory)
    for frame, other in zip(video[1:4], other_video, strict=False):
        images = np.stack([frame, other, frame])
        memories: list[VideoMemory | None] = [*alone, None]
        expected = [pair.infer(image, memory).copy() for image, memory in zip(images, memories, strict=True)]
        np.testing.assert_allclose(pair.infer_batch(images, [*together, None]), expected, atol=1e-4)
        assert np.abs(expected[0] - expected[2]).max() > 1e-2
    requests = [FrameRequest(video[4], "rgb8", memory=together[0]), FrameRequest(video[5], "rgb8", memory=together[1])]
    results = pair.segment_batch(requests, SIZE)
    for request, memory, result in zip(requests, alone, results, strict=True):
        single = pair.segment(FrameRequest(request.frame, "rgb8", SIZE, memory=memory), SIZE)
        assert isinstance(result, LabelBuffers) and (result.labels == single.labels).mean() >= 0.999
    assert [memory.frames for memory in together] == [1, 1]


def test_reset_begins_anew_and_so_does_another_input_size(pair: Backend, video: list[NDArray[np.uint8]]) -> None:
    memory = pair.new_memory()
    small = np.ascontiguousarray(video[1][::2, ::2])
    at_start = {image.shape: pair.infer(image).copy() for image in (video[1], small)}
    pair.infer(video[0], memory)
    memory.reset()
    assert memory.frames == 0
    np.testing.assert_allclose(pair.infer(video[1], memory), at_start[video[1].shape], atol=1e-4)
    np.testing.assert_allclose(pair.infer(small, memory), at_start[small.shape], atol=1e-4)
    assert memory.frames == 1
    np.testing.assert_allclose(pair.infer(video[1], memory), at_start[video[1].shape], atol=1e-4)


def test_memories_of_others_are_refused(pair: Backend, stranger: VideoMemory, video: list[NDArray[np.uint8]]) -> None:
    with pytest.raises(SettingError, match="made by another segmenter or backend"):
        pair.infer(video[0], stranger)


def test_a_state_that_is_not_finite_never_stays(pair: Backend, video: list[NDArray[np.uint8]]) -> None:
    memory = pair.new_memory()
    pair.infer(video[0], memory)
    memory.state[..., 5] = NOT_A_NUMBER  # type: ignore[attr-defined]
    with pytest.raises(InferenceError, match="not all finite"):
        pair.segment(FrameRequest(video[1], "rgb8", SIZE, memory=memory), SIZE)
    assert memory.frames == 0
    expected = pair.infer(video[2]).copy()
    np.testing.assert_allclose(pair.infer(video[2], memory), expected, atol=1e-4)


def test_numbers_that_quantisation_hides_are_not_remembered(video: list[NDArray[np.uint8]]) -> None:
    """Rounding to 8 bits makes any context a finite one, so that labels look well."""
    backend = start("openvino", "int8", 4)
    memory = backend.new_memory()
    for frame in video[:2]:
        backend.infer(frame, memory)
    run = backend._infer_requests[SIZE]  # type: ignore[attr-defined]

    class Spoils:
        def __getattr__(self, name: str) -> object:
            return getattr(run, name)

        def infer(self, inputs: object, **options: object) -> None:
            run.infer(inputs, **options)
            run.get_tensor("next_state").data[0, 0, 7] = np.inf

    backend._infer_requests[SIZE] = Spoils()  # type: ignore[attr-defined]
    assert np.isfinite(backend.infer(video[2], memory)).all()
    assert memory.frames == 0 and not memory.state.any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_a_memory_is_small(name: str) -> None:
    memory = start(name, "fp32", MAX_TEMPORAL_FRAMES).new_memory()
    assert memory.state.nbytes < 1e6  # type: ignore[attr-defined]


# the segmenter -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(
        backend="openvino", device="cpu", precision="fp32", input_size="320x192", scales=(1.0, 0.5), temporal_frames=3
    )


def labels_at(result: Segmentation | Exception) -> NDArray[np.uint8]:
    assert isinstance(result, Segmentation)
    return result.labels


def test_frames_that_fail_leave_the_memory_as_it_was(segmenter: Segmenter, video: list[NDArray[np.uint8]]) -> None:
    memory = segmenter.new_memory()
    for frame in video[:2]:
        segmenter.segment(frame, memory=memory)
    before = memory.state.copy()  # type: ignore[attr-defined]
    with pytest.raises(FrameError):
        segmenter.segment(video[2][..., :2], memory=memory)
    (refused,) = segmenter.segment_batch([FrameRequest(video[2][..., :2], "rgb8", memory=memory)])
    assert isinstance(refused, FrameError)
    with pytest.raises(SettingError, match="scale"):
        segmenter.segment(video[2], memory=memory, scale=0.3)
    assert memory.frames == 2
    np.testing.assert_array_equal(memory.state, before)  # type: ignore[attr-defined]


def test_another_scale_begins_anew(segmenter: Segmenter, video: list[NDArray[np.uint8]]) -> None:
    memory = segmenter.new_memory()
    segmenter.segment(video[0], memory=memory)
    small = segmenter.segment(video[1], memory=memory, scale=0.5)
    assert memory.frames == 1
    np.testing.assert_array_equal(small.labels, segmenter.segment(video[1], scale=0.5).labels)


def test_waiting_frames_with_memories(segmenter: Segmenter, video: list[NDArray[np.uint8]]) -> None:
    """As one batch and one after the other: the same labels, and each camera keeps to itself."""
    results: dict[bool, list[NDArray[np.uint8]]] = {}
    for batched in (False, True):
        segmenter._batches.report = BatchReport(2, (BatchTiming(1.0, SIZE, 2.0, 1.0),)) if batched else BatchReport(1)
        memories = [segmenter.new_memory() for _ in range(3)]
        results[batched] = []
        for start_at in range(3):
            requests = [
                FrameRequest(video[start_at + 3 * camera], "rgb8", memory=memory)
                for camera, memory in enumerate(memories)
            ]
            results[batched] += map(labels_at, segmenter.segment_batch(requests, confidence_threshold=0.3))
        assert [memory.frames for memory in memories] == [2, 2, 2]
    for one, other in zip(results[False], results[True], strict=True):
        assert (one == other).mean() >= 0.999


def test_a_memory_serves_one_frame_at_a_time(
    segmenter: Segmenter, stranger: VideoMemory, video: list[NDArray[np.uint8]]
) -> None:
    memory = segmenter.new_memory()
    with pytest.raises(SettingError, match="two frames of a batch have the same memory"):
        segmenter.segment_batch([FrameRequest(frame, "rgb8", memory=memory) for frame in video[:2]])
    with pytest.raises(SettingError, match="made by another segmenter"):
        segmenter.segment_batch([FrameRequest(video[0], "rgb8", memory=stranger)])
    with pytest.raises(SettingError, match="made by another segmenter"):
        segmenter.segment(video[0], memory=stranger)
    assert memory.frames == 0


def test_numbers_of_frames_out_of_range_are_refused() -> None:
    with pytest.raises(SettingError, match="temporal_frames: received 9"):
        Segmenter(device="cpu", temporal_frames=9)


def test_a_frame_beside_one_that_fails_is_remembered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="96x64", temporal_frames=3)
    segment = OpenvinoBackend.segment

    def fails_on_black(self: OpenvinoBackend, request: FrameRequest, input_size: Size) -> LabelBuffers:
        if not request.frame.any():
            raise RuntimeError("out of memory")
        return segment(self, request, input_size)

    monkeypatch.setattr(OpenvinoBackend, "segment", fails_on_black)
    good, bad = segmenter.new_memory(), segmenter.new_memory()
    with closing(segmenter):
        requests = [
            FrameRequest(np.full((64, 96, 3), 90, np.uint8), "rgb8", memory=good),
            FrameRequest(np.zeros((64, 96, 3), np.uint8), "rgb8", memory=bad),
        ]
        first, second = segmenter.segment_batch(requests)
    assert isinstance(first, Segmentation)
    assert isinstance(second, InferenceError) and "RuntimeError: out of memory" in str(second)
    assert (good.frames, bad.frames) == (1, 0)
