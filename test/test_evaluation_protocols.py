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
        ("[", "cannot be read"),
        ("- a", "cannot be read: 'list' object"),
        ("a: {split: val}", "'a' cannot be read: .*'dataset'"),
        (start + ", zoom: 2}", "'a' cannot be read: .*'zoom'"),
        (start + ", scales: [big]}", r"'a' cannot be read: scales: received \['big'\], expected numbers"),
        (start + ", published: [{network: X, source: Y, iou: 3}]}", "published iou; known metrics are miou"),
        (start + ", published: [{network: X, miou: 3}]}", "'a' cannot be read: 'source'"),
    ):
        path.write_text(content)
        with pytest.raises(SettingError, match=text):
            load_protocols(path)
    with pytest.raises(SettingError, match="cannot be read"):
        load_protocols(tmp_path / "nowhere.yaml")
