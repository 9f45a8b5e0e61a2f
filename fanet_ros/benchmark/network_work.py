"""The work of contests between networks: single frames, frames that wait together, or a video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fanet_ros.backends.request import FrameRequest
from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.plan import REFERENCE
from fanet_ros.benchmark.runners import Answers, BackendRunner, Candidate
from fanet_ros.benchmark.work import Work, wall, wall_of_each
from fanet_ros.errors import BackendError
from fanet_ros.labelling.postprocess import LabelBuffers


def stills(candidate: dict[str, Any], image: str, cameras: dict[str, str]) -> Work:
    """Run the network alone, and camera frames to labels.

    Args:
        candidate: entries of a Candidate.
        image: file of frames of the network's input size.
        cameras: files of camera frames by name; empty to leave frames unmeasured.

    Returns:
        Runs and answers `network` and one by the name of each camera; the answers are the logits and the labels of the
        first frames. Of backends also a run `NAME turned` for the first camera, as if it hung upside down.
    """
    runner = Candidate(**candidate).runner()
    network_input = cv2.cvtColor(load_frames(Path(image))[0], cv2.COLOR_BGR2RGB)
    frames = {name: load_frames(Path(path)) for name, path in cameras.items()}

    def answers() -> Answers:
        labels = {name: runner.segment(each[0]).copy() for name, each in frames.items()}
        return {"network": runner.infer(network_input).copy(), **labels}

    turned = {}
    if isinstance(runner, BackendRunner):  # the reference turns nothing
        upside_down = partial(runner.segment, rotation=180)
        turned = {f"{name} turned": wall_of_each(upside_down, each) for name, each in [*frames.items()][:1]}
    return Work(
        facts=runner.facts(network_input),
        answers=runner.answers(answers),
        runs={
            "network": runner.network_run(network_input),
            **{name: wall_of_each(runner.segment, each) for name, each in frames.items()},
            **turned,
        },
    )


def video(candidate: dict[str, Any], frames: str, temporal_frames: int) -> Work:
    """Run a camera's frames to labels as single ones, and as a video by a second network that remembers.

    Args:
        candidate: entries of a Candidate; the reference has answers only.
        frames: file of camera frames.
        temporal_frames: that attention sees on the video.

    Returns:
        Runs `single` and `temporal`; the answer `labels` are those of the video of all the frames.
    """
    loaded = load_frames(Path(frames))
    chosen = Candidate(**candidate)
    remembers = chosen.runner(temporal_frames)

    def answers() -> Answers:
        remembers.restart()
        return {"labels": np.stack([remembers.segment(frame).copy() for frame in loaded])}

    work = Work({"device": remembers.device}, answers=remembers.answers(answers))
    if chosen.backend != REFERENCE:
        single = chosen.runner()
        work.runs = {
            "single": wall_of_each(single.segment, loaded),
            "temporal": wall_of_each(remembers.segment, loaded),
        }
    return work


def batch(candidate: dict[str, Any], frames: str, waiting: list[int]) -> Work:
    """Run frames that wait together to labels, one after the other and as one batch.

    Args:
        candidate: entries of a Candidate.
        frames: file of camera frames; as many as the longest of `waiting`, or more.
        waiting: numbers of frames.

    Returns:
        Runs `N one by one` and, from 2, `N batched` of each of these numbers.

    Raises:
        BackendError: the backend cannot start, or has no batches.
    """
    chosen = Candidate(**candidate)
    backend = chosen.backend_for(kept_sizes=len(waiting))  # a batch of each length is kept
    if backend.max_batch < max(waiting):
        raise BackendError(f"the backend has no batches of {max(waiting)} frames")
    requests = [
        FrameRequest(frame, "bgr8", out=LabelBuffers(np.empty(frame.shape[:2], np.uint8)))
        for frame in load_frames(Path(frames))
    ]

    def one_by_one(together: list[FrameRequest]) -> None:
        for request in together:
            backend.segment(request, chosen.size)

    work = Work({"device": backend.info.device})
    for count in waiting:
        together = requests[:count]
        work.runs[f"{count} one by one"] = wall(partial(one_by_one, together))
        if count > 1:
            work.runs[f"{count} batched"] = wall(partial(backend.segment_batch, together, chosen.size))
    return work
