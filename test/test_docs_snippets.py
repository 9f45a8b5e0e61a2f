"""The Python in the docs runs as it stands, and the label set of the training guide serves the navigation."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.ground.classes import Kind, kinds_of
from fanet_ros.model.labels import load_label_set
from fanet_ros.parameters.drivable_area import DrivableAreaParameters

DOCS = Path(__file__).resolve().parents[1] / "docs"


def snippets(document: str, language: str) -> list[str]:
    """Blocks of code, without the indentation of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", (DOCS / document).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


@pytest.mark.parametrize("document", ["python.md", "video.md"])
def test_python(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.chdir(tmp_path)
    picture = np.full((96, 160, 3), 90, np.uint8)
    cv2.imwrite("street.jpg", picture)
    writer = cv2.VideoWriter("drive.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 96))
    for _ in range(3):
        writer.write(picture)
    writer.release()
    blocks = snippets(document, "python")
    assert blocks
    for code in blocks:
        names: dict[str, object] = {}
        exec(compile(code, document, "exec"), names)
        if "street" in names:  # shows the simulated street alone
            assert isinstance(names["measured"], np.ndarray) and names["measured"].any()
            continue
        labels = names.get("labels", getattr(names.get("found"), "labels", None))
        assert isinstance(labels, np.ndarray) and labels.shape == (96, 160)


def test_the_label_set_of_the_training_guide_serves_the_drivable_area(tmp_path: Path) -> None:
    (content,) = (code for code in snippets("training.md", "yaml") if "orchard" in code)
    (tmp_path / "labels.yaml").write_text(content)
    defaults = DrivableAreaParameters()
    kinds = kinds_of(
        load_label_set(str(tmp_path / "labels.yaml")),
        drivable=defaults.drivable_group,
        flat=defaults.flat_group,
        obstacle=defaults.obstacle_group,
    )
    assert kinds[:3].tolist() == [Kind.FREE, Kind.OBSTACLE, Kind.OBSTACLE]
