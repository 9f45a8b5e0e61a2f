from pathlib import Path

import pytest

from fanet_ros.errors import LabelSetError
from fanet_ros.model.model_card import ModelCard, merging_key, read_card, resolve_label_set
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.settings import Size


def test_shipped_weights_have_a_card_with_terms() -> None:
    assert read_card(DEFAULT_WEIGHTS) == ModelCard("camvid11", Size(720, 540))
    assert "non-commercial" in DEFAULT_WEIGHTS.with_suffix(".md").read_text()


def test_no_card_is_an_empty_card(tmp_path: Path) -> None:
    assert read_card(tmp_path / "model.safetensors") == ModelCard()


def test_card_without_front_matter_is_for_people_only(tmp_path: Path) -> None:
    (tmp_path / "model.md").write_text("# My model\n")
    assert read_card(tmp_path / "model.pth") == ModelCard()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\ninput_size: 7x5\n---\n", "between 32 and 8192"),
        ("\ufeff---\ninput_size: 7x5\n---\n", "between 32 and 8192"),  # as Windows' editors begin files
        ("---\ninput_size: large\n---\n", "expected WIDTHxHEIGHT"),
        ("---\nlabel_set: 3\n---\n", "expected a name"),
        ("---\nlabel_set: camvid11\n", "never closed"),
        ("---\n- a\n---\n", "expected 'key: value'"),
        ("---\na: [\n---\n", "cannot be read"),
    ],
)
def test_malformed_card_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model.md").write_text(text)
    with pytest.raises(LabelSetError, match=message):
        read_card(tmp_path / "model.safetensors")


def test_label_set_asked_for_wins_over_the_card() -> None:
    assert resolve_label_set("cityscapes19", ModelCard("camvid11"), 19).name == "cityscapes19"


def test_label_set_of_the_card() -> None:
    assert resolve_label_set("", ModelCard("camvid11"), 11).name == "camvid11"


def test_without_card_the_only_set_with_that_many_classes() -> None:
    assert resolve_label_set("", ModelCard(), 19).name == "cityscapes19"


def test_no_fitting_label_set() -> None:
    with pytest.raises(LabelSetError, match="have 7 classes and no model card names their label set"):
        resolve_label_set("", ModelCard(), 7)


def test_wrong_number_of_classes() -> None:
    with pytest.raises(LabelSetError, match="'camvid11' has 11 classes but the weights have 19"):
        resolve_label_set("camvid11", ModelCard(), 19)


def test_a_label_set_beside_the_card_is_found_wherever_both_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.md").write_text("---\nlabel_set: labels.yaml\n---\n")
    (tmp_path / "labels.yaml").write_text("classes: [{name: grass, color: [0, 1, 2]}]\n")
    monkeypatch.chdir("/")
    card = read_card(tmp_path / "model.safetensors")
    assert resolve_label_set("", card, classes=1).names == ("grass",)


def test_networks_with_as_many_classes_as_an_unrelated_set_are_not_guessed() -> None:
    with pytest.raises(LabelSetError, match="5 classes and no model card"):
        resolve_label_set("", ModelCard(), classes=5)


def test_a_card_whose_label_set_is_gone_does_not_stand_in_the_way_of_another(tmp_path: Path) -> None:
    card = ModelCard(str(tmp_path / "gone.yaml"))
    assert resolve_label_set("camvid11", card, 11).name == "camvid11" and merging_key("camvid11", card) == ""
    with pytest.raises(LabelSetError, match="gone"):
        resolve_label_set("", card, 11)
