"""What the drivable-area node hears of its inputs, what it says of those that are missing, and what it refuses."""

from __future__ import annotations

import array
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from ground_rig import LABELS, TRUE_POSE, Rig, street_mask
from rclpy.logging import LoggingSeverity, get_logger
from ros_harness import LATCHED, RELIABLE, NodeProcess, Probe, diagnostics_values, pixels_of, running
from sensor_msgs.msg import CameraInfo, CompressedImage
from vision_msgs.msg import LabelInfo, VisionClass

from fanet_ros.errors import LabelSetError
from fanet_ros.frames.image_encoding import png_of
from fanet_ros.ground.classes import Kind
from fanet_ros.model.labels import save_label_set
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.conversions import label_info_message
from fanet_ros.ros.ground.classes import GroundClasses
from fanet_ros.ros.ground.diagnostics import FaultLog

pytestmark = pytest.mark.ros


@pytest.fixture
def rig(probe: Probe, request: pytest.FixtureRequest) -> Iterator[Rig]:
    with running("drivable_area_node", **getattr(request, "param", TRUE_POSE)) as node:
        yield Rig(probe, node)


@pytest.fixture(scope="module")
def shared_node(shared_domain_id: int) -> Iterator[NodeProcess]:
    with running("drivable_area_node", **TRUE_POSE) as node:
        yield node


@pytest.fixture
def shared_rig(shared_probe: Probe, shared_node: NodeProcess) -> Rig:
    return Rig(shared_probe, shared_node)


def street_classes(probe: Probe) -> LabelInfo:
    return label_info_message(LABELS, 0.0, probe.node.get_clock().now().to_msg())


def test_what_was_published_once_before_the_node_started_is_heard(probe: Probe) -> None:
    calibrations = probe.node.create_publisher(CameraInfo, "/camera_info", LATCHED)
    classes = probe.node.create_publisher(LabelInfo, "/label_info", LATCHED)
    with running("drivable_area_node", **TRUE_POSE) as node:
        rig = Rig(probe, node)
        for publisher in (rig.infos, rig.labels):
            probe.node.destroy_publisher(publisher)
        mask = street_mask(probe)
        assert rig.info is not None
        rig.info.header.frame_id = mask.header.frame_id
        calibrations.publish(rig.info)
        classes.publish(street_classes(probe))
        rig.info = None  # never again
        rig.listen("obstacle_scan")
        rig.process(mask, "obstacle_scan")
        rig.wait_for_status("ground", DiagnosticStatus.OK, "the ground is known", mask)


def test_what_is_published_again_and_again_by_publishers_that_keep_nothing_is_heard(rig: Rig) -> None:
    rig.probe.node.destroy_publisher(rig.labels)
    classes = rig.probe.node.create_publisher(LabelInfo, "/label_info", RELIABLE)
    rig.listen("obstacle_scan")
    mask, message = street_mask(rig.probe), street_classes(rig.probe)

    def is_answered() -> bool:
        classes.publish(message)
        rig.publish(mask)
        return bool(rig.probe.received["/drivable_area/obstacle_scan"])

    rig.probe.wait(is_answered, "a scan")
    assert "incompatible QoS" not in rig.node.output, "nobody is alarmed by a subscription that cannot match"


def test_inputs_that_nobody_publishes_are_told_though_no_mask_comes(probe: Probe) -> None:
    with running("drivable_area_node", **TRUE_POSE, input_timeout=0.5) as node:
        rig = Rig(probe, node)
        for publisher in (rig.masks, rig.infos, rig.labels):
            probe.node.destroy_publisher(publisher)
        rig.listen("obstacle_scan")
        rig.wait_for_status("input", DiagnosticStatus.ERROR, "no mask on /mask for")
        ground = rig.wait_for_status("ground", DiagnosticStatus.WARN, "waiting for masks").message
        assert "no label_info on /label_info: nobody publishes it" in ground
        assert "no camera_info on /camera_info: nobody publishes it" in ground
        in_log = "no mask on /mask", "no camera_info on /camera_info: nobody publishes it"
        probe.wait(lambda: all(text in node.output for text in in_log), "the same in the log")


def test_a_fault_is_not_told_of_when_nobody_wants_what_it_hinders(rig: Rig) -> None:
    scan = rig.probe.listen(type(rig.probe.image(np.zeros((2, 2), np.uint8), "mono8")), "/drivable_area/drivable_mask")
    other = {i: VisionClass(class_id=i, class_name=name) for i, name in enumerate("abc")}
    rig.labels.publish(LabelInfo(class_map=list(other.values())))
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "no shipped label set has", street_mask(rig.probe))
    rig.probe.node.destroy_subscription(scan)
    rig.wait_for_status("ground", DiagnosticStatus.OK, "idle: nobody subscribes")


def test_a_fault_that_is_first_only_early_is_logged_again_as_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    log = FaultLog(get_logger("ground"))
    for seconds in (0.1, 0.2, 2.9):
        log.tell(f"TF does not tell where 'camera' is after {seconds} s", LoggingSeverity.INFO)
    for seconds in (3.1, 4.2):
        log.tell(f"TF does not tell where 'camera' is after {seconds} s", LoggingSeverity.ERROR)
    log.clear("all is well")  # too early to tell
    lines = [line for line in capfd.readouterr().err.splitlines() if "TF does not tell" in line]
    assert [line.split("]")[0] for line in lines] == ["[INFO", "[ERROR"]


def test_stamps_of_another_clock_are_told_as_such(shared_rig: Rig) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    mask = street_mask(shared_rig.probe)
    mask.header.stamp.sec = 1_000_000_000
    status = shared_rig.wait_for_status("input", DiagnosticStatus.WARN, "stamps are of another clock", mask)
    assert diagnostics_values(status)["age at arrival (ms)"] == "another clock"
    shared_rig.wait_for_status("input", DiagnosticStatus.OK, "masks arrive", street_mask(shared_rig.probe))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("labels", "nowhere", "no label set 'nowhere'"),
        ("labels", "/dev/null/labels.yaml", "cannot read label set"),
        ("labels", "cityscapes19", "give both nodes the same labels"),
        ("drivable_group", "water", "no group 'water'"),
        ("flat_group", "obstacle", "cannot be in group 'obstacle'"),
        ("obstacle_group", "", "no group ''"),
        ("grid_x_min", 30.0, "grid_x_max: received 20, expected more than grid_x_min (30)"),
        ("grid_resolution", 0.005, "makes 4000 x 4000 cells"),
        ("range_min", 25.0, "range_max: received 20"),
        ("camera_x", 1e9, "camera_x"),
        ("ground_z", 5.0, "the camera must be above the ground"),
        ("base_frame", "/base", "without a leading slash"),
    ],
)
def test_values_that_cannot_work_are_refused_with_words(shared_rig: Rig, name: str, value: object, words: str) -> None:
    shared_rig.listen("obstacle_scan")
    shared_rig.introduce()
    shared_rig.process(street_mask(shared_rig.probe), "obstacle_scan")
    before = shared_rig.probe.get_parameter(name, node="/drivable_area")
    accepted, reason = shared_rig.probe.set_parameter(name, value, node="/drivable_area")
    assert not accepted and words in reason
    assert shared_rig.probe.get_parameter(name, node="/drivable_area") == before
    shared_rig.process(street_mask(shared_rig.probe), "obstacle_scan")


@pytest.mark.parametrize(
    "rig", [{**TRUE_POSE, "grid_x_min": 30.0, "grid_y_min": 30.0, "drivable_group": "water"}], indirect=True, ids=[""]
)
def test_several_bad_values_given_at_start_can_be_mended_one_by_one(rig: Rig) -> None:
    rig.listen("obstacle_scan")
    rig.introduce()
    rig.wait_for_status("ground", DiagnosticStatus.ERROR, "grid_x_max: received 20, expected more than grid_x_min")
    for name, value in (("grid_x_min", 0.0), ("drivable_group", "drivable"), ("grid_y_min", -10.0)):
        assert rig.probe.set_parameter(name, value, node="/drivable_area") == (True, "")
    rig.process(street_mask(rig.probe), "obstacle_scan")


def test_classes_are_found_once_and_not_for_every_mask(probe: Probe, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    save_label_set(LABELS, file)
    settings = DrivableAreaParameters(labels=str(file))
    classes = GroundClasses()
    classes.set_label_info(street_classes(probe))
    meaning = classes.meaning(settings)
    assert meaning.kinds[LABELS.id_of("road")] == Kind.FREE
    file.unlink()
    classes.set_label_info(street_classes(probe))
    assert classes.meaning(settings) is meaning, "the same label_info, and no file read again"
    classes.forget()
    for _ in range(2):
        with pytest.raises(LabelSetError, match="cannot read label set"):
            classes.meaning(settings)
        save_label_set(LABELS, file)  # which the second mask does not look for
    classes.forget()
    assert classes.meaning(settings).kinds[LABELS.id_of("road")] == Kind.FREE


def test_a_calibration_that_flaps_is_told_and_logged_once(rig: Rig) -> None:
    rig.listen("obstacle_scan")
    rig.introduce()
    good = rig.info
    assert good is not None
    bad = CameraInfo(width=good.width, height=good.height)
    mask = street_mask(rig.probe)

    def says() -> bool:
        for info in (bad, good):
            info.header.frame_id = mask.header.frame_id
            rig.infos.publish(info)
            rig.masks.publish(mask)
        status = rig.status("ground")
        return status is not None and "do two drivers publish it?" in status.message

    rig.probe.wait(says, "the flapping to be told")
    assert rig.node.output.count("is not calibrated") <= 1, "not with every mask"


def test_masks_of_another_machine_come_compressed(rig: Rig) -> None:
    rig.listen("drivable_mask")
    rig.introduce()
    raw = street_mask(rig.probe)
    expected = rig.process(raw, "drivable_mask")["drivable_mask"]
    assert rig.probe.set_parameter("mask_transport", "compressed", "/drivable_area") == (True, "")
    masks = rig.probe.publisher(CompressedImage, "/mask/compressed")
    rig.probe.wait(lambda: rig.masks.get_subscription_count() == 0, "the raw masks to be left")

    def compressed(data: bytes) -> CompressedImage:
        words = "mono8; png compressed "
        return CompressedImage(header=rig.probe.header(), format=words, data=array.array("B", data))

    lossy = compressed(bytes(cv2.imencode(".jpg", pixels_of(raw))[1]))

    def is_refused() -> bool:
        masks.publish(lossy)
        status = rig.status("input")
        return status is not None and "expected a PNG of 8-bit grey" in status.message

    rig.probe.wait(is_refused, "the refusal of a JPEG")
    topic = "/drivable_area/drivable_mask"
    rig.probe.publish_until_answered(masks, good := compressed(png_of(pixels_of(raw)).tobytes()), topic)
    np.testing.assert_array_equal(pixels_of(rig.probe.answer(topic, good)), pixels_of(expected))
