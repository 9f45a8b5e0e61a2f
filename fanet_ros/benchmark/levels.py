"""The levels that are contests: who enters, and the rows that come of their times and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanet_ros.benchmark.contest import Bench, Contest, Entrant
from fanet_ros.benchmark.plan import ONLY_FANET, REFERENCE, Contender
from fanet_ros.benchmark.results import Row
from fanet_ros.benchmark.runners import EXACT, Candidate
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.reports.statistics import Spread, Turns, ratio
from fanet_ros.settings import Size

TEMPORAL_FRAMES = 2  # the paper's
WAITING = (1, 2, 3)
"""Numbers of frames that wait together at the batch level."""

MASK_SIZE = Size(640, 360)
"""Of the mask at the ground level."""

_LEAST_GROUND_RUNS = 10


def run_stills(bench: Bench, weights: Path, size: Size) -> None:
    """Network and frame level: the network alone, and camera frames to labels, against the reference."""
    levels = bench.plan.levels
    cameras = (bench.plan.cameras or (size,)) if "frame" in levels else ()
    files = {str(camera): str(bench.store.ensure(camera)) for camera in cameras}
    with Contest(bench, f"{weights.stem} {size}") as contest:
        try:
            contenders = (_reference(bench), *bench.plan.contenders)
            image = str(bench.store.ensure(size))
            _enter(contest, contenders, weights, size, work="stills", image=image, cameras=files)
            contest.start()
            _probe(contest)
            contest.take_turns()
        finally:
            entrants = contest.entrants
            if "network" in levels:
                bench.results.add("network", [_network_row(entrants[0], entrant) for entrant in entrants])
            rows = [_frame_row(entrants[0], entrant, camera) for camera in cameras for entrant in entrants]
            bench.results.add("frame", rows)


def run_video(bench: Bench, weights: Path, size: Size) -> None:
    """Temporal level: frames with the one before in memory, against the same network without.

    The reference says what labels are right, and takes no turns.
    """
    camera = (bench.plan.cameras or (size,))[0]
    with Contest(bench, f"{weights.stem} {size} with a memory") as contest:
        try:
            contenders = (_reference(bench), *bench.plan.contenders)
            frames = str(bench.store.ensure(camera))
            _enter(contest, contenders, weights, size, work="video", frames=frames, temporal_frames=TEMPORAL_FRAMES)
            contest.start()
            contest.take_turns()
        finally:
            entrants = contest.entrants
            bench.results.add("temporal", [_temporal_row(entrants[0], entrant, camera) for entrant in entrants[1:]])


def run_batch(bench: Bench, weights: Path, size: Size) -> None:
    """Batch level: frames of several cameras that wait together, one after the other against one batch."""
    camera = (bench.plan.cameras or (size,))[0]
    with Contest(bench, f"batch, {weights.stem} {size}") as contest:
        try:
            frames = str(bench.store.ensure(camera))
            _enter(contest, bench.plan.contenders, weights, size, work="batch", frames=frames, waiting=list(WAITING))
            contest.start()
            contest.take_turns()
        finally:
            rows = [_batch_row(entrant, camera, count) for entrant in contest.entrants for count in WAITING]
            bench.results.add("batch", rows)


def run_ground(bench: Bench) -> None:
    """Ground level: each result of the ground projection, against the usual way in the same process with one thread."""
    with Contest(bench, f"ground, mask {MASK_SIZE}") as contest:
        entrant = contest.enter("ground", {}, work="ground", width=MASK_SIZE.width, height=MASK_SIZE.height)
        try:
            contest.start()
            contest.take_turns(_LEAST_GROUND_RUNS)
        finally:
            works = [work for work in entrant.works if not work.startswith("usual ")]
            bench.results.add("ground", [_ground_row(entrant, work) for work in works] or [{"error": entrant.why_not}])


def _reference(bench: Bench) -> Contender:
    return Contender(REFERENCE, "fp32", bench.plan.device)


def _enter(contest: Contest, contenders: Sequence[Contender], weights: Path, size: Size, **arguments: object) -> None:
    plan, folder = contest.bench.plan, contest.bench.store.folder
    for contender in contenders:
        if contender.backend in ONLY_FANET and is_foreign(weights):
            continue
        candidate = Candidate(
            weights=str(weights),
            **asdict(contender),
            threads=plan.threads,
            width=size.width,
            height=size.height,
            calibrate=plan.parity,
        )
        # Threads that wait actively make eager torch faster while it is alone, and the reference shall be at its best;
        # the backends choose for themselves what is good for a robot.
        environment = {"OMP_WAIT_POLICY": None} if contender.backend == REFERENCE else {}
        answers = str(folder / f"answers of {contender}.npz")
        contest.enter(str(contender), environment, candidate=asdict(candidate), answers=answers, **arguments)


def _probe(contest: Contest) -> None:
    """Have the reference measure what is to be known once, of the machine and its label kernel."""
    bench, reference = contest.bench, contest.entrants[0]
    machine, size = bench.results.data["machine"], bench.plan.sizes[-1]
    if "peak_gflops" not in machine:
        bench.progress.say("measuring the peaks of the machine")
        machine.update(contest.ask(reference, "peaks") or {})
    if bench.plan.parity and not bench.results.data["checks"]:
        answer = contest.ask(reference, "label_kernel", width=size.width, height=size.height)
        if answer is not None:
            bench.results.add("checks", [{"check": f"fused label kernel against plain torch, {size}", **answer}])


# rows -----------------------------------------------------------------------------------------------------------------


def _network_row(reference: Entrant, entrant: Entrant) -> Row:
    turns, answers = entrant.turns("network"), _answers(reference, entrant, "network")
    gflop, times = reference.facts.get("gflop"), _times(turns)
    return {
        **_network_heading(reference, entrant),
        **times,
        **_ratios("speedup_vs_reference", reference.turns("network"), turns, quartiles="speedup"),
        "gflop_per_image": gflop and round(gflop, 3),
        "gflop_per_s": round(gflop / times["median_ms"] * 1e3, 1) if gflop and times["median_ms"] else None,
        "agreement_with_reference": answers and _share(answers[0].argmax(0) == answers[1].argmax(0)),
        "largest_logit_error": answers and float(f"{np.abs(answers[0] - answers[1]).max():.3g}"),
        "rss_mb": entrant.rss_mb and round(entrant.rss_mb, 1),
        "error": entrant.why_not,
    }


def _frame_row(reference: Entrant, entrant: Entrant, camera: Size) -> Row:
    turns, network = entrant.turns(str(camera)), entrant.turns("network")
    answers = _answers(reference, entrant, str(camera))
    return {
        **_network_heading(reference, entrant),
        **_camera(camera),
        **_times(turns),
        "network_ms": _median(network),
        "turned_ms": _median(entrant.turns(f"{camera} turned")),
        **_ratios("over_network", turns, network),
        **_ratios("speedup_vs_reference", reference.turns(str(camera)), turns, quartiles="speedup"),
        "agreement_with_reference": answers and _share(answers[0] == answers[1]),
        "error": entrant.why_not,
    }


def _temporal_row(reference: Entrant, entrant: Entrant, camera: Size) -> Row:
    single, temporal = entrant.turns("single"), entrant.turns("temporal")
    answers = _answers(reference, entrant, "labels")
    return {
        **_heading(entrant),
        **_camera(camera),
        "temporal_frames": TEMPORAL_FRAMES,
        "single_ms": _median(single),
        "temporal_ms": _median(temporal),
        **_ratios("over_single", temporal, single, digits=4),
        "runs": len(single.times) if single else 0,
        "agreement_with_reference": answers and _share(answers[0] == answers[1]),
        "least_agreement": answers and min(_share(of_frame) for of_frame in answers[0] == answers[1]),
        "error": entrant.why_not,
    }


def _batch_row(entrant: Entrant, camera: Size, count: int) -> Row:
    """Frames per second of both ways, from medians, and the gain with the quartiles of the turns' gains."""
    single, batched = entrant.turns(f"{count} one by one"), entrant.turns(f"{count} batched")
    return {
        **_heading(entrant),
        **_camera(camera),
        "waiting": count,
        "one_by_one_ms": _median(single),
        "one_by_one_fps": _rate(count, single),
        "batched_ms": _median(batched),
        "batched_fps": _rate(count, batched),
        **_ratios("gain", single, batched),
        "runs": len(single.times) if single else 0,
        "error": entrant.why_not,
    }


def _ground_row(entrant: Entrant, work: str) -> Row:
    turns, usual = entrant.turns(work), entrant.turns(f"usual {work}")
    times = _times(turns, digits=4)
    return {
        "result": work,
        "mask_width": MASK_SIZE.width,
        "mask_height": MASK_SIZE.height,
        **{name: times[name] for name in ("median_ms", "p25_ms", "p75_ms", "runs")},
        "usual_ms": _median(usual, digits=4),
        **_ratios("speedup", usual, turns, digits=2),
        "error": None,
    }


def _network_heading(reference: Entrant, entrant: Entrant) -> Row:
    heading = _heading(entrant)
    return {"model": reference.facts.get("model", Path(heading["weights"]).stem), **heading}


def _heading(entrant: Entrant) -> Row:
    candidate = Candidate(**entrant.arguments["candidate"])
    return {
        "weights": Path(candidate.weights).name,
        "backend": candidate.backend,
        "device": entrant.facts.get("device", candidate.device),
        "precision": candidate.precision,
        "height": candidate.height,
        "width": candidate.width,
    }


def _camera(camera: Size) -> Row:
    return {"camera_width": camera.width, "camera_height": camera.height, "encoding": "bgr8"}


def _times(turns: Turns | None, digits: int = 3) -> Row:
    if turns is None:
        return {"median_ms": None, "p25_ms": None, "p75_ms": None, "min_ms": None, "runs": 0, "rounds": 0}
    spread = Spread.of(turns.times)
    return {
        "median_ms": round(spread.median, digits),
        "p25_ms": round(spread.p25, digits),
        "p75_ms": round(spread.p75, digits),
        "min_ms": round(min(turns.times), digits),
        "runs": spread.count,
        "rounds": len(turns),
    }


def _median(turns: Turns | None, digits: int = 3) -> float | None:
    median_ms: float | None = _times(turns, digits)["median_ms"]
    return median_ms


def _rate(count: int, turns: Turns | None) -> float | None:
    return None if turns is None else round(count / Spread.of(turns.times).median * 1e3, 2)


def _ratios(name: str, above: Turns | None, below: Turns | None, quartiles: str = "", digits: int = 3) -> Row:
    """The ratio of medians, and under the name with _p25 and _p75 the quartiles of the turns' ratios."""
    spread = ratio(above, below) if above and below else None
    values = (spread.median, spread.p25, spread.p75) if spread else (None, None, None)
    names = (name, f"{quartiles or name}_p25", f"{quartiles or name}_p75")
    return {key: value if value is None else round(value, digits) for key, value in zip(names, values, strict=True)}


def _answers(reference: Entrant, entrant: Entrant, name: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What the reference says in exact fp32, and what the entrant says; None where one of them says nothing of use."""
    if not reference.facts or not entrant.facts:
        return None
    with np.load(reference.arguments["answers"]) as expected, np.load(entrant.arguments["answers"]) as found:
        answers = expected[EXACT + name], found[name]
    if not all(np.isfinite(answer).all() for answer in answers):  # where both are not, they would agree
        entrant.error = "its answer, or that of the reference, is not finite"
        return None
    return answers


def _share(is_so: NDArray[np.bool_]) -> float:
    return round(float(is_so.mean()), 5)
