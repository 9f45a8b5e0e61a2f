"""The launch files: read as text everywhere, and run for real where `launch` and `launch_ros` are installed.

The real runs start stand-ins for the two nodes, which report what they were given and end.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.resources import config_path
from fanet_ros.ros.launching.arguments import GROUND_PARAMETERS, NODE_PARAMETERS, POSE_PARAMETERS
from fanet_ros.ros.transport import PROFILE_VARIABLES
from fanet_ros.sources.street.scene import NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD

ROOT = Path(__file__).resolve().parent.parent
SEGMENT, DEMO = ROOT / "launch" / "segment.launch.py", ROOT / "launch" / "demo.launch.py"
LAUNCHED_NODES = ROOT / "fanet_ros" / "ros" / "launching" / "nodes.py"
GROUND_OUTPUTS = ("free_space", "obstacle_scan", "semantic_points", "obstacle_cloud")
GROUND_TOPICS = tuple(f"/drivable_area/{name}" for name in GROUND_OUTPUTS)

needs_launch = pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None or importlib.util.find_spec("launch") is None,
    reason="launch and launch_ros are not installed (they come with a ROS 2 distribution)",
)


# -- as text -----------------------------------------------------------------------------------------------------------


def assigned(path: Path, name: str) -> ast.expr:
    """Return the expression that `path` assigns to the module's `name`."""
    for statement in ast.parse(path.read_text(), filename=str(path)).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return statement.value
    raise AssertionError(f"{path.name} assigns no {name}")


def test_the_parameters_among_the_arguments_exist() -> None:
    names = set(NODE_PARAMETERS)
    assert names <= set(SegmentationParameters.specs())
    assert names >= {"image_transport", "backend", "device", "precision", "weights", "labels", "autostart"}
    assert "temporal_frames" in names


def test_the_ground_parameters_among_the_arguments_exist() -> None:
    specs = DrivableAreaParameters.specs()
    assert set(POSE_PARAMETERS) == {name for name in specs if name.startswith("camera_")}
    names = set(GROUND_PARAMETERS)
    assert names <= set(specs) and names >= {"base_frame", "geometry", "depth_max", *POSE_PARAMETERS}
    assert {"mask_transport", "rectified", "accumulate"} <= names and "labels" in specs
    assert "labels" in SegmentationParameters.specs(), "one argument sets both"


def test_the_camera_arguments_are_parameters_of_the_camera_node() -> None:
    names = ast.literal_eval(assigned(DEMO, "CAMERA_PARAMETERS"))
    assert set(names) <= set(CameraParameters.specs())
    assert {"source", "rate_hz", "width", "height", "frame_id", "calibration", "horizontal_fov"} <= set(names)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("segment.rviz", ["/camera/image_raw", "/segmentation/overlay", "/segmentation/color_mask"]),
        ("navigate.rviz", ["/camera/image_raw", "/segmentation/overlay", *GROUND_TOPICS]),
    ],
)
def test_rviz_shows_the_topics_that_the_launch_file_remaps(file: str, expected: list[str]) -> None:
    settings = yaml.safe_load(config_path(file).read_text())
    displays = settings["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"]: display["Topic"] for display in displays if "Topic" in display}
    assert list(topics) == expected
    for name, topic in topics.items():
        latched = name == "/drivable_area/free_space"
        policies = (topic["Reliability Policy"], topic["Durability Policy"])
        assert policies == (("Reliable", "Transient Local") if latched else ("Best Effort", "Volatile")), name
    strings = {node.value for node in ast.walk(ast.parse(LAUNCHED_NODES.read_text())) if isinstance(node, ast.Constant)}
    assert set(topics) <= strings


@pytest.mark.parametrize("file", ["segment.rviz", "navigate.rviz"])
def test_rviz_shows_its_images_beside_each_other(file: str) -> None:
    settings = yaml.safe_load(config_path(file).read_text())
    displays = settings["Visualization Manager"]["Displays"]
    assert not [display["Name"] for display in displays if "Value" in display], "subscribes before it knows the QoS"
    window = settings["Window Geometry"]
    # RViz reads an uninitialised variable where one of these is missing, and floats the panels that the state lacks.
    assert (window["Hide Left Dock"], window["Hide Right Dock"]) == (False, False)
    images = [display["Name"] for display in displays if display["Class"] == "rviz_default_plugins/Image"]
    state = bytes.fromhex(window["QMainWindow State"])
    assert not [name for name in ["Displays", *images] if name.encode("utf-16-be") not in state]


# -- as descriptions ---------------------------------------------------------------------------------------------------


@needs_launch
@pytest.mark.parametrize("path", [SEGMENT, DEMO], ids=lambda path: path.name)
def test_every_argument_is_described(path: Path) -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    arguments = get_launch_description_from_python_launch_file(str(path)).get_launch_arguments()
    names = {argument.name for argument in arguments}
    assert names >= {
        *("image", "image_transport", "backend", "device", "precision", "weights", "labels", "params_file"),
        *("namespace", "node_name", "use_sim_time", "autostart", "rviz", "log_level"),
        *("cameras", "drivable_area", "camera_info", "drivable_params_file", "base_frame", "camera_height"),
        *("camera_x", "camera_y", "camera_roll", "camera_pitch", "camera_yaw", "rectified", "accumulate"),
        *("geometry", "depth_max", "depth", "depth_camera_info", "points", "enclave"),
        *("view", "view_port", "view_confidence"),
    }
    assert (path == DEMO) == (names >= {"lidar", "depth_sensor"})
    assert (path == DEMO) == (names >= {"source", "rate_hz", "width", "height", "frame_id", "loop", "seed"})
    for argument in arguments:
        assert len(argument.description) > 20, argument.name
        assert argument.default_value is not None, argument.name
    closed = {argument.name for argument in arguments if argument.choices}
    assert closed >= {"image_transport", "backend", "precision", "use_sim_time", "autostart", "rviz", "log_level"}
    assert closed >= {"drivable_area", "rectified", "accumulate", "geometry"}


@needs_launch
@pytest.mark.parametrize("path", [SEGMENT, DEMO], ids=lambda path: path.name)
def test_showing_the_arguments_touches_no_shared_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    from fanet_ros.ros import transport

    cleared: list[object] = []
    monkeypatch.setattr(transport, "remove_dead_segments", lambda *_: cleared.append(path))
    assert get_launch_description_from_python_launch_file(str(path)).get_launch_arguments()
    assert cleared == []
    transport.shipped_dds_environment()
    assert cleared == [path], "what a real launch calls does clear it"


# -- as processes ------------------------------------------------------------------------------------------------------

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = dict(argument.split(":=", 1) for argument in sys.argv[2:])
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService(noninteractive=True)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items())])
)
sys.exit(service.run())
"""

RVIZ_TOPICS = ("/camera/image_raw", "/segmentation/overlay", "/segmentation/color_mask")
INPUTS = ("mask", "confidence", "label_info", "camera_info")
MEASUREMENTS = ("depth", "depth/camera_info", "points")
OF_CAMERAS = tuple(f"{name}/image{end}" for name in ("front", "left") for end in ("", "/compressed"))
VIEWED = (
    "stats",
    "free_space",
    "obstacle_scan",
    "obstacle_points",
    "front/mask",
    "left/camera_info",
    "left/free_space",
)
TOPICS = ("image", "image/compressed", "~/image_raw", *INPUTS, *MEASUREMENTS, *OF_CAMERAS, *RVIZ_TOPICS, *GROUND_TOPICS)
TOPICS = (*TOPICS, *VIEWED)

STAND_IN = f"""#!{sys.executable}
import json, os, pathlib, sys
import rclpy

rclpy.init()
node = rclpy.create_node("stand_in")
# Not declared, because an empty list has no type by which rclpy could: it is None here.
given = {{**node.get_parameters_by_prefix(""), **node._parameter_overrides}}
report = {{
    "name": node.get_fully_qualified_name(),
    "parameters": {{name: parameter.value for name, parameter in given.items()}},
    "topics": {{name: node.resolve_topic_name(name) for name in {TOPICS!r}}},
    "arguments": sys.argv[1:],
    "profiles": [os.environ.get(name) for name in {PROFILE_VARIABLES!r}],
}}
several = "_" + node.get_name().removeprefix("drivable_area_") if "drivable_area_" in node.get_name() else ""
pathlib.Path(os.environ["REPORTS"], pathlib.Path(sys.argv[0]).name + several).write_text(json.dumps(report))
"""


def install_stand_in(prefix: Path, package: str, name: str) -> None:
    """Install the stand-in as an executable of a package, under the ament prefix `prefix`."""
    index, programs = prefix / "share/ament_index/resource_index/packages", prefix / "lib" / package
    for folder in (index, programs):
        folder.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    (programs / name).write_text(STAND_IN)
    (programs / name).chmod(0o755)


Run = Callable[..., "tuple[dict[str, Any], str]"]


@pytest.fixture
def run(tmp_path: Path, domain_id: int) -> Run:
    """Return a function that launches a file with arguments and returns each stand-in's report, and the output."""
    prefix, reports = tmp_path / "prefix", tmp_path / "reports"
    reports.mkdir()
    for name in ("segmentation_node", "camera_node", "drivable_area_node", "viewer_node"):
        install_stand_in(prefix, "fanet_ros", name)

    def launch(path: Path, *arguments: str, code: int = 0, **variables: str) -> tuple[dict[str, Any], str]:
        own = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION", "DISPLAY", "WAYLAND_DISPLAY")
        environ = {name: value for name, value in os.environ.items() if name not in own}
        environ |= {
            "AMENT_PREFIX_PATH": os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH", "")]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "ROS_DOMAIN_ID": str(domain_id),
            "ROS_LOG_DIR": str(tmp_path / "log"),
            "REPORTS": str(reports),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", LAUNCH, str(path), *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout
        found = {report.name: json.loads(report.read_text()) for report in reports.iterdir()}
        for report in found.values():  # rclpy's own
            report["parameters"].pop("start_type_description_service", None)
        return found, done.stdout

    return launch


@needs_launch
@pytest.mark.ros
def test_the_labels_of_own_weights_reach_both_nodes(run: Run, tmp_path: Path) -> None:
    """By the card beside them; what the user says himself, in an argument or a file, counts more."""
    weights, other = tmp_path / "own.safetensors", tmp_path / "other.yaml"
    weights.with_suffix(".md").write_text("---\nlabel_set: own.yaml\n---\nOurs.\n")

    def labels(*arguments: str) -> tuple[str, str]:
        reports, _ = run(SEGMENT, "drivable_area:=true", *arguments)
        segmentation, ground = (reports[f"{name}_node"]["parameters"] for name in ("segmentation", "drivable_area"))
        return segmentation["labels"], ground["labels"]

    assert labels(f"weights:={weights}") == ("", str(tmp_path / "own.yaml"))
    assert labels(f"weights:={weights}", f"labels:={other}") == (str(other), str(other))
    assert labels() == ("", "")
    files = {name: tmp_path / f"{name}.yaml" for name in ("segment", "ground")}
    files["segment"].write_text(f"/**:\n  ros__parameters: {{weights: {weights}, labels: ''}}\n")
    assert labels(f"params_file:={files['segment']}") == ("", str(tmp_path / "own.yaml"))
    files["ground"].write_text(f"robot:\n  drivable_area:\n    ros__parameters: {{labels: {other}}}\n")
    _, ground = labels(f"weights:={weights}", f"drivable_params_file:={files['ground']}", "namespace:=robot")
    assert ground == str(other)


@needs_launch
@pytest.mark.ros
def test_without_arguments_the_shipped_parameters_hold(run: Run) -> None:
    reports, _ = run(SEGMENT)
    (report,) = reports.values()
    defaults = {name: spec.default for name, spec in SegmentationParameters.specs().items()}
    for name in ("cameras", "rotation", "region"):
        assert defaults.pop(name) == () and report["parameters"][name] is None
    assert defaults.items() <= report["parameters"].items()
    assert report["parameters"]["use_sim_time"] is False
    assert report["name"] == "/segmentation"
    assert report["topics"]["image"] == "/camera/image_raw"
    assert report["topics"]["image/compressed"] == "/camera/image_raw/compressed"
    assert report["profiles"] == [str(config_path("fastdds.xml"))] * 2


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize("key", ["/**", "eyes", "/robot/eyes"])
def test_only_given_arguments_override_the_file(run: Run, tmp_path: Path, key: str) -> None:
    values = {"backend": "torch", "precision": "bf16", "weights": "a.pth", "autostart": False, "use_sim_time": True}
    scope: dict[str, Any] = {"ros__parameters": {**values, "threads": 3}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"robot": {"eyes": scope}} if key == "eyes" else {key: scope}))
    arguments = [f"params_file:={file}", "namespace:=robot", "node_name:=eyes", "image:=front/image"]

    reports, _ = run(SEGMENT, *arguments)
    assert reports["segmentation_node"]["name"] == "/robot/eyes"
    assert reports["segmentation_node"]["topics"]["image"] == "/robot/front/image"
    assert reports["segmentation_node"]["parameters"] == {**values, "threads": 3}

    given = ["precision:=fp32", "weights:=123", "autostart:=True", "use_sim_time:=false", "log_level:=warn"]
    given += ["temporal_frames:=2", "rotation:=[0, 180]", "region:=640x240+0+120"]
    reports, _ = run(SEGMENT, *arguments, *given)
    assert reports["segmentation_node"]["parameters"] == {
        **{"backend": "torch", "threads": 3},
        **{"precision": "fp32", "weights": "123", "autostart": True, "use_sim_time": False, "temporal_frames": 2},
        **{"rotation": ["0", "180"], "region": ["640x240+0+120"]},
    }


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize(
    ("path", "arguments", "expected"),
    [
        (SEGMENT, "image_transport:=theora", '"image_transport" provided value "theora" is not valid'),
        (
            SEGMENT,
            "params_file:=/no/such.yaml",
            "received '/no/such.yaml', expected an existing YAML file",
        ),
        (DEMO, "params_file:=/no/such.yaml", "received '/no/such.yaml', expected an existing YAML file"),
        (SEGMENT, "drivable_area:=true|camera_height:=tall", "camera_height: received 'tall', expected a number"),
        (SEGMENT, "view:=true|view_port:=web", "view_port: received 'web', expected a whole number"),
        (SEGMENT, "temporal_frames:=two", "temporal_frames: received 'two', expected a whole number"),
        (SEGMENT, "rotation:={a: 1}", "rotation: received '{a: 1}', expected one value, or one for each camera"),
        (SEGMENT, "drivable_area:=maybe", '"drivable_area" provided value "maybe" is not valid'),
        (
            SEGMENT,
            "drivable_area:=true|drivable_params_file:=/no/such.yaml",
            "drivable_params_file: received '/no/such.yaml', expected an existing YAML file",
        ),
        (SEGMENT, "cameras:=front", "cameras: received 'front', expected a list of names"),
        (SEGMENT, "cameras:=[1, 2]", "cameras: received '[1, 2]', expected a list of names"),
        (SEGMENT, "cameras:=[front", "cameras: received '[front', expected a list of names"),
        (
            SEGMENT,
            "cameras:=[front, left]|image:=/a/image",
            "received '/a/image' for `cameras`, expected {camera} in it",
        ),
        (SEGMENT, "image:=/{camera}/image", "received '/{camera}/image' without `cameras`"),
        (
            SEGMENT,
            "cameras:=[front, left]|drivable_area:=true|camera_height:=1",
            "camera_height: received '1' for 2 cameras, expected one camera",
        ),
        (SEGMENT, "drivable_area:=true|geometry:=stereo", '"geometry" provided value "stereo" is not valid'),
        (SEGMENT, "drivable_area:=true|depth_max:=far", "depth_max: received 'far', expected a number"),
        (
            SEGMENT,
            "cameras:=[front, left]|drivable_area:=true|depth:=/d",
            "depth: received '/d' for `cameras`, expected {camera} in it",
        ),
        (SEGMENT, "drivable_area:=true|points:=/{camera}/p", "points: received '/{camera}/p' without `cameras`"),
        (
            DEMO,
            "drivable_area:=true|geometry:=depth|source:=/my.mp4",
            "geometry: received 'depth' for /my.mp4, which measures no distances; give the topic of those that belong "
            "to it, depth:=/your/topic",
        ),
        (DEMO, "geometry:=cloud|source:=/my.mp4", "points:=/your/topic"),
        (DEMO, "depth_sensor:=left", '"depth_sensor" provided value "left" is not valid'),
        (DEMO, "rate_hz:=fast", "rate_hz: received 'fast', expected a number"),
        (DEMO, "width:=1.5", "width: received '1.5', expected a whole number"),
    ],
)
def test_wrong_arguments_start_nothing_and_say_why(run: Run, path: Path, arguments: str, expected: str) -> None:
    reports, output = run(path, *arguments.split("|"), code=1)
    assert reports == {}
    assert expected in output


@needs_launch
@pytest.mark.ros
def test_the_drivable_area_node_gets_the_masks_and_the_calibration(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ground.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"range_max": 8.0, "camera_pitch": 0.5}}}))
    arguments = ["drivable_area:=True", "namespace:=robot", "node_name:=eyes", "image:=front/color/image_raw"]
    pose = [
        "camera_height:=1",
        "camera_yaw:=-0.2",
        "base_frame:=base_footprint",
        "accumulate:=true",
        "labels:=camvid11",
    ]
    reports, _ = run(SEGMENT, *arguments, *pose, f"drivable_params_file:={file}", "use_sim_time:=true")
    assert set(reports) == {"segmentation_node", "drivable_area_node"}
    ground = reports["drivable_area_node"]
    assert ground["name"] == "/robot/drivable_area"
    assert [ground["topics"][name] for name in INPUTS] == [
        *("/robot/eyes/mask", "/robot/eyes/confidence", "/robot/eyes/label_info"),
        "/robot/front/color/camera_info",
    ]
    given = {"camera_height": 1.0, "camera_yaw": -0.2, "base_frame": "base_footprint", "accumulate": True}
    of_file = {"range_max": 8.0, "camera_pitch": 0.5}
    assert ground["parameters"] == {**given, **of_file, "labels": "camvid11", "use_sim_time": True}
    assert reports["segmentation_node"]["parameters"]["labels"] == "camvid11"
    assert not set(given) & set(reports["segmentation_node"]["parameters"])

    reports, _ = run(SEGMENT, "drivable_area:=true", "camera_info:=/calibrated/camera_info")
    ground = reports["drivable_area_node"]
    assert ground["topics"]["camera_info"] == "/calibrated/camera_info"
    defaults = {name: spec.default for name, spec in DrivableAreaParameters.specs().items()}
    assert defaults.items() <= ground["parameters"].items()


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("image:=/eye/rgb/image_raw", ("/eye/rgb/depth", "/eye/rgb/depth/camera_info", "/eye/rgb/points")),
        ("image:=rgb|namespace:=robot", ("/robot/depth", "/robot/depth/camera_info", "/robot/points")),
        (
            "depth:=/eye/aligned/image_raw|points:=/lidar",
            ("/eye/aligned/image_raw", "/eye/aligned/camera_info", "/lidar"),
        ),
        ("depth:=/eye/z|depth_camera_info:=/lens", ("/eye/z", "/lens", "/camera/points")),
        ("depth_camera_info:=/lens", ("/camera/depth", "/lens", "/camera/points")),
    ],
)
def test_measurements_are_beside_the_image_unless_they_are_given(
    run: Run, arguments: str, expected: tuple[str, ...]
) -> None:
    reports, _ = run(SEGMENT, "drivable_area:=true", "geometry:=depth", "depth_max:=6", *arguments.split("|"))
    ground = reports["drivable_area_node"]
    assert tuple(ground["topics"][name] for name in MEASUREMENTS) == expected
    assert (ground["parameters"]["geometry"], ground["parameters"]["depth_max"]) == ("depth", 6.0)


@needs_launch
@pytest.mark.ros
def test_several_cameras_have_each_their_depth_and_may_share_a_lidar(run: Run) -> None:
    arguments = ["cameras:=[front, left]", "drivable_area:=true", "depth:=/{camera}/z/image", "points:=/lidar"]
    reports, _ = run(SEGMENT, *arguments)
    for camera in ("front", "left"):
        topics = reports[f"drivable_area_node_{camera}"]["topics"]
        expected = (f"/{camera}/z/image", f"/{camera}/z/camera_info", "/lidar")
        assert tuple(topics[name] for name in MEASUREMENTS) == expected


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize(
    ("arguments", "sensors"),
    [
        ("geometry:=depth", {"depth": "registered"}),
        ("geometry:=depth|depth_sensor:=aside", {"depth": "aside"}),
        ("geometry:=cloud", {"lidar": True}),
        ("geometry:=flat", {}),
        ("depth_sensor:=off|lidar:=true", {"depth": "off", "lidar": True}),
        ("geometry:=depth|depth:=/other", {}),
        ("geometry:=cloud|points:=/other|source:=/my.mp4", {}),
    ],
)
def test_the_demo_turns_on_what_the_geometry_needs(run: Run, arguments: str, sensors: dict[str, object]) -> None:
    reports, _ = run(DEMO, "drivable_area:=true", "namespace:=robot", *arguments.split("|"))
    camera, ground = reports["camera_node"], reports["drivable_area_node"]
    assert {name: camera["parameters"][name] for name in ("depth", "lidar") if name in camera["parameters"]} == sensors
    measured = dict(zip(MEASUREMENTS, ("depth", "depth/camera_info", "points"), strict=True))
    for name, topic in measured.items():
        if "/other" not in arguments:
            assert ground["topics"][name] == f"/robot/camera/{topic}"


@needs_launch
@pytest.mark.ros
def test_several_cameras_share_one_node_and_have_each_their_own_ground(run: Run) -> None:
    reports, _ = run(SEGMENT, "cameras:=[front, left]", "drivable_area:=true", "node_name:=eyes")
    assert set(reports) == {"segmentation_node", "drivable_area_node_front", "drivable_area_node_left"}
    node = reports["segmentation_node"]
    assert node["parameters"]["cameras"] == ["front", "left"]
    assert node["topics"]["front/image"] == "/front/image_raw"
    assert node["topics"]["left/image/compressed"] == "/left/image_raw/compressed"
    for camera in ("front", "left"):
        ground = reports[f"drivable_area_node_{camera}"]
        assert ground["name"] == f"/drivable_area_{camera}"
        assert [ground["topics"][name] for name in INPUTS] == [
            *(f"/eyes/{camera}/mask", f"/eyes/{camera}/confidence", "/eyes/label_info"),
            f"/{camera}/camera_info",
        ]

    reports, _ = run(SEGMENT, "cameras:=[front, left]", "image:=cams/{camera}/rgb/image", "namespace:=robot")
    assert reports["segmentation_node"]["topics"]["left/image"] == "/robot/cams/left/rgb/image"


@needs_launch
@pytest.mark.ros
def test_the_users_dds_profile_stays(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.xml"
    mine.write_text(config_path("fastdds.xml").read_text())
    reports, _ = run(SEGMENT, FASTRTPS_DEFAULT_PROFILES_FILE=str(mine))
    assert reports["segmentation_node"]["profiles"] == [str(mine), None]


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize(
    ("wanted", "display", "starts"), [("true", "", True), ("auto", ":9", True), ("auto", "", False)]
)
def test_rviz_shows_what_the_arguments_say(run: Run, tmp_path: Path, wanted: str, display: str, starts: bool) -> None:
    install_stand_in(tmp_path / "prefix", "rviz2", "rviz2")
    names = ["namespace:=robot", "node_name:=eyes", "image:=/front/image"]
    reports, _ = run(SEGMENT, f"rviz:={wanted}", *names, DISPLAY=display)
    assert ("rviz2" in reports) == starts
    if starts:
        assert reports["rviz2"]["arguments"][:2] == ["-d", str(config_path("segment.rviz"))]
        shown = [reports["rviz2"]["topics"][name] for name in RVIZ_TOPICS]
        assert shown == ["/front/image", "/robot/eyes/overlay", "/robot/eyes/color_mask"]


@needs_launch
@pytest.mark.ros
def test_rviz_shows_the_ground_where_the_node_runs(run: Run, tmp_path: Path) -> None:
    install_stand_in(tmp_path / "prefix", "rviz2", "rviz2")
    arguments = ["rviz:=true", "drivable_area:=true", "cameras:=[front, left]", "base_frame:=base_footprint"]
    reports, _ = run(SEGMENT, *arguments, "namespace:=robot")
    rviz = reports["rviz2"]
    assert rviz["arguments"][:4] == ["-d", str(config_path("navigate.rviz")), "-f", "base_footprint"]
    assert rviz["topics"]["/camera/image_raw"] == "/front/image_raw"
    assert rviz["topics"]["/segmentation/overlay"] == "/robot/segmentation/front/overlay"
    shown = [rviz["topics"][name] for name in GROUND_TOPICS]
    assert shown == [name.replace("/drivable_area/", "/robot/drivable_area_front/") for name in GROUND_TOPICS]


@needs_launch
@pytest.mark.ros
def test_a_missing_rviz_is_said_only_to_who_asked_for_it(run: Run) -> None:
    from ament_index_python.packages import get_packages_with_prefixes

    if "rviz2" in get_packages_with_prefixes():
        pytest.skip("RViz is installed")
    for wanted in ("true", "auto"):
        reports, output = run(SEGMENT, f"rviz:={wanted}", DISPLAY=":9")
        assert list(reports) == ["segmentation_node"]
        assert ("'rviz2' is not installed" in output) == (wanted == "true")


@needs_launch
@pytest.mark.ros
def test_the_view_is_given_what_the_nodes_publish(run: Run) -> None:
    names = ["namespace:=robot", "node_name:=eyes", "image:=/front/image", "image_transport:=compressed"]
    reports, _ = run(SEGMENT, "view:=true", "view_port:=9100", "view_confidence:=true", "labels:=ycor8", *names)
    assert set(reports) == {"segmentation_node", "viewer_node"}
    view = reports["viewer_node"]
    assert view["name"] == "/robot/viewer"
    assert view["parameters"] == {
        **{"port": 9100, "confidence": True, "drivable_area": "", "labels": "ycor8", "use_sim_time": False},
        "image_transport": "compressed",
    }
    topics = view["topics"]
    assert (topics["image"], topics["image/compressed"]) == ("/front/image", "/front/image/compressed")
    assert [topics[name] for name in ("mask", "confidence", "label_info", "stats")] == [
        f"/robot/eyes/{name}" for name in ("mask", "confidence", "label_info", "stats")
    ]

    reports, _ = run(DEMO, "view:=true", "drivable_area:=true")
    view = reports["viewer_node"]
    assert (view["parameters"]["port"], view["parameters"]["drivable_area"]) == (9090, "drivable_area")
    assert [view["topics"][name] for name in ("free_space", "obstacle_scan", "obstacle_points", "camera_info")] == [
        *(f"/drivable_area/{name}" for name in ("free_space", "obstacle_scan", "obstacle_points")),
        "/camera/camera_info",
    ]


@needs_launch
@pytest.mark.ros
def test_the_view_has_all_cameras(run: Run) -> None:
    reports, _ = run(SEGMENT, "view:=true", "drivable_area:=true", "cameras:=[front, left]")
    view = reports["viewer_node"]
    assert view["parameters"]["cameras"] == ["front", "left"]
    assert view["topics"]["front/image"] == "/front/image_raw"
    assert view["topics"]["front/mask"] == "/segmentation/front/mask"
    assert view["topics"]["left/camera_info"] == "/left/camera_info"
    assert view["topics"]["left/free_space"] == "/drivable_area_left/free_space"
    assert view["topics"]["label_info"] == "/segmentation/label_info"


@needs_launch
@pytest.mark.ros
def test_the_demo_joins_camera_and_node(run: Run) -> None:
    arguments = ["rate_hz:=15", "width:=320", "seed:=7", "loop:=false", "source:=123", "backend:=torch"]
    reports, _ = run(DEMO, "namespace:=robot", *arguments)
    camera, node = reports["camera_node"], reports["segmentation_node"]
    assert camera["name"] == "/robot/camera"
    assert node["name"] == "/robot/segmentation"
    assert node["topics"]["image"] == camera["topics"]["~/image_raw"] == "/robot/camera/image_raw"
    given = {"rate_hz": 15.0, "width": 320, "seed": 7, "loop": False, "source": "123"}
    assert given.items() <= camera["parameters"].items()
    assert not {"height", "frame_id"} & set(camera["parameters"])
    assert node["parameters"]["backend"] == "torch"
    assert camera["profiles"] == node["profiles"] == [str(config_path("fastdds.xml"))] * 2


@needs_launch
@pytest.mark.ros
def test_the_demo_gives_the_pose_of_its_own_camera_only(run: Run) -> None:
    reports, _ = run(DEMO, "drivable_area:=true")
    ground = reports["drivable_area_node"]
    pose = (ground["parameters"]["camera_height"], ground["parameters"]["camera_pitch"])
    assert pose == (NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD)
    assert ground["topics"]["camera_info"] == "/camera/camera_info"
    for arguments, height in ((["source:=/my.mp4"], 0.0), (["camera_height:=2"], 2.0)):
        reports, _ = run(DEMO, "drivable_area:=true", *arguments)
        parameters = reports["drivable_area_node"]["parameters"]
        assert (parameters["camera_height"], parameters["camera_pitch"]) == (height, 0.0)


def enclaves(reports: dict[str, Any]) -> dict[str, str]:
    """Return the enclave that each stand-in was given, by its name."""
    words = {name: report["arguments"] for name, report in reports.items()}
    return {name: given[given.index("--enclave") + 1] for name, given in words.items() if "--enclave" in given}


@needs_launch
@pytest.mark.ros
def test_every_node_has_the_enclave_of_its_name(run: Run) -> None:
    assert enclaves(run(DEMO)[0]) == {}
    found = enclaves(run(DEMO, "enclave:=/fanet_ros")[0])
    assert found == {"segmentation_node": "/fanet_ros/segmentation", "camera_node": "/fanet_ros/camera"}
    several = ("cameras:=[front, left]", "drivable_area:=true", "node_name:=eyes")
    found = enclaves(run(SEGMENT, *several, "enclave:=/robot/fanet_ros/")[0])
    assert found["segmentation_node"] == "/robot/fanet_ros/eyes"
    for camera in ("front", "left"):
        assert found[f"drivable_area_node_{camera}"] == f"/robot/fanet_ros/drivable_area_{camera}"
    _, said = run(SEGMENT, "enclave:=fanet_ros", code=1)
    assert "enclave: received 'fanet_ros', expected an absolute name such as /fanet_ros" in said
