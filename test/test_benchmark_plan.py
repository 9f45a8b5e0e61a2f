"""What options mean for a run."""

from pathlib import Path
from typing import Any

import pytest

from fanet_ros.benchmark.plan import PEAK, Contender, make_plan
from fanet_ros.errors import SettingError
from fanet_ros.settings import Size

WEIGHTS = [Path("weights.safetensors")]


def test_everything_is_measured_unless_said_otherwise() -> None:
    plan = make_plan(WEIGHTS)
    assert plan.levels == ("network", "frame", "temporal", "node", "batch", "ground")
    assert plan.sizes == (Size(1024, 512), Size(640, 360))
    assert plan.cameras == (Size(1280, 720), Size(1920, 1080))
    names = {str(contender) for contender in plan.contenders}
    assert {"torch fp32", "torch bf16", "openvino fp32", "openvino bf16", "openvino int8", "tensorrt fp16"} <= names
    loads = {case.camera: dict(case.loads) for case in plan.node_cases}
    assert set(loads[Size(640, 360)]) == {10.0, 30.0, 60.0, PEAK}
    assert loads[Size(640, 360)][30.0] == 900
    assert plan.node_cases[0].compressed == ((30.0, 900),), "against the same load without"
    assert plan.node_contender == Contender("auto", "auto")


def test_options_narrow_it_down() -> None:
    plan = make_plan(
        WEIGHTS, backends=["openvino"], precisions=["int8", "bf16"], sizes=["320x192"], levels=["network"], rounds=4
    )
    assert [str(contender) for contender in plan.contenders] == ["openvino bf16", "openvino int8"]
    assert plan.sizes == (Size(320, 192),)
    assert plan.levels == ("network",)
    assert plan.rounds == 4
    assert plan.node_contender == Contender("openvino", "int8")


def test_levels_run_in_their_own_order() -> None:
    assert make_plan(WEIGHTS, levels=["node", "network"]).levels == ("network", "node")


def test_quick_is_less_of_everything() -> None:
    quick, full = make_plan(WEIGHTS, quick=True), make_plan(WEIGHTS)
    assert quick.rounds < full.rounds
    assert quick.turn_s < full.turn_s
    assert len(quick.sizes) < len(full.sizes)
    assert sum(images for _, images in quick.node_cases[0].loads) < 300


def test_parity_is_every_way_on_a_gpu() -> None:
    plan = make_plan(WEIGHTS, parity=True)
    assert {contender.device for contender in plan.contenders} == {plan.device} == {"cuda"}
    names = {str(contender) for contender in plan.contenders}
    assert names == {
        *("torch fp32", "torch bf16", "torch fp16", "torch.compile fp16"),
        *("tensorrt fp32", "tensorrt fp16", "tensorrt int8"),
    }
    assert plan.levels == ("network", "frame", "temporal") and plan.cameras == ()
    assert plan.sizes == (Size(1024, 512), Size(2048, 1024))


def test_only_a_backend_that_can_choose_is_told_the_device() -> None:
    devices = {c.backend: c.device for c in make_plan(WEIGHTS, device="cuda:1").contenders}
    assert devices == {"torch": "cuda:1", "openvino": "auto", "tensorrt": "cuda:1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backends": ["onnx"]}, "backend: received 'onnx', expected one of torch, openvino, tensorrt, torch.compile"),
        ({"precisions": ["auto"]}, "precision: received 'auto'"),
        ({"levels": ["all"]}, "level: received 'all', expected one of network, frame, temporal, node, batch, ground"),
        ({"sizes": ["1024"]}, "size: received '1024', expected WIDTHxHEIGHT"),
        ({"levels": ["node"], "parity": True}, "level: received node, but parity measures network, frame, temporal"),
        ({"device": "tpu"}, "device: received 'tpu'"),
        ({"backends": ["openvino"], "precisions": ["fp16"]}, "openvino has no precision fp16; it knows fp32, bf16"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_plan(WEIGHTS, **options)
