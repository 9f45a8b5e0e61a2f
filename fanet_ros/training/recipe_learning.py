"""Of a recipe: the network and how it learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fanet_ros.settings import Size, read_size
from fanet_ros.training.recipe_values import LabelSetText, Probability, Scale, Settings, SizeText
from fanet_ros.video.video_memory import MAX_TEMPORAL_FRAMES


class NetworkRecipe(Settings):
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


class AugmentationRecipe(Settings):
    """How samples are varied. Probabilities and ranges hold per sample."""

    crop: SizeText = Field(description="WIDTHxHEIGHT of what the network sees.")
    scale: Scale = Field(
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

    @property
    def crop_size(self) -> Size:
        """The crop in pixels."""
        return read_size(self.crop)


class LossRecipe(Settings):
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


class OptimizerRecipe(Settings):
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


class RunRecipe(Settings):
    """How long, how exactly, how often."""

    iterations: int = Field(ge=1, description="Optimiser steps.")
    batch: int = Field(ge=1, description="Samples a step, over all processes.")
    seed: int = Field(0, ge=0, description="Of everything random.")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="fp32, or mixed precision.")
    channels_last: bool = Field(True, description="Memory layout of images and features; faster on most hardware.")
    validate_every: int = Field(500, ge=1, description="Iterations between validations.")
    save_every: int = Field(250, ge=1, description="Iterations between checkpoints.")
    overlays: int = Field(4, ge=0, description="Validation images shown in the curves.")
