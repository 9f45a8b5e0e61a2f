"""Batches of frames on their way to masks: what one frame's fault costs the others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fanet_ros.msg import SegmentationStats
from rclpy.lifecycle import LifecycleNode
from ros_harness import Probe, noise_picture
from sensor_msgs.msg import Image

from fanet_ros.backends import BackendInfo
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import FanetError, InferenceError
from fanet_ros.model.labels import load_label_set
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.segmentation.camera_channel import CameraChannel, ReceivedFrame
from fanet_ros.ros.segmentation.frame_statistics import FrameCounts
from fanet_ros.ros.segmentation.pipeline import FramePipeline
from fanet_ros.segmenter import Segmentation
from fanet_ros.settings import Size
from fanet_ros.video.video_memory import VideoMemory

pytestmark = pytest.mark.ros

CAMERAS = ("front", "left", "right")
SETTINGS = SegmentationParameters(cameras=CAMERAS)


class FakeSegmenter:
    """Answers with the mean of each frame, or as a test wants it."""

    backend_info = BackendInfo("fake", "cpu", "fp32", "a test")
    label_set = load_label_set("camvid11")

    def __init__(self, *, batched_ms: float = 5.0) -> None:
        self.pays = batched_ms < 10.0
        self.batches: dict[Size, int] = {Size(48, 32): 3 if self.pays else 1}
        self.measured: list[tuple[Size, int]] = []
        self.runs: list[int] = []
        self.most = 3
        self.faults: dict[int, FanetError] = {}  # by the frame's first byte

    def input_size_for(self, frame_size: Size) -> Size:
        return frame_size

    def batch_for(self, frame_size: Size, scale: float) -> int:
        return self.batches.get(frame_size, 1)

    def measure_batch(self, frame_size: Size, batch: int) -> bool:
        self.measured.append((frame_size, batch))
        self.batches[frame_size] = batch if self.pays else 1
        return False

    def segment_batch(
        self, requests: Sequence[FrameRequest], *, confidence_threshold: float, scale: float
    ) -> list[Segmentation | FanetError]:
        self.runs.append(len(requests))
        if len(requests) > self.most:
            raise MemoryError("too many")
        answers = [self._answer(request) for request in requests]
        return [replace(a, batch=len(requests)) if isinstance(a, Segmentation) else a for a in answers]

    def _answer(self, request: FrameRequest) -> Segmentation | FanetError:
        first = int(request.frame.flat[0])
        if first in self.faults:
            return self.faults[first]
        assert request.out is not None
        request.out.labels[...] = first % 11
        return Segmentation(request.out.labels, None, Size(64, 64))


@pytest.fixture
def node(probe: Probe) -> Iterator[LifecycleNode]:
    node = LifecycleNode("pipeline", context=probe.context)
    yield node
    node.destroy_node()


@pytest.fixture
def channels(probe: Probe, node: LifecycleNode) -> list[CameraChannel]:
    """Three active cameras; somebody listens to all masks and stats."""
    channels = [CameraChannel(node, name, SETTINGS, FakeSegmenter.label_set, VideoMemory(None)) for name in CAMERAS]
    node.trigger_configure()
    node.trigger_activate()
    for channel in channels:
        probe.listen(Image, f"/pipeline/{channel.name}/mask")
        probe.listen(SegmentationStats, f"/pipeline/{channel.name}/stats")
        probe.wait(lambda channel=channel: len(channel.outputs.wanted()) == 2, "the subscriptions")
    return channels


def pipeline(node: LifecycleNode, segmenter: FakeSegmenter, *, stopping: bool = False) -> FramePipeline:
    return FramePipeline(segmenter, node.get_clock(), SETTINGS, is_stopping=lambda: stopping)  # type: ignore[arg-type]


def frames(
    probe: Probe, channels: list[CameraChannel], sizes: Sequence[tuple[int, int]] = ((48, 32),) * 3
) -> list[ReceivedFrame]:
    """Return a frame of each camera whose first byte is the camera's number."""
    result = []
    for number, (channel, size) in enumerate(zip(channels, sizes, strict=False)):
        pixels = noise_picture(*size)
        pixels[0, 0, 0] = number
        result.append(ReceivedFrame(channel, probe.image(pixels), perf_counter()))
    return result


def counts(channels: list[CameraChannel]) -> list[FrameCounts]:
    return [channel.statistics.counts for channel in channels]


def test_a_batch_is_one_run_and_each_mask_goes_its_way(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel]
) -> None:
    segmenter = FakeSegmenter()
    sent = frames(probe, channels)
    pipeline(node, segmenter).process(sent, SETTINGS)
    assert segmenter.runs == [3]
    for number, (channel, received) in enumerate(zip(channels, sent, strict=True)):
        mask = probe.answer(f"/pipeline/{channel.name}/mask", received.message)
        assert set(mask.data) == {number}
        stats = probe.answer(f"/pipeline/{channel.name}/stats", received.message)
        assert (stats.camera, stats.batch, stats.input_scale) == (channel.name, 3, 1.0)
        assert stats.age_p95_ms == pytest.approx(stats.age_ms)


@pytest.mark.parametrize(("batched_ms", "taken"), [(5.0, [[0], [0], [0, 1, 2]]), (10.0, [[0], [0], [0]])])
def test_frames_are_taken_together_only_where_that_is_faster(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel], batched_ms: float, taken: list[list[int]]
) -> None:
    under_test = pipeline(node, FakeSegmenter(batched_ms=batched_ms))
    sent = frames(probe, channels)
    assert under_test.choose_next_run(sent) == [0], "of no camera an image was seen yet"
    under_test.process(sent, SETTINGS)
    assert [under_test.choose_next_run(sent[:waiting]) for waiting in (1, 2, 3)] == taken


def test_cameras_of_other_shapes_are_not_waited_for_and_each_shape_has_its_batch(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel]
) -> None:
    segmenter = FakeSegmenter()
    segmenter.batches.clear()
    under_test = pipeline(node, segmenter)
    sent = frames(probe, channels, ((64, 32), (48, 48), (64, 32)))
    for received in sent[:2]:
        under_test.process([received], SETTINGS)
    assert segmenter.measured == [], "the third may be like one of them"
    under_test.process(sent[2:], SETTINGS)
    assert segmenter.measured == [(Size(64, 32), 2), (Size(48, 48), 1)]
    assert under_test.choose_next_run(sent) == [0, 2]
    assert under_test.choose_next_run(sent[:2]) == [0]
    assert under_test.choose_next_run(sent[1:]) == [0]
    segmenter.runs.clear()
    under_test.process([sent[0], sent[2]], SETTINGS)
    assert segmenter.runs == [2]
    under_test.process(frames(probe, channels, ((48, 48), (48, 48), (64, 32))), SETTINGS)  # one changes its shape
    assert segmenter.measured[2:] == [(Size(48, 48), 2), (Size(64, 32), 1)]
    assert segmenter.runs == [2, 2, 1]


def test_one_after_the_other_each_mask_goes_out_at_once_and_tells_its_own_times(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel]
) -> None:
    order: list[str] = []

    class Noting(FakeSegmenter):
        def _answer(self, request: FrameRequest) -> Segmentation | FanetError:
            order.append("segmented")
            return super()._answer(request)

    for channel in channels:
        publish = channel.outputs.publish_images

        def note(*arguments: Any, _publish: Any = publish) -> None:
            order.append("published")
            _publish(*arguments)

        channel.outputs.publish_images = note  # type: ignore[method-assign]
    segmenter = Noting(batched_ms=10.0)
    sent = frames(probe, channels)
    sent = [replace(received, arrival=sent[0].arrival) for received in sent]
    pipeline(node, segmenter).process(sent, SETTINGS)
    assert order == ["segmented", "published"] * 3
    stats = [probe.answer(f"/pipeline/{c.name}/stats", r.message) for c, r in zip(channels, sent, strict=True)]
    assert [one.batch for one in stats] == [1, 1, 1]
    began = [one.wait_ms + one.decode_ms for one in stats]
    assert began[0] < began[1] < began[2], "the later ones waited for the earlier"


def test_faults_of_one_frame_cost_no_other(probe: Probe, node: LifecycleNode, channels: list[CameraChannel]) -> None:
    segmenter = FakeSegmenter()
    segmenter.faults = {1: InferenceError("not finite")}
    under_test = pipeline(node, segmenter)
    sent = frames(probe, channels)
    sent[0].message.encoding = "holographic"
    under_test.process(sent, SETTINGS)
    assert segmenter.runs == [1, 1], "two of three are no batch"
    assert counts(channels) == [FrameCounts(rejected=1), FrameCounts(rejected=1), FrameCounts(processed=1)]
    assert [list(channel.statistics.rejections[0]) for channel in channels] == [["encoding"], ["inference"], []]
    assert channels[1].statistics.rejections[1] == "frame lost: InferenceError: not finite"
    probe.answer("/pipeline/right/mask", sent[2].message)


def test_a_batch_too_large_for_the_memory_runs_one_by_one(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel]
) -> None:
    segmenter = FakeSegmenter()
    segmenter.most = 1
    pipeline(node, segmenter).process(frames(probe, channels), SETTINGS)
    assert segmenter.runs == [3, 1, 1, 1]
    assert counts(channels) == [FrameCounts(processed=1)] * 3


@pytest.mark.parametrize(("stopping", "expected"), [(True, FrameCounts(dropped=1)), (False, FrameCounts(rejected=1))])
def test_a_frame_lost_while_the_node_stops_is_no_fault(
    probe: Probe, node: LifecycleNode, channels: list[CameraChannel], stopping: bool, expected: FrameCounts
) -> None:
    segmenter = FakeSegmenter()
    segmenter.most = 0
    pipeline(node, segmenter, stopping=stopping).process(frames(probe, channels), SETTINGS)
    assert segmenter.runs == ([3] if stopping else [3, 1, 1, 1])
    assert counts(channels) == [expected] * 3


def test_a_camera_whose_listeners_left_is_skipped(probe: Probe, node: LifecycleNode) -> None:
    deaf = CameraChannel(node, "deaf", SETTINGS, FakeSegmenter.label_set, VideoMemory(None))
    segmenter = FakeSegmenter()
    pipeline(node, segmenter).process(frames(probe, [deaf]), SETTINGS)
    assert segmenter.runs == [] and counts([deaf]) == [FrameCounts(skipped=1)]


def test_masks_of_a_run_do_not_share_memory(probe: Probe, node: LifecycleNode, channels: list[CameraChannel]) -> None:
    seen: list[np.ndarray] = []

    class Recording(FakeSegmenter):
        def _answer(self, request: FrameRequest) -> Segmentation | FanetError:
            assert request.out is not None
            seen.append(request.out.labels)
            return super()._answer(request)

    pipeline(node, Recording()).process(frames(probe, channels), SETTINGS)
    assert len(seen) == 3
    assert not any(np.may_share_memory(a, b) for i, a in enumerate(seen) for b in seen[:i])
