"""FANet, the fast attention network, as one torch module.

Source: Hu et al., "Real-time Semantic Segmentation with Fast Attention", arXiv 2007.03815 (IEEE RA-L 2021).
Module names follow the published checkpoints (`resnet`, `fam_32` ... `fam_4`, `clslayer`), so that public weights load.
The numbers in them name the strides of an ordinary ResNet; because the first stage has stride 2 as well (the paper's
"additional spatial reduction"), the true strides of the four features are 8, 16, 32 and 64.

On video the fast attention of a frame also looks at earlier ones: Y_t = Q_t (1/T) sum_i K_i^T V_i over
the last T frames. All that is kept of a frame are its four matrices K^T V, the contexts; see `state_size`.

Shape comments: N images, H x W pixels, C channels of the stage at hand, h x w its map, n = h * w its pixels, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanet_ros.errors import SettingError
from fanet_ros.model.temporal import entry_of, mean_with_past, next_state

ATTENTION_CHANNELS = 32  # of queries and keys, in every stage
SMOOTH_CHANNELS = 128  # of each `smooth` branch; the head sees two of them
AUXILIARY_CHANNELS = 64  # inside an auxiliary head
MAX_CLASSES = 255  # labels are uint8 and 255 means unlabelled


@dataclass(frozen=True)
class _Backbone:
    """What tells one ResNet from another."""

    depth: int
    blocks: tuple[int, int, int, int]
    bottleneck: bool
    width: int = 64  # of the first stage; each of the others is twice as wide as the one before


_BACKBONES = {
    "resnet18": _Backbone(18, (2, 2, 2, 2), bottleneck=False),
    "resnet34": _Backbone(34, (3, 4, 6, 3), bottleneck=False),
    "resnet50": _Backbone(50, (3, 4, 6, 3), bottleneck=True),
}
BACKBONES = tuple(_BACKBONES)


@dataclass(frozen=True)
class FANetConfig:
    """What fixes the shape of every tensor of a FANet.

    Attributes:
        backbone: The encoder: "resnet18", "resnet34" or "resnet50".
        classes: Number of classes, 1 to 255.
        auxiliary: Whether the two auxiliary heads exist; only training needs them.

    Raises:
        SettingError: A value outside its range.
    """

    backbone: str
    classes: int
    auxiliary: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in _BACKBONES:
            raise SettingError(f"unknown backbone {self.backbone!r}: choose one of {', '.join(BACKBONES)}")
        is_integer = isinstance(self.classes, int) and not isinstance(self.classes, bool)
        if not is_integer or not 1 <= self.classes <= MAX_CLASSES:
            raise SettingError(f"classes must be an integer from 1 to {MAX_CLASSES}, got {self.classes!r}")
        if not isinstance(self.auxiliary, bool):
            raise SettingError(f"auxiliary must be True or False, got {self.auxiliary!r}")

    @property
    def name(self) -> str:
        """The network's usual name, such as "FANet-18"."""
        return f"FANet-{_BACKBONES[self.backbone].depth}"


class AuxiliaryLogits(NamedTuple):
    """What training compares with the labels: loss = main + 0.5 stage_32 + 0.5 stage_16, each resized to the labels.

    Attributes:
        main: (N, classes, ceil(H/8), ceil(W/8)), what `FANet.forward` returns.
        stage_32: (N, classes, ceil(H/64), ceil(W/64)), from the deepest stage's `smooth` branch.
        stage_16: (N, classes, ceil(H/32), ceil(W/32)), from the next stage's `smooth` branch.
    """

    main: Tensor
    stage_32: Tensor
    stage_16: Tensor


def _leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, negative_slope=0.01, inplace=True)


def _resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, align_corners=True as in every resize of FANet: (N, C, h, w) -> (N, C, h of like, w of like)."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def _normalise(x: Tensor) -> Tensor:
    """L2-normalise (N, C, n) over C, in float32 at least: squares and eps vanish in half precision."""
    if x.dtype.itemsize < torch.float32.itemsize:
        return _normalise(x.float()).to(x.dtype)
    return F.normalize(x, dim=1, eps=1e-12)


class _ConvBN(nn.Module):
    """Convolution without bias, batch norm and, unless `linear`, LeakyReLU(0.01)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else _leaky_relu(x)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """The projection of a residual block's input, or None where the shapes agree already."""
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class _BasicBlock(nn.Module):
    """Residual block of ResNet-18 and -34; LeakyReLU inside, ReLU at the end."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = _leaky_relu(self.bn1(self.conv1(x)))  # (N, width, h/stride, w/stride)
        x = self.bn2(self.conv2(x))
        return F.relu(x + shortcut, inplace=True)


class _Bottleneck(nn.Module):
    """Residual block of ResNet-50: the stride sits on the 3x3 convolution."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = _leaky_relu(self.bn1(self.conv1(x)))  # (N, width, h, w)
        x = _leaky_relu(self.bn2(self.conv2(x)))  # (N, width, h/stride, w/stride)
        x = self.bn3(self.conv3(x))  # (N, 4 width, h/stride, w/stride)
        return F.relu(x + shortcut, inplace=True)


def _channels(backbone: _Backbone) -> tuple[int, ...]:
    """Channels of the four stages' features."""
    expansion = _Bottleneck.expansion if backbone.bottleneck else _BasicBlock.expansion
    return tuple(backbone.width * 2**stage * expansion for stage in range(4))


class _Encoder(nn.Module):
    """A ResNet whose four stages all start with stride 2; the attributes are torchvision's names."""

    def __init__(self, backbone: _Backbone) -> None:
        super().__init__()
        block: Callable[[int, int, int], nn.Module] = _Bottleneck if backbone.bottleneck else _BasicBlock
        expansion = _Bottleneck.expansion if backbone.bottleneck else _BasicBlock.expansion

        def stage(inputs: int, width: int, blocks: int) -> nn.Sequential:
            rest = (block(width * expansion, width, 1) for _ in range(blocks - 1))
            return nn.Sequential(block(inputs, width, 2), *rest)

        width, self.channels = backbone.width, _channels(backbone)
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(width, width, backbone.blocks[0])
        self.layer2 = stage(self.channels[0], 2 * width, backbone.blocks[1])
        self.layer3 = stage(self.channels[1], 4 * width, backbone.blocks[2])
        self.layer4 = stage(self.channels[2], 8 * width, backbone.blocks[3])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = _leaky_relu(self.bn1(self.conv1(image)))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # (N, 64, H/4, W/4)
        stage_4 = self.layer1(x)  # (N, 64, H/8, W/8); four times the channels with bottlenecks, here and below
        stage_8 = self.layer2(stage_4)  # (N, 128, H/16, W/16)
        stage_16 = self.layer3(stage_8)  # (N, 256, H/32, W/32)
        stage_32 = self.layer4(stage_16)  # (N, 512, H/64, W/64)
        return stage_4, stage_8, stage_16, stage_32


class FastAttention(nn.Module):
    """Fast attention and fusion of one stage, with the stage's output branches.

    The attention is the paper's Y = (1/n) Q (K^T V) with L2-normalised queries and keys, whose cost is linear in n. The
    factor 1/n is left out, as in the published code: the batch norm of `latlayer3` absorbs it, and published weights
    need it so; half precision needs graph.scale_attention. Of a past frame, video needs nothing but the `context`.

    `up` and `smooth` are called by FANet. `up` of stage 4 and `smooth` of stages 8 and 32 lead nowhere at inference;
    published checkpoints hold them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.w_qs = _ConvBN(channels, ATTENTION_CHANNELS, kernel=1, padding=0, linear=True)
        self.w_ks = _ConvBN(channels, ATTENTION_CHANNELS, kernel=1, padding=0, linear=True)
        self.w_vs = _ConvBN(channels, channels, kernel=1, padding=0)
        self.latlayer3 = _ConvBN(channels, channels, kernel=1, padding=0)
        # padding=1 around a 1x1 kernel grows the map by 2 before it is resized: published weights were trained so
        self.up = _ConvBN(channels, channels // 2, kernel=1, padding=1)
        self.smooth = _ConvBN(channels, SMOOTH_CHANNELS, kernel=3, padding=1)

    def context(self, feature: Tensor) -> Tensor:
        """K^T V of a stage's feature: (N, C, h, w) -> (N, 32, C), all that the attention keeps of an image."""
        keys = _normalise(self.w_ks(feature).flatten(2))  # (N, 32, n)
        values = self.w_vs(feature).flatten(2)  # (N, C, n)
        return torch.bmm(keys, values.transpose(1, 2))  # (N, 32, C)

    def attend(self, feature: Tensor, context: Tensor) -> Tensor:
        """Q context, projected and added to the feature: (N, C, h, w), (N, 32, C) -> (N, C, h, w)."""
        queries = _normalise(self.w_qs(feature).flatten(2))  # (N, 32, n)
        attention = torch.bmm(context.transpose(1, 2), queries)  # (N, C, n)
        return self.latlayer3(attention.view_as(feature)) + feature  # (N, C, h, w)

    def fuse(self, feature: Tensor, context: Tensor, deeper: Tensor | None = None) -> Tensor:
        """Attention, plus what comes up from the deeper stage: (N, C, h, w).

        Args:
            feature: The encoder's feature, (N, C, h, w).
            context: What it attends to, (N, 32, C): its own `context`, or the mean of those of several frames.
            deeper: `up` of the deeper stage, (N, C, any height, any width); None for the deepest.
        """
        fused = self.attend(feature, context)
        return fused if deeper is None else fused + _resize_like(deeper, fused)


def state_size(config: FANetConfig) -> int:
    """Numbers that are kept of one past frame of one video: whether there is one (1 or 0), and its four contexts.

    They lie one after the other, contexts from the shallowest stage to the deepest, each (32, C) row by row: 30 721 for
    FANet-18 and -34 (120 kB), 122 881 for FANet-50.
    """
    return 1 + ATTENTION_CHANNELS * sum(_channels(_BACKBONES[config.backbone]))


class _Head(nn.Module):
    """3x3 convolution and 1x1 classifier: (N, inputs, h, w) -> logits (N, classes, h, w)."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = _ConvBN(inputs, width, kernel=3, padding=1)
        self.conv_out = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class FANet(nn.Module):
    """FANet-18, -34 or -50: a normalised RGB image to logits at an eighth of its size.

    Attributes:
        config: What it was built from.
    """

    def __init__(self, config: FANetConfig) -> None:
        super().__init__()
        self.config = config
        self.state_size = state_size(config)
        self.resnet = _Encoder(_BACKBONES[config.backbone])
        self.fam_4, self.fam_8, self.fam_16, self.fam_32 = (FastAttention(c) for c in self.resnet.channels)
        self.clslayer = _Head(2 * SMOOTH_CHANNELS, 256, config.classes)
        if config.auxiliary:
            self.clslayer_32 = _Head(SMOOTH_CHANNELS, AUXILIARY_CHANNELS, config.classes)
            self.clslayer_16 = _Head(SMOOTH_CHANNELS, AUXILIARY_CHANNELS, config.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Segment images of any size from 1 x 1 pixels.

        Args:
            image: Float (N, 3, H, W), RGB, normalised as `graph.FrameToLogits` does.

        Returns:
            Logits (N, classes, ceil(H/8), ceil(W/8)), without the published bilinear x8 upsampling.
        """
        stages = self.resnet(image)
        _, smooth_16, smooth_4 = self._decode(stages, self._contexts(stages))
        return self._classify(smooth_16, smooth_4)

    def forward_video(self, image: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Segment the next frames of N videos, looking back at up to T - 1 frames of each.

        Args:
            image: As for `forward`.
            state: Float32 (N, T - 1, state_size), what was returned for the frames before, newest first; zeros at the
                start of a video, and for as many frames as were not seen yet. T may be anything from 2.

        Returns:
            Logits as `forward` returns them, and the state for the next frames.
        """
        stages = self.resnet(image)
        own = self._contexts(stages)
        _, smooth_16, smooth_4 = self._decode(stages, mean_with_past(own, state))
        return self._classify(smooth_16, smooth_4), next_state(own, state)

    def forward_with_auxiliary(self, image: Tensor, state: Tensor | None = None) -> AuxiliaryLogits:
        """Logits of the main and of both auxiliary heads, for training; arguments as in `forward` and `forward_video`.

        Raises:
            SettingError: The network was built without auxiliary heads.
        """
        if not self.config.auxiliary:
            raise SettingError("this network has no auxiliary heads: build it with FANetConfig(auxiliary=True)")
        stages = self.resnet(image)
        own = self._contexts(stages)
        contexts = own if state is None else mean_with_past(own, state)
        fused_32, smooth_16, smooth_4 = self._decode(stages, contexts)
        return AuxiliaryLogits(
            main=self._classify(smooth_16, smooth_4),
            stage_32=self.clslayer_32(self.fam_32.smooth(fused_32)),  # (N, classes, H/64, W/64)
            stage_16=self.clslayer_16(smooth_16),  # (N, classes, H/32, W/32)
        )

    def entry(self, image: Tensor) -> Tensor:
        """What a state holds of images, float32 (N, state_size); nothing is decoded for it."""
        return entry_of(self._contexts(self.resnet(image)))

    def _contexts(self, stages: Sequence[Tensor]) -> list[Tensor]:
        attentions = (self.fam_4, self.fam_8, self.fam_16, self.fam_32)
        return [attention.context(stage) for attention, stage in zip(attentions, stages, strict=True)]

    def _decode(self, stages: Sequence[Tensor], contexts: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The deepest stage's fused map and the two smooth maps of the main head."""
        stage_4, stage_8, stage_16, stage_32 = stages
        context_4, context_8, context_16, context_32 = contexts
        fused_32 = self.fam_32.fuse(stage_32, context_32)  # (N, 512, H/64, W/64)
        fused_16 = self.fam_16.fuse(stage_16, context_16, self.fam_32.up(fused_32))  # (N, 256, H/32, W/32)
        fused_8 = self.fam_8.fuse(stage_8, context_8, self.fam_16.up(fused_16))  # (N, 128, H/16, W/16)
        fused_4 = self.fam_4.fuse(stage_4, context_4, self.fam_8.up(fused_8))  # (N, 64, H/8, W/8)
        smooth_16 = self.fam_16.smooth(fused_16)  # (N, 128, H/32, W/32)
        smooth_4 = self.fam_4.smooth(fused_4)  # (N, 128, H/8, W/8)
        return fused_32, smooth_16, smooth_4

    def _classify(self, smooth_16: Tensor, smooth_4: Tensor) -> Tensor:
        x = torch.cat([_resize_like(smooth_16, smooth_4), smooth_4], dim=1)  # (N, 256, H/8, W/8)
        return self.clslayer(x)  # (N, classes, H/8, W/8)
