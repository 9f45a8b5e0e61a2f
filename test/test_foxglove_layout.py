"""config/foxglove_layout.json: whole as a layout, on topics and fields that our nodes publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.resources import config_path

if TYPE_CHECKING:
    from ros_harness import Probe

LAYOUT = json.loads(config_path("foxglove_layout.json").read_text())
PANELS = {"Image", "3D", "Plot", "DiagnosticSummary", "DiagnosticStatusPanel"}  # types by which Foxglove knows panels


def panels(kind: str) -> list[dict[str, Any]]:
    return [settings for name, settings in LAYOUT["configById"].items() if name.split("!")[0] == kind]


def leaves(node: str | dict[str, Any]) -> Iterator[str]:
    """Yield the panels of a layout's tree from left to right, top to bottom."""
    if isinstance(node, str):
        yield node
    else:
        assert node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
        yield from leaves(node["first"])
        yield from leaves(node["second"])


def types_of_topics() -> dict[str, str]:
    """Return the type of the messages by topic, for every topic in the layout."""
    three_d = {
        "free_space": "nav_msgs/msg/OccupancyGrid",
        "obstacle_scan": "sensor_msgs/msg/LaserScan",
        "obstacle_points": "sensor_msgs/msg/PointCloud2",
        "semantic_points": "sensor_msgs/msg/PointCloud2",
        "obstacle_cloud": "sensor_msgs/msg/PointCloud2",
    }
    found = {panel["imageMode"]["imageTopic"]: "sensor_msgs/msg/Image" for panel in panels("Image")}
    (ground,) = panels("3D")
    found |= {topic: three_d[topic.removeprefix("/drivable_area/")] for topic in ground["topics"]}
    (plot,) = panels("Plot")
    found |= {path["value"].split(".")[0]: "fanet_ros/msg/SegmentationStats" for path in plot["paths"]}
    for kind in ("DiagnosticSummary", "DiagnosticStatusPanel"):
        found |= {panel["topicToRender"]: "diagnostic_msgs/msg/DiagnosticArray" for panel in panels(kind)}
    return found


def test_every_panel_has_its_place_once() -> None:
    assert set(LAYOUT) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    assert sorted(leaves(LAYOUT["layout"])) == sorted(LAYOUT["configById"])
    assert {name.split("!")[0] for name in LAYOUT["configById"]} == PANELS


def test_the_ground_is_shown_in_the_robots_frame() -> None:
    (ground,) = panels("3D")
    frame = DrivableAreaParameters().base_frame
    assert ground["followTf"] == frame
    assert [layer["frameId"] for layer in ground["layers"].values()] == [frame]
    visible = {topic for topic, settings in ground["topics"].items() if settings["visible"]}
    assert visible == {"/drivable_area/free_space", "/drivable_area/obstacle_scan"}, "the clouds cost; off at first"


@pytest.mark.ros
def test_our_nodes_publish_what_it_shows(probe: Probe) -> None:
    from fanet_ros.msg import SegmentationStats
    from our_topics import published_topics

    expected = types_of_topics()
    with published_topics(probe, frozenset(expected)) as published:
        assert {topic: published[topic].topic_type for topic in expected} == expected
    fields = SegmentationStats.get_fields_and_field_types()
    (plot,) = panels("Plot")
    assert {path["value"].split(".")[1] for path in plot["paths"]} <= set(fields)
