"""The node with temporal attention, over real DDS: a memory for each camera, and when it is emptied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from fanet_ros.msg import SegmentationStats
from numpy.typing import NDArray
from ros_harness import RELIABLE, Probe, diagnostics_values, noise_picture, pixels_of, running
from sensor_msgs.msg import CameraInfo, Image

from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"
NETWORK = {"input_size": INPUT_SIZE, "precision": "fp32", "backend": "openvino"}


class Film:
    """One camera as the probe plays it: frames at stamps of its own choice."""

    def __init__(self, probe: Probe, image_topic: str, prefix: str) -> None:
        self.probe, self.prefix = probe, prefix
        for name, kind in (("mask", Image), ("stats", SegmentationStats)):
            probe.listen(kind, f"{prefix}/{name}")
        self.camera = probe.publisher(Image, image_topic)
        self._begun = False

    def show(self, picture: NDArray[np.uint8], seconds: float) -> tuple[NDArray[np.uint8], int]:
        """Return the mask of a frame, and how many frames attention saw."""
        message = self.probe.image(picture)
        message.header.stamp.sec, message.header.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
        topics = (f"{self.prefix}/mask", f"{self.prefix}/stats")
        if self._begun:
            self.camera.publish(message)
        else:  # the node may not have seen the probe's subscriptions yet; then it skips the frame
            self.probe.publish_until_answered(self.camera, message, *topics)
            self._begun = True
        mask, stats = (self.probe.answer(topic, message) for topic in topics)
        return pixels_of(mask), stats.temporal_frames


def direct(pictures: list[NDArray[np.uint8]], temporal_frames: int) -> NDArray[np.uint8]:
    """Return the labels of the last picture of a video, without ROS."""
    segmenter = Segmenter(**NETWORK, temporal_frames=temporal_frames)
    memory = segmenter.new_memory()
    return [segmenter.segment(picture, memory=memory).labels.copy() for picture in pictures][-1]


def test_frames_are_seen_with_those_before_and_forgotten_where_the_video_ends(probe: Probe) -> None:
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    pictures = [noise_picture() for _ in range(3)]
    with running("segmentation_node", **NETWORK, temporal_frames=3, temporal_max_gap=1.0):
        film = Film(probe, "/image", "/segmentation")
        infos = probe.publisher(CameraInfo, "/camera_info")
        seen = [film.show(picture, 100.0 + 0.1 * index) for index, picture in enumerate(pictures)]
        assert [frames for _, frames in seen] in ([1, 2, 3], [2, 2, 3], [2, 3, 3], [3, 3, 3])
        *_, (mask, frames) = (film.show(picture, 100.3 + 0.1 * index) for index, picture in enumerate(pictures))
        assert frames == 3
        np.testing.assert_array_equal(mask, direct(pictures, 3))
        assert (mask != direct(pictures[-1:], 3)).any(), "the memory matters"

        assert film.show(pictures[0], 99.0)[1] == 1, "the stamp jumped back"
        assert film.show(pictures[0], 99.9)[1] == 2
        assert film.show(pictures[0], 101.0)[1] == 1, "1.1 s without a frame"
        probe.set_parameter("temporal_max_gap", 2.0)
        assert film.show(pictures[0], 102.5)[1] == 2
        assert film.show(noise_picture(160, 96), 102.6)[1] == 1, "another image size"
        assert film.show(noise_picture(160, 96), 102.7)[1] == 2

        infos.publish(CameraInfo(width=160, height=96))
        show_until(film, 1, 102.8, frames=3)  # a first calibration changes nothing
        infos.publish(CameraInfo(width=160, height=96, distortion_model="plumb_bob"))
        show_until(film, 40, 103.0, frames=1)

        probe.wait(lambda: "calibration" in values(probe).get("last memory reset", ""), "the reason in diagnostics")
        assert int(values(probe)["frames in memory"]) >= 1
        assert int(values(probe)["memory resets"]) >= 4

        assert probe.change_state("deactivate")
        assert probe.change_state("activate")
        film = Film(probe, "/image", "/segmentation")
        assert film.show(pictures[0], 103.9)[1] <= 2, "only what was repeated until the node was seen"


def show_until(film: Film, most: int, seconds: float, *, frames: int) -> None:
    """Show frames until attention sees that many; what the node is told meanwhile comes by another topic."""
    for index in range(most):
        if film.show(noise_picture(160, 96), seconds + 0.01 * index)[1] == frames:
            return
    raise AssertionError(f"attention never saw {frames} frames")


def values(probe: Probe) -> dict[str, str]:
    status = probe.diagnostic("segmentation: inference")
    return {} if status is None else diagnostics_values(status)


def test_two_cameras_have_memories_of_their_own(probe: Probe) -> None:
    pictures: dict[str, list[Any]] = {name: [noise_picture() for _ in range(4)] for name in ("front", "left")}
    with running("segmentation_node", **NETWORK, temporal_frames=2, cameras="[front, left]"):
        films = {name: Film(probe, f"/{name}/image", f"/segmentation/{name}") for name in pictures}
        for index in range(4):
            for name, film in films.items():
                mask, frames = film.show(pictures[name][index], 50.0 + 0.1 * index)
                if index >= 1:
                    assert frames == 2
                    expected = direct(pictures[name][index - 1 : index + 1], 2)
                    np.testing.assert_array_equal(mask, expected, err_msg=f"{name}, frame {index}")


def test_by_itself_each_frame_is_seen_alone(probe: Probe) -> None:
    picture = noise_picture()
    with running("segmentation_node", **NETWORK):
        film = Film(probe, "/image", "/segmentation")
        for index in range(3):
            mask, frames = film.show(picture, 10.0 + 0.1 * index)
            assert frames == 1
        np.testing.assert_array_equal(mask, direct([picture], 1))
        assert probe.node.count_subscribers("/camera_info") == 0
