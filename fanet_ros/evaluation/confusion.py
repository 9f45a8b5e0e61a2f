"""The confusion matrix as a picture."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np

from fanet_ros.errors import SettingError
from fanet_ros.extras import what_to_install
from fanet_ros.files import write_whole
from fanet_ros.model.labels import LabelSet
from fanet_ros.reports.scores import Scores

_DPI = 120
_MOST_WITH_NUMBERS = 32  # classes; in the cells of more, numbers are specks
_LIGHT_TEXT_FROM = 0.6  # share of a row from which the cell is too dark for black


def check_can_plot(path: Path) -> None:
    """Refuse at once what would fail after the whole data set was predicted.

    Raises:
        SettingError: matplotlib is missing, or the file's name is of another kind.
    """
    if path.suffix.lower() != ".png":
        raise SettingError(f"confusion: received {path}, expected the name of a .png file")
    if importlib.util.find_spec("matplotlib") is None:
        raise SettingError(f"confusion: needs {what_to_install('matplotlib')}")


def plot_confusion(scores: Scores, label_set: LabelSet, title: str, path: Path) -> None:
    """Draw the share of each class's pixels that was given each label, in percent; every row adds up to 100.

    A column for pixels without a label is drawn only where there are any.

    Raises:
        SettingError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = len(label_set)
    counts = scores.confusion if scores.confusion[:, classes].any() else scores.confusion[:, :classes]
    names = [*label_set.names, "unlabelled"][: counts.shape[1]]
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)

    side = float(np.clip(0.55 * classes + 2.5, 5, 30))
    font = 9.0 if classes <= _MOST_WITH_NUMBERS else 4.0
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)  # needs no display
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font)
    axes.set_yticks(range(classes), label_set.names, fontsize=font)
    axes.set_xlabel("label")
    axes.set_ylabel("truth")
    axes.set_title(f"{title}\nmIoU {100 * scores.miou:.2f}, cells in percent of their row", fontsize=10)
    if classes <= _MOST_WITH_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if round(100 * share):
                color = "white" if share >= _LIGHT_TEXT_FROM else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    write_whole(path, picture.getvalue())
