from pathlib import Path

from recipe_docs import settings_table, with_table

DOCS = Path(__file__).resolve().parent.parent / "docs" / "training.md"


def test_the_documentation_lists_the_settings_as_they_are() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert with_table(text) == text, "run python tools/recipe_docs.py"


def test_settings_of_parts_and_of_lists_of_parts_are_rows() -> None:
    table = settings_table()
    assert "| `optimizer.rate` | required |" in table
    assert "| `data.mix[].share` | required |" in table
    assert "| `run.precision` | `fp32` |" in table
