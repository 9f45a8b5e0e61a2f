from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from fanet_ros.parameters.camera import CameraParameters
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.parameter_server import ParameterServer

pytestmark = pytest.mark.ros


@pytest.fixture
def context(domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield context
    rclpy.try_shutdown(context=context)


def make_node(context: Context, **given: object) -> Node:
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    return Node("parameters", context=context, parameter_overrides=overrides)


def test_declared_with_description_range_and_read_only(context: Context) -> None:
    node = make_node(context)
    server = ParameterServer(node, SegmentationParameters)
    assert server.values == SegmentationParameters()
    assert server.faults == ()
    for name, spec in SegmentationParameters.specs().items():
        descriptor = node.describe_parameter(name)
        assert descriptor.description == spec.description
        assert descriptor.read_only == (name == "autostart")
    alpha = node.describe_parameter("overlay_alpha").floating_point_range[0]
    assert (alpha.from_value, alpha.to_value) == (0.0, 1.0)
    threads = node.describe_parameter("threads").integer_range[0]
    assert (threads.from_value, threads.to_value) == (0, 256)
    node.destroy_node()


def test_values_given_at_start(context: Context) -> None:
    node = make_node(context, overlay_alpha=1, threads=2, precision="bf16")
    values = ParameterServer(node, SegmentationParameters).values
    assert (values.overlay_alpha, values.threads, values.precision) == (1.0, 2, "bf16")
    assert isinstance(values.overlay_alpha, float)
    node.destroy_node()


@pytest.mark.parametrize(
    ("text", "cameras"), [("[front, left]", ("front", "left")), ("[one]", ("one",)), ("[]", ()), (None, ())]
)
def test_lists_given_at_start(context: Context, tmp_path: Path, text: str | None, cameras: tuple[str, ...]) -> None:
    file = tmp_path / "p.yaml"
    given = {"threads": 1} | ({} if text is None else {"cameras": yaml.safe_load(text)})
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": given}}))
    node = Node("lists", context=context, cli_args=["--ros-args", "--params-file", str(file)])
    server = ParameterServer(node, SegmentationParameters, is_configured=lambda: False)
    assert server.faults == () and server.values.cameras == cameras
    parameter = node.get_parameter("cameras")
    assert (parameter.type_, parameter.value) == (Parameter.Type.STRING_ARRAY, list(cameras))
    node.destroy_node()


def test_lists_set_at_run_time(context: Context) -> None:
    node = make_node(context, cameras=["front", "front"])
    server = ParameterServer(node, SegmentationParameters, is_configured=lambda: False)
    assert "received 'front' 2 times" in server.faults[0]
    for value, expected in ((["a", "b"], ("a", "b")), ([], ()), (["c"], ("c",))):
        (result,) = node.set_parameters([Parameter("cameras", value=value)])
        assert result.successful and server.values.cameras == expected and server.faults == ()
    (result,) = node.set_parameters([Parameter("cameras", value="c")])
    assert not result.successful and "expected a list of strings" in result.reason
    assert server.values.cameras == ("c",)
    node.destroy_node()


def test_wrong_values_given_at_start_are_faults_until_corrected(context: Context) -> None:
    node = make_node(context, overlay_alpha=7.0, threads="many", backend="caffe", autostart="perhaps")
    changes: list[SegmentationParameters] = []
    server = ParameterServer(
        node, SegmentationParameters, is_configured=lambda: False, on_change=lambda: changes.append(server.values)
    )
    assert len(server.faults) == 4
    assert server.values == SegmentationParameters(), "defaults hold instead"
    assert node.get_parameter("overlay_alpha").value == 0.5
    result = node.set_parameters([Parameter("overlay_alpha", value=0.25), Parameter("backend", value="torch")])
    assert all(r.successful for r in result)
    assert [fault.split("'")[1] for fault in server.faults] == ["threads", "autostart"]
    assert changes[-1].overlay_alpha == 0.25
    node.destroy_node()


def test_one_bad_value_refuses_the_whole_atomic_change(context: Context) -> None:
    node = make_node(context)
    server = ParameterServer(node, SegmentationParameters, is_configured=lambda: False)
    result = node.set_parameters_atomically(
        [Parameter("overlay_alpha", value=0.1), Parameter("output_size", value="large")]
    )
    assert not result.successful and "'large'" in result.reason
    assert server.values.overlay_alpha == 0.5
    node.destroy_node()


@pytest.mark.parametrize(("name", "value"), [("overlay_alpha", 1.5), ("overlay_alpha", 2), ("threads", 257)])
def test_values_outside_the_range_are_refused(context: Context, name: str, value: float) -> None:
    node = make_node(context)
    ParameterServer(node, SegmentationParameters, is_configured=lambda: False)
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert name in result.reason and str(value) in result.reason
    node.destroy_node()


def test_the_cameras_parameters(context: Context) -> None:
    node = make_node(context, rate_hz=5, seed=3)
    values = ParameterServer(node, CameraParameters).values
    assert (values.rate_hz, values.seed, values.source) == (5.0, 3, "street")
    (result,) = node.set_parameters([Parameter("seed", value=4)])
    assert not result.successful, "the camera reads its parameters once"
    node.destroy_node()
