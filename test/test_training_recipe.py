from pathlib import Path

import pytest
import yaml
from tiny_camvid import TINY_RECIPE, write_tiny_recipe

from fanet_ros.datasets import DATASETS
from fanet_ros.errors import SettingError
from fanet_ros.resources import config_path
from fanet_ros.training.recipe import Recipe, load_recipe, parse_recipe, recipe_yaml

SHIPPED = sorted(config_path("segment.yaml").parent.glob("train/*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_named_as_their_files(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    for part in (recipe.data.train, *recipe.data.mix, *recipe.data.validation):
        assert part.dataset in DATASETS


def test_every_setting_has_a_description() -> None:
    def check(model: type) -> int:
        count = 0
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            nested = getattr(field.annotation, "model_fields", None)
            if nested is not None:
                count += check(field.annotation)
            else:
                assert field.description, f"{model.__name__}.{name}"
                count += 1
        return count

    assert check(Recipe) > 40


def test_a_recipe_survives_being_written(tmp_path: Path) -> None:
    recipe = load_recipe(write_tiny_recipe(tmp_path))
    assert parse_recipe(yaml.safe_load(recipe_yaml(recipe)), "copy") == recipe


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    path = write_tiny_recipe(tmp_path)
    recipe = load_recipe(
        path,
        [
            "optimizer.rate=1e-2",
            "augmentation.scale=[1, 2]",
            "network.frozen=[resnet.conv1]",
            "data.mix=[{dataset: street, share: 0.25}]",
        ],
    )
    assert recipe.optimizer.rate == 0.01
    assert recipe.augmentation.scale == (1, 2)
    assert recipe.network.frozen == ("resnet.conv1",)
    assert recipe.data.mix[0].share == 0.25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.speed=1", "optimizer.speed"),
        ("optimizer.rate=-1", r"optimizer.rate.*greater than 0.*-1"),
        ("optimizer.kind=lion", r"optimizer.kind.*sgd.*lion"),
        ("augmentation.crop=64by48", "augmentation.crop.*WIDTHxHEIGHT"),
        ("augmentation.scale=[2, 1]", r"tiny.yaml: augmentation.scale: expected 0.05 <= from <= to .*\[2, 1\]"),
        ("data.mix=[{dataset: street, share: 0.6}, {dataset: camvid, share: 0.5}]", "sum has to be below 1"),
        ("data.mix=[{dataset: street, share: 0.9}]", "too small for the shares of 1 mixed .* at least 10, or"),
        ("optimizer.rate=.inf", "finite"),
        ("network.temporal_frames=0", "network.temporal_frames.*greater than or equal to 1"),
        ("network.through_time=true", "no meaning with single images: set network.temporal_frames to 2"),
        ("data.train.step=0", "data.train.step.*greater than or equal to 1"),
        ("loss.class_weights=[-1, 2]", "class_weights.*greater than or equal to 0"),
        ("name=a/b", "name.*pattern"),
        ("name.more=1", "name.more goes through name"),
        ("optimizer.rate", "expected part.name=value"),
        ("optimizer.rate=[", "no valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load_recipe(write_tiny_recipe(tmp_path), [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.mix=[{dataset: street, share: 0.9}]",
            "recipe PATH: run.batch 2 is too small for the shares of 1 mixed ",
        ),
        ("network.through_time=true", "recipe PATH: network.through_time has no meaning with single images: "),
        (
            "data.mix=[{dataset: street, share: 0.6}, {dataset: camvid, share: 0.5}]",
            "recipe PATH: data: the shares of mix must leave something for train: ",
        ),
        (
            "data.train={dataset: camvid, hard: false}",
            "recipe PATH: data.train: without labels (hard: false) it needs soft: ",
        ),
        ("data.speed={optimizer: {rate: 1}}", "recipe PATH: data.speed: Extra inputs are not permitted"),
    ],
)
def test_the_fault_of_many_settings_is_told_without_repeating_them(tmp_path: Path, override: str, message: str) -> None:
    path = write_tiny_recipe(tmp_path)
    with pytest.raises(SettingError) as caught:
        load_recipe(path, [override])
    told = str(caught.value)
    assert told.startswith(message.replace("PATH", str(path)))
    assert "received" not in told and "optimizer" not in told and "Value error" not in told


def test_files_that_are_no_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read recipe"):
        load_recipe(tmp_path / "missing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingError, match="holds list"):
        load_recipe(tmp_path / "list.yaml")
    (tmp_path / "part.yaml").write_text(TINY_RECIPE.replace("name: tiny", ""))
    with pytest.raises(SettingError, match="name: Field required"):
        load_recipe(tmp_path / "part.yaml")


def test_a_shipped_recipe_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("streets") == load_recipe(Path(config_path("train/streets.yaml")))
    (tmp_path / "streets").write_text("run: [")
    with pytest.raises(SettingError, match="recipe streets is no valid YAML"):
        load_recipe("streets")  # a file of one's own comes first
    for name in ("street", "mine.yaml", "../streets"):
        with pytest.raises(
            SettingError, match=rf"no such file \(looked for in {tmp_path}\).*shipped one: camvid, .*streets"
        ):
            load_recipe(name)
