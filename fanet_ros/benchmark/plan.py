"""What a run of the benchmark measures, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from fanet_ros.errors import SettingError
from fanet_ros.model.foreign import ForeignNetwork
from fanet_ros.settings import BACKENDS, PRECISIONS, Size, check_device, read_size

_MAX_REPEATS = 100
LEVELS = ("network", "frame", "temporal", "node", "batch", "ground", "soak")
_USUAL_LEVELS = LEVELS[:-1]  # a soak is long
_PARITY_LEVELS = LEVELS[:3]
REFERENCE = "reference"
"""The name of official-style eager PyTorch among backends."""

COMPILED = "torch.compile"
"""The name of backend torch with kernels that torch.compile generates, which is no backend of the node."""

ONLY_FANET = ("torch", COMPILED)
"""What does not run other networks."""

PEAK = 0.0
"""The camera rate that means: the next image as soon as the mask of the last one came."""

_PRECISIONS_OF = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "tensorrt": ("fp32", "fp16", "int8"),
    COMPILED: ("fp16",),
}
_USUAL_BACKENDS = ("torch", "openvino", "tensorrt")
_GPU_BACKENDS = ("torch", "tensorrt", COMPILED)


@dataclass(frozen=True)
class Contender:
    """One way to run the network: a backend (or `reference`) in one precision on one device."""

    backend: str
    precision: str
    device: str = "auto"

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class NodeCase:
    """One camera in front of the node.

    Attributes:
        camera: size of its images.
        input_size: at which the network sees them.
        loads: camera rate in Hz (or PEAK) and number of images, measured one after the other.
        compressed: likewise, with compressed mask and overlay subscribed to as well.
    """

    camera: Size
    input_size: Size
    loads: tuple[tuple[float, int], ...]
    compressed: tuple[tuple[float, int], ...] = ()


_QUICK_NODE_CASES = (NodeCase(Size(640, 360), Size(640, 360), ((30.0, 120), (PEAK, 120)), ((30.0, 120),)),)


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
        cameras: sizes of the frames at the frame level, the first also at the temporal and batch levels; empty for
            frames of the network's input size.
        node_cases: cameras at the node level.
        node_contender: what runs at the node level where no network was measured; `auto` if nothing was asked for.
        starts: how often the start of the node is timed.
        random: backbones that run with random weights, too, to compare precisions where none was tuned to the weights.
        minutes: after which nothing new is started.
        soak_frames: how many frames go through both nodes at the soak level.
        parity: whether this is the comparison of docs/gpu.md.
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
    random: tuple[str, ...] = ()
    minutes: float = inf
    soak_frames: int = 100_000
    parity: bool = False
    start_timeout_s: float = 900.0
    run_timeout_s: float = 120.0

    def cases_of(self, network: ForeignNetwork | None) -> tuple[NodeCase, ...]:
        """Return the node cases, at the size of a network that takes one only."""
        if network is None or network.size is None:
            return self.node_cases
        return tuple(replace(case, input_size=network.size) for case in self.node_cases)

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
    parity: bool = False,
    minutes: float = 0.0,
    soak_frames: int = 0,
) -> Plan:
    """Read what the user asked for; whatever is left empty is measured in full, or as far as is usual.

    The options are those of `fanet benchmark`.

    Raises:
        SettingError: an unknown value, or a combination that leaves nothing to measure.
    """
    _check("level", levels, LEVELS)
    _check("backend", backends, tuple(_PRECISIONS_OF))
    _check("precision", precisions, PRECISIONS[1:])
    try:
        check_device(device)
    except SettingError as error:
        raise SettingError(f"device: {error}") from None
    if parity and levels:
        raise SettingError(f"level: received {', '.join(levels)}, but parity measures {', '.join(_PARITY_LEVELS)}")
    if parity and device == "auto":
        device = "cuda"
    chosen = backends or (_GPU_BACKENDS if parity else _USUAL_BACKENDS)
    contenders = [
        Contender(backend, precision, "auto" if backend == "openvino" and device != "auto" else device)
        for backend, known in _PRECISIONS_OF.items()
        for precision in known
        if backend in chosen and (not precisions or precision in precisions)
    ]
    if not contenders:
        raise SettingError(
            f"backend {', '.join(backends)} has no precision {', '.join(precisions)}; it knows "
            + ", ".join(_PRECISIONS_OF[backends[0]])
        )
    default_sizes = ("1024x512", "2048x1024" if parity else "640x360")[: 1 if quick else 2]
    try:
        input_sizes = tuple(read_size(text) for text in sizes or default_sizes)
    except SettingError as error:
        raise SettingError(f"size: {error}") from None
    levels = levels or (_PARITY_LEVELS if parity else _USUAL_LEVELS)
    return Plan(
        weights=tuple(weights),
        contenders=tuple(contenders),
        sizes=input_sizes,
        levels=tuple(level for level in LEVELS if level in levels),
        device=device,
        threads=threads,
        rounds=rounds or (3 if quick else 10),
        turn_s=0.1 if quick else 0.4,
        cameras=() if parity else (Size(1280, 720), Size(1920, 1080))[: 1 if quick else 2],
        node_cases=_QUICK_NODE_CASES if quick else _node_cases(input_sizes[0]),
        node_contender=Contender(
            next((name for name in backends if name in BACKENDS), "auto"),
            precisions[0] if precisions else "auto",
            device,
        ),
        starts=1 if quick else 3,
        random=("resnet18", "resnet34")[: 1 if quick else 2] if parity else (),
        minutes=minutes or (7.0 if parity else inf),
        soak_frames=soak_frames or (2_000 if quick else 100_000),
        parity=parity,
    )


def _node_cases(input_size: Size) -> tuple[NodeCase, ...]:
    loads = ((10.0, 300), (30.0, 900), (60.0, 900), (PEAK, 300))
    large, compressed = ((10.0, 200), (30.0, 300)), ((10.0, 200),)
    return (
        NodeCase(Size(640, 360), Size(640, 360), loads, ((30.0, 900),)),
        NodeCase(Size(1280, 720), input_size, large, compressed),
        NodeCase(Size(1920, 1080), input_size, large),
    )


def _check(what: str, received: Sequence[str], known: Sequence[str]) -> None:
    for value in received:
        if value not in known:
            raise SettingError(f"{what}: received {value!r}, expected one of {', '.join(known)}")
