"""From a uint8 frame to logits as one module, which every backend runs, and its ONNX export."""

from __future__ import annotations

import copy
import os
import tempfile
import warnings
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fanet_ros.errors import SettingError
from fanet_ros.network import FANet

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB scaled to 0..1, as the encoder was trained
IMAGENET_STD = (0.229, 0.224, 0.225)

INPUT_NAME = "frame"  # the exported graph's only input
OUTPUT_NAME = "logits"  # and its only output
OPSET = 17  # pinned, so that a newer torch does not change what inference engines must be able to read

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class FrameToLogits(nn.Module):
    """Normalisation and FANet in one graph, so that no backend has preprocessing of its own to get wrong."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: FANet) -> None:
        super().__init__()
        self.network = network
        # (x / 255 - mean) / std as one product and one difference; not persistent, as no weights file holds them
        mean = torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
        std = torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", mean / std, persistent=False)

    def forward(self, frame: Tensor) -> Tensor:
        """Turn frames into logits.

        Args:
            frame: uint8 (N, H, W, 3), RGB.

        Returns:
            Logits (N, classes, ceil(H/8), ceil(W/8)), in the floating-point type of the module.
        """
        image = frame.permute(0, 3, 1, 2).to(self.scale.dtype)  # (N, 3, H, W)
        return self.network(image * self.scale - self.offset)  # (N, classes, H/8, W/8)


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


def export_onnx(graph: FrameToLogits, path: str | Path, height: int, width: int, batch: int = 1) -> None:
    """Write the graph to an ONNX file for one input size.

    The file has the input `frame`, uint8 (batch, height, width, 3) RGB, and the output `logits`, float32
    (batch, classes, ceil(height/8), ceil(width/8)). It appears complete or not at all: a reader never meets half of it.

    Args:
        graph: The float32 graph; it is exported as in eval mode whatever mode it is in.
        path: The file to write or replace, in a folder that exists.
        height: Of the frames, in pixels, at least 1.
        width: Of the frames, in pixels, at least 1.
        batch: Frames at a time, at least 1.

    Raises:
        SettingError: A size below 1, or a path that cannot be written.
    """
    if min(batch, height, width) < 1:
        raise SettingError(f"batch, height and width must be at least 1, got {batch} x {height} x {width}")
    path = Path(path)
    frame = torch.zeros(batch, height, width, 3, dtype=torch.uint8, device=graph.scale.device)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            unfinished = Path(folder) / path.name
            _export(graph, frame, unfinished)
            os.replace(unfinished, path)
    except OSError as error:
        raise SettingError(f"cannot write the ONNX file {path}: {error.strerror}") from error


def _export(graph: FrameToLogits, frame: Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        # torch's newer exporter (dynamo=True) needs onnxscript; this one needs nothing, but says that it is old, both
        # by itself and through a function it calls. Nothing else is silenced.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            graph,
            (frame,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
        )
