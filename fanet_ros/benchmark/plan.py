"""What a run of the benchmark measures, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanet_ros.errors import SettingError
from fanet_ros.settings import BACKENDS, PRECISIONS, Size, check_device, read_size

_MAX_REPEATS = 100
LEVELS = ("network", "frame", "temporal", "node", "batch", "ground")
REFERENCE = "reference"
"""The name of official-style eager PyTorch among backends."""

PEAK = 0.0
"""The camera rate that means: the next image as soon as the mask of the last one came."""

_PRECISIONS_OF = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "tensorrt": ("fp32", "fp16", "int8"),
}


@dataclass(frozen=True)
class Contender:
    """One way to run the network: a backend (or `reference`) in one precision on one device."""

    backend: str
    precision: str
    device: str = "auto"

    @property
    def is_reference(self) -> bool:
        """Whether this is what the others are compared with."""
        return self.backend == REFERENCE

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class NodeCase:
    """One camera in front of the node.

    Attributes:
        camera: size of its images.
        input_size: at which the network sees them.
        loads: camera rate in Hz (or PEAK) and number of images, measured one after the other.
    """

    camera: Size
    input_size: Size
    loads: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know.

    Attributes:
        weights: checkpoints, one after the other.
        contenders: without the reference, which always takes part.
        sizes: of the network's input.
        levels: of LEVELS.
        device: of the reference and of the contenders that can choose.
        threads: CPU threads of every contender; 0 for as many as the process may use.
        rounds: turns of every contender.
        turn_s: how long one turn takes about; a slow contender makes two runs of everything in any case.
        cameras: sizes of the frames at the frame level, the first also at the temporal and batch levels.
        node_cases: cameras at the node level.
        node_contender: what runs at the node level where no network was measured; `auto` if nothing was asked for.
        starts: how often the start of the node is timed.
        start_timeout_s: for a contender or node to get ready, which may include building its network.
        run_timeout_s: for a single turn.
    """

    weights: tuple[Path, ...]
    contenders: tuple[Contender, ...]
    sizes: tuple[Size, ...]
    levels: tuple[str, ...]
    device: str
    threads: int
    rounds: int
    turn_s: float
    cameras: tuple[Size, ...]
    node_cases: tuple[NodeCase, ...]
    node_contender: Contender
    starts: int
    start_timeout_s: float = 900.0
    run_timeout_s: float = 120.0

    def repeats(self, turn_ms: float, least: int = 2) -> int:
        """Return how often something is repeated in one turn, `least` to 100 times, if once takes `turn_ms`."""
        return min(max(round(self.turn_s * 1e3 / turn_ms), least), _MAX_REPEATS)


def make_plan(
    weights: Sequence[Path],
    *,
    backends: Sequence[str] = (),
    precisions: Sequence[str] = (),
    device: str = "auto",
    sizes: Sequence[str] = (),
    levels: Sequence[str] = (),
    threads: int = 0,
    rounds: int = 0,
    quick: bool = False,
) -> Plan:
    """Read what the user asked for; whatever is left empty is measured in full.

    Args:
        weights: at least one checkpoint.
        backends: to measure, of BACKENDS without `auto`.
        precisions: to measure, of PRECISIONS without `auto`.
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        sizes: of the network's input, WIDTHxHEIGHT.
        levels: of LEVELS.
        threads: 0 for as many as the process may use.
        rounds: 0 for what is usual.
        quick: take about a minute.

    Raises:
        SettingError: an unknown value, or a combination that leaves nothing to measure.
    """
    _check("level", levels, LEVELS)
    _check("backend", backends, BACKENDS[1:])
    _check("precision", precisions, PRECISIONS[1:])
    try:
        check_device(device)
    except SettingError as error:
        raise SettingError(f"device: {error}") from None
    contenders = [
        Contender(backend, precision, "auto" if backend == "openvino" and device != "auto" else device)
        for backend, known in _PRECISIONS_OF.items()
        for precision in known
        if (not backends or backend in backends) and (not precisions or precision in precisions)
    ]
    if not contenders:
        raise SettingError(
            f"backend {', '.join(backends)} has no precision {', '.join(precisions)}; it knows "
            + ", ".join(_PRECISIONS_OF[backends[0]])
        )
    default_sizes = ("1024x512",) if quick else ("1024x512", "640x360")
    try:
        input_sizes = tuple(read_size(text) for text in sizes or default_sizes)
    except SettingError as error:
        raise SettingError(f"size: {error}") from None
    return Plan(
        weights=tuple(weights),
        contenders=tuple(contenders),
        sizes=input_sizes,
        levels=tuple(level for level in LEVELS if not levels or level in levels),
        device=device,
        threads=threads,
        rounds=rounds or (3 if quick else 10),
        turn_s=0.1 if quick else 0.4,
        cameras=(Size(1280, 720),) if quick else (Size(1280, 720), Size(1920, 1080)),
        node_cases=_quick_node_cases() if quick else _node_cases(input_sizes[0]),
        node_contender=Contender(backends[0] if backends else "auto", precisions[0] if precisions else "auto", device),
        starts=1 if quick else 3,
    )


def _quick_node_cases() -> tuple[NodeCase, ...]:
    return (NodeCase(Size(640, 360), Size(640, 360), ((30.0, 120), (PEAK, 120))),)


def _node_cases(input_size: Size) -> tuple[NodeCase, ...]:
    small = NodeCase(Size(640, 360), Size(640, 360), ((10.0, 300), (30.0, 900), (60.0, 900), (PEAK, 300)))
    large = ((10.0, 200), (30.0, 300))
    return (small, NodeCase(Size(1280, 720), input_size, large), NodeCase(Size(1920, 1080), input_size, large))


def _check(what: str, received: Sequence[str], known: Sequence[str]) -> None:
    for value in received:
        if value not in known:
            raise SettingError(f"{what}: received {value!r}, expected one of {', '.join(known)}")
