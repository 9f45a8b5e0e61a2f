"""A training recipe: every choice that a training depends on, as one YAML file, checked before anything starts.

Paths are no part of it: where data and weights lie differs from machine to machine, so they are arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from fanet_ros.errors import FanetError, SettingError
from fanet_ros.files import looked_for
from fanet_ros.resources import config_folders, config_path
from fanet_ros.training.recipe_data import DataRecipe
from fanet_ros.training.recipe_learning import (
    AugmentationRecipe,
    LossRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    RunRecipe,
)
from fanet_ros.training.recipe_values import Settings
from fanet_ros.untrusted.text import shown
from fanet_ros.untrusted.yaml_text import YamlError, parse_yaml, read_yaml


class Recipe(Settings):
    """All of a recipe."""

    name: str = Field(pattern=r"^\w[\w.-]*$", description="What trainings by it are called; a file name.")
    network: NetworkRecipe = NetworkRecipe()  # type: ignore[call-arg]
    data: DataRecipe
    augmentation: AugmentationRecipe
    loss: LossRecipe = LossRecipe()  # type: ignore[call-arg]
    optimizer: OptimizerRecipe
    run: RunRecipe

    @model_validator(mode="after")
    def _check_time(self) -> Recipe:
        if self.network.through_time and self.network.temporal_frames == 1:
            raise ValueError("network.through_time has no meaning with single images: set network.temporal_frames to 2")
        return self

    @model_validator(mode="after")
    def _check_batch(self) -> Recipe:
        mixed = self.data.mix
        # each of them may come a sample early in a step, which then has to have room for it
        needed = math.ceil((len(mixed) - 1e-9) / (1 - sum(part.share for part in mixed)))
        if self.run.batch < needed:
            raise ValueError(
                f"run.batch {self.run.batch} is too small for the shares of {len(mixed)} mixed data sets: give it at "
                f"least {needed}, or data.mix smaller shares"
            )
        return self


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: of the YAML file, or the name of a shipped recipe (`camvid`).
        overrides: `part.name=value` each, the value as YAML, such as `optimizer.rate=0.01`; they replace what the file
            says.

    Raises:
        SettingError: the file cannot be read, or something in it or in an override is unknown or out of range; says
            where, what was received and what is expected.
    """
    path = _recipe_file(Path(path).expanduser())
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        known = ", ".join(sorted({file.stem for folder in config_folders() for file in folder.glob("train/*.yaml")}))
        raise SettingError(
            f"cannot read recipe {path}: there is no such file{looked_for(path)}; give one, or the name of a "
            f"shipped one: {known}"
        ) from None
    except OSError as error:
        raise SettingError(f"cannot read recipe {path}: {error.strerror or error}") from None
    except YamlError as error:
        raise SettingError(f"recipe {path} is no valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingError(f"recipe {path} holds {type(content).__name__}, expected the parts of a recipe")
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, f"recipe {path}")


def _recipe_file(path: Path) -> Path:
    """Return the file that is meant: a shipped one where its name alone is given, and no such file lies here."""
    if path.exists() or not re.fullmatch(r"[A-Za-z0-9_-]+", str(path)):
        return path
    try:
        return config_path(f"train/{path}.yaml")
    except FanetError:
        return path


def parse_recipe(content: Any, where: str) -> Recipe:
    """Check the content of a recipe; `where` it comes from stands in errors.

    Raises:
        SettingError: as for `load_recipe`.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = (_described(problem["loc"], problem["msg"], problem["input"]) for problem in error.errors())
        raise SettingError(f"{where}: " + "; ".join(problems)) from None


def recipe_yaml(recipe: Recipe) -> str:
    """Write a recipe down, every default included."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False)


def _described(place: tuple[int | str, ...], message: str, received: Any) -> str:
    """Say what is wrong, where (what concerns several parts names them itself), and with which value, if it is one."""
    where = f"{'.'.join(map(str, place))}: " if place else ""
    parts = received if isinstance(received, list) else [received]
    is_value = not any(isinstance(part, Mapping | list) for part in parts)
    return f"{where}{message.removeprefix('Value error, ')}" + (f" (received {shown(received)})" if is_value else "")


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise SettingError(f"set: received {shown(override)}, expected part.name=value, such as optimizer.rate=0.01")
    try:
        value = parse_yaml(text)
    except YamlError as error:
        raise SettingError(f"set: the value of {shown(override)} is no valid YAML: {error}") from None
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise SettingError(f"set: {key} goes through {parent}, which has no parts")
    content[last] = value
