"""Writes the table of all settings of a recipe into docs/training.md, from the classes that declare them.

Run `python tools/recipe_docs.py` in the source tree after changing fanet_ros/training/recipe*.py; a test
fails where the file differs from what it would write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fanet_ros.training.recipe import Recipe
from fanet_ros.training.recipe_data import TrainingPart

START = "<!-- recipe settings: written by python tools/recipe_docs.py -->"
END = "<!-- end of recipe settings -->"


def settings_table() -> str:
    """Return the table in Markdown, one row a setting."""
    rows = ["| setting | default | description |", "|---|---|---|"]
    return "\n".join(rows + [row for name, field in Recipe.model_fields.items() for row in _rows(name, field)])


def with_table(text: str) -> str:
    """Return a text with what stands between the two marks replaced by the table."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{settings_table()}\n{END}{after}"


def _rows(name: str, field: FieldInfo) -> list[str]:
    nested = _model_in(field.annotation)
    name = f"{name.rpartition('.')[0]}.{field.alias}" if field.alias else name
    own = [] if field.description is None else [f"| `{name}` | {_default(field)} | {_cell(field.description)} |"]
    if nested is None:
        return own
    many = get_origin(field.annotation) is tuple
    inner = [
        row
        for part, inner in nested.model_fields.items()
        for row in _rows(f"{name}{'[]' if many else ''}.{part}", inner)
        if not (many and issubclass(nested, TrainingPart) and part in TrainingPart.model_fields)
    ]
    return own + inner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a setting is, or a list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model is not None), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value}`" if value is not None else "-"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Rewrite the file in the source tree."""
    path = Path(__file__).resolve().parents[1] / "docs" / "training.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
