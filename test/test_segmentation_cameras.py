"""The node with several cameras, as a process over real DDS."""

import array
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fanet_ros.msg import SegmentationStats
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe, diagnostics_values, noise_picture, pixels_of, running
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

INPUT_SIZE = "160x96"  # small, so that tests are fast; the node does not care
CAMERAS = ("front", "left", "right")


def stats_of(probe: Probe, camera: str) -> list[SegmentationStats]:
    return probe.received[f"/segmentation/{camera}/stats"]


@pytest.fixture(scope="module")
def shared_node(shared_domain_id: int) -> Iterator[NodeProcess]:
    """Serves three cameras, for tests that only look at what it makes of their images."""
    remapping = ("-r", "left/image:=/robot/left/image_raw")
    with running("segmentation_node", *remapping, input_size=INPUT_SIZE, cameras=f"[{','.join(CAMERAS)}]") as node:
        yield node


TOPICS = {"front": "/front/image", "left": "/robot/left/image_raw", "right": "/right/image"}


def test_each_camera_has_its_masks_and_nothing_of_another(shared_probe: Probe, shared_node: NodeProcess) -> None:
    segmenter = Segmenter(input_size=INPUT_SIZE)
    for camera in CAMERAS:
        shared_probe.listen(Image, f"/segmentation/{camera}/mask")
        shared_probe.listen(SegmentationStats, f"/segmentation/{camera}/stats")
    shared_probe.listen(LabelInfo, "/segmentation/label_info", LATCHED)
    cameras = {camera: shared_probe.publisher(Image, topic) for camera, topic in TOPICS.items()}
    (how,) = (line for line in shared_node.output.splitlines() if "frames that wait together" in line)
    for camera, publisher in cameras.items():
        answers = (f"/segmentation/{camera}/mask", f"/segmentation/{camera}/stats")
        shared_probe.publish_until_answered(publisher, shared_probe.image(noise_picture()), *answers)
    sizes = {"front": (120, 72), "left": (90, 64), "right": (64, 90)}
    pictures = {camera: noise_picture(*size) for camera, size in sizes.items()}
    messages = {camera: shared_probe.image(picture) for camera, picture in pictures.items()}
    for camera, message in messages.items():
        cameras[camera].publish(message)
    for camera, message in messages.items():
        mask = shared_probe.answer(f"/segmentation/{camera}/mask", message)  # the stamp and frame of this camera
        np.testing.assert_array_equal(pixels_of(mask), segmenter.segment(pictures[camera]).labels, err_msg=camera)
        stats = shared_probe.answer(f"/segmentation/{camera}/stats", message)
        assert stats.camera == camera
        ended = stats.frames_processed + stats.frames_dropped + stats.frames_skipped + stats.frames_rejected
        assert stats.frames_received == ended
        if " batched (" not in how:
            assert stats.batch == 1
        else:
            assert stats.batch in (1, 3), "all of them together, or each by itself"
        assert stats.input_scale == 1.0
        assert 0 < stats.age_p95_ms < 60_000
        frames = {m.header.frame_id for m in shared_probe.received[f"/segmentation/{camera}/mask"]}
        others = {messages[other].header.frame_id for other in CAMERAS if other != camera}
        assert not frames & others
    assert shared_probe.wait_for("/segmentation/label_info")[-1].class_map
    assert shared_probe.node.count_publishers("/segmentation/mask") == 0
    assert shared_probe.node.count_publishers("/segmentation/front/label_info") == 0, "once is enough"
    assert shared_probe.node.count_subscribers("/image") == 0


def test_cameras_of_other_shapes_than_usual_have_the_batches_that_fit_them(probe: Probe) -> None:
    """Two of 4:3 and one upright; each mask is what its image gives alone, and its statistics say how it was made."""
    sizes = {"front": (80, 60), "left": (80, 60), "rear": (60, 80)}
    parameters = {"cameras": f"[{','.join(sizes)}]", "backend": "openvino", "latency_budget_ms": 0.0}
    with running("segmentation_node", **parameters) as node:
        for camera in sizes:
            probe.listen(SegmentationStats, f"/segmentation/{camera}/stats")
        publishers = {camera: probe.publisher(Image, f"/{camera}/image") for camera in sizes}
        for camera, size in sizes.items():
            probe.publish_until_answered(
                publishers[camera], probe.image(noise_picture(*size)), f"/segmentation/{camera}/stats"
            )
        probe.wait(lambda: "2 frames that wait together: 720x544 " in node.output, "the batches to be measured")
        together = "720x544 batched (" in node.output
        seen: set[int] = set()

        def all_send() -> bool:
            for camera, size in sizes.items():
                publishers[camera].publish(probe.image(noise_picture(*size)))
            seen.update(stats.batch for stats in stats_of(probe, "front"))
            return len(stats_of(probe, "front")) > 40 and ((2 in seen) or not together)

        probe.wait(all_send, "masks of cameras that wait together")
        assert seen <= {1, 2}
        assert {stats.batch for stats in stats_of(probe, "rear")} == {1}
        for camera, (width, height) in sizes.items():
            wide = {stats.input_width > stats.input_height for stats in stats_of(probe, camera)}
            assert wide == {width > height}
    assert "3 frames that wait together: 720x544" not in node.output


def test_two_sizes_on_one_topic_cost_no_mask(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/mask")
    with running("segmentation_node", backend="openvino") as node:
        camera = probe.publisher(Image, "/image")
        sizes = [(96, 72), (72, 96)]
        for size in sizes:
            probe.publish_until_answered(camera, probe.image(noise_picture(*size)), "/segmentation/mask")
        for size in sizes * 6:
            message = probe.image(noise_picture(*size))
            camera.publish(message)
            mask = probe.answer("/segmentation/mask", message)
            assert (mask.width, mask.height) == size
    assert node.output.count("the network was compiled for") == 2, "once for each, and never again"
    assert "compiled again" not in node.output


def test_a_fast_camera_starves_no_slow_one(probe: Probe) -> None:
    for camera in CAMERAS:
        probe.listen(SegmentationStats, f"/segmentation/{camera}/stats")
    with running("segmentation_node", input_size="1024x512", cameras=f"[{','.join(CAMERAS)}]"):
        publishers = {camera: probe.publisher(Image, f"/{camera}/image") for camera in CAMERAS}
        for camera, publisher in publishers.items():
            probe.publish_until_answered(publisher, probe.image(noise_picture()), f"/segmentation/{camera}/stats")
        picture = noise_picture(320, 180)
        sent = {camera: 0 for camera in CAMERAS}
        first = {camera: stats_of(probe, camera)[-1] for camera in CAMERAS}

        def send(camera: str) -> None:
            publishers[camera].publish(probe.image(picture))
            sent[camera] += 1

        def slow_ones_are_answered_while_the_fast_one_floods() -> bool:
            for _ in range(5):  # so that one of them always waits
                send("front")
            for camera in ("left", "right"):
                processed = stats_of(probe, camera)[-1].frames_processed - first[camera].frames_processed
                if processed == sent[camera]:  # a slow camera: its next image comes after the mask of its last
                    send(camera)
            return all(sent[camera] > 6 for camera in ("left", "right"))

        probe.wait(slow_ones_are_answered_while_the_fast_one_floods, "masks of the slow cameras")
        final = {camera: stats_of(probe, camera)[-1] for camera in CAMERAS}
        processed = {c: final[c].frames_processed - first[c].frames_processed for c in CAMERAS}
        assert final["front"].frames_dropped > first["front"].frames_dropped, "the fast camera must overload the node"
        for camera in ("left", "right"):
            assert final[camera].frames_dropped == first[camera].frames_dropped
            assert processed[camera] >= 6
        assert processed["front"] >= 3, "it has its turns, too"

        first = final
        sent = {camera: 0 for camera in CAMERAS}

        def all_flood() -> bool:
            for camera in CAMERAS:
                send(camera)
            return stats_of(probe, "front")[-1].frames_processed >= first["front"].frames_processed + 12

        probe.wait(all_flood, "masks of cameras of the same rate")
        shares = [stats_of(probe, c)[-1].frames_processed - first[c].frames_processed for c in CAMERAS]
        assert min(shares) >= 8, "equal turns, but for what was under way at the beginning and the end"


def test_an_unusable_image_costs_only_its_own_camera(shared_probe: Probe, shared_node: NodeProcess) -> None:
    for camera in CAMERAS:
        shared_probe.listen(Image, f"/segmentation/{camera}/mask")
    shared_probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    publishers = {camera: shared_probe.publisher(Image, topic) for camera, topic in TOPICS.items()}
    for camera, publisher in publishers.items():
        shared_probe.publish_until_answered(
            publisher, shared_probe.image(noise_picture()), f"/segmentation/{camera}/mask"
        )
    for _ in range(5):
        broken = shared_probe.image(noise_picture())
        broken.step = 1
        publishers["left"].publish(broken)
        good = {camera: shared_probe.image(noise_picture()) for camera in ("front", "right")}
        for camera, message in good.items():
            publishers[camera].publish(message)
        for camera, message in good.items():
            shared_probe.answer(f"/segmentation/{camera}/mask", message)

    def rejected(camera: str) -> int:
        status = shared_probe.diagnostic(f"segmentation: {camera}: input")
        return -1 if status is None else int(diagnostics_values(status)["rejected"])

    shared_probe.wait(lambda: rejected("left") > 0, "the bad images in diagnostics")
    assert (rejected("front"), rejected("right")) == (0, 0)
    shared_probe.publish_until_answered(
        publishers["left"], shared_probe.image(noise_picture()), "/segmentation/left/mask"
    )
    assert "left: image refused: step of 1 bytes" in shared_node.output


def test_cameras_nobody_listens_to_make_no_work(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/left/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, cameras="[front,left]"):
        front, left = (probe.publisher(Image, f"/{camera}/image") for camera in ("front", "left"))
        probe.publish_until_answered(left, probe.image(noise_picture()), "/segmentation/left/mask")

        def values(part: str) -> dict[str, str]:
            status = probe.diagnostic(f"segmentation: front: {part}")
            return {} if status is None else diagnostics_values(status)

        def some_are_skipped() -> bool:
            front.publish(probe.image(noise_picture()))
            return int(values("input").get("skipped", 0)) >= 4

        probe.wait(some_are_skipped, "skipped frames")
        assert values("inference")["processed"] == "0"
        assert values("input")["received"] == values("input")["skipped"]


def test_compressed_cameras(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/rear/mask")
    with running("segmentation_node", input_size=INPUT_SIZE, cameras="[rear]", image_transport="compressed"):
        camera = probe.publisher(CompressedImage, "/rear/image/compressed")
        data = array.array("B", cv2.imencode(".png", noise_picture())[1].tobytes())
        message = CompressedImage(header=probe.header(), format="png", data=data)
        probe.publish_until_answered(camera, message, "/segmentation/rear/mask")


def test_other_cameras_after_a_cleanup_or_a_wrong_list(probe: Probe) -> None:
    probe.listen(Image, "/segmentation/rear/mask")
    probe.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    with running("segmentation_node", input_size=INPUT_SIZE, cameras="[front,front]"):
        probe.wait(
            lambda: (s := probe.diagnostic("segmentation: node")) is not None and s.level == DiagnosticStatus.ERROR,
            "the fault in diagnostics",
        )
        status = probe.diagnostic("segmentation: node")
        assert status is not None and "'cameras': received 'front' 2 times" in status.message
        assert probe.set_parameter("cameras", ["front"]) == (True, "")
        assert probe.change_state("configure") and probe.change_state("activate")
        accepted, reason = probe.set_parameter("cameras", ["rear"])
        assert not accepted and "clean it up first" in reason
        assert probe.change_state("deactivate") and probe.change_state("cleanup")
        assert probe.set_parameter("cameras", ["rear"]) == (True, "")
        assert probe.change_state("configure") and probe.change_state("activate")
        camera = probe.publisher(Image, "/rear/image")
        probe.publish_until_answered(camera, probe.image(noise_picture()), "/segmentation/rear/mask")
        probe.wait(lambda: probe.node.count_publishers("/segmentation/front/mask") == 0, "the other topics to go")
