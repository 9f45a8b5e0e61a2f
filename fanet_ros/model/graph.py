"""From a uint8 frame to logits as one module, which every backend runs, and its ONNX export."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fanet_ros.errors import SettingError
from fanet_ros.files import looked_for, replacing
from fanet_ros.model.network import FANet, FastAttention
from fanet_ros.settings import Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB scaled to 0..1, as the encoder was trained
IMAGENET_STD = (0.229, 0.224, 0.225)

INPUT_NAME = "frame"  # the exported graph's input, and its only one for single frames
OUTPUT_NAME = "logits"  # and its output
STATE_INPUT_NAME = "state"  # what a graph for video remembers of the frames before ...
STATE_OUTPUT_NAME = "next_state"  # ... and with the frame itself
OPSET = 17  # pinned, so that a newer torch does not change what inference engines must be able to read

# Divides K^T V of the stages, deepest last; see scale_attention.
_ATTENTION_SCALES = {"fam_4": 2**7, "fam_8": 2**6, "fam_16": 2**5, "fam_32": 2**4}

_EXAMPLE_SIZE = Size(96, 64)  # with which a graph of dynamic size is traced; any would do

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class FrameToLogits(nn.Module):
    """Normalisation and FANet in one graph, so that no backend has preprocessing of its own to get wrong.

    `half()`, `to(torch.bfloat16)` and the like convert the network; frames are normalised, and logits returned, in
    float32 all the same.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: FANet) -> None:
        super().__init__()
        self.network = network
        self._set_normalisation(network.clslayer.conv_out.weight.device)

    def forward(self, frame: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Turn frames into logits, and on video look back at the frames before.

        Args:
            frame: uint8 (N, H, W, 3), RGB.
            state: of the videos, float32 (N, T - 1, network.state_size), see `FANet.forward_video`; None for single
                frames.

        Returns:
            Logits, float32 (N, classes, ceil(H/8), ceil(W/8)); with a state also the next one.
        """
        # a cast before all else: TensorRT can do nothing else with uint8
        image = self.normalise(frame.float().permute(0, 3, 1, 2))  # (N, 3, H, W)
        dtype = self.network.clslayer.conv_out.weight.dtype
        if dtype != torch.float32:  # exporters write down even casts that change nothing
            image = image.to(dtype)
        if state is None:
            logits = self.network(image)  # (N, classes, H/8, W/8)
            return logits if dtype == torch.float32 else logits.float()
        logits, state = self.network.forward_video(image, state)
        return (logits if dtype == torch.float32 else logits.float()), state

    def normalise(self, image: Tensor) -> Tensor:
        """Normalise RGB of 0..255 as the encoder expects it, float32 (N, 3, H, W)."""
        return image * self.scale - self.offset

    def _set_normalisation(self, device: torch.device) -> None:
        # (x / 255 - mean) / std as one product and one difference; not persistent, as no weights file holds them
        mean = torch.tensor(IMAGENET_MEAN, device=device).reshape(1, 3, 1, 1)
        std = torch.tensor(IMAGENET_STD, device=device).reshape(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", mean / std, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrameToLogits:
        super()._apply(fn, recurse)
        self._set_normalisation(self.scale.device)  # follows to another device, but stays in float32
        return self


def fold_batch_norm(model: ModuleT) -> ModuleT:
    """Fold every batch norm into the convolution before it: the same function in eval mode with less to compute.

    Args:
        model: A module in which each BatchNorm2d is registered right after the Conv2d that feeds it, as in FANet.
            Fold before any conversion to half precision: the folded weights are computed in the model's own type.

    Returns:
        A copy in eval mode; `model` is left as it was. It can no longer be trained, nor load unfolded weights.
    """
    folded = copy.deepcopy(model).eval()
    for parent in folded.modules():
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return folded


def scale_attention(model: ModuleT) -> ModuleT:
    """Divide K^T V of every stage by a power of two and multiply what follows it by the same: the same function.

    K^T V is a sum over all n pixels of a stage's map: it grows with the image and would overflow in half precision,
    which ends at 65504. The paper divides it by n; published weights were trained without that (see FastAttention).
    Here the values V are divided, through the weights that make them (LeakyReLU(x / s) = LeakyReLU(x) / s), and the
    weights of `latlayer3` are multiplied. Powers of two make both exact, and the weights make both free.

    The divisors are about sqrt(n) at 1024x2048, not n: V / n would be so small that half precision, whose normal
    numbers begin at 6e-5, would round small values coarsely. With sqrt(n) the values and their sum have equal room:
    at 1024x2048, V may be anywhere from 2^-7 to 2^8 before precision is lost at one end or infinity met at the other,
    even if all pixels had the same key.

    Args:
        model: A FANet, or a module that contains one, whose batch norm is folded; in float32.

    Returns:
        A copy; `model` is left as it was.
    """
    scaled = copy.deepcopy(model)
    for name, module in scaled.named_modules():
        if isinstance(module, FastAttention):
            scale = _ATTENTION_SCALES[name.rpartition(".")[2]]
            values, projection = module.w_vs.conv, module.latlayer3.conv
            assert values.bias is not None, "fold_batch_norm comes first"
            with torch.no_grad():
                values.weight /= scale
                values.bias /= scale
                projection.weight *= scale
    return scaled


def prepare_for_inference(model: ModuleT) -> ModuleT:
    """Make what backends run of a float32 FANet, or of a module that contains one: the same function in eval mode.

    Batch norm is folded, and attention is safe in half precision.

    Returns:
        A copy; `model` is left as it was.
    """
    return scale_attention(fold_batch_norm(model))


def export_onnx(graph: FrameToLogits, path: str | Path, size: Size | None, *, temporal_frames: int = 1) -> None:
    """Write the graph to an ONNX file.

    The file has the input `frame`, uint8 (1, height, width, 3) RGB, and the output `logits`, float32 (1, classes,
    ceil(height/8), ceil(width/8)), whatever precision the network computes in between (that of `graph.network`). For
    video it also has the input `state` and the output `next_state`, float32 (1, temporal_frames - 1,
    graph.network.state_size). It appears complete or not at all.

    Args:
        graph: The graph; it is exported as in eval mode whatever mode it is in.
        path: The file to write or replace, in a folder that exists.
        size: Of the frames, at least 1x1 pixels; None leaves height and width open.
        temporal_frames: T, how many frames attention sees, the present one included; 1 for single frames.

    Raises:
        SettingError: A size or number below 1, or a path that cannot be written.
    """
    width, height = size or _EXAMPLE_SIZE
    if min(height, width, temporal_frames) < 1:
        raise SettingError(
            f"height, width and temporal frames must be at least 1, got {height} x {width} and {temporal_frames}"
        )
    path = Path(path)
    device = graph.scale.device
    inputs = {INPUT_NAME: torch.zeros(1, height, width, 3, dtype=torch.uint8, device=device)}
    if temporal_frames > 1:
        inputs[STATE_INPUT_NAME] = torch.zeros(1, temporal_frames - 1, graph.network.state_size, device=device)
    try:
        with replacing(path) as unfinished:
            _export(graph, inputs, unfinished, dynamic=size is None)
    except OSError as error:
        raise SettingError(f"cannot write the ONNX file {path}: {error.strerror}{looked_for(path)}") from error


def _export(graph: FrameToLogits, inputs: dict[str, Tensor], path: Path, *, dynamic: bool) -> None:
    axes = {INPUT_NAME: {1: "height", 2: "width"}, OUTPUT_NAME: {2: "logits_height", 3: "logits_width"}}
    # older than torch 2.5 (some Jetsons) there is one exporter and no such argument
    knows_both = "dynamo" in inspect.signature(torch.onnx.export).parameters
    exporter: dict[str, Any] = {"dynamo": False} if knows_both else {}
    with warnings.catch_warnings():
        # torch's newer exporter (dynamo=True) needs onnxscript; this one needs nothing, but says that it is old, both
        # by itself and through a function it calls. Nothing else is silenced.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            path,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[OUTPUT_NAME, *([STATE_OUTPUT_NAME] if STATE_INPUT_NAME in inputs else [])],
            dynamic_axes=axes if dynamic else None,
            **exporter,
        )
