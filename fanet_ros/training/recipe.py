"""A training recipe: every choice that a training depends on, as one YAML file, checked before anything starts.

Paths are no part of it: where data and weights lie differs from machine to machine, so they are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fanet_ros.errors import SettingError
from fanet_ros.settings import Size, read_size
from fanet_ros.video.video_memory import MAX_TEMPORAL_FRAMES


def _checked_size(text: str) -> str:
    read_size(text)
    return text


def _checked_input_size(text: str) -> str:
    return text if text == "camera" else _checked_size(text)


def _absolute_label_set(text: str) -> str:
    """A training may be resumed from elsewhere."""
    return str(Path(text).expanduser().absolute()) if text.endswith((".yaml", ".yml")) else text


def _absolute_options(options: dict[str, Any]) -> dict[str, Any]:
    return {key: _absolute_label_set(value) if key == "labels" else value for key, value in options.items()}


def _check_scale(scale: tuple[float, float]) -> None:
    if not 0.05 <= scale[0] <= scale[1] <= 20:
        raise ValueError(f"scale is {list(scale)}, expected 0.05 <= from <= to <= 20")


_SOFT_FILE = "{name}.npz"

SizeText = Annotated[str, AfterValidator(_checked_size)]
LabelSetText = Annotated[str, AfterValidator(_absolute_label_set)]
InputSizeText = Annotated[str, AfterValidator(_checked_input_size)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class NetworkRecipe(_Part):
    """The network and what it starts from."""

    labels: LabelSetText = Field(
        "", description="Label set of the network, shipped or a YAML file; left out: that of data.train."
    )
    backbone: Literal["resnet18", "resnet34", "resnet50"] = Field("resnet18", description="The encoder.")
    encoder_without: tuple[str, ...] = Field(
        (), description="Parts of the encoder that start at random although ImageNet weights are given, such as layer4."
    )
    frozen: tuple[str, ...] = Field(
        (), description="Parts that are not trained, by the beginning of their names, such as resnet.layer1."
    )
    freeze_batch_norm: bool = Field(False, description="Keep all statistics of batch norm as they start.")
    temporal_frames: int = Field(
        1,
        ge=1,
        le=MAX_TEMPORAL_FRAMES,
        description="T, how many frames of a video attention sees, the present one included; 1: images.",
    )
    through_time: bool = Field(
        False, description="Whether what earlier frames leave in memory is learned, too; takes memory and time."
    )


class DataPart(_Part):
    """Samples of one data set."""

    dataset: str = Field(description="Name of the data set (docs/datasets.md).")
    split: str = Field("train", description="Split of the data set.")
    options: Annotated[dict[str, Any], AfterValidator(_absolute_options)] = Field(
        default_factory=dict, description="Options of the data set."
    )
    name: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.-]*)?$",
        description="By which --data NAME=FOLDER gives its folder; left out: the data set's. For two of a kind.",
    )
    rename: dict[str, Any] = Field(
        default_factory=dict,
        description="Class name of this data set -> what it is in the network, where its label set does not say so: a "
        "class; several of which it is any (a coarse label), as [A, B] or {not: [A, B]}; null ignores it.",
    )
    step: int = Field(1, ge=1, description="From one frame of a clip to the next, in frames of the data set's videos.")

    @property
    def source(self) -> str:
        """The name by which its folder is given."""
        return self.name or self.dataset


class SoftRecipe(_Part):
    """Probabilities of another network, to learn from beside labels or instead of them."""

    source: str = Field(
        alias="from",
        description="By which --data NAME=FOLDER gives their folder; weights: what the training starts from, "
        "given by --weights, makes them on the way.",
    )
    file: str = Field(_SOFT_FILE, description="Name of a sample's file in the folder; {name} is the sample's.")
    labels: LabelSetText = Field("", description="Label set of the soft labels; left out: the network's.")
    rename: dict[str, Any] = Field(
        default_factory=dict,
        description="Class name of the soft labels -> class of the network, several may add up; null leaves it out.",
    )
    use: Literal["distil", "guide"] = Field(
        "distil",
        description="distil: learn all of it, within coarse labels what they allow; guide: only the latter, to tell "
        "the classes within coarse labels apart. Where a label is exact, from: weights has no say.",
    )
    weight: float = Field(1.0, gt=0, description="Of this loss, beside that of the labels.")
    temperature: float = Field(1.0, gt=0, le=20, description="T; above 1 softens both sides. Within coarse labels 1.")

    @model_validator(mode="after")
    def _check_source(self) -> SoftRecipe:
        if self.from_weights and (self.labels or self.rename or self.file != _SOFT_FILE):
            raise ValueError("file, labels and rename have no meaning with from: weights")
        if self.use == "guide" and self.temperature != 1:
            raise ValueError("temperature has no meaning with use: guide; leave it out")
        return self

    @property
    def from_weights(self) -> bool:
        """Whether the network that the training starts from gives them."""
        return self.source == "weights"


class TrainingPart(DataPart):
    """Samples to learn from."""

    resize: SizeText | None = Field(
        None, description="WIDTHxHEIGHT whose area images get when they are read, their shape kept; left out: theirs."
    )
    scale: tuple[float, float] | None = Field(
        None, description="From .. to, by how much its images are enlarged; left out: augmentation.scale."
    )
    hard: bool = Field(True, description="Whether it has label files; false learns from soft labels alone.")
    soft: SoftRecipe | None = Field(None, description="Soft labels; left out: none.")
    loss_weight: float = Field(1.0, gt=0, description="Of the loss of its labels.")

    @model_validator(mode="after")
    def _check_part(self) -> TrainingPart:
        if self.scale is not None:
            _check_scale(self.scale)
        if not self.hard and (self.soft is None or self.soft.use != "distil"):
            raise ValueError("without labels (hard: false) it needs soft: {from: NAME, use: distil} to learn from")
        return self


class MixedPart(TrainingPart):
    """Samples of another data set that are mixed in."""

    share: float = Field(gt=0, lt=1, description="Of all samples, from 0 to 1.")


class ValidationPart(DataPart):
    """What is scored during training; the first decides which weights are the best."""

    split: str = Field("val", description="Split of the data set.")
    input_size: InputSizeText = Field(
        "camera",
        description="Size at which the network sees the images: WIDTHxHEIGHT, whose area they get in their own shape "
        "(as in the node), or camera for theirs.",
    )
    window: SizeText | None = Field(
        None, description="WIDTHxHEIGHT of the parts in which large images are scored; left out: as a whole."
    )
    limit: int = Field(0, ge=0, description="At most so many images or parts, evenly spread; 0: all.")


class DataRecipe(_Part):
    """What is learned from, and what is scored on the way."""

    train: TrainingPart = Field(description="The data set; its label set is the network's, or see network.labels.")
    mix: tuple[MixedPart, ...] = Field(
        (), description="Other data sets to mix in; each has the settings of data.train and a share."
    )
    validation: tuple[ValidationPart, ...] = Field((), description="What is scored; nothing: no best weights.")

    @property
    def learned(self) -> tuple[TrainingPart, ...]:
        """All that is learned from, the main part first."""
        return (self.train, *self.mix)

    def sources(self) -> tuple[str, ...]:
        """Return the names of all folders that --data may give, the main one first."""
        parts = [part.source for part in (*self.learned, *self.validation)]
        soft = [part.soft.source for part in self.learned if part.soft is not None and not part.soft.from_weights]
        return tuple(dict.fromkeys([*parts, *soft]))

    @model_validator(mode="after")
    def _check_shares(self) -> DataRecipe:
        if sum(part.share for part in self.mix) >= 1:
            raise ValueError("the shares of mix must leave something for train: their sum has to be below 1")
        return self


class AugmentationRecipe(_Part):
    """How samples are varied. Probabilities and ranges hold per sample."""

    crop: SizeText = Field(description="WIDTHxHEIGHT of what the network sees.")
    scale: tuple[float, float] = Field(
        (0.5, 2.0), description="From .. to, by how much images are enlarged (after resize), log-uniform."
    )
    rotation_deg: float = Field(0.0, ge=0, le=180, description="Rotation by up to so many degrees either way.")
    flip: Probability = Field(0.5, description="Probability of a horizontal flip.")
    brightness: float = Field(0.0, ge=0, le=1, description="Brightness factor within 1 +- this.")
    contrast: float = Field(0.0, ge=0, le=1, description="Contrast factor within 1 +- this.")
    saturation: float = Field(0.0, ge=0, le=1, description="Saturation factor within 1 +- this.")
    hue: float = Field(0.0, ge=0, le=0.5, description="Hue shift within +- this, in turns.")
    tint: float = Field(0.0, ge=0, le=0.5, description="Shift of each colour channel within +- this part of the range.")
    gamma: float = Field(0.0, ge=0, lt=1, description="Gamma within 1 +- this.")
    blur: Probability = Field(0.0, description="Probability of a Gaussian blur, sigma 0.3 to 1.5 pixels.")
    noise: Probability = Field(0.0, description="Probability of Gaussian noise, sigma 0.03 of the range.")
    grey: Probability = Field(0.0, description="Probability of losing all colour.")
    erase: Probability = Field(
        0.0, description="Probability of a rectangle of 2 to 15 percent that is erased and ignored."
    )

    disturb: Probability = Field(
        0.0,
        description="Probability for each frame by itself of strong noise, motion blur, wrong exposure or occlusion.",
    )

    @model_validator(mode="after")
    def _check_scale(self) -> AugmentationRecipe:
        _check_scale(self.scale)
        return self

    @property
    def crop_size(self) -> Size:
        """The crop in pixels."""
        return read_size(self.crop)


class LossRecipe(_Part):
    """Loss = main + auxiliary_weight * (stage_32 + stage_16), each of hard, coarse and soft labels."""

    kind: Literal["cross_entropy", "ohem"] = Field(
        "cross_entropy", description="Over all pixels, or over the hard ones (online hard example mining)."
    )
    ohem_threshold: float = Field(0.7, gt=0, le=1, description="Pixels whose true class is less probable are hard.")
    ohem_min_kept: float = Field(1 / 16, gt=0, le=1, description="At least this share of the pixels counts as hard.")
    class_weights: Literal["none", "log"] | tuple[Annotated[float, Field(ge=0)], ...] = Field(
        "none",
        description="Weight of each class: none, log: 1 / ln(1.05 + its share of pixels), or a list. Of coarse labels, "
        "too, by their own shares (with a list: 1).",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Of the cross entropy.")
    auxiliary_weight: float = Field(0.5, ge=0, description="Of both auxiliary heads; 0 leaves them out.")
    resolution: Literal[1, 2, 4, 8] = Field(
        1, description="The loss is taken at this fraction of the crop: 2 is half its sides, and much cheaper."
    )


class OptimizerRecipe(_Part):
    """Optimiser and the way of its rate."""

    kind: Literal["sgd", "adamw"] = Field("sgd", description="Optimiser.")
    rate: float = Field(gt=0, description="Learning rate after warm-up.")
    encoder_rate: float = Field(1.0, gt=0, description="The encoder's rate, as a factor of it.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of matrices; norms and biases have none.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of SGD.")
    clip_norm: float = Field(0.0, ge=0, description="Longest gradient; 0: any.")
    warm_up: int = Field(0, ge=0, description="Iterations until the full rate.")
    warm_up_from: float = Field(
        1e-3, gt=0, le=1, description="Rate at the start of it, as a factor; it grows exponentially."
    )
    power: float = Field(0.9, ge=0, description="Of the polynomial decay (1 - iteration / iterations)^power.")
    average: float = Field(0.0, ge=0, lt=1, description="Decay of the moving average of the weights (EMA); 0: none.")


class RunRecipe(_Part):
    """How long, how exactly, how often."""

    iterations: int = Field(ge=1, description="Optimiser steps.")
    batch: int = Field(ge=1, description="Samples a step, over all processes.")
    seed: int = Field(0, ge=0, description="Of everything random.")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="fp32, or mixed precision.")
    channels_last: bool = Field(True, description="Memory layout of images and features; faster on most hardware.")
    validate_every: int = Field(500, ge=1, description="Iterations between validations.")
    save_every: int = Field(250, ge=1, description="Iterations between checkpoints.")
    overlays: int = Field(4, ge=0, description="Validation images shown in the curves.")


class Recipe(_Part):
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
        if self.run.batch * (1 - sum(part.share for part in mixed)) < len(mixed) - 1e-9:
            raise ValueError(f"run.batch {self.run.batch} is too small for the shares of {len(mixed)} mixed data sets")
        return self


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: of the YAML file.
        overrides: `part.name=value` each, the value as YAML, such as `optimizer.rate=0.01`; they replace what the file
            says.

    Raises:
        SettingError: the file cannot be read, or something in it or in an override is unknown or out of range; says
            where, what was received and what is expected.
    """
    path = Path(path).expanduser()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"cannot read recipe {path}: {error}") from None
    except yaml.YAMLError as error:
        raise SettingError(f"recipe {path} is no valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingError(f"recipe {path} holds {type(content).__name__}, expected the parts of a recipe")
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, f"recipe {path}")


def parse_recipe(content: Any, where: str) -> Recipe:
    """Check the content of a recipe; `where` it comes from stands in errors.

    Raises:
        SettingError: as for `load_recipe`.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'recipe'}: {problem['msg']}"
            + ("" if problem["type"] == "missing" else f" (received {problem['input']!r})")
            for problem in error.errors()
        ]
        raise SettingError(f"{where}: " + "; ".join(problems)) from None


def recipe_yaml(recipe: Recipe) -> str:
    """Write a recipe down, every default included."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False)


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise SettingError(f"set: received {override!r}, expected part.name=value, such as optimizer.rate=0.01")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingError(f"set: the value of {override!r} is no valid YAML: {error}") from None
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise SettingError(f"set: {key} goes through {parent}, which has no parts")
    content[last] = value
