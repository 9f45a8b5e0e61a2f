"""The temperature of the logits at which confidence is right as often as it says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fanet_ros.datasets import Dataset
from fanet_ros.errors import DatasetError
from fanet_ros.evaluation.run import read_ahead
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size

_log = logging.getLogger(__name__)

_PIXELS_AN_IMAGE = 4000
_MOST_LOGITS = 50_000_000  # 200 MB
_TEMPERATURES = np.geomspace(0.2, 5, 401)  # steps of 0.8 %


@dataclass(frozen=True)
class Temperature:
    """What logits have to be divided by.

    Attributes:
        value: T; above 1 where the network is too sure.
        surprise_before: mean -log probability of the truth as it is.
        surprise: the same with logits divided by T.
        pixels: by how many this was found.
    """

    value: float
    surprise_before: float
    surprise: float
    pixels: int


def find_temperature(
    segmenter: Segmenter,
    dataset: Dataset,
    indices: Sequence[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Temperature:
    """Find the temperature with which the truth surprises the network least (Guo et al. 2017, section 4.2).

    Args:
        segmenter: with the network.
        dataset: in the network's classes, of images that it has not seen.
        indices: of the samples.
        progress: told how many of how many samples are done.

    Raises:
        DatasetError: no pixel's truth is known, or an image cannot be read.
        BackendError: the network cannot be built for an image's size.
    """
    if not len(indices):
        raise DatasetError(f"split '{dataset.split}' of data set '{dataset.name}' holds no image")
    draw = np.random.default_rng(0)
    logits, truths = [], []
    resizer, classes = FrameResizer(), len(segmenter.label_set.of_network)
    count = max(1, min(_PIXELS_AN_IMAGE, _MOST_LOGITS // (classes * len(indices))))
    for done, sample in enumerate(read_ahead(dataset, indices), 1):
        known = np.flatnonzero(sample.labels.ravel() < classes)
        chosen = draw.choice(known, min(len(known), count), replace=False)
        height, width = sample.labels.shape
        image = resizer.to_network_input(sample.image, "rgb8", segmenter.input_size_for(Size(width, height)))
        logits.append(_at(torch.from_numpy(segmenter.logits(image)), chosen, Size(width, height)))
        truths.append(torch.from_numpy(sample.labels.ravel()[chosen]).long())
        progress(done, len(indices))
    all_logits, truth = torch.cat(logits), torch.cat(truths)
    if not len(truth):
        raise DatasetError(f"no pixel of split '{dataset.split}' of data set '{dataset.name}' has a known truth")
    surprises = [float(F.cross_entropy(all_logits / value, truth)) for value in _TEMPERATURES]
    best = int(np.argmin(surprises))
    if best in (0, len(_TEMPERATURES) - 1):
        _log.warning(
            "the best temperature may lie beyond %.2f: do the classes of weights and data fit?", _TEMPERATURES[best]
        )
    shares = truth.bincount() / len(truth)
    if (shares > 0).sum() > 1 and surprises[best] > float(torch.special.entr(shares).sum()):
        _log.warning(
            "the truth surprises the network more than somebody who sees no image and knows how often classes occur: "
            "a temperature found like this means nothing; are the ids in the labels those of the network's classes?"
        )
    before = float(F.cross_entropy(all_logits, truth))
    return Temperature(float(_TEMPERATURES[best]), before, surprises[best], len(truth))


def _at(logits: Tensor, pixels: NDArray[np.intp], size: Size) -> Tensor:
    """Enlarge logits (classes, h, w) to an image's size as labels are decided, at some of its pixels: (n, classes)."""
    rows, columns = np.divmod(pixels, size.width)
    # -1 to 1, corner to corner
    x, y = (2 * place / max(side - 1, 1) - 1 for place, side in ((columns, size.width), (rows, size.height)))
    grid = torch.from_numpy(np.stack([x, y], -1).astype(np.float32))[None, None]  # (1, 1, n, 2)
    return F.grid_sample(logits[None], grid, align_corners=True)[0, :, 0].T
