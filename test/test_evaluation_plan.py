from typing import Any

import pytest

from fanet_ros.errors import SettingError
from fanet_ros.evaluation.looks import Looks
from fanet_ros.evaluation.plan import make_plan
from fanet_ros.model.labels import load_label_set
from fanet_ros.settings import Size


def test_defaults() -> None:
    plan = make_plan(dataset="camvid")
    settings = plan.settings
    assert (settings.dataset, settings.split, settings.input_size) == ("camvid", "val", "auto")
    assert settings.looks == Looks() and settings.looks.single
    assert plan.protocol is None and not settings.options and settings.leave_out == plan.differences == ()


def test_everything_typed() -> None:
    plan = make_plan(
        dataset="potsdam",
        split="test",
        options={"eroded": "true", "bands": "a=b"},
        input_size="640x480",
        scales="0.75,1,1.25",
        flip=True,
        window="512x256",
        stride="256x128",
        leave_out=["clutter", "car"],
        limit=7,
    )
    assert plan.settings.options == {"eroded": "true", "bands": "a=b"}
    assert plan.settings.looks == Looks((0.75, 1.0, 1.25), True, Size(512, 256), Size(256, 128))
    assert not plan.settings.looks.single
    assert plan.as_json() == {
        "input_size": "640x480",
        "scales": [0.75, 1.0, 1.25],
        "flip": True,
        "window": "512x256",
        "stride": "256x128",
        "leave_out": ["clutter", "car"],
        "limit": 7,
    }


def test_a_protocol_alone() -> None:
    plan = make_plan(protocol="potsdam")
    assert (plan.settings.dataset, plan.settings.split, plan.settings.input_size) == ("potsdam", "test", "camera")
    assert plan.settings.options == {"eroded": True} and plan.settings.leave_out == ("clutter",)
    assert plan.settings.looks == Looks(window=Size(1024, 1024))
    assert plan.protocol is not None and plan.protocol.name == "potsdam" and plan.differences == ()


def test_what_is_typed_replaces_the_protocols() -> None:
    plan = make_plan(protocol="potsdam", input_size="512x512", scales="1,2", flip=True, window="none", limit=3)
    assert plan.settings.looks == Looks((1.0, 2.0), True) and plan.settings.input_size == "512x512"
    assert plan.differences == (
        "input_size 512x512 instead of camera",
        "scales 1,2 instead of 1",
        "flip true instead of false",
        "window none instead of 1024x1024",
        "at most 3 images",
    )
    # saying the same in other words makes no difference
    assert make_plan(protocol="potsdam", options={"eroded": "true"}, scales="1.0", flip=False).differences == ()
    assert make_plan(protocol="potsdam", options={"eroded": "false"}).differences == (
        "options eroded=false instead of eroded=true",
    )


def test_another_data_set_takes_none_of_the_protocols_options() -> None:
    plan = make_plan(protocol="potsdam", dataset="camvid", leave_out=["sky"])
    assert dict(plan.settings.options) == {} and plan.settings.leave_out == ("sky",)
    assert make_plan(protocol="potsdam", leave_out=["none"]).settings.leave_out == ()
    assert plan.differences[0] == "dataset camvid instead of potsdam"


def test_a_protocols_class_that_the_data_do_not_have() -> None:
    with_clutter, without = load_label_set("isprs6"), load_label_set("isprs5")
    plan = make_plan(protocol="potsdam", options={"clutter": "false"})
    assert plan.fitted(with_clutter) is plan
    fitted = plan.fitted(without)
    assert fitted.settings.leave_out == () and fitted.settings.options == plan.settings.options
    assert fitted.differences == (*plan.differences, "leave_out none instead of clutter: isprs5 has no clutter")
    # what is typed is not dropped, though the protocol says the same: it is to be refused
    asked_for = make_plan(protocol="potsdam", options={"clutter": "false"}, leave_out=["clutter"])
    assert asked_for.fitted(without).settings.leave_out == ("clutter",)
    assert make_plan(dataset="potsdam", leave_out=["clutter"]).fitted(without).settings.leave_out == ("clutter",)


def test_settings_that_cannot_be() -> None:
    for settings, text in (
        ({}, "dataset: received none; give the name of a data set, or a protocol"),
        ({"protocol": "kitti"}, "protocol: received 'kitti', expected one of cityscapes-val, .*; or list"),
        ({"scales": "1;2"}, "scales: received '1;2', expected numbers separated by commas"),
        ({"scales": "0"}, "scales: received 0, expected numbers from 0.1 to 8"),
        ({"input_size": "huge"}, "input_size: received 'huge', expected WIDTHxHEIGHT .*; or auto, camera"),
        ({"window": "9x9"}, "window: received '9x9', expected both sides between 32"),
        ({"window": "64x64", "stride": "64"}, "stride: received '64', expected WIDTHxHEIGHT"),
        ({"stride": "64x64"}, "stride: received 64x64 without a window"),
    ):
        named = {"dataset": "camvid", **settings} if settings else {}
        with pytest.raises(SettingError, match=text):
            make_plan(**named)  # type: ignore[arg-type]


def test_videos() -> None:
    plan = make_plan(dataset="street", temporal_frames=2, step=3)
    assert (plan.settings.temporal_frames, plan.settings.step) == (2, 3)
    told = plan.as_json()
    assert {key: told[key] for key in ("temporal_frames", "step")} == {"temporal_frames": 2, "step": 3}
    published = make_plan(protocol="cityscapes-val-video")
    assert published.settings.temporal_frames == 2 and not published.differences
    assert make_plan(protocol="cityscapes-val-video", temporal_frames=4, step=2).differences == (
        "temporal_frames 4 instead of 2",
        "step 2 instead of 1",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temporal_frames": 2, "flip": True}, "temporal: received scales, flip or windows, too"),
        ({"temporal_frames": 1, "scales": "1,2"}, "temporal: received scales, flip or windows, too"),
        ({"step": 2}, "step: that is for videos; give --temporal"),
    ],
)
def test_what_makes_no_sense_for_videos_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_plan(dataset="street", **settings)
