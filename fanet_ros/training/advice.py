"""What is likely to be wrong with a training although nothing forbids it: told before the first step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fanet_ros.datasets import IGNORED
from fanet_ros.errors import DatasetError
from fanet_ros.training.batches import Part
from fanet_ros.training.material import Material
from fanet_ros.training.recipe import Recipe
from fanet_ros.training.validation import spread

_MOST_IMAGES, _MOST_PIXELS = 500, 300_000_000  # of a data set: seconds, even where images are aerial tiles
_SHOWN = 8
_LONG_WARM_UP = 0.5  # share of a training in which it has learnt little by the end
_MUCH_IGNORED = 0.5
_HIGHEST_RATES = {"sgd": 1.0, "adamw": 0.1}

_log = logging.getLogger(__name__)


@dataclass
class _Look:
    """What the labels of some images of a data set show.

    Attributes:
        images: how many were looked at.
        counts: int64 (256,), pixels of each of the data set's ids; those that are ignored at the place of IGNORED.
        strangers: pixels of each value that the data set does not know.
    """

    images: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    strangers: dict[str, int] = field(default_factory=dict)


def give_advice(recipe: Recipe, material: Material, progress: Callable[[str], None]) -> None:
    """Warn of a recipe and of labels with which little can be learnt, and refuse labels with which nothing can.

    Of large data sets some images are looked at, evenly spread; `fanet dataset check` looks at all.

    Raises:
        DatasetError: all pixels that labels tell something of are of one class; or a label file cannot be read.
    """
    _advise_on_recipe(recipe, material)
    learned = list(zip(material.parts, recipe.data.learned, strict=True))
    hard = [part for part, described in learned if described.hard]
    shown: set[int] = set()
    for part in hard:
        look = _look_at(part, progress)
        _tell_strangers(part, look)
        _tell_ignored(part, look)
        shown |= {int(part.ids[own]) for own in np.flatnonzero(look.counts[:IGNORED])} - {IGNORED}
    if not any(described.soft is not None for _, described in learned):
        _advise_on_classes(material, hard, shown)
    for part in material.validation:
        look = _look_at(part, progress)
        _tell_strangers(part, look)
        if not look.counts[:IGNORED].any():
            _log.warning("no pixel of %s has a class, so there will be no best weights by its scores", _name(part))


def _advise_on_recipe(recipe: Recipe, material: Material) -> None:
    optimizer, iterations, main = recipe.optimizer, recipe.run.iterations, material.parts[0]
    if len(main.dataset) < recipe.run.batch:
        _log.warning(
            "run.batch is %d, but %s has %d images: a step sees some of them more than once",
            recipe.run.batch,
            _name(main),
            len(main.dataset),
        )
    if optimizer.warm_up > _LONG_WARM_UP * iterations:
        _log.warning(
            "optimizer.warm_up is %d of %d iterations: the rate stays low for most of the training, which will have "
            "learnt little; give it more iterations, or --set optimizer.warm_up=%d",
            optimizer.warm_up,
            iterations,
            iterations // 10,
        )
    highest = _HIGHEST_RATES[optimizer.kind]
    if optimizer.rate > highest:
        _log.warning(
            "optimizer.rate is %g; %s rarely learns anything above %g", optimizer.rate, optimizer.kind, highest
        )


def _look_at(part: Part, progress: Callable[[str], None]) -> _Look:
    look = _Look()
    for index in spread(len(part.dataset), _MOST_IMAGES):
        counts, strangers = part.dataset.count_labels(index)
        look.images += 1
        look.counts += counts
        for value, pixels in strangers.items():
            look.strangers[value] = look.strangers.get(value, 0) + pixels
        progress(f"looking at the labels of {_name(part)}, image {look.images}")
        if look.counts.sum() > _MOST_PIXELS:
            break
    return look


def _advise_on_classes(material: Material, parts: Sequence[Part], shown: set[int]) -> None:
    """Tell which classes no label shows; with one class or none there is nothing to learn."""
    names, members = material.label_set.names, material.space.members()
    where = ", ".join(map(_name, parts))
    possible = np.zeros(len(names), bool)
    for number in shown:
        possible |= np.arange(len(names)) == number if number < len(names) else members[number - len(names)]
    if len(shown) < 2:
        what = (
            f"nothing but {_listed([names[index] for index in np.flatnonzero(possible)])}"
            if shown
            else "no class at all"
        )
        raise DatasetError(
            f"the labels of {where} show {what}, so there is nothing to learn: 255 and values that are no class are "
            "ignored. Masks of 0 and 255 must be written with the ids of the classes, such as 0 and 1; fanet dataset "
            "check shows what is in them"
        )
    if not possible.all():
        _log.warning(
            "classes that never occur in the labels of %s, as far as looked at: %s",
            where,
            _listed([names[index] for index in np.flatnonzero(~possible)]),
        )


def _tell_ignored(part: Part, look: _Look) -> None:
    share = look.counts[IGNORED] / max(1, look.counts.sum())
    if share > _MUCH_IGNORED:
        _log.warning(
            "%.0f %% of the pixels of %s are ignored (255): nothing is learnt from them", 100 * share, _name(part)
        )


def _tell_strangers(part: Part, look: _Look) -> None:
    if look.strangers:
        values = [f"{value} ({pixels} pixels)" for value, pixels in look.strangers.items()]
        _log.warning(
            "labels of %s hold values that are no class and are ignored: %s; its classes are 0 to %d, and 255 is "
            "ignored by right",
            _name(part),
            _listed(values),
            len(part.dataset.label_set) - 1,
        )


def _name(part: Part) -> str:
    return f"{part.dataset.name} {part.dataset.split}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
