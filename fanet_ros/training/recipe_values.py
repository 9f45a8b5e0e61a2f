"""What settings of a recipe have in common: unknown ones are refused, and texts are checked where they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fanet_ros.settings import read_size


class Settings(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


def _checked_size(text: str) -> str:
    read_size(text)
    return text


def _checked_input_size(text: str) -> str:
    return text if text == "camera" else _checked_size(text)


def absolute_label_set(text: str) -> str:
    """Return the name of a label set, or the absolute path of its file: a training may be resumed from elsewhere."""
    return str(Path(text).expanduser().absolute()) if text.endswith((".yaml", ".yml")) else text


def _checked_scale(scale: tuple[float, float]) -> tuple[float, float]:
    if not 0.05 <= scale[0] <= scale[1] <= 20:
        raise ValueError("expected 0.05 <= from <= to <= 20")
    return scale


SizeText = Annotated[str, AfterValidator(_checked_size)]
InputSizeText = Annotated[str, AfterValidator(_checked_input_size)]
LabelSetText = Annotated[str, AfterValidator(absolute_label_set)]
Probability = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[tuple[float, float], AfterValidator(_checked_scale)]
