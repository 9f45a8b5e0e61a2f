"""The way from frame to labels on a GPU: its logic with CPU tensors here, graphs and streams where there is a GPU."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.backends.cuda.device_function import as_tensor
from fanet_ros.backends.cuda.device_memory import DeviceMemory
from fanet_ros.backends.cuda.path import CudaPath
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import InferenceError
from fanet_ros.frames.frame import CHANNELS
from fanet_ros.frames.frame_torch import TorchFrameResizer
from fanet_ros.frames.look import Look
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits, enlarge_labels
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoStates

RNG = np.random.default_rng(0)
INPUT, OUTPUT = Size(64, 40), Size(90, 60)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; this machine has none")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])]


def network(image: Tensor) -> Tensor:
    """Four classes that tell the channels apart, at an eighth of the image's size."""
    planes = image.permute(0, 3, 1, 2).float()
    small = torch.nn.functional.avg_pool2d(planes, 8, ceil_mode=True) / 255
    return torch.cat([small, 0.5 + 0 * small[:, :1]], 1)


def new_path(device: str) -> CudaPath:
    return CudaPath(lambda size: network, torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("encoding", CHANNELS)
def test_frame_becomes_the_labels_that_its_parts_make(device: str, encoding: str) -> None:
    frame = RNG.integers(0, 256, (80, 128, CHANNELS[encoding]), np.uint8)
    path = new_path(device)
    image = TorchFrameResizer(Size(128, 80), encoding, INPUT, torch.device("cpu"))(torch.from_numpy(frame)).numpy()
    logits = network(torch.from_numpy(image)[None])[0]
    labels, sureness = dense_labels_from_logits(logits, OUTPUT, confidence=True)
    out = path.segment(FrameRequest(frame, encoding, OUTPUT, confidence=True), INPUT)
    assert out.labels.shape == (60, 90) and out.confidence is not None and sureness is not None
    assert (out.labels == labels.numpy()).mean() > 0.999
    assert np.abs(out.confidence.astype(int) - sureness.numpy()).max() <= 1
    assert len(np.unique(out.labels)) > 1
    np.testing.assert_allclose(path.infer_batch(image[None])[0], logits, atol=1e-5)
    path.close()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_camera_gets_its_labels_as_it_sees(device: str, rotation: int) -> None:
    upright = RNG.integers(0, 256, (INPUT.height, INPUT.width, 3), np.uint8)
    turned = np.rot90(upright, rotation // 90).copy()
    path = new_path(device)
    expected = path.segment(FrameRequest(upright, "rgb8", confidence=True), INPUT)
    found = path.segment(FrameRequest(turned, "rgb8", confidence=True, look=Look(rotation)), INPUT)
    assert (found.labels == np.rot90(expected.labels, rotation // 90)).mean() > 0.999
    assert expected.confidence is not None and found.confidence is not None
    assert np.abs(found.confidence.astype(int) - np.rot90(expected.confidence, rotation // 90)).max() <= 1
    path.close()


@pytest.mark.parametrize("device", DEVICES)
def test_merged_classes(device: str) -> None:
    frame = RNG.integers(0, 256, (80, 128, 3), np.uint8)
    path, label_of = new_path(device), np.array([1, 255, 1, 0], np.uint8)
    image = TorchFrameResizer(Size(128, 80), "rgb8", INPUT, torch.device("cpu"))(torch.from_numpy(frame)).numpy()
    logits = network(torch.from_numpy(image)[None])[0]
    labels, sureness = dense_labels_from_logits(logits, OUTPUT, confidence=True, label_of=label_of)
    request = FrameRequest(frame, "rgb8", OUTPUT, confidence=True)
    for out in (path.segment(request, INPUT, label_of), *path.segment_batch([request] * 2, INPUT, label_of)):
        assert isinstance(out, LabelBuffers) and out.confidence is not None and sureness is not None
        assert (out.labels == labels.numpy()).mean() > 0.999
        assert np.abs(out.confidence.astype(int) - sureness.numpy()).max() <= 1
    assert set(np.unique(labels)) <= {0, 1, 255} and (path.segment(request, INPUT).labels == 3).any()
    path.close()


@pytest.mark.parametrize("device", DEVICES)
def test_every_frame_is_seen_however_often_sizes_change(device: str) -> None:
    """More sizes than are kept, in turn and with other contents each time."""
    path = new_path(device)
    for turn in range(3):
        for width in range(100, 107):
            colour = (turn + width) % 3
            frame = np.zeros((50, width, 3), np.uint8)
            frame[..., colour] = 255
            out = path.segment(FrameRequest(frame, "rgb8", OUTPUT, confidence=turn == 1), INPUT)
            assert (out.labels == colour).all()
            assert (out.confidence is None) == (turn != 1)
    path.close()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("confidence", [False, True])
def test_a_batch_gives_what_its_frames_give_alone(device: str, confidence: bool) -> None:
    path = new_path(device)
    frames = [RNG.integers(0, 256, (80, 128, 3), np.uint8) for _ in range(3)]
    out = LabelBuffers(np.zeros((60, 90), np.uint8), np.zeros((60, 90), np.uint8) if confidence else None)
    requests = [FrameRequest(frame, "bgr8", OUTPUT, confidence) for frame in frames[:2]]
    requests.append(FrameRequest(frames[2], "bgr8", OUTPUT, confidence, out))
    assert path.are_alike(requests)
    results = path.segment_batch(requests, INPUT)
    assert results[2] is out
    for frame, result in zip(frames, results, strict=True):
        alone = path.segment(FrameRequest(frame, "bgr8", OUTPUT, confidence=confidence), INPUT)
        assert isinstance(result, LabelBuffers) and (result.labels == alone.labels).mean() > 0.999
        assert (result.confidence is not None) == confidence
        if result.confidence is not None and alone.confidence is not None:
            assert np.abs(result.confidence.astype(int) - alone.confidence).max() <= 1
    assert not np.array_equal(results[0].labels, results[1].labels)  # type: ignore[union-attr]
    path.close()


def counting_network(images: Tensor, state: Tensor) -> Tensor:
    """Logits that tell what the state was, which then counts one more; a white image spoils it."""
    logits = network(images)
    logits[:, 3] = state[:, 0, :1, None]
    state.copy_(state + 1)
    state[images.amin((1, 2, 3)) == 255] = float("inf")
    return logits


@pytest.mark.parametrize("device", DEVICES)
def test_each_video_has_a_state_of_its_own(device: str) -> None:
    maker = object()
    path = CudaPath(lambda size: counting_network, torch.device(device), states=VideoStates(maker, 2, 5))
    image = np.zeros((40, 64, 3), np.uint8)
    first, second = path.new_memory(), path.new_memory()

    def seen(memory: DeviceMemory | None) -> float:
        return float(path.infer_batch(image[None], [memory])[0, 3, 0, 0])

    assert [seen(memory) for memory in (first, first, second, None, first, second)] == [0, 1, 0, 0, 2, 1]
    batch = path.infer_batch(np.stack([image] * 3), [second, None, first])
    assert batch[:, 3, 0, 0].tolist() == [2, 0, 3]
    assert first.state.device.type == device and first.state.shape == (2, 5)
    path.segment_batch([FrameRequest(image, "rgb8", memory=memory) for memory in (first, None)], INPUT)
    assert [seen(first), seen(second)] == [5, 3] and (first.frames, second.frames) == (2, 2)
    first.reset()
    assert first.frames == 0 and seen(first) == 0
    path.infer_batch(np.zeros((1, 48, 64, 3), np.uint8), [first])  # another input size
    assert first.frames == 1 and float(first.state[0, 0]) == 1
    path.close()


def settle(device: str) -> None:
    """Let the stream of the path end before the test looks at a memory on its own, and the other way round."""
    if device == "cuda":
        torch.cuda.synchronize()


@pytest.mark.parametrize("device", DEVICES)
def test_a_state_that_is_not_finite_is_forgotten(device: str) -> None:
    path = CudaPath(lambda size: counting_network, torch.device(device), states=VideoStates(object(), 2, 5))
    black = np.zeros((40, 64, 3), np.uint8)
    good, spoilt = path.new_memory(), path.new_memory()
    requests = [FrameRequest(black, "rgb8", memory=good), FrameRequest(255 - black, "rgb8", memory=spoilt)]
    for frames in (1, 2):
        assert all(isinstance(result, LabelBuffers) for result in path.segment_batch(requests, INPUT))
        assert (good.frames, spoilt.frames) == (frames, 0)
        settle(device)
        assert not spoilt.state.any() and float(good.state[0, 0]) == frames
    good.state[0, 0] = float("nan")
    settle(device)
    with pytest.raises(InferenceError):
        path.segment(FrameRequest(black, "rgb8", OUTPUT, memory=good), INPUT)
    settle(device)
    assert good.frames == 0 and not good.state.any()
    path.close()


def test_frames_that_differ_are_not_alike() -> None:
    frame = np.zeros((80, 128, 3), np.uint8)
    grey = np.zeros((80, 128), np.uint8)
    one = FrameRequest(frame, "rgb8")
    assert CudaPath.are_alike([one, FrameRequest(frame + 1, "rgb8")])
    assert CudaPath.are_alike([FrameRequest(grey, "mono8"), FrameRequest(grey[..., None], "mono8")])
    for other in (
        FrameRequest(frame, "bgr8"),
        FrameRequest(frame[1:], "rgb8", Size(128, 80)),
        FrameRequest(frame, "rgb8", OUTPUT),
        FrameRequest(frame, "rgb8", confidence=True),
        FrameRequest(frame, "rgb8", look=Look(180)),
    ):
        assert not CudaPath.are_alike([one, other])


def test_unusable_logits_of_one_frame_are_its_own() -> None:
    def breaks_at_white(images: Tensor) -> Tensor:
        logits = network(images)
        logits[images.amin((1, 2, 3)) == 255] = float("nan")
        return logits

    path = CudaPath(lambda size: breaks_at_white, torch.device("cpu"))
    black = np.zeros((50, 60, 3), np.uint8)
    results = path.segment_batch([FrameRequest(black, "rgb8"), FrameRequest(255 - black, "rgb8")], INPUT)
    assert isinstance(results[0], LabelBuffers) and isinstance(results[1], InferenceError)


def test_batches_are_kept_apart_and_can_be_dropped() -> None:
    """What is kept for single frames is not lost to batches."""
    asked: list[Size] = []
    path = CudaPath(lambda size: asked.append(size) or network, torch.device("cpu"))  # type: ignore[func-returns-value]
    frame = np.zeros((50, 60, 3), np.uint8)

    def use(width: int, batch: int) -> None:
        path.segment_batch([FrameRequest(frame, "rgb8")] * batch, Size(width, 40))

    use(64, 1)
    for width in (64, 72, 80, 88, 96):
        use(width, 2)
    assert len(asked) == 6
    use(64, 1)
    use(96, 2)
    assert len(asked) == 6
    path.drop_batch(Size(96, 40), 2)
    use(64, 1)
    assert len(asked) == 6
    use(96, 2)
    assert len(asked) == 7


def test_networks_are_asked_for_once_per_size() -> None:
    asked: list[Size] = []
    path = CudaPath(lambda size: asked.append(size) or network, torch.device("cpu"))  # type: ignore[func-returns-value]
    frame = np.zeros((50, 60, 3), np.uint8)
    for _ in range(3):
        path.segment(FrameRequest(frame, "rgb8", OUTPUT), INPUT)
        path.segment(FrameRequest(frame, "rgb8", OUTPUT, confidence=True), INPUT)
        path.infer_batch(np.zeros((1, 40, 64, 3), np.uint8))
    assert asked == [INPUT] * 3


def test_results_are_written_where_they_are_wanted() -> None:
    path = new_path("cpu")
    message = np.full(2 * 60 * 90 + 7, 77, np.uint8)
    out = LabelBuffers(message[: 60 * 90].reshape(60, 90), message[60 * 90 : -7].reshape(60, 90))
    frame = np.zeros((50, 60, 3), np.uint8)
    frame[..., 2] = 255
    assert path.segment(FrameRequest(frame, "rgb8", OUTPUT, confidence=True, out=out), INPUT) is out
    assert (out.labels == 2).all() and (out.confidence != 77).all() and (message[-7:] == 77).all()
    path.segment(FrameRequest(255 - frame, "rgb8", OUTPUT), INPUT)
    assert (out.labels == 2).all()  # what was handed out is not written to again
    first = path.segment(FrameRequest(frame, "rgb8", OUTPUT), INPUT)
    path.segment(FrameRequest(frame[..., ::-1], "rgb8", OUTPUT), INPUT)
    assert (first.labels == 2).all()


def test_padded_read_only_and_two_dimensional_frames() -> None:
    path = new_path("cpu")
    whole = RNG.integers(0, 256, (50, 80), np.uint8)
    frame = whole[:, :60]
    expected = path.segment(FrameRequest(np.ascontiguousarray(frame)[..., None], "mono8", OUTPUT), INPUT).labels
    whole.setflags(write=False)
    for given in (frame, frame[..., None], whole[:, :60]):
        before = given.copy()
        np.testing.assert_array_equal(path.segment(FrameRequest(given, "mono8", OUTPUT), INPUT).labels, expected)
        np.testing.assert_array_equal(given, before)
    assert as_tensor(whole).numpy().ctypes.data == whole.ctypes.data  # no copy


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_an_error(value: float) -> None:
    def broken(image: Tensor) -> Tensor:
        logits = network(image)
        logits[0, 1, 2, 3] = value
        return logits

    path = CudaPath(lambda size: broken, torch.device("cpu"))
    with pytest.raises(InferenceError, match="not all finite.*precision fp32"):
        path.segment(FrameRequest(np.zeros((50, 60, 3), np.uint8), "rgb8", OUTPUT), INPUT)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("refuses", [False, True])
def test_work_that_cannot_be_captured_is_done_all_the_same(refuses: bool, caplog: pytest.LogCaptureFixture) -> None:
    def waits_for_the_device(image: Tensor) -> Tensor:
        assert image.float().mean().item() >= 0
        return network(image)

    def refuses_capture(image: Tensor) -> Tensor:  # as TensorRT may
        if torch.cuda.is_current_stream_capturing():
            raise InferenceError("not in a capture")
        return network(image)

    path = CudaPath(lambda size: refuses_capture if refuses else waits_for_the_device, torch.device("cuda"))
    frame = np.zeros((50, 60, 3), np.uint8)
    frame[..., 1] = 255
    with caplog.at_level(logging.WARNING):
        assert (path.segment(FrameRequest(frame, "rgb8", OUTPUT), INPUT).labels == 1).all()
    assert "cannot be captured" in caplog.text


@pytest.mark.gpu
@needs_gpu
def test_closing_frees_the_memory() -> None:
    before = torch.cuda.memory_allocated()
    path = new_path("cuda")
    path.segment(
        FrameRequest(np.zeros((500, 600, 3), np.uint8), "rgb8", Size(600, 500), confidence=True), Size(1024, 512)
    )
    assert torch.cuda.memory_allocated() > before
    path.close()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("label_of", [None, np.array([1, 255, 1, 0], np.uint8)])
def test_a_network_may_decide_itself_and_lie_otherwise_on_the_image(
    device: str, label_of: NDArray[np.uint8] | None
) -> None:
    def decide(numbers: Tensor, size: Size, *, confidence: bool = False, **merging: Any) -> tuple[Tensor, None]:
        return enlarge_labels(numbers, size, 4, align_corners=False, **merging), None

    path = CudaPath(
        lambda size: lambda image: network(image).argmax(1, keepdim=True).float(),
        torch.device(device),
        decide=decide,
        align_corners=False,
    )
    frame = RNG.integers(0, 256, (80, 128, 3), np.uint8)
    resize = TorchFrameResizer(Size(128, 80), "rgb8", INPUT, torch.device("cpu"), align_corners=False)
    numbers = network(resize(torch.from_numpy(frame))[None])[0].argmax(0, keepdim=True).float()
    out = LabelBuffers(np.zeros((60, 90), np.uint8), np.full((60, 90), 7, np.uint8))
    found = path.segment(FrameRequest(frame, "rgb8", OUTPUT, confidence=True, out=out), INPUT, label_of)
    assert found.confidence is None and found.labels is out.labels
    assert (found.labels == decide(numbers, OUTPUT, label_of=label_of)[0].numpy()).mean() > 0.999
    assert len(np.unique(found.labels)) > 1
    path.close()
