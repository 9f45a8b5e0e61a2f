"""Read FANet weights and check that they fit, whichever public layout and wrapping they come in.

Files: safetensors, and torch checkpoints (zip or legacy), which are read without running the code a pickle may hold.
Key layouts, both of the authors' repository: `fam_*` with `clslayer` (its Testing tree), and `ffm_*` with `clslayer_8`
as main head and `clslayer_32`, `clslayer_16` as auxiliary heads (its Train tree). Any of them may carry the `module.`
prefix of DataParallel, or lie inside {"model_state": ...}, {"state_dict": ...} or {"model": ...}.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fanet_ros.errors import SettingError, WeightsError
from fanet_ros.files import plain_name, replacing
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.model.network import BACKBONES, FANet, FANetConfig
from fanet_ros.model.weights_file import read_head

_WRAPPERS = ("model_state", "state_dict", "model")
_PARALLEL_PREFIX = "module."
# What a file may lack, each as a whole: training alone needs the first three, and nothing the last two.
_OPTIONAL_BRANCHES = ("clslayer_32.", "clslayer_16.", "fam_32.smooth.", "fam_8.smooth.", "fam_4.up.")
_AUXILIARY_HEADS = _OPTIONAL_BRANCHES[:2]
# What a file may hold beside FANet: counters of batch norm, which nothing reads, and the encoder's ImageNet classifier.
_IGNORED = re.compile(r"(.*\.)?num_batches_tracked|resnet\.fc\.(weight|bias)")
_TRAINED = ("best.safetensors", "final.safetensors")  # the weights that a training puts beside its state
_LISTED = 8  # keys of one kind that an error message names


@dataclass(frozen=True)
class LoadedWeights:
    """Weights that fit a FANet.

    Attributes:
        config: The network they fit, inferred from the tensors; without auxiliary heads.
        state_dict: float32 tensors on the CPU under the names of `FANet.state_dict`. Counters of batch norm are left
            out, and so are branches that inference does not run and the file does not hold.
        source: The file they came from.
    """

    config: FANetConfig
    state_dict: dict[str, Tensor]
    source: Path


def load_network(path: str | Path) -> FANet:
    """Build the FANet a weights file holds.

    Args:
        path: As for `load_weights`.

    Returns:
        The network, float32, on the CPU, in eval mode.

    Raises:
        WeightsError: As for `load_weights`.
    """
    weights = load_weights(path)
    network = FANet(weights.config)
    # Not strict only for what LoadedWeights may leave out: load_weights has checked everything else.
    network.load_state_dict(weights.state_dict, strict=False)
    return network.eval()


def load_weights(path: str | Path, *, auxiliary: bool = False) -> LoadedWeights:
    """Read a weights file, infer the network and check every tensor.

    Args:
        path: A .safetensors file or a torch checkpoint (.pth, .pt, .pkl); the content decides, not the suffix.
            Floating-point tensors of any width are accepted.
        auxiliary: Whether to return the auxiliary heads, too, where the file holds them; inference needs none.

    Returns:
        The weights under the names of `FANet`, with the configuration they fit.

    Raises:
        WeightsError: The file is missing, unreadable, or of another kind; or tensors are missing, left over, of the
            wrong shape or type, or not finite.
    """
    path = Path(path)
    tensors = _rename(path, _read(path))
    config = _infer_config(path, tensors)
    expected = _expected_shapes(config.backbone, config.classes)
    _check_fit(path, config, expected, tensors)
    state_dict = {
        name: tensor.to(torch.float32).contiguous()
        for name, tensor in tensors.items()
        if name in expected and (auxiliary or not name.startswith(_AUXILIARY_HEADS))
    }
    broken = [name for name, tensor in state_dict.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{path}: {_listing(broken)} hold NaN or infinity: the training diverged or the file is damaged; "
            "use another checkpoint"
        )
    return LoadedWeights(config, state_dict, path)


def read_tensors(path: str | Path) -> Mapping[str, Tensor]:
    """Read the named tensors of a file without asking what they fit; for encoders, which are no FANet.

    Raises:
        WeightsError: The file is missing, unreadable, or of another kind.
    """
    return _read(Path(path))


def save_weights(path: Path, state_dict: Mapping[str, Tensor]) -> None:
    """Write weights for inference as safetensors; the file appears complete or not at all.

    Matrices are stored in float16, which halves the file; biases and batch norm stay in float32.

    Args:
        path: To write or replace.
        state_dict: Under the names of `FANet.state_dict`; auxiliary heads and counters are left out.

    Raises:
        WeightsError: A value is not finite, or a matrix is too large for float16.
        OSError: The file cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if tensor.ndim > 1 else torch.float32).contiguous()
        for name, tensor in state_dict.items()
        if not _IGNORED.fullmatch(name) and not name.startswith(_AUXILIARY_HEADS)
    }
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{path} is not written: {_listing(broken)} hold NaN, infinity or more than float16 can hold"
        )
    with replacing(path, durable=True) as unfinished:
        save_file(tensors, unfinished)


# --- reading files ---------------------------------------------------------------------------------------------------


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file of either format, unwrapped."""
    if is_foreign(path):
        raise WeightsError(
            f"{path}: a network of its own, but this needs the weights of a FANet (.safetensors, .pth): other networks "
            "are run, measured and calibrated, but not trained or changed (docs/networks.md)"
        )
    head = read_head(path)
    if head[8:9] == b"{":  # after the eight bytes of the header's length
        return _read_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):  # zip, or the pickle that older versions of torch wrote
        return _read_torch(path)
    raise WeightsError(
        f"{path}: neither a safetensors file nor a torch checkpoint (it starts with {head[:16]!r}): "
        "give a .safetensors, .pth, .pt or .pkl file of FANet weights, or any network as .onnx or OpenVINO's .xml"
    )


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        with plain_name(path) as name:
            return load_file(name, device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: a damaged or truncated safetensors file ({error}); get it again") from error


def _read_torch(path: Path) -> Mapping[str, Tensor]:
    try:
        # a file object, as torch.load judges a path by its suffix
        with path.open("rb") as file, _numpy_scalars_allowed():
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes lead the parser into
        raise WeightsError(f"{path}: {_why_unreadable(str(error))}") from error
    return _unwrap(path, content)


@contextmanager
def _numpy_scalars_allowed() -> Iterator[None]:
    """Let torch.load read the best IoU, a numpy scalar, that the authors' training saves beside the weights.

    Rebuilding one runs no foreign code, whereas torch refuses it by default. It may do so under the names of numpy 1
    and of numpy 2. Before torch 2.5 a permission holds until it is taken back, before 2.4 there is none to be had.
    """
    names = ("numpy.core.multiarray", "numpy._core.multiarray")
    harmless = [np.dtype, type(np.dtype(np.float64)), codecs.encode, *map(_rebuild_scalar_as, names)]
    serialization: Any = torch.serialization
    if hasattr(serialization, "safe_globals"):
        with serialization.safe_globals(harmless):
            yield
    elif hasattr(serialization, "add_safe_globals"):
        before = serialization.get_safe_globals()
        serialization.add_safe_globals(harmless)
        try:
            yield
        finally:
            serialization.clear_safe_globals()
            serialization.add_safe_globals(before)
    else:
        yield


def _rebuild_scalar_as(module: str) -> Callable[..., Any]:
    """Return numpy's function that rebuilds a scalar, under the name that it has in another version of numpy."""
    rebuild: Any = np.float64(0).__reduce__()[0]

    def scalar(*state: Any) -> Any:
        return rebuild(*state)

    scalar.__module__, scalar.__qualname__ = module, scalar.__name__
    return scalar


def _why_unreadable(message: str) -> str:
    """What torch.load's message means for the user."""
    convert = "torch.save(model.state_dict(), 'weights.pth')"
    if "TorchScript" in message:
        return f"a TorchScript archive, not weights; save them with {convert}"
    refused = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", message)  # of torch from 2.4 on; before
    if refused:
        newer = ", or use torch 2.4 or later here" if refused[1].startswith("numpy.") else ""
        return (
            f"a pickle that needs {refused[1]}, which is refused because unpickling it may run code; "
            f"where the model was trained, save only its tensors: {convert}{newer}"
        )
    return "a damaged or truncated torch checkpoint, or not one at all; get the file again"


def _unwrap(path: Path, content: Any) -> Mapping[str, Tensor]:
    """The state dict inside what torch.load returned."""
    if isinstance(content, Mapping):
        wrapped = (content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
        content = next(wrapped, content)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds a {type(content).__name__} where named tensors belong; save a state dict")
    strangers = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        finished = [str(path.parent / name) for name in _TRAINED if (path.parent / name).is_file()]
        if finished or {"format", "iteration"} <= content.keys():
            files = " or ".join(finished or [f"{path.parent / _TRAINED[0]}, once it has validated or ended"])
            raise WeightsError(
                f"{path}: the state of a training, from which only fanet train --resume {path.parent} goes on; the "
                f"weights are {files}"
            )
        raise WeightsError(
            f"{path}: {_listing(strangers)} are no tensors; save a state dict, "
            f"bare or under one of the keys {', '.join(_WRAPPERS)}"
        )
    return content


# --- fitting names and shapes ----------------------------------------------------------------------------------------


def _rename(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under FANet's names, whichever layout they came in."""
    names = [str(name) for name in tensors]
    if all(name.startswith(_PARALLEL_PREFIX) for name in names):
        names = [name.removeprefix(_PARALLEL_PREFIX) for name in names]
    names = [re.sub(r"^clslayer_8\.", "clslayer.", re.sub(r"^ffm_", "fam_", name)) for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WeightsError(f"{path}: {_listing(twice)} occur in both public layouts at once; keep one of them")
    return {name: tensor for name, tensor in zip(names, tensors.values(), strict=True) if not _IGNORED.fullmatch(name)}


@cache
def _expected_shapes(backbone: str, classes: int) -> Mapping[str, torch.Size]:
    """Every tensor a file may hold for this network, auxiliary heads included."""
    with torch.device("meta"):
        network = FANet(FANetConfig(backbone, classes, auxiliary=True))
    return {name: t.shape for name, t in network.state_dict().items() if not _IGNORED.fullmatch(name)}


def _infer_config(path: Path, tensors: Mapping[str, Tensor]) -> FANetConfig:
    """The configuration that fits best; `_check_fit` then says what does not fit it."""
    classifier = tensors.get("clslayer.conv_out.weight")
    classes = 1 if classifier is None or classifier.ndim == 0 else classifier.shape[0]

    def fit(config: FANetConfig) -> int:
        expected = _expected_shapes(config.backbone, config.classes)
        return sum(name in tensors and tensors[name].shape == shape for name, shape in expected.items())

    try:
        # the smallest comes first and wins a tie: all that FANet-18 has fits FANet-34 too
        return max((FANetConfig(backbone, classes) for backbone in BACKBONES), key=fit)
    except SettingError as error:
        raise WeightsError(f"{path}: clslayer.conv_out.weight has {classes} outputs: {error}") from error


def _check_fit(
    path: Path, config: FANetConfig, expected: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]
) -> None:
    """Raise one error for all that is missing, left over, misshapen or of the wrong type."""
    absent = {branch for branch in _OPTIONAL_BRANCHES if not any(name.startswith(branch) for name in tensors)}
    missing = [name for name in expected if name not in tensors and not name.startswith(tuple(absent))]
    left_over = [name for name in tensors if name not in expected]
    shared = [(name, tensors[name]) for name in expected if name in tensors]
    misshapen = [
        f"{name} (expected {tuple(expected[name])}, received {tuple(tensor.shape)})"
        for name, tensor in shared
        if tensor.shape != expected[name]
    ]
    mistyped = [f"{name} ({tensor.dtype})" for name, tensor in shared if not _is_plain(tensor)]
    problems = {
        "missing": missing,
        "left over": left_over,
        "wrong shape": misshapen,
        "not dense floating point": mistyped,
    }
    if not any(problems.values()):
        return
    lines = [f"  {kind}: {_listing(names)}" for kind, names in problems.items() if names]
    cause = _likely_cause(tensors, missing, left_over, misshapen, mistyped)
    head = f"{path}: does not fit {config.name}, the closest of {len(BACKBONES)} networks"
    raise WeightsError("\n".join([head, *lines, f"  likely cause: {cause}"]))


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor holds ordinary floating-point numbers."""
    return tensor.is_floating_point() and tensor.layout is torch.strided and tensor.device.type == "cpu"


def _likely_cause(
    tensors: Iterable[str], missing: list[str], left_over: list[str], misshapen: list[str], mistyped: list[str]
) -> str:
    has_decoder = any(name.startswith(("fam_", "clslayer")) for name in tensors)
    if not has_decoder and any(re.match(r"(resnet\.)?layer1\.0\.", name) for name in tensors):
        return "these are the weights of a ResNet encoder alone, such as ImageNet ones; give those of a trained FANet"
    if not has_decoder:
        return "these are the weights of another architecture; give those of FANet-18, -34 or -50"
    if any(name.startswith("resnet.layer") for name in left_over):
        return "an encoder other than ResNet-18, -34 or -50"
    if missing and not left_over and not misshapen:
        return "an incomplete checkpoint; save all of model.state_dict()"
    if mistyped and not missing and not left_over and not misshapen:
        return "quantised or exported weights; give the floating-point checkpoint they were made from"
    return "a modified FANet, or another version of it; give weights of the published architecture"


def _listing(names: list[str]) -> str:
    """The first few names and how many there are: "a, b, ... (12 keys)"."""
    more = ", ..." if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more} ({len(names)} {'key' if len(names) == 1 else 'keys'})"
