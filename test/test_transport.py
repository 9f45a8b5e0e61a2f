"""Camera images between processes, and what decides on the DDS profile.

Run as a script, this file is one of the two processes of the test that counts frames: `publish` or `subscribe`.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fanet_ros.resources import config_path
from fanet_ros.ros import transport
from fanet_ros.ros.transport import PROFILE_VARIABLES, dds_profile_environment, remove_dead_segments

PROFILE = Path("/opt/fanet_ros/fastdds.xml")
WIDTH, HEIGHT, RATE_HZ, FRAMES = 1280, 720, 30, 100
CHILD_LIMIT_S = 60

needs_matched_events = pytest.mark.skipif(
    os.environ.get("ROS_DISTRO") == "humble", reason="rclpy of Humble does not tell when a publisher is matched"
)


# -- counting frames ---------------------------------------------------------------------------------------------------


@needs_matched_events
@pytest.mark.ros
def test_every_frame_of_a_720p_camera_reaches_another_process(domain_id: int) -> None:
    with child("subscribe", domain_id) as subscriber, child("publish", domain_id) as publisher:
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "matched\n"
        _, errors = publisher.communicate("go\n", timeout=CHILD_LIMIT_S)
        assert publisher.returncode == 0, errors
        received, errors = subscriber.communicate(timeout=CHILD_LIMIT_S)
        assert subscriber.returncode == 0, errors
    # The last line: the publisher's end may be told before it, as one more change of what is matched.
    assert json.loads(received.splitlines()[-1]) == list(range(FRAMES))


@contextmanager
def child(role: str, domain_id: int) -> Iterator[subprocess.Popen[str]]:
    """Run this file in `role` with the transport settings of a machine on which nobody has chosen any."""
    own = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION")
    environ = {name: value for name, value in os.environ.items() if name not in own}
    root = str(Path(__file__).resolve().parent.parent)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH"))))
    environ["ROS_DOMAIN_ID"] = str(domain_id)
    process = subprocess.Popen(
        [sys.executable, __file__, role],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def publish() -> None:
    """Wait for a subscriber and the word to go, then publish FRAMES numbered images at RATE_HZ."""
    rclpy, image_type, qos = _ros()
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(image_type, "image", qos)
    pixels = _pixels()
    deadline = time.monotonic() + CHILD_LIMIT_S
    while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)
    sys.stdin.readline()
    sent = 0

    def send() -> None:
        nonlocal sent
        image = image_type(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        image.header.frame_id = str(sent)
        image.data = array.array("B", pixels)
        publisher.publish(image)
        sent += 1

    node.create_timer(1 / RATE_HZ, send)
    while sent < FRAMES:
        rclpy.spin_once(node)


def subscribe() -> None:
    """Say when a publisher is matched, then print the numbers of the intact images received."""
    rclpy, image_type, qos = _ros()
    from rclpy.event_handler import SubscriptionEventCallbacks

    node = rclpy.create_node("viewer")
    # What is counted is what the transport loses, not what a reader on a busy machine is late to take.
    qos.depth = FRAMES
    pixels = _pixels()
    numbers: list[int] = []

    def take(image: object) -> None:
        if image.data.tobytes() == pixels:
            numbers.append(int(image.header.frame_id))

    events = SubscriptionEventCallbacks(matched=lambda _: print("matched", flush=True))
    node.create_subscription(image_type, "image", take, qos, event_callbacks=events)
    # Once the last frame is there nothing can follow; without it, two seconds of silence are the end.
    last_news = time.monotonic() + CHILD_LIMIT_S / 2
    while (not numbers or numbers[-1] != FRAMES - 1) and time.monotonic() < last_news + 2:
        seen = len(numbers)
        rclpy.spin_once(node, timeout_sec=0.1)
        if len(numbers) > seen:
            last_news = time.monotonic()
    print(json.dumps(numbers), flush=True)


def _ros() -> tuple:
    transport.prepare_process()
    import rclpy
    from rclpy.qos import QoSProfile, QoSReliabilityPolicy
    from sensor_msgs.msg import Image

    rclpy.init()
    return rclpy, Image, QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)


def _pixels() -> bytes:
    return bytes(range(256)) * (WIDTH * HEIGHT * 3 // 256)


# -- the shipped profile -----------------------------------------------------------------------------------------------


def test_the_profile_has_room_for_images_and_still_reaches_other_hosts() -> None:
    tree = ElementTree.parse(config_path("fastdds.xml"))
    name = "{http://www.eprosima.com}"
    descriptors = {d.findtext(f"{name}type"): d for d in tree.iter(f"{name}transport_descriptor")}
    assert set(descriptors) == {"SHM", "UDPv4"}
    segment = int(descriptors["SHM"].findtext(f"{name}segment_size") or 0)
    assert segment >= 4 * 1920 * 1080 * 3
    assert segment < transport.PROCESS_BYTES < 1.1 * segment
    used = [element.text for element in tree.iterfind(f".//{name}userTransports/{name}transport_id")]
    assert sorted(used) == sorted(d.findtext(f"{name}transport_id") for d in descriptors.values())


# -- which processes get it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{}, {"RMW_IMPLEMENTATION": ""}, {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}])
def test_the_profile_is_set_where_nobody_chose_anything(environ: dict[str, str]) -> None:
    chosen = dds_profile_environment(environ, PROFILE)
    assert chosen.variables == {name: str(PROFILE) for name in PROFILE_VARIABLES}
    assert chosen.notes == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml"},
        {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
        {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"},
    ],
)
def test_what_the_user_chose_stays(environ: dict[str, str]) -> None:
    assert dds_profile_environment(environ, PROFILE) == ({}, ())


@pytest.mark.parametrize("name", ["DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml"])
def test_a_profile_in_the_working_directory_stays(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dds_profile_environment({}, PROFILE).variables
    (tmp_path / name).touch()
    assert dds_profile_environment({}, PROFILE) == ({}, ())


def test_full_shared_memory_is_reported_with_what_to_do(tmp_path: Path) -> None:
    chosen = dds_profile_environment({}, PROFILE, processes=10**9, shared_memory=tmp_path)
    assert chosen.variables == {}
    (note,) = chosen.notes
    assert f"{tmp_path} has " in note
    assert "--shm-size" in note
    assert "--ipc=host" in note


def test_missing_shared_memory_is_reported(tmp_path: Path) -> None:
    chosen = dds_profile_environment({}, PROFILE, shared_memory=tmp_path / "shm")
    assert chosen.variables == {}
    (note,) = chosen.notes
    assert str(tmp_path / "shm") in note


def test_preparing_a_process_sets_the_shipped_profile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION"):
        monkeypatch.setenv(name, "")  # so that what prepare_process sets is undone
    assert transport.prepare_process() == ()
    assert {os.environ[name] for name in PROFILE_VARIABLES} == {str(config_path("fastdds.xml"))}
    assert transport.prepare_process() == ()


# -- what killed processes leave ---------------------------------------------------------------------------------------


def segment(folder: Path, name: str, age_s: float = 3600) -> tuple[Path, Path]:
    """Make a segment as Fast DDS does: the memory and its lock file."""
    files = folder / name, folder / f"{name}_el"
    for path in files:
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)
    return files


def test_segments_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = segment(tmp_path, "fastrtps_0123456789abcdef")
    young = segment(tmp_path, "fastrtps_00000000000000aa", age_s=1)
    others = [*segment(tmp_path, "fastrtps_port7412"), *segment(tmp_path, "other_0123456789abcdef")]
    dead += segment(tmp_path, "fastdds_0123456789abcdef")
    held = segment(tmp_path, "fastrtps_fedcba9876543210")
    with held[1].open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path) == 2
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in (*held, *young, *others))


@needs_matched_events
@pytest.mark.ros
def test_fast_dds_holds_the_lock_of_a_living_process(domain_id: int) -> None:
    with child("subscribe", domain_id) as subscriber, child("publish", domain_id):
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "matched\n"
        maps = Path(f"/proc/{subscriber.pid}/maps").read_text()
        mapped = set(re.findall(rf"{transport.SHARED_MEMORY}/{transport.SEGMENT_NAME}\n", maps))
        assert mapped
        for path in mapped:
            with Path(path.strip() + "_el").open("rb") as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]]()
