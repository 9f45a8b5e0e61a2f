"""FANet once more, written apart from model/network.py: plain functions of a state dict that follow the equations.

Slow on purpose: attention is (Q K^T) V with its n x n matrix, as in the definition, and resizing is written as matrix
products. What both implementations agree on is unlikely to be a slip of either.
"""

from collections.abc import Sequence
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def reference_logits(state: State, image: Tensor, earlier: Sequence[Tensor] = ()) -> dict[str, Tensor]:
    """Logits of every head the state dict has, "main", "stage_32" and "stage_16", of a normalised NCHW image.

    With earlier frames of the same video, every pixel looks at all pixels of all frames at once.
    """
    features = _encoder(state, image)  # of the stages called 4, 8, 16, 32
    past = [_encoder(state, frame) for frame in earlier]
    seen = [[own, *others] for own, *others in zip(features, *past, strict=True)]
    fused = {32: _attention(state, "fam_32.", features[3], seen[3])}
    for stage, deeper, place in ((16, 32, 2), (8, 16, 1), (4, 8, 0)):
        from_below = _conv_bn_leaky(state, f"fam_{deeper}.up.", fused[deeper], padding=1)
        attended = _attention(state, f"fam_{stage}.", features[place], seen[place])
        fused[stage] = attended + _resize(from_below, *attended.shape[2:])
    smooth = {stage: _conv_bn_leaky(state, f"fam_{stage}.smooth.", fused[stage], padding=1) for stage in fused}

    joined = torch.cat([_resize(smooth[16], *smooth[4].shape[2:]), smooth[4]], dim=1)
    logits = {"main": _head(state, "clslayer.", joined)}
    for stage in (32, 16):
        if f"clslayer_{stage}.conv_out.weight" in state:
            logits[f"stage_{stage}"] = _head(state, f"clslayer_{stage}.", smooth[stage])
    return logits


def _encoder(state: State, image: Tensor) -> list[Tensor]:
    x = F.conv2d(image, state["resnet.conv1.weight"], stride=2, padding=3)
    x = _leaky(_batch_norm(state, "resnet.bn1.", x))
    x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    features = []
    for stage in (1, 2, 3, 4):
        for block in count():
            prefix = f"resnet.layer{stage}.{block}."
            if f"{prefix}conv1.weight" not in state:
                break
            x = _residual(state, prefix, x, stride=2 if block == 0 else 1)
        features.append(x)
    return features


def _residual(state: State, prefix: str, x: Tensor, stride: int) -> Tensor:
    """Two 3x3 convolutions, or the 1x1, 3x3, 1x1 of a bottleneck; whichever 3x3 comes first has the stride."""
    last = 3 if f"{prefix}conv3.weight" in state else 2
    y = x
    strided = False
    for i in range(1, last + 1):
        kernel = state[f"{prefix}conv{i}.weight"]
        is_first_3x3 = kernel.shape[-1] == 3 and not strided
        strided = strided or is_first_3x3
        y = F.conv2d(y, kernel, stride=stride if is_first_3x3 else 1, padding=kernel.shape[-1] // 2)
        y = _batch_norm(state, f"{prefix}bn{i}.", y)
        if i < last:
            y = _leaky(y)
    if f"{prefix}downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{prefix}downsample.0.weight"], stride=stride)
        x = _batch_norm(state, f"{prefix}downsample.1.", x)
    return (x + y).clamp(min=0)


def _attention(state: State, prefix: str, feature: Tensor, seen: Sequence[Tensor]) -> Tensor:
    def project(name: str, x: Tensor) -> Tensor:
        x = torch.einsum("nchw,oc->nohw", x, state[f"{prefix}{name}.conv.weight"][:, :, 0, 0])
        return _batch_norm(state, f"{prefix}{name}.bn.", x)

    frames = torch.stack(list(seen), 1).flatten(0, 1)  # one after the other: (N T, C, h, w)
    many = (len(feature), len(seen))
    query = _unit_length(project("w_qs", feature))
    key = _unit_length(project("w_ks", frames)).unflatten(0, many)
    value = _leaky(project("w_vs", frames)).unflatten(0, many)
    affinity = torch.einsum("nahw,ntaij->nhwtij", query, key)  # every pixel with every pixel of every frame
    y = torch.einsum("nhwtij,ntcij->nchw", affinity, value) / len(seen)
    return feature + _conv_bn_leaky(state, f"{prefix}latlayer3.", y, padding=0)


def _unit_length(x: Tensor) -> Tensor:
    return x / (x * x).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


def _conv_bn_leaky(state: State, prefix: str, x: Tensor, padding: int) -> Tensor:
    x = F.conv2d(x, state[f"{prefix}conv.weight"], padding=padding)
    return _leaky(_batch_norm(state, f"{prefix}bn.", x))


def _head(state: State, prefix: str, x: Tensor) -> Tensor:
    x = _conv_bn_leaky(state, f"{prefix}conv.", x, padding=1)
    return torch.einsum("nchw,oc->nohw", x, state[f"{prefix}conv_out.weight"][:, :, 0, 0])


def _batch_norm(state: State, prefix: str, x: Tensor) -> Tensor:
    weight, bias, mean, variance = (
        state[prefix + name][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.01 * x)


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    rows = _interpolation(x.shape[2], height).to(x)
    columns = _interpolation(x.shape[3], width).to(x)
    return torch.einsum("ih,nchw,jw->ncij", rows, x, columns)


def _interpolation(size_in: int, size_out: int) -> Tensor:
    """The (size_out, size_in) matrix of linear interpolation whose first and last samples stay in place."""
    step = (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0
    position = torch.arange(size_out, dtype=torch.float64) * step
    distance = (position[:, None] - torch.arange(size_in, dtype=torch.float64)[None, :]).abs()
    return (1 - distance).clamp(min=0)
