"""`fanet temper`: make confidence mean what it says, by scaling the logits once."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fanet_ros.commands.console import one_line_errors, progress_bars, say
from fanet_ros.commands.options import (
    DataFolder,
    DataOptions,
    InputSize,
    Labels,
    Limit,
    Weights,
    check_options,
    read_option_words,
    weights_path,
)
from fanet_ros.errors import SettingError, WeightsError
from fanet_ros.files import check_can_write
from fanet_ros.model.model_card import read_card

_LAST = "clslayer.conv_out.weight"  # without a bias, so dividing it divides the logits


def temper(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.safetensors", help="The scaled weights.")],
    dataset: Annotated[str, typer.Option(help="Name of a labelled data set (docs/datasets.md).")],
    data: DataFolder = None,
    split: Annotated[str, typer.Option(help="Part of the data set, which the weights have not seen.")] = "val",
    option: DataOptions = None,
    weights: Weights = "",
    twin: Annotated[
        Path | None,
        typer.Option(help="Find it on these weights instead: of the same training, before it learned from the images."),
    ] = None,
    labels: Labels = "",
    input_size: InputSize = "auto",
    limit: Limit = 0,
) -> None:
    """Find the temperature at which confidence is right as often as it says, and put it into the weights.

    Labels stay as they are. Measure before and after with `fanet evaluate --confidence`.
    """
    with one_line_errors():
        from fanet_ros.datasets import open_dataset
        from fanet_ros.evaluation.run import spread
        from fanet_ros.evaluation.temperature import find_temperature
        from fanet_ros.evaluation.truth import open_truth
        from fanet_ros.model.weights import load_weights, save_weights
        from fanet_ros.segmenter import Segmenter

        check_options(input_size=input_size)
        if output.suffix != ".safetensors":
            raise SettingError(f"output: received {output}, expected the name of a .safetensors file")
        check_can_write("output", output)
        path = weights_path(weights)
        loaded = load_weights(path, auxiliary=True)
        samples = open_dataset(dataset, data, split, read_option_words(option))
        unseen = path if twin is None else weights_path(twin)
        segmenter = Segmenter(unseen, labels=labels, precision="fp32", input_size=input_size, kept_sizes=4)
        try:
            samples, coarse = open_truth(samples, segmenter.label_set.of_network)
            if coarse is not None:
                raise SettingError(f"dataset: the classes of {dataset} are coarse for these weights: no label is exact")
            with progress_bars() as count:
                found = find_temperature(
                    segmenter, samples, spread(len(samples), limit), partial(count, "looking at images")
                )
        finally:
            segmenter.close()
        scaled = {
            name: tensor.float() / found.value if name == _LAST else tensor
            for name, tensor in loaded.state_dict.items()
        }
        try:
            save_weights(output, scaled)
            if path.parent.absolute() != output.parent.absolute() or path.stem != output.stem:
                _copy_card(path, output)
        except OSError as error:
            raise WeightsError(f"cannot write {output}: {error.strerror}") from None
    say(
        f"temperature {found.value:.3f}: -log probability of the truth {found.surprise_before:.4f} before, "
        f"{found.surprise:.4f} after, on {found.pixels} pixels of {dataset} {split}",
        f"written: {output}",
    )


def _copy_card(weights: Path, output: Path) -> None:
    """Copy what belongs to weights: the card, and the label set that it names if that is a file beside it."""
    card = weights.with_suffix(".md")
    if not card.is_file():
        return
    shutil.copyfile(card, output.with_suffix(".md"))
    named = read_card(weights).label_set
    if named is not None and Path(named).is_file() and Path(named).parent.samefile(weights.parent):
        copy = output.parent / Path(named).name
        if not copy.exists():
            shutil.copyfile(named, copy)
