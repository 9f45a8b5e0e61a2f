from pathlib import Path

import pytest

from fanet_ros.datasets import DATASETS, isprs
from fanet_ros.datasets.opening import layout_of
from fanet_ros.datasets.options import read_options
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.plan import make_plan
from fanet_ros.evaluation.protocols import METRICS, Published, find_protocol, load_protocols
from fanet_ros.reports.scores import Scorer


@pytest.mark.parametrize("name", list(load_protocols()))
def test_shipped_protocols_can_be_run(name: str) -> None:
    protocol = load_protocols()[name]
    settings = protocol.settings
    assert settings.dataset in DATASETS
    options = read_options(settings.dataset, layout_of(settings.dataset).options, settings.options)
    if "clutter" in options:
        assert set(settings.leave_out) < set(isprs.label_format(options)[0].names)
    plan = make_plan(protocol=name)
    assert plan.protocol == protocol and plan.differences == ()
    assert protocol.published or protocol.note
    for published in protocol.published:
        assert published.figures and all(1 < percent < 100 for percent in published.figures.values())


def test_metrics_are_scores() -> None:
    scores = Scorer(2).scores()
    assert all(isinstance(getattr(scores, metric), float) for metric in METRICS)


def test_figures_of_the_paper() -> None:
    published = {entry.network: entry.figures for entry in find_protocol("cityscapes-val").published}
    assert published == {"FANet-18": {"miou": 75.0}, "FANet-34": {"miou": 76.3}}
    assert str(Published("FANet-18", {"miou": 75.6, "pixel_accuracy": 88.9}, "somebody")) == (
        "FANet-18: mIoU 75.6, pixel accuracy 88.9 (somebody)"
    )


def test_files_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "protocols.yaml"
    start = "a: {dataset: camvid, split: val, input_size: camera"
    for content, text in (
        ("[", "cannot be read: .*in line 1"),
        ("", "received None, expected protocols by name"),
        ("- a", r"received \['a'\], expected protocols by name"),
        ("a: 1", "'a' cannot be read: received 1, expected names and values"),
        ("a: {split: val}", "'a' cannot be read: dataset is missing"),
        (start + ", zoom: 2}", "'a' cannot be read: 'zoom' is unknown; known are dataset, split"),
        (start + ", flip: 1}", "'a' cannot be read: flip: received 1, expected true or false"),
        (start + ", step: true}", "'a' cannot be read: step: received True, expected a whole number"),
        (start + ", step: 0}", "step: received 0, expected at least 1"),
        (start + ", temporal_frames: two}", "temporal_frames: received 'two', expected a whole number"),
        (start + ", options: [1]}", r"options: received \[1\], expected names and values"),
        (start + ", leave_out: clutter}", "leave_out: received 'clutter', expected a list"),
        (start + ", leave_out: [3]}", r"leave_out: received \[3\], expected names of classes"),
        (start + ", window: 640x}", "window: received '640x', expected WIDTHxHEIGHT"),
        (start + ", window: 3}", "window: received 3, expected text"),
        (start + ", stride: 64x64}", "stride: received 64x64 without a window"),
        (start + ", note: [a]}", r"note: received \['a'\], expected text"),
        (start + ", scales: [big]}", r"'a' cannot be read: scales: received \['big'\], expected numbers"),
        (start + ", scales: [9]}", "scales: received 9, expected numbers from 0.1 to 8"),
        (start + ", published: {network: X}}", "published: received .*, expected a list"),
        (start + ", published: [X]}", "published, entry 1: received 'X', expected names and values"),
        (start + ", published: [{network: X, source: Y, iou: 3}]}", "published, entry 1: 'iou' is unknown; known"),
        (start + ", published: [{network: X, miou: 3}]}", "published, entry 1: source is missing"),
        (start + ", published: [{network: X, source: Y, miou: high}]}", "entry 1: miou: received 'high', expected a"),
        (start + ", published: [{network: X, source: Y, miou: 750}]}", "entry 1: miou: received 750, expected percent"),
    ):
        path.write_text(content)
        with pytest.raises(SettingError, match=text):
            load_protocols(path)
    with pytest.raises(SettingError, match="cannot be read"):
        load_protocols(tmp_path / "nowhere.yaml")
