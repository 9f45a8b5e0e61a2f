"""Everything that a run of `fanet segment` has to know but its inputs, in a form that can be sent to other machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fanet_ros.errors import FanetError, SourceError
from fanet_ros.frames.look import WHOLE, Look, read_region, read_rotation
from fanet_ros.recorded.segment_files import FileSegmentation
from fanet_ros.untrusted.text import printable

if TYPE_CHECKING:
    from fanet_ros.segmenter import Segmenter


@dataclass(frozen=True)
class NetworkChoice:
    """What segments: the arguments of `Segmenter`, which says what they mean; its `looks` as the node's parameters."""

    weights: str = ""
    labels: str = ""
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    input_size: str = "auto"
    threads: int = 0
    kept_sizes: int = 1
    temporal_frames: int = 1
    rotation: str = "0"
    region: str = WHOLE

    @property
    def look(self) -> Look:
        """How the network looks at the images."""
        return Look(read_rotation(self.rotation), read_region(self.region))

    def load(self) -> Segmenter:
        """Load the network; raises as `Segmenter` does."""
        from fanet_ros.segmenter import Segmenter

        arguments = asdict(self)
        del arguments["rotation"], arguments["region"]
        return Segmenter(**arguments, looks=(self.look,))


@dataclass(frozen=True)
class Job:
    """What to segment with, and what to write where."""

    network: NetworkChoice
    settings: FileSegmentation


def as_told(path: Path, error: Exception) -> FanetError:
    """Return what the user is told of an error that ended the work on a path, whatever error it was."""
    if isinstance(error, FanetError):
        return error
    name = printable(str(path))
    if isinstance(error, OSError):
        return SourceError(f"{name}: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
    if isinstance(error, MemoryError):
        return SourceError(f"{name}: there is not enough memory for it")
    return SourceError(
        f"{name}: {type(error).__name__}: {printable(str(error))}; this is a fault of this program: please report it, "
        "with what `fanet --verbose segment ...` prints"
    )
