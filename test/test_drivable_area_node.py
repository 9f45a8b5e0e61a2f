"""The drivable-area node as a process, over real DDS, on the street camera's true masks, calibration and poses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from ground_rig import LABELS, OUTPUTS, POSE, STREET, TRUE_POSE, Rig, street_mask, truth
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from ros_harness import RELIABLE, NodeProcess, Probe, diagnostics_values, pixels_of, running
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from vision_msgs.msg import LabelInfo, VisionClass

from fanet_ros.model.labels import load_label_set
from fanet_ros.ros.camera.calibration import camera_info_message
from fanet_ros.sources.street.ground import PAVEMENT_EDGE, ROAD_HALF_WIDTH

pytestmark = pytest.mark.ros


@pytest.fixture
def rig(probe: Probe, request: pytest.FixtureRequest) -> Iterator[Rig]:
    parameters = getattr(request, "param", TRUE_POSE)
    with running("drivable_area_node", **parameters) as node:
        yield Rig(probe, node)


@pytest.fixture(scope="module")
def shared_node(shared_domain_id: int) -> Iterator[NodeProcess]:
    with running("drivable_area_node", **TRUE_POSE) as node:
        yield node


@pytest.fixture
def shared_rig(shared_probe: Probe, shared_node: NodeProcess) -> Rig:
    """A rig on a node that other tests use, too: they only look at what it makes of their masks."""
    return Rig(shared_probe, shared_node)


def cloud_of(message: PointCloud2) -> NDArray[Any]:
    """Return a cloud as a structured array, (height, width)."""
    kinds = {7: np.float32, 2: np.uint8}
    layout = {
        "names": [f.name for f in message.fields],
        "formats": [kinds[f.datatype] for f in message.fields],
        "offsets": [f.offset for f in message.fields],
        "itemsize": message.point_step,
    }
    assert message.row_step == message.width * message.point_step
    return np.frombuffer(message.data, np.dtype(layout)).reshape(message.height, message.width)


def test_all_outputs_are_true_on_the_street(shared_rig: Rig) -> None:
    shared_rig.listen(*OUTPUTS)
    shared_rig.introduce()
    mask = street_mask(shared_rig.probe)
    found = shared_rig.process(mask, *OUTPUTS)

    drivable = pixels_of(found["drivable_mask"])
    assert found["drivable_mask"].header == mask.header, "an image of the camera"
    assert found["drivable_mask"].encoding == "mono8"
    np.testing.assert_array_equal(drivable, np.where(truth() == LABELS.id_of("road"), 255, 0))
    for name in set(OUTPUTS) - {"drivable_mask"}:
        assert found[name].header.stamp == mask.header.stamp
        assert found[name].header.frame_id == "base_link"
    check_grid(found["free_space"])
    check_scan(found["obstacle_scan"])
    check_obstacle_points(found["obstacle_points"])
    check_semantic_points(found["semantic_points"])
    status = shared_rig.wait_for_status("ground", DiagnosticStatus.OK, "the ground is known")
    assert diagnostics_values(status)["tables built"] == "1", "once for a calibration, not for every frame"
    assert diagnostics_values(status)["camera pitch (deg)"] == f"{math.degrees(POSE.pitch):.2f}"


def across_street(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far points of the base frame are from the middle of the street, metres, positive to the left."""
    return POSE.y + x * math.sin(POSE.yaw) + y * math.cos(POSE.yaw)


def check_grid(message: OccupancyGrid) -> None:
    info = message.info
    grid = np.array(message.data, np.int8).reshape(info.height, info.width)
    assert grid.shape == (200, 200) and info.resolution == pytest.approx(0.1)
    assert (info.origin.position.x, info.origin.position.y, info.origin.orientation.w) == (0.0, -10.0, 1.0)
    assert set(np.unique(grid)) == {-1, 0, 100}
    x = info.origin.position.x + (np.arange(info.width) + 0.5) * info.resolution
    y = info.origin.position.y + (np.arange(info.height) + 0.5) * info.resolution
    across = np.abs(across_street(*np.meshgrid(x, y)))
    near = x < 12.0  # a row of pixels covers 0.4 m there
    known = grid[:, near] >= 0
    on_road, on_pavement = across < ROAD_HALF_WIDTH - 0.2, across > ROAD_HALF_WIDTH + 0.2
    assert (grid[:, near][known & on_pavement[:, near]] == 100).all(), "nothing beyond the kerb is free"
    road = grid[:, near][known & on_road[:, near]]
    assert len(road) > 2000 and (road == 0).mean() > 0.93, "the road is free but for what stands on it"
    assert (grid[:, x < 1.0] == -1).all(), "under the camera's view"


def check_scan(message: LaserScan) -> None:
    ranges = np.array(message.ranges)
    angles = message.angle_min + message.angle_increment * np.arange(len(ranges))
    assert message.angle_max == pytest.approx(angles[-1], abs=1e-4)
    assert message.range_max == 20.0
    assert math.radians(56) < angles[-1] - angles[0] < math.radians(70), "the camera sees 64 degrees"
    hits = np.isfinite(ranges)
    assert hits.sum() > 40
    assert (ranges[hits] >= message.range_min).all() and (ranges[hits] <= message.range_max).all()
    across = across_street(ranges[hits] * np.cos(angles[hits]), ranges[hits] * np.sin(angles[hits]))
    footprint = ranges[hits] ** 2 / POSE.z / STREET.intrinsics.fy  # of one pixel's row on the ground
    beyond = np.abs(across) - ROAD_HALF_WIDTH
    assert (beyond <= np.maximum(0.02 * ranges[hits], footprint) + 0.02).all(), "at the kerb, or nearer"
    assert (np.abs(beyond) <= np.maximum(0.02 * ranges[hits], footprint)).sum() > 15, "at the kerb where it is bare"


def check_obstacle_points(message: PointCloud2) -> None:
    points = cloud_of(message)
    assert points.shape[0] == 1 and points.dtype.names == ("x", "y", "z") and message.point_step == 12
    assert len(points[0]) > 20
    assert (points["z"] == 0).all()
    assert (np.hypot(points["x"], points["y"]) <= 20.0).all() and (points["x"] > 1.0).all()
    assert (np.abs(across_street(points["x"], points["y"])) < PAVEMENT_EDGE + 2.0).all(), "nothing inside houses"


def check_semantic_points(message: PointCloud2) -> None:
    cloud = cloud_of(message)
    assert cloud.shape == truth().shape, "pixel for pixel"
    assert cloud.dtype.names == ("x", "y", "z", "rgb", "label", "confidence")
    np.testing.assert_array_equal(cloud["label"], truth())
    assert (cloud["confidence"] == 255).all(), "nobody publishes a confidence"
    packed = cloud["rgb"].copy().view(np.uint32)
    r, g, b = LABELS.palette[truth()].transpose(2, 0, 1).astype(np.uint32)
    np.testing.assert_array_equal(packed, r << 16 | g << 8 | b)
    rows = np.arange(cloud.shape[0])
    horizon = STREET.intrinsics.cy - STREET.intrinsics.fy * math.tan(POSE.pitch)
    assert np.isnan(cloud["z"][rows < horizon]).all()
    row, column = 150, 160
    ray_x = (column - STREET.intrinsics.cx) / STREET.intrinsics.fx
    angle = math.atan((row - STREET.intrinsics.cy) / STREET.intrinsics.fy) + POSE.pitch
    ahead = POSE.z / math.tan(angle)
    depth = math.hypot(ahead, POSE.z) / math.sqrt(1 + ((row - STREET.intrinsics.cy) / STREET.intrinsics.fy) ** 2)
    np.testing.assert_allclose(
        [cloud[name][row, column] for name in "xyz"], [ahead, -ray_x * depth, 0.0], rtol=1e-4, atol=1e-4
    )


def test_confidence_is_taken_from_the_image_of_the_same_stamp(shared_rig: Rig) -> None:
    confidences = shared_rig.probe.node.create_publisher(Image, "/confidence", RELIABLE)
    shared_rig.listen("semantic_points")
    shared_rig.introduce()
    shared_rig.probe.wait(lambda: confidences.get_subscription_count() > 0, "the node to want confidences")
    first, second = street_mask(shared_rig.probe), street_mask(shared_rig.probe)
    levels = {id(first): 10, id(second): 200}

    def publish_both() -> bool:
        shared_rig.publish()
        for mask in (first, second):
            shared_rig.masks.publish(mask)
            confidence = shared_rig.probe.image(np.full(truth().shape, levels[id(mask)], np.uint8), "mono8")
            confidence.header = mask.header
            confidences.publish(confidence)
        stamps = [m.header.stamp for m in shared_rig.probe.received["/drivable_area/semantic_points"]]
        return first.header.stamp in stamps and second.header.stamp in stamps

    shared_rig.probe.wait(publish_both, "the points of both masks")
    for message in shared_rig.probe.received["/drivable_area/semantic_points"]:
        expected = 10 if message.header.stamp == first.header.stamp else 200
        assert (cloud_of(message)["confidence"] == expected).all()


def test_confidences_that_never_match_are_told(shared_rig: Rig) -> None:
    publisher = shared_rig.probe.node.create_publisher(Image, "/confidence", RELIABLE)  # and nothing ever comes from it
    shared_rig.listen("semantic_points")
    shared_rig.introduce()
    shared_rig.probe.wait(lambda: publisher.get_subscription_count() > 0, "the node to want confidences")

    def says() -> bool:
        shared_rig.publish(street_mask(shared_rig.probe))
        status = shared_rig.status("input")
        return status is not None and status.level == DiagnosticStatus.WARN and "no confidence" in status.message

    shared_rig.probe.wait(says, f"a warning, where it said {shared_rig.status('input')}")


def test_masks_that_say_nothing_are_told(shared_rig: Rig) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    blind = shared_rig.probe.image(np.full((180, 320), 255, np.uint8), "mono8")
    shared_rig.wait_for_status("ground", DiagnosticStatus.WARN, "100% of the ground in sight is unlabelled", blind)
    assert np.isnan(shared_rig.process(blind, "obstacle_scan")["obstacle_scan"].ranges).all(), "unknown, not free"


def test_a_calibration_of_another_camera_is_told(shared_rig: Rig) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    shared_rig.info_frame = "rear"
    shared_rig.wait_for_status(
        "ground", DiagnosticStatus.WARN, "camera_info is of frame 'rear'", street_mask(shared_rig.probe)
    )


HOSTILE = "\x1b[2J\x07\n\u202e" + "x" * 100_000


def test_names_in_messages_are_told_short_and_escaped(rig: Rig) -> None:
    rig.listen("obstacle_scan")
    rig.introduce()
    mask = street_mask(rig.probe)
    rig.info_frame = HOSTILE
    told = [rig.wait_for_status("ground", DiagnosticStatus.WARN, "camera_info is of frame", mask)]
    rig.info_frame = "camera"
    mask.header.frame_id = HOSTILE
    told.append(rig.wait_for_status("ground", DiagnosticStatus.WARN, "but the masks are of '\\x1b", mask))
    mask.encoding = HOSTILE
    told.append(rig.wait_for_status("input", DiagnosticStatus.WARN, "expected mono8", mask))
    mask = street_mask(rig.probe)
    classes = [VisionClass(class_id=id_, class_name=HOSTILE) for id_ in range(3)]
    rig.labels.publish(LabelInfo(class_map=classes))
    told.append(rig.wait_for_status("ground", DiagnosticStatus.ERROR, "no shipped label set", mask))
    rig.introduce()
    rig.info = camera_info_message(mask.header, STREET.intrinsics)
    rig.info.distortion_model, rig.info.d = HOSTILE, [1.0] * 100_000
    told.append(rig.wait_for_status("ground", DiagnosticStatus.ERROR, "distortion model", mask))
    rig.info.d = [1e300] * 100_000
    told.append(rig.wait_for_status("ground", DiagnosticStatus.ERROR, "d is", mask))
    for status in told:
        assert status.message.isprintable() and len(status.message) < 1000, status.message[:200]
    rig.probe.wait(lambda: "expected distortion coefficients" in rig.node.output, "the last of them in the log")
    lines = rig.node.output.splitlines()
    assert len(lines) >= 4 and max(map(len, lines)) < 1200
    assert all(line.isprintable() for line in lines)


def test_a_grid_does_not_outlive_what_it_is_made_of(rig: Rig) -> None:
    rig.listen("free_space")
    rig.introduce()
    mask = street_mask(rig.probe)
    grids = rig.probe.received["/drivable_area/free_space"]
    rig.process(mask, "free_space")
    assert set(grids[-1].data) != {-1}
    assert rig.probe.set_parameter("camera_pitch", -1.0, node="/drivable_area") == (True, "")
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "above the horizon", mask)
    rig.probe.wait(lambda: set(grids[-1].data) == {-1}, "a grid of nothing known")
    assert rig.probe.set_parameter("camera_pitch", POSE.pitch, node="/drivable_area") == (True, "")

    def is_back() -> bool:
        rig.publish(mask)
        return set(grids[-1].data) != {-1}

    rig.probe.wait(is_back, "the grid again")
    rig.probe.wait(lambda: set(grids[-1].data) == {-1}, "a grid of nothing known, as no mask comes any more")


@pytest.mark.parametrize("rig", [{}], indirect=True, ids=["no pose"])
def test_the_drivable_mask_alone_needs_no_ground(rig: Rig) -> None:
    rig.info = None
    rig.listen("drivable_mask")
    rig.introduce()
    for labels in (truth(), truth()[::-1]):
        mask = rig.probe.image(labels, "mono8")
        drivable = pixels_of(rig.process(mask, "drivable_mask")["drivable_mask"])
        np.testing.assert_array_equal(drivable, np.where(labels == LABELS.id_of("road"), 255, 0))
    rig.wait_for_status("ground", DiagnosticStatus.OK, "only ~/drivable_mask is subscribed to", mask)
    assert "no camera_info" not in rig.node.output and "TF" not in rig.node.output, "nobody needs them"


@pytest.mark.parametrize("rig", [{}, {"labels": "drivable3"}], indirect=True, ids=["by its classes", "by name"])
def test_merged_classes_are_as_good_as_the_networks(rig: Rig) -> None:
    merged = load_label_set("drivable3", LABELS)
    assert merged.label_of is not None
    rig.info = None
    rig.listen("drivable_mask")
    rig.introduce(merged)
    labels = np.append(merged.label_of, np.full(245, 255, np.uint8))[truth()]
    drivable = pixels_of(rig.process(rig.probe.image(labels, "mono8"), "drivable_mask")["drivable_mask"])
    np.testing.assert_array_equal(drivable, np.where(truth() == LABELS.id_of("road"), 255, 0))


def test_masks_are_wanted_only_while_somebody_listens(rig: Rig) -> None:
    subscription = rig.probe.listen(Image, "/drivable_area/drivable_mask")
    rig.introduce()
    assert rig.probe.node.count_subscribers("/confidence") == 0, "only semantic points need it"
    rig.probe.node.destroy_subscription(subscription)
    rig.probe.wait(lambda: rig.masks.get_subscription_count() == 0, "the node to stop listening")
    rig.wait_for_status("input", DiagnosticStatus.OK, "idle: nobody subscribes")


@pytest.mark.parametrize(
    ("rig", "fault"),
    [
        ({}, "tf2_ros is not installed"),
        ({"camera_height": 1.5, "camera_pitch": -1.0}, "has all pixels above the horizon"),
        ({**TRUE_POSE, "labels": "cityscapes19"}, "give both nodes the same labels"),
        ({**TRUE_POSE, "drivable_group": "water"}, "no group 'water'"),
        ({**TRUE_POSE, "grid_x_min": 30.0}, "grid_x"),
        ({"camera_height": 1.5, "camera_pitch": "steep"}, "'camera_pitch': received 'steep'"),
    ],
    indirect=["rig"],
    ids=["no pose", "horizon", "labels", "group", "grid", "bad parameter"],
)
def test_what_is_missing_is_told_and_nothing_wrong_is_published(rig: Rig, fault: str) -> None:
    if fault.startswith("tf2_ros"):
        try:
            import tf2_ros  # noqa: F401
        except ImportError:
            pass
        else:
            fault = "TF does not tell where"
    rig.listen("free_space", "obstacle_scan", "obstacle_points", "semantic_points")
    rig.introduce()
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, fault, street_mask(rig.probe))
    assert not [name for name in OUTPUTS if rig.probe.received[f"/drivable_area/{name}"]]


def test_an_uncalibrated_camera_is_told_and_a_calibration_cures_it(rig: Rig) -> None:
    rig.listen("drivable_mask", "obstacle_scan")
    calibrated, rig.info = rig.info, CameraInfo(header=rig.probe.header(), width=320, height=180)
    rig.introduce()
    mask = street_mask(rig.probe)
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "calibrat", mask)
    assert rig.probe.received["/drivable_area/drivable_mask"], "it needs no calibration"
    assert not rig.probe.received["/drivable_area/obstacle_scan"]
    rig.probe.wait(lambda: "nothing is published: " in rig.node.output, "the reason in the log")
    rig.info = calibrated
    rig.process(mask, "obstacle_scan")
    rig.wait_for_status("ground", DiagnosticStatus.OK, "the ground is known", mask)


def test_class_names_that_are_still_to_come_are_told_with_their_topic(rig: Rig) -> None:
    rig.listen("obstacle_scan")
    rig.probe.wait(lambda: rig.masks.get_subscription_count() > 0, "the node to want masks")
    mask = street_mask(rig.probe)
    rig.wait_for_status("ground", DiagnosticStatus.WARN, "waiting for label_info, which says what", mask)
    rig.introduce()
    rig.process(mask, "obstacle_scan")


def test_a_calibration_that_is_still_to_come_is_told_with_its_topic(rig: Rig) -> None:
    rig.listen("obstacle_scan", "drivable_mask")
    calibration, rig.info = rig.info, None
    rig.introduce()
    mask = street_mask(rig.probe)
    rig.wait_for_status("ground", DiagnosticStatus.WARN, "waiting for camera_info, the camera's calibration", mask)
    rig.process(mask, "drivable_mask")
    assert not rig.probe.received["/drivable_area/obstacle_scan"]
    rig.info = calibration
    rig.process(mask, "obstacle_scan")


def test_bad_masks_are_refused_and_survived(shared_rig: Rig) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    bad = shared_rig.probe.image(np.zeros((180, 320, 3), np.uint8), "rgb8")
    status = shared_rig.wait_for_status("input", DiagnosticStatus.WARN, "unusable masks: encoding 'rgb8'", bad)
    assert int(diagnostics_values(status)["refused"]) > 0
    shared_rig.process(street_mask(shared_rig.probe), "obstacle_scan")


def test_silence_is_an_error_that_ends_by_itself(shared_rig: Rig) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    shared_rig.wait_for_status("input", DiagnosticStatus.ERROR, "no mask on /mask for")
    shared_rig.wait_for_status("input", DiagnosticStatus.OK, "masks arrive", street_mask(shared_rig.probe))


def test_parameters_take_effect_at_once(rig: Rig) -> None:
    rig.listen("free_space")
    rig.introduce()
    assert rig.probe.set_parameter("grid_resolution", 0.2, node="/drivable_area") == (True, "")
    found = rig.process(street_mask(rig.probe), "free_space")["free_space"]
    assert (found.info.width, found.info.height) == (100, 100)
    accepted, reason = rig.probe.set_parameter("camera_pitch", 3.0, node="/drivable_area")
    assert not accepted and "camera_pitch" in reason
