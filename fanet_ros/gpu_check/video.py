"""Temporal fast attention on a GPU: a video against the plain network, and what the memory costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fanet_ros.backends.base import Backend
from fanet_ros.backends.request import FrameRequest
from fanet_ros.gpu_check.measure import Effort, agreement_percent, frame_ms
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.labelling.postprocess_torch import dense_labels_from_logits
from fanet_ros.model.graph import FrameToLogits
from fanet_ros.model.weights import load_network
from fanet_ros.reports.statistics import Spread
from fanet_ros.settings import Size
from fanet_ros.sources import open_source

TEMPORAL_FRAMES = 2
VIDEO_FRAMES = 20


def compare_video(
    start: Callable[[int], Backend], weights: Path, size: Size, device: torch.device, effort: Effort
) -> str:
    """Return how a backend labels a video of the street camera against eager float32, and its time with and without.

    Args:
        start: starts the backend, told how many frames attention sees.
        weights: a checkpoint.
        size: of the video and the network's input.
        device: where eager torch runs.
        effort: how long to measure.
    """
    video = _street_video(size)
    expected = _plain_labels(video, weights, size, device)
    with closing(start(TEMPORAL_FRAMES)) as backend:
        memory = backend.new_memory()
        agreements = []
        for frame, labels in zip(video, expected, strict=True):
            found = backend.segment(FrameRequest(frame, "rgb8", size, memory=memory), size).labels
            agreements.append(agreement_percent(found, labels))
        remembering = _time(backend, video[0], size, effort)
    with closing(start(1)) as backend:
        single = _time(backend, video[0], size, effort)
    return (
        f"{np.mean(agreements):.2f} % of the labels agree, at least {min(agreements):.2f} % of a frame; frame to "
        f"labels {remembering.median:.3f} ms, {single.median:.3f} ms without memory"
    )


@torch.inference_mode()
def _plain_labels(
    video: list[NDArray[np.uint8]], weights: Path, size: Size, device: torch.device
) -> list[NDArray[np.uint8]]:
    graph = FrameToLogits(load_network(weights)).to(device).eval()
    state = torch.zeros(1, TEMPORAL_FRAMES - 1, graph.network.state_size, device=device)
    labels = []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
        for frame in video:
            logits, state = graph(torch.from_numpy(frame)[None].to(device), state)
            labels.append(dense_labels_from_logits(logits[0], size)[0].cpu().numpy())
    return labels


def _time(backend: Backend, frame: NDArray[np.uint8], size: Size, effort: Effort) -> Spread:
    memory = backend.new_memory()
    out = LabelBuffers(np.empty((size.height, size.width), np.uint8))
    return frame_ms(
        lambda frame: backend.segment(FrameRequest(frame, "rgb8", size, out=out, memory=memory), size),
        frame,
        effort,
    )


def _street_video(size: Size) -> list[NDArray[np.uint8]]:
    with open_source("street", width=size.width, height=size.height) as source:
        read = (source.read() for _ in range(VIDEO_FRAMES))
        return [np.ascontiguousarray(frame.image) for frame in read if frame is not None]
