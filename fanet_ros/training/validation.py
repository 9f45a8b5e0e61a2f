"""Scores during training: the network as it is, on every validation set, shared out among the processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import Dataset, Window
from fanet_ros.datasets.clips import ClipDataset
from fanet_ros.frames.frame import FrameResizer, fit_input_size
from fanet_ros.labelling.postprocess import labels_from_logits
from fanet_ros.labelling.postprocess_torch import labels_from_logits as labels_from_logits_on_gpu
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.labels import LabelSet
from fanet_ros.model.network import FANet
from fanet_ros.reports.render import Painter, contact_sheet
from fanet_ros.reports.scores import Scorer, Scores
from fanet_ros.settings import Size, read_size
from fanet_ros.training.batches import Part
from fanet_ros.training.processes import Processes
from fanet_ros.training.recipe_data import ValidationPart
from fanet_ros.training.remember import remember
from fanet_ros.training.start import evaluating

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Validation:
    """What was found on one validation set.

    Attributes:
        name: of the set: data set and split.
        names: of the classes that are scored: the network's, or the data set's where its labels are coarse.
        scores: over all its images.
        pictures: image, truth and prediction of a few, uint8 RGB, laid out; None where none were asked for.
    """

    name: str
    names: tuple[str, ...]
    scores: Scores
    pictures: Image | None


class Validator:
    """Scores a network on one validation set; one that learns from clips looks back at the frames before, here too."""

    def __init__(
        self, recipe: ValidationPart, part: Part, label_set: LabelSet, processes: Processes, temporal_frames: int = 1
    ) -> None:
        self._processes = processes
        self._clips = ClipDataset(part.dataset, temporal_frames, part.step)
        self._size = None if recipe.input_size == "camera" else read_size(recipe.input_size)
        places = _places(part.dataset, None if recipe.window is None else read_size(recipe.window))
        self._places = [places[i] for i in spread(len(places), recipe.limit)]
        self.name = f"{recipe.source}-{part.dataset.split}"
        # coarse labels are scored as they are: predictions are merged into them
        self._merged = part.meaning.merging_table() if part.meaning.coarse else None
        self._truth = part.meaning.truth_table() if part.meaning.coarse else part.ids
        self._scored = part.dataset.label_set if part.meaning.coarse else label_set

    def run(self, network: FANet, precision: torch.dtype, pictures: int, progress: Callable[[str], None]) -> Validation:
        """Score a network on this process's device, multiplying matrices in `precision`; show so many pictures."""
        classes, painter = len(self._scored), Painter(self._scored)
        scorer, resizer = Scorer(classes), FrameResizer()
        samples: list[tuple[Image, Image, Image]] = []
        own = self._places[self._processes.rank :: self._processes.count]
        shown = {own[i] for i in spread(len(own), pictures)} if pictures else set()
        with evaluating(network), torch.inference_mode():
            graph = FrameToLogits(network)
            for done, (index, window) in enumerate(own, 1):
                clip = self._clips.clip(index, window)
                truth = self._truth[clip.labels]
                size = Size(truth.shape[1], truth.shape[0])
                input_size = self._input_size(size)
                # each is a copy: the resizer's buffer is written to again
                earlier = [resizer.to_network_input(image, "rgb8", input_size).copy() for image in clip.images[:-1]]
                frame = resizer.to_network_input(clip.images[-1], "rgb8", input_size)
                labels = self._segment(graph, frame, earlier, size, precision)
                labels = labels if self._merged is None else self._merged[truth, labels]
                scorer.add(labels, truth)
                if (index, window) in shown:
                    # each picture is a copy: the painter's buffer is painted over
                    samples.append(
                        (clip.images[-1], painter.color_mask(truth).copy(), painter.color_mask(labels).copy())
                    )
                progress(f"{self.name} {done}/{len(own)}")
        total = Scorer(classes)
        total.merge(self._processes.sum(torch.from_numpy(scorer.counts())).numpy())
        titles = ("camera", "truth", "prediction")
        sheet = contact_sheet(samples, self._scored, titles) if samples else None
        return Validation(self.name, self._scored.names, total.scores(), sheet)

    def _input_size(self, image: Size) -> Size:
        return image if self._size is None else fit_input_size("auto", self._size, image)

    def _segment(
        self, graph: FrameToLogits, frame: Image, earlier: Sequence[Image], size: Size, precision: torch.dtype
    ) -> Image:
        """Label one frame, as the torch backend does; `earlier` are the frames before it, the newest last."""
        device = self._processes.device
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            image = torch.from_numpy(frame)[None].to(device)
            found: Tensor
            if earlier:
                past = torch.from_numpy(np.stack(earlier[::-1])).to(device).permute(0, 3, 1, 2).float()
                known = torch.ones(1, len(earlier), dtype=torch.bool, device=device)
                found, _ = graph(image, remember(graph.network, graph.normalise(past)[None], known))
            else:
                found = graph(image)
            logits = found[0].float()  # (classes, h, w)
        if device.type == "cpu":
            return labels_from_logits(logits.contiguous().numpy(), size).labels
        return labels_from_logits_on_gpu(logits, size)[0].cpu().numpy()


def _places(dataset: Dataset, size: Size | None) -> list[tuple[int, Window | None]]:
    """All images, or all windows side by side that cover them."""
    if size is None:
        return [(index, None) for index in range(len(dataset))]
    places: list[tuple[int, Window | None]] = []
    for index in range(len(dataset)):
        width, height = dataset.size(index)
        corners = [(left, top) for top in range(0, height, size.height) for left in range(0, width, size.width)]
        places += [(index, Window(left, top, *size)) for left, top in corners]
    return places


def spread(length: int, limit: int) -> list[int]:
    """Return at most `limit` of `length` indices, evenly spread; all of them for 0."""
    count = min(limit, length) if limit else length
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]
