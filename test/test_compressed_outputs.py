"""Masks and pictures for thin links, without DDS: what is encoded, and what is left out."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from fanet_ros.model.labels import load_label_set
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.reports.render import Painter
from fanet_ros.ros.segmentation.compressed_outputs import COLOR_MASK, COMPRESSED, MASK, OVERLAY, CompressedOutputs, Seen

LABELS = load_label_set("camvid11")
MASK_OF = np.repeat(np.arange(11, dtype=np.uint8), 20)[None].repeat(48, 0)
FRAME = np.full((48, 220, 3), (200, 60, 20), np.uint8)
TIMEOUT_S = 30.0


class Published:
    """Takes messages, and lets go on only when told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, CompressedImage]] = []
        self.changed = threading.Condition()
        self.may_pictures_go = threading.Event()
        self.may_pictures_go.set()

    def __call__(self, topic: str, message: CompressedImage) -> None:
        if topic != MASK:
            assert self.may_pictures_go.wait(TIMEOUT_S)
        with self.changed:
            self.messages.append((topic, message))
            self.changed.notify_all()

    def frames_of(self, topic: str) -> list[str]:
        return [message.header.frame_id for name, message in self.messages if name == topic]

    def wait_for(self, topic: str, frame_id: str) -> CompressedImage:
        with self.changed:
            assert self.changed.wait_for(lambda: frame_id in self.frames_of(topic), TIMEOUT_S), self.messages
        return next(m for name, m in self.messages if name == topic and m.header.frame_id == frame_id)


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def outputs(published: Published) -> Iterator[CompressedOutputs]:
    under_test = CompressedOutputs(LABELS, published, "front")
    yield under_test
    published.may_pictures_go.set()
    under_test.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fanet_")]


def seen(
    frame_id: str,
    wanted: frozenset[str] = COMPRESSED,
    labels: NDArray[np.uint8] = MASK_OF,
    encoding: str = "rgb8",
    **settings: int,
) -> Seen:
    return Seen(Header(frame_id=frame_id), FRAME, encoding, labels, SegmentationParameters(**settings), wanted)  # type: ignore[arg-type]


def decoded(message: CompressedImage) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_what_image_transport_would_send(outputs: CompressedOutputs, published: Published, encoding: str) -> None:
    outputs.submit(seen("a", encoding=encoding))
    mask, overlay, colors = (published.wait_for(topic, "a") for topic in (MASK, OVERLAY, COLOR_MASK))
    assert [mask.format, overlay.format, colors.format] == [
        "mono8; png compressed ",
        f"{encoding}; jpeg compressed bgr8",
        "rgb8; jpeg compressed bgr8",
    ]
    np.testing.assert_array_equal(decoded(mask), MASK_OF)
    painted, _ = Painter(LABELS).overlay(FRAME, encoding, MASK_OF, 0.5)
    expected = painted[..., ::-1] if encoding == "rgb8" else painted
    assert np.abs(decoded(overlay).astype(int) - expected).mean() < 6, "blue must not be red"
    assert np.abs(decoded(colors).astype(int) - LABELS.palette[MASK_OF][..., ::-1]).mean() < 6


def test_quality_is_the_parameters(outputs: CompressedOutputs, published: Published) -> None:
    for quality in (95, 20):
        outputs.submit(seen(str(quality), frozenset({OVERLAY}), jpeg_quality=quality))
        published.wait_for(OVERLAY, str(quality))
    fine, coarse = (len(message.data) for _, message in published.messages)
    assert coarse < 0.7 * fine


def test_the_newest_wins_and_masks_do_not_wait_for_pictures(outputs: CompressedOutputs, published: Published) -> None:
    published.may_pictures_go.clear()
    for number in range(5):
        outputs.submit(seen(str(number)))
        published.wait_for(MASK, str(number))
    published.may_pictures_go.set()
    published.wait_for(COLOR_MASK, "4")
    assert published.frames_of(MASK) == list("01234")
    assert len(published.frames_of(OVERLAY)) <= 2, "what waited was replaced by what came later"


def test_nothing_comes_after_the_end(outputs: CompressedOutputs, published: Published) -> None:
    published.may_pictures_go.clear()
    outputs.submit(seen("0"))
    published.wait_for(MASK, "0")
    outputs.submit(seen("1", frozenset({OVERLAY})))
    ending = threading.Thread(target=outputs.stop)
    ending.start()
    published.may_pictures_go.set()
    ending.join(TIMEOUT_S)
    count = len(published.messages)
    outputs.submit(seen("2", frozenset({MASK})))  # of the next activation
    published.wait_for(MASK, "2")
    assert len(published.messages) == count + 1


def test_a_fault_is_told_once_and_survived(
    outputs: CompressedOutputs, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    broken = np.zeros((0, 0), np.uint8)
    for number in range(3):
        outputs.submit(seen(f"broken {number}", frozenset({MASK}), broken))
        outputs.submit(seen(f"good {number}", frozenset({OVERLAY})))
        published.wait_for(OVERLAY, f"good {number}")
    outputs.submit(seen("mended", frozenset({MASK})))
    published.wait_for(MASK, "mended")
    assert caplog.text.count("nothing is published on mask/compressed: error: ") == 1
