"""config/nav2: the parameters that Nav2 declares, on topics that our nodes publish, with QoS that fits.

Nav2 itself is not needed. The parameter names below are those that its sources declare (navigation2, August 2026:
costmap_2d_ros.cpp, obstacle_layer.cpp, voxel_layer.cpp, static_layer.cpp, collision_monitor_node.cpp with its sources
and polygons), and those of semantic_segmentation_layer.cpp and spatio_temporal_voxel_layer.cpp.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fanet_ros.model.labels import load_label_set
from fanet_ros.model.model_card import read_card
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.resources import DEFAULT_WEIGHTS, config_path

if TYPE_CHECKING:
    from ros_harness import Probe

COSTMAPS = ("obstacle_layer", "static_layer", "semantic_layer", "voxel_layer", "spatio_temporal_voxel_layer")
FILES = (*COSTMAPS, "collision_monitor")

COSTMAP = {
    *("global_frame", "robot_base_frame", "rolling_window", "width", "height", "resolution", "robot_radius"),
    *("track_unknown_space", "lethal_cost_threshold", "trinary_costmap", "use_maximum", "plugins"),
}
OBSTACLE_LAYER = {
    *("plugin", "enabled", "footprint_clearing_enabled", "min_obstacle_height", "max_obstacle_height"),
    *("combination_method", "observation_sources", "tf_filter_tolerance"),
}
OBSTACLE_SOURCE = {
    *("topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type", "min_obstacle_height"),
    *("max_obstacle_height", "inf_is_valid", "marking", "clearing", "transport_type", "obstacle_max_range"),
    *("obstacle_min_range", "raytrace_max_range", "raytrace_min_range"),
}
VOXEL_LAYER = {
    *OBSTACLE_LAYER,
    *("origin_z", "z_resolution", "z_voxels", "mark_threshold", "unknown_threshold", "publish_voxel_map"),
}
STVL = {
    *("plugin", "enabled", "observation_sources", "transform_tolerance", "publish_voxel_map", "voxel_size"),
    *("combination_method", "mark_threshold", "update_footprint_enabled", "track_unknown_space", "decay_model"),
    *("voxel_decay", "mapping_mode", "map_save_duration"),
}
STVL_SOURCE = {
    *("topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type", "min_obstacle_height"),
    *("max_obstacle_height", "inf_is_valid", "marking", "clearing", "obstacle_range", "min_z", "max_z"),
    *("vertical_fov_angle", "vertical_fov_padding", "horizontal_fov_angle", "decay_acceleration", "filter"),
    *("voxel_min_points", "clear_after_reading", "enabled", "model_type"),
}
STATIC_LAYER = {
    *("plugin", "enabled", "subscribe_to_updates", "footprint_clearing_enabled", "restore_cleared_footprint"),
    *("map_topic", "map_subscribe_transient_local"),
}
INFLATION_LAYER = {"plugin", "enabled", "cost_scaling_factor", "inflation_radius"}
SEMANTIC_LAYER = {"plugin", "enabled", "combination_method", "observation_sources", "use_approximate_time_sync"}
SEMANTIC_SOURCE = {
    *("segmentation_topic", "confidence_topic", "labels_topic", "pointcloud_topic", "observation_persistence"),
    *("expected_update_rate", "class_types", "max_obstacle_distance", "min_obstacle_distance", "tile_map_decay_time"),
    *("visualize_tile_map", "use_cost_selection"),
}
SEMANTIC_TYPE = {
    *("classes", "base_cost", "max_cost", "mark_confidence", "samples_to_max_cost", "dominant_priority"),
}
MONITOR = {
    *("base_frame_id", "odom_frame_id", "cmd_vel_in_topic", "cmd_vel_out_topic", "state_topic", "transform_tolerance"),
    *("source_timeout", "base_shift_correction", "stop_pub_timeout", "polygons", "observation_sources"),
}
MONITOR_POLYGON = {
    *("type", "points", "action_type", "min_points", "slowdown_ratio", "visualize", "polygon_pub_topic", "enabled"),
}
MONITOR_SOURCE = {"type", "topic", "enabled", "source_timeout", "min_height", "max_height", "min_range"}


def parameters(name: str) -> dict[str, Any]:
    """Return the parameters of the one node in a file."""
    content = yaml.safe_load(config_path(f"nav2/{name}.yaml").read_text())
    path = ("collision_monitor",) if name == "collision_monitor" else ("local_costmap", "local_costmap")
    for key in path:
        assert list(content) == [key]
        content = content[key]
    assert list(content) == ["ros__parameters"]
    return content["ros__parameters"]


def scalars(settings: dict[str, Any]) -> set[str]:
    return {name for name, value in settings.items() if not isinstance(value, dict)}


def blocks(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: value for name, value in settings.items() if isinstance(value, dict)}


def topics() -> dict[str, str]:
    """Return the messages' type by topic, for every topic of ours in the files."""
    types = {"LaserScan": "sensor_msgs/msg/LaserScan", "PointCloud2": "sensor_msgs/msg/PointCloud2"}
    found: dict[str, str] = {}
    for file, name in (
        ("obstacle_layer", "obstacle_layer"),
        ("voxel_layer", "voxel_layer"),
        ("spatio_temporal_voxel_layer", "stvl_layer"),
    ):
        for source in blocks(parameters(file)[name]).values():
            found[source["topic"]] = types[source["data_type"]]
    found[parameters("static_layer")["free_space_layer"]["map_topic"]] = "nav_msgs/msg/OccupancyGrid"
    camera = parameters("semantic_layer")["semantic_layer"]["camera"]
    found[camera["segmentation_topic"]] = found[camera["confidence_topic"]] = "sensor_msgs/msg/Image"
    found[camera["labels_topic"]] = "vision_msgs/msg/LabelInfo"
    found[camera["pointcloud_topic"]] = types["PointCloud2"]
    monitor = parameters("collision_monitor")
    for source in (monitor["camera_scan"], monitor["camera_points"]):
        assert found[source["topic"]] == types[{"scan": "LaserScan", "pointcloud": "PointCloud2"}[source["type"]]]
    return found


def test_every_file_is_tested() -> None:
    assert {path.stem for path in config_path("nav2/obstacle_layer.yaml").parent.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", COSTMAPS)
def test_costmaps_list_the_layers_that_they_configure(name: str) -> None:
    settings = parameters(name)
    assert scalars(settings) <= COSTMAP
    assert settings["plugins"] == list(blocks(settings)), "every layer once, the inflation last"
    assert settings["plugins"][-1] == "inflation_layer"
    assert set(settings["inflation_layer"]) <= INFLATION_LAYER
    ground = DrivableAreaParameters()
    assert (settings["robot_base_frame"], settings["global_frame"]) == (ground.base_frame, ground.odom_frame)
    assert settings["rolling_window"] and settings["track_unknown_space"]


def test_the_obstacle_layer_keeps_points_on_the_ground_and_clears_with_free_beams() -> None:
    layer = parameters("obstacle_layer")["obstacle_layer"]
    assert scalars(layer) <= OBSTACLE_LAYER
    assert layer["plugin"] == "nav2_costmap_2d::ObstacleLayer"
    sources = blocks(layer)
    assert layer["observation_sources"] in sources
    assert {source["data_type"] for source in sources.values()} == {"LaserScan", "PointCloud2"}
    assert ("inf_is_valid" in sources["camera_points"], sources["camera_scan"]["inf_is_valid"]) == (False, True)
    for source in sources.values():
        assert set(source) <= OBSTACLE_SOURCE
        for limits in (layer, source):
            assert limits["min_obstacle_height"] < -0.1 and limits["max_obstacle_height"] > 0.1
        # a free beam becomes a point at range_max: it has to clear without being marked
        assert source["obstacle_max_range"] < DrivableAreaParameters().range_max
        assert source["raytrace_min_range"] < source["raytrace_max_range"] <= DrivableAreaParameters().range_max
        assert source["marking"] and source["clearing"]


@pytest.mark.parametrize("name", ["semantic_layer", "static_layer"])
def test_layers_that_never_call_their_data_old_have_one_beside_them_that_does(name: str) -> None:
    settings = parameters(name)
    watch = settings["scan_layer"]
    assert scalars(watch) <= OBSTACLE_LAYER and watch["plugin"] == "nav2_costmap_2d::ObstacleLayer" and watch["enabled"]
    source = watch[watch["observation_sources"]]
    assert set(source) <= OBSTACLE_SOURCE
    assert source["topic"] == parameters("obstacle_layer")["obstacle_layer"]["camera_scan"]["topic"]
    assert source["expected_update_rate"] > 0, "0 never calls anything old"
    # a buffer that neither marks nor clears is not asked for its age; marking would make lethal what only costs
    assert (source["marking"], source["clearing"], source["inf_is_valid"]) == (False, True, True)
    if name == "static_layer":
        assert watch["combination_method"] == 2, "what the grid calls unknown stays unknown"
        assert settings["plugins"].index("free_space_layer") < settings["plugins"].index("scan_layer")
    else:
        assert watch["footprint_clearing_enabled"], "the semantic layer clears none"
        assert settings["semantic_layer"]["camera"]["expected_update_rate"] == 0.0, "it has no effect: promise none"


def test_the_voxel_layer_marks_what_stands_and_clears_along_every_line_of_sight() -> None:
    layer = parameters("voxel_layer")["voxel_layer"]
    assert scalars(layer) <= VOXEL_LAYER
    assert layer["plugin"] == "nav2_costmap_2d::VoxelLayer"
    sources, ground = blocks(layer), DrivableAreaParameters()
    assert layer["observation_sources"].split() == list(sources)
    assert layer["z_voxels"] <= 16, "bits of a column"
    top = layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"]
    assert layer["origin_z"] <= layer["min_obstacle_height"] and layer["max_obstacle_height"] <= top
    assert layer["min_obstacle_height"] < 0 and layer["max_obstacle_height"] > ground.clearance
    for source in sources.values():
        assert set(source) <= OBSTACLE_SOURCE
        assert source["sensor_frame"] == "camera_optical_frame", "lines of sight begin at the camera"
        for limit in ("min_obstacle_height", "max_obstacle_height"):
            assert source[limit] == layer[limit]
        assert source["obstacle_max_range"] <= ground.depth_max and source["raytrace_max_range"] <= ground.depth_max
    marks = {source["topic"] for source in sources.values() if source["marking"]}
    clears = {source["topic"] for source in sources.values() if source["clearing"]}
    assert marks == {"/drivable_area/obstacle_cloud"}, "the other cloud has the ground, too"
    assert "/drivable_area/semantic_points" in clears


def test_the_spatio_temporal_layer_marks_what_stands_and_forgets_in_sight() -> None:
    layer = parameters("spatio_temporal_voxel_layer")["stvl_layer"]
    assert scalars(layer) <= STVL
    assert layer["plugin"] == "spatio_temporal_voxel_layer/SpatioTemporalVoxelLayer"
    sources, ground = blocks(layer), DrivableAreaParameters()
    assert layer["observation_sources"].split() == list(sources) == ["measured_mark", "measured_clear"]
    mark, clear = sources.values()
    assert all(set(source) <= STVL_SOURCE for source in sources.values())
    assert {source["topic"] for source in sources.values()} == {"/drivable_area/obstacle_cloud"}
    assert (mark["marking"], mark["clearing"], clear["marking"], clear["clearing"]) == (True, False, False, True)
    assert mark["min_obstacle_height"] < 0 and mark["max_obstacle_height"] > ground.clearance
    assert mark["obstacle_range"] <= ground.depth_max and clear["min_z"] < clear["max_z"] <= ground.depth_max
    assert clear["sensor_frame"].endswith("optical_frame"), "the frustum lies along z"
    assert clear["expected_update_rate"] == 0, "else the layer would call itself outdated for ever"


def test_the_static_layer_waits_for_a_latched_grid_in_the_frame_of_the_costmap() -> None:
    settings = parameters("static_layer")
    layer = settings["free_space_layer"]
    assert set(layer) <= STATIC_LAYER
    assert layer["plugin"] == "nav2_costmap_2d::StaticLayer"
    assert layer["map_subscribe_transient_local"] is True
    assert settings["plugins"][0] == "free_space_layer", "it writes over the layers before it"
    assert settings["use_maximum"] is False
    assert settings.get("lethal_cost_threshold", 100) == 100, "the grid holds 0, 100 and -1 only"


def test_the_semantic_layer_knows_every_class_exactly_once() -> None:
    layer = parameters("semantic_layer")["semantic_layer"]
    assert scalars(layer) <= SEMANTIC_LAYER
    assert layer["plugin"] == "semantic_segmentation_layer::SemanticSegmentationLayer"
    camera = layer[layer["observation_sources"]]
    assert scalars(camera) <= SEMANTIC_SOURCE
    assert list(blocks(camera)) == camera["class_types"]
    listed = [name for kind in blocks(camera).values() for name in kind["classes"]]
    shipped = load_label_set(str(read_card(DEFAULT_WEIGHTS).label_set))
    assert sorted(listed) == sorted(shipped.names)
    for kind in blocks(camera).values():
        assert set(kind) == SEMANTIC_TYPE
        assert 0 <= kind["base_cost"] <= 255 and 0 <= kind["max_cost"] <= 254 and 0 <= kind["mark_confidence"] <= 255


def test_the_semantic_layers_costs_follow_the_groups_of_the_label_set() -> None:
    camera = parameters("semantic_layer")["semantic_layer"]["camera"]
    labels = load_label_set("camvid11")
    cost = {name: kind["max_cost"] for kind in blocks(camera).values() for name in kind["classes"]}
    assert {name for name, value in cost.items() if value == 254} == set(labels.groups["obstacle"])
    assert {cost[name] for name in labels.groups["drivable"]} == {0}
    assert all(cost[name] < 253 for name in labels.groups["walkable"])


def test_the_collision_monitor_looks_where_the_camera_does() -> None:
    settings = parameters("collision_monitor")
    assert scalars(settings) <= MONITOR
    assert set(blocks(settings)) == {*settings["polygons"], "camera_scan", "camera_points"}
    assert set(settings["observation_sources"]) <= {"camera_scan", "camera_points"}
    ground = DrivableAreaParameters()
    assert (settings["base_frame_id"], settings["odom_frame_id"]) == (ground.base_frame, ground.odom_frame)
    reach = []
    for name in settings["polygons"]:
        polygon = settings[name]
        assert set(polygon) <= MONITOR_POLYGON
        corners = yaml.safe_load(polygon["points"])
        assert len(corners) >= 3 and all(len(corner) == 2 for corner in corners)
        reach.append(max(x for x, _ in corners))
    assert [settings[name]["action_type"] for name in settings["polygons"]] == ["stop", "slowdown"]
    assert 0 < reach[0] < reach[1] < ground.range_max
    for name in ("camera_scan", "camera_points"):
        assert set(settings[name]) <= MONITOR_SOURCE
    assert settings["camera_points"]["min_height"] < -0.1


@pytest.mark.ros
def test_our_nodes_publish_the_topics_with_quality_of_service_that_nav2_accepts(probe: Probe) -> None:
    from our_topics import published_topics
    from rclpy.qos import (
        DurabilityPolicy,
        LivelinessPolicy,
        QoSCompatibility,
        QoSProfile,
        ReliabilityPolicy,
        qos_check_compatible,
    )

    # What Nav2 and the semantic layer subscribe with: nav2_ros_common/qos_profiles.hpp.
    sensor_data = QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
    latched = QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
    is_latched = {"nav_msgs/msg/OccupancyGrid", "vision_msgs/msg/LabelInfo"}
    expected = topics()
    with published_topics(probe, frozenset(expected)) as published:
        for topic, kind in expected.items():
            assert published[topic].topic_type == kind, topic
            wanted = latched if kind in is_latched else sensor_data
            compatible, reason = qos_check_compatible(published[topic].qos_profile, wanted)
            assert compatible == QoSCompatibility.OK, f"{topic}: {reason}"


def test_the_guide_names_every_file() -> None:
    guide = Path(__file__).resolve().parent.parent / "docs" / "navigation.md"
    text = guide.read_text()
    assert all(f"config/nav2/{name}.yaml" in text for name in FILES)
