from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_data import write_camvid, write_weights
from safetensors.torch import load_file
from typer.testing import CliRunner

from fanet_ros.commands.cli import app
from fanet_ros.datasets import IGNORED, Dataset, Sample, open_dataset
from fanet_ros.datasets.views import DatasetView
from fanet_ros.evaluation.confidence import ConfidenceMeter
from fanet_ros.evaluation.temperature import find_temperature
from fanet_ros.model.labels import load_label_set, save_label_set
from fanet_ros.model.weights import load_weights, save_weights
from fanet_ros.segmenter import Segmenter

RUNNER = CliRunner()


def metered(share_right: float, confidence: int) -> ConfidenceMeter:
    truth = np.zeros((10, 100), np.uint8)
    labels = np.ones_like(truth)
    labels[:, : round(100 * share_right)] = 0
    meter = ConfidenceMeter()
    meter.add(np.full_like(truth, confidence), labels, truth)
    return meter


@pytest.mark.parametrize(("right", "confidence", "error"), [(0.8, 204, 0), (0.6, 204, 0.2), (1, 204, 0.2), (0, 255, 1)])
def test_confidence_is_wrong_by_what_it_differs_from_the_share_that_is_right(
    right: float, confidence: int, error: float
) -> None:
    assert metered(right, confidence).error() == pytest.approx(error, abs=1e-9)


def test_errors_of_different_bins_do_not_cancel_and_unknown_pixels_do_not_count() -> None:
    meter = ConfidenceMeter()
    truth, confidence = np.zeros((2, 100), np.uint8), np.full((2, 100), 255, np.uint8)
    confidence[1], labels = 51, np.zeros_like(truth)  # 0.2, always right, as the others
    meter.add(confidence, labels, truth)
    assert meter.error() == pytest.approx(0.4)
    meter.add(confidence, labels, np.full_like(truth, IGNORED))
    assert meter.error() == pytest.approx(0.4)
    assert np.isnan(ConfidenceMeter().error())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_camvid(tmp_path_factory.mktemp("camvid"), {"val": 3})


def overconfident(weights: Path, factor: float) -> Path:
    """Write the same network with larger logits."""
    loaded = load_weights(weights)
    name = "clslayer.conv_out.weight"
    path = weights.with_name(f"times{factor}.safetensors")
    save_weights(path, {**loaded.state_dict, name: loaded.state_dict[name] * factor})
    path.with_suffix(".md").write_text(weights.with_suffix(".md").read_text())
    return path


def test_the_temperature_undoes_a_factor_of_the_logits(tmp_path: Path, data: Path) -> None:
    weights = write_weights(tmp_path / "weights.safetensors")
    dataset = open_dataset("camvid", data, "val")
    found = []
    for path in (weights, overconfident(weights, 2)):
        segmenter = Segmenter(path, backend="torch", device="cpu", precision="fp32", input_size="camera")
        found.append(find_temperature(segmenter, dataset, range(3)))
        segmenter.close()
    assert found[1].value == pytest.approx(2 * found[0].value, rel=0.02)
    assert found[1].surprise < found[1].surprise_before and found[0].pixels == found[1].pixels > 1000


def test_the_command_writes_weights_with_the_same_labels_and_better_confidence(tmp_path: Path, data: Path) -> None:
    weights = overconfident(write_weights(tmp_path / "weights.safetensors"), 4)
    output = tmp_path / "tempered.safetensors"
    arguments = ["--dataset", "camvid", "--data", str(data), "--input-size", "camera"]
    result = RUNNER.invoke(app, ["temper", *arguments, "--weights", str(weights), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert "temperature" in result.output and output.with_suffix(".md").is_file()
    before, after = load_file(weights), load_file(output)
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["clslayer.conv_out.weight"]
    errors = []
    for path in (weights, output):
        rest = ["--weights", str(path), "--backend", "torch", "--device", "cpu", "--precision", "fp32", "--confidence"]
        scored = RUNNER.invoke(app, ["evaluate", *arguments, *rest], env={"COLUMNS": "200"})
        assert scored.exit_code == 0, scored.output
        line = next(line for line in scored.output.splitlines() if "calibration error" in line)
        errors.append(float(line.split(":")[1].split("%")[0]))
    assert errors[1] < errors[0] / 2


def test_a_twin_tells_the_temperature_of_the_weights(tmp_path: Path, data: Path) -> None:
    weights = write_weights(tmp_path / "weights.safetensors")
    twin = overconfident(weights, 4)
    output = tmp_path / "tempered.safetensors"
    arguments = ["--dataset", "camvid", "--data", str(data), "--input-size", "camera", "--twin", str(twin)]
    result = RUNNER.invoke(app, ["temper", *arguments, "--weights", str(weights), "-o", str(output)])
    assert result.exit_code == 0, result.output
    temperature = float(result.output.split("temperature ")[1].split(":")[0])
    last = "clslayer.conv_out.weight"
    torch.testing.assert_close(
        load_file(output)[last].float() * temperature, load_file(weights)[last].float(), rtol=2e-3, atol=1e-3
    )


def test_a_card_goes_along_to_another_folder_with_the_label_set_that_it_names(tmp_path: Path, data: Path) -> None:
    weights = overconfident(write_weights(tmp_path / "weights.safetensors"), 4)
    label_set = tmp_path / "own.yaml"
    save_label_set(load_label_set("camvid11"), label_set)
    card = weights.with_suffix(".md")
    card.write_text(card.read_text().replace("label_set: camvid11", "label_set: own.yaml"))
    (tmp_path / "other").mkdir()
    output = tmp_path / "other" / "tempered.safetensors"
    arguments = ["--dataset", "camvid", "--data", str(data), "--input-size", "camera", "--weights", str(weights)]
    result = RUNNER.invoke(app, ["temper", *arguments, "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert output.with_suffix(".md").read_text() == card.read_text()
    assert (output.parent / "own.yaml").read_text() == label_set.read_text()


def test_what_cannot_be_tempered_is_told(tmp_path: Path, data: Path) -> None:
    weights = write_weights(tmp_path / "weights.safetensors")
    fixed = ["temper", "--weights", str(weights), "--dataset", "camvid", "--data", str(data)]
    for arguments, text in (
        (["-o", str(tmp_path / "out.pth")], "expected the name of a .safetensors file"),
        (["-o", str(tmp_path / "no" / "out.safetensors")], "output: there is no folder"),
        (["-o", str(tmp_path / "out.safetensors"), "--split", "train"], "train.txt"),
        (["-o", str(tmp_path / "out.safetensors"), "--dataset", "x"], "unknown data set"),
    ):
        result = RUNNER.invoke(app, [*fixed, *arguments], env={"COLUMNS": "200"})
        assert result.exit_code == 2 and text in result.output, result.output


def test_labels_of_which_the_network_knows_nothing_are_warned_of(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A temperature is found for them all the same."""
    dataset = open_dataset("camvid", data, "val")
    with closing(Segmenter(backend="torch", device="cpu", precision="fp32", input_size="camera")) as segmenter:
        for shift, warned in ((0, False), (1, True)):
            table = np.roll(np.arange(11, dtype=np.uint8), shift)
            own = SelfLabelled(dataset, segmenter, np.append(table, np.full(245, IGNORED, np.uint8)))
            caplog.clear()
            find_temperature(segmenter, own, range(3))
            assert ("means nothing; are the ids" in caplog.text) == warned


class SelfLabelled(DatasetView):
    """Images whose truth is what a network sees in them, under other ids."""

    def __init__(self, dataset: Dataset, segmenter: Segmenter, table: np.ndarray) -> None:
        super().__init__(dataset)
        self._segmenter, self._table = segmenter, table

    def read(self, index: int) -> Sample:
        sample = super().read(index)
        labels = self._segmenter.segment(sample.image, "rgb8").labels
        return Sample(sample.image, self._table[labels], sample.name)
