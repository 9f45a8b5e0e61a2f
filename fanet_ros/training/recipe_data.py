"""Of a recipe: what is learned from, and what is scored on the way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from fanet_ros.training.recipe_values import InputSizeText, LabelSetText, Scale, Settings, SizeText, absolute_label_set

_SOFT_FILE = "{name}.npz"


def _absolute_options(options: dict[str, Any]) -> dict[str, Any]:
    return {key: absolute_label_set(value) if key == "labels" else value for key, value in options.items()}


class DataPart(Settings):
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


class SoftRecipe(Settings):
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
    scale: Scale | None = Field(
        None, description="From .. to, by how much its images are enlarged; left out: augmentation.scale."
    )
    hard: bool = Field(True, description="Whether it has label files; false learns from soft labels alone.")
    soft: SoftRecipe | None = Field(None, description="Soft labels; left out: none.")
    loss_weight: float = Field(1.0, gt=0, description="Of the loss of its labels.")

    @model_validator(mode="after")
    def _check_part(self) -> TrainingPart:
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


class DataRecipe(Settings):
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
