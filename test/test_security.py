"""config/sros2: the nodes may do what they do, and nothing else."""

from __future__ import annotations

import importlib
import importlib.util
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from fanet_ros.resources import config_path

if TYPE_CHECKING:
    from ros_harness import Probe

NEEDS_TF = {"/tf", "/tf_static"}
KINDS = {
    ("topic", "publish"): "publisher",
    ("topic", "subscribe"): "subscriber",
    ("service", "reply"): "service",
    ("service", "request"): "client",
}


class Use(NamedTuple):
    """What a node does with a name."""

    node: str
    kind: str
    name: str


def policy(file: str) -> dict[str, set[Use]]:
    """Return what a policy allows, by enclave; its form is that of sros2's policy.xsd, version 0.2.0."""
    root = ET.parse(config_path(f"sros2/{file}.policy.xml")).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    allowed: dict[str, set[Use]] = {}
    for enclave in root.findall("enclaves/enclave"):
        (profile,) = enclave.findall("profiles/profile")
        node = profile.attrib["node"]
        assert profile.attrib == {"ns": "/", "node": node} and enclave.attrib == {"path": f"/fanet_ros/{node}"}
        uses = allowed[enclave.attrib["path"]] = set()
        for group in profile:
            ((attribute, value),) = group.attrib.items()
            kind = KINDS[group.tag.removesuffix("s"), attribute]
            assert value == "ALLOW" and {entry.tag for entry in group} == {group.tag.removesuffix("s")}
            for entry in group:
                use = Use(node, kind, (entry.text or "").replace("~", f"/{node}"))
                assert use.name.startswith("/") and use not in uses, use
                uses.add(use)
    return allowed


def of(allowed: dict[str, set[Use]], kinds: tuple[str, ...] = tuple(KINDS.values())) -> set[Use]:
    """Return what the nodes of a policy can be seen to do on this machine."""
    has_tf = importlib.util.find_spec("tf2_ros") and importlib.util.find_spec("tf2_msgs")
    uses = set().union(*allowed.values())
    return {use for use in uses if use.kind in kinds and (has_tf or use.name not in NEEDS_TF)}


def seen(probe: Probe, aliases: dict[str, str]) -> dict[Use, str]:
    """Return what running nodes do, with the type of each name; aliases stand for the node that has two processes."""
    found: dict[Use, str] = {}
    for name, namespace in probe.node.get_node_names_and_namespaces():
        if name == probe.node.get_name() or name not in aliases:
            continue
        for kind in ("publisher", "subscriber", "service", "client"):
            for topic, types in getattr(probe.node, f"get_{kind}_names_and_types_by_node")(name, namespace):
                own = topic.replace(f"/{name}/", f"/{aliases[name]}/")
                found[Use(aliases[name], kind, own)] = types[0]
    return found


def compare(probe: Probe, aliases: dict[str, str], expected: set[Use], kinds: tuple[str, ...]) -> None:
    """Subscribe to all that the nodes publish, so that they subscribe to all they need, and compare."""
    heard: set[str] = set()

    def listen() -> bool:
        found = seen(probe, aliases)
        for use, type_name in found.items():
            if use.kind == "publisher" and use.name not in heard and use.name.startswith(f"/{use.node}/"):
                heard.add(use.name)
                package, _, name = type_name.split("/")
                message_type = getattr(importlib.import_module(f"{package}.msg"), name)
                for alias, node in aliases.items():
                    if node == use.node:
                        probe.listen(message_type, use.name.replace(f"/{node}/", f"/{alias}/"))
        return found.keys() >= expected

    probe.wait(listen, f"what the policy allows and the nodes do not do, in {sorted(expected)}")
    extra = {use for use in seen(probe, aliases) if use.kind in kinds} - expected
    assert not extra, f"the policy lacks what the nodes do: {sorted(extra)}"


@pytest.mark.ros
@pytest.mark.slow
def test_the_policy_of_one_camera_is_what_the_nodes_do(probe: Probe) -> None:
    from our_topics import TINY
    from ros_harness import running

    remap = [f"{name}:=/segmentation/{name}" for name in ("mask", "confidence", "label_info")]
    remap += [f"{name}:=/camera/{name}" for name in ("camera_info", "depth", "depth/camera_info", "points")]
    ground = [word for rule in remap for word in ("-r", rule)]
    images = ["-r", "image:=/camera/image_raw", "-r", "image/compressed:=/camera/image_raw/compressed"]
    aliases = {name: name for name in ("segmentation", "drivable_area", "camera")}
    aliases |= {"segmentation_2": "segmentation", "drivable_area_2": "drivable_area"}
    with ExitStack() as nodes:
        for module, *arguments, parameters in (
            ("camera_node", {"width": 96, "height": 64, "depth": "registered", "lidar": True}),
            ("segmentation_node", *images, TINY),
            ("segmentation_node", *images, "-r", "__node:=segmentation_2", {**TINY, "image_transport": "compressed"}),
            ("drivable_area_node", *ground, {"geometry": "depth"}),
            (
                "drivable_area_node",
                *ground,
                "-r",
                "__node:=drivable_area_2",
                {"geometry": "cloud", "mask_transport": "compressed"},
            ),
        ):
            nodes.enter_context(running(module, *arguments, use_sim_time=True, **parameters))
        without_viewer = {use for use in of(policy("one_camera")) if use.node != "viewer"}
        compare(probe, aliases, without_viewer, ("publisher", "subscriber", "service", "client"))


@pytest.mark.ros
def test_the_policy_of_the_viewer_is_what_the_node_does(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ros_harness import running
    from sensor_msgs.msg import Image
    from view_stand_in import StandIn

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    StandIn(tmp_path).set("watched", True)
    remap = [f"{name}:=/segmentation/{name}" for name in ("mask", "confidence", "stats", "label_info")]
    remap += [f"{name}:=/drivable_area/{name}" for name in ("free_space", "obstacle_scan", "obstacle_points")]
    remap += ["image:=/camera/image_raw", "camera_info:=/camera/camera_info"]
    either = {"/camera/image_raw/compressed", "/drivable_area/obstacle_cloud"}  # instead of what is seen here
    expected = {use for use in of(policy("one_camera")) if use.node == "viewer" and use.name not in either}
    masks = probe.node.create_publisher(Image, "/segmentation/mask", 5)
    mask = probe.image(np.zeros((4, 6), np.uint8), "mono8")
    timer = probe.node.create_timer(0.1, lambda: masks.publish(mask))  # images are wanted once there are masks
    with running("viewer_node", *(word for rule in remap for word in ("-r", rule)), confidence=True, use_sim_time=True):
        compare(probe, {"viewer": "viewer"}, expected, ("publisher", "subscriber", "service", "client"))
    timer.cancel()


@pytest.mark.ros
def test_the_policy_of_several_cameras_is_what_the_node_does(probe: Probe) -> None:
    from our_topics import TINY
    from ros_harness import running

    images = [w for c in ("front", "left") for w in ("-r", f"{c}/image:=/{c}/image_raw")]
    with running("segmentation_node", *images, cameras="[front, left]", use_sim_time=True, **TINY):
        several = {"/fanet_ros/segmentation": policy("several_cameras")["/fanet_ros/segmentation"]}
        expected = {use for use in of(several) if not use.name.endswith("image_raw/compressed")}
        compare(probe, {"segmentation": "segmentation"}, expected, ("publisher", "subscriber", "service", "client"))


def test_several_cameras_are_one_camera_several_times() -> None:
    one, several = policy("one_camera"), policy("several_cameras")
    for camera in ("front", "left"):
        node = f"drivable_area_{camera}"
        expected = {
            Use(
                node,
                kind,
                name.replace("/drivable_area/", f"/{node}/")
                .replace("/camera/", f"/{camera}/")
                .replace("/segmentation/mask", f"/segmentation/{camera}/mask")
                .replace("/segmentation/confidence", f"/segmentation/{camera}/confidence"),
            )
            for _, kind, name in one["/fanet_ros/drivable_area"]
        }
        assert several[f"/fanet_ros/{node}"] == expected
    assert set(several) == {
        "/fanet_ros/segmentation",
        "/fanet_ros/drivable_area_front",
        "/fanet_ros/drivable_area_left",
        "/fanet_ros/viewer",
    }
    inputs = {use.name for use in several["/fanet_ros/segmentation"] if use.kind == "subscriber"}
    assert inputs == {"/clock", *(f"/{c}/image_raw{end}" for c in ("front", "left") for end in ("", "/compressed"))}
