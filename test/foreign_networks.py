"""Tiny networks of other kinds, exported as real exporters do it, and what they say in their own framework."""

from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings, simplefilter

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CARD = f"label_set: cityscapes19\nmean: {[*MEAN]}\nstd: {[*STD]}\nscale: 1/255\n"
SIZE_LINE = "input_size: 192x128\n"


@dataclass(frozen=True)
class Kind:
    """What there is in the wild.

    Attributes:
        head: logits, softmax, sigmoids of each class, sigmoid and boolean of one channel, argmax, argmax_keep,
            argmax_int32, argmax_uint8 or argmax_float; logits_last or argmax_last with the channels at the end,
            argmax_plane without batch.
        stride: of the answer.
        nhwc: whether images and answers are channels last, as TensorFlow's.
        takes_uint8: whether it normalises by itself.
        bgr: whether it takes blue first.
        fixed: whether it takes 192x128 only.
        outputs: names of its outputs; the first is the answer.
        classes: 19 as in cityscapes19, or 11 as in camvid11.
        mixes: whether it has a piece of a transformer: a linear layer on all places, then a depthwise convolution.
    """

    head: str = "logits"
    stride: int = 4
    nhwc: bool = False
    takes_uint8: bool = False
    bgr: bool = False
    fixed: bool = False
    outputs: tuple[str, ...] = ("logits",)
    classes: int = 19
    mixes: bool = False

    @property
    def card(self) -> str:
        """The right card's lines."""
        lines = "label_set: cityscapes19\n" if self.takes_uint8 else CARD
        lines += "" if self.fixed else SIZE_LINE
        lines += "channel_order: bgr\n" if self.bgr else ""
        lines = lines.replace("cityscapes19", "camvid11") if self.classes == 11 else lines
        return lines + (f"output: {self.outputs[0]}\n" if len(self.outputs) > 1 else "")


class TinyNetwork(nn.Module):
    """Two convolutions with random weights, and the head that is asked for."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.kind = kind
        self.stem = nn.Conv2d(3, 12, 3, 2, 1)
        self.classifier = nn.Conv2d(12, 1 if kind.head in ("sigmoid", "boolean") else kind.classes, 3, 2, 1)
        self.linear = nn.Linear(12, 12)
        self.depthwise = nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        with torch.no_grad():
            self.classifier.weight *= 8

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        kind = self.kind
        if kind.nhwc:
            image = image.permute(0, 3, 1, 2)
        if kind.takes_uint8:
            image = (image.float() / 255 - 0.45) / 0.22
        features = F.relu(self.stem(image))
        if kind.mixes:
            places = self.linear(features.flatten(2).transpose(1, 2))
            features = features + self.depthwise(places.transpose(1, 2).reshape(features.shape))
        answer = self.classifier(features)
        if kind.stride == 1:
            answer = F.interpolate(answer, image.shape[2:], mode="bilinear", align_corners=False)
        heads = {
            "softmax": lambda: answer.softmax(1),
            "sigmoid": lambda: answer.sigmoid(),
            "sigmoids": lambda: answer.sigmoid(),
            "boolean": lambda: answer > 0,
            "argmax": lambda: answer.argmax(1),
            "argmax_keep": lambda: answer.argmax(1, keepdim=True),
            "argmax_last": lambda: answer.argmax(1)[..., None],
            "argmax_plane": lambda: answer.argmax(1)[0],
            "logits_last": lambda: answer.permute(0, 2, 3, 1),
            "argmax_int32": lambda: answer.argmax(1).int(),
            "argmax_uint8": lambda: answer.argmax(1).to(torch.uint8),
            "argmax_float": lambda: answer.argmax(1, keepdim=True).float(),
        }
        answer = heads.get(kind.head, lambda: answer)()
        if kind.nhwc and answer.dim() == 4:
            answer = answer.permute(0, 2, 3, 1)
        return answer if len(kind.outputs) == 1 else (answer, *(answer[:, :1] for _ in kind.outputs[1:]))


def write_network(folder: Path, kind: Kind, card: str | None = None, opset: int = 17) -> tuple[Path, TinyNetwork]:
    """Export a network with its card, and return its file and itself; an empty card is none."""
    network, path = TinyNetwork(kind).eval(), folder / "model.onnx"
    image = torch.zeros(1, 128, 192, 3) if kind.nhwc else torch.zeros(1, 3, 128, 192)
    open_axes = {0: "batch", 1: "height", 2: "width"} if kind.nhwc else {0: "batch", 2: "height", 3: "width"}
    with catch_warnings():
        simplefilter("ignore")
        torch.onnx.export(
            network,
            (image.to(torch.uint8) if kind.takes_uint8 else image,),
            path,
            opset_version=opset,
            input_names=["image"],
            output_names=list(kind.outputs),
            dynamic_axes=None if kind.fixed else {"image": open_axes},
            dynamo=False,
        )
    lines = kind.card if card is None else card
    if lines:
        path.with_suffix(".md").write_text(f"---\n{lines}---\n")
    return path, network


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft blobs of all colours, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@torch.inference_mode()
def own_answer(network: TinyNetwork, image: NDArray[np.uint8]) -> Tensor:
    """Return what the network says in its own framework to its input, float (channels, h, w)."""
    kind = network.kind
    tensor = torch.from_numpy(image[..., ::-1].copy() if kind.bgr else image)[None]
    if not kind.takes_uint8:
        tensor = (tensor.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    answer = network(tensor if kind.nhwc else tensor.permute(0, 3, 1, 2))
    answer = answer[0] if isinstance(answer, tuple) else answer
    if answer.dim() == 3:
        return answer.float()
    if answer.dim() == 2:
        return answer[None].float()
    return (answer.permute(0, 3, 1, 2) if kind.nhwc or kind.head.endswith("_last") else answer)[0].float()


def own_labels(network: TinyNetwork, image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return its labels at a size, as its framework's users make them."""
    answer = own_answer(network, image)
    if len(answer) == 1 and network.kind.head != "sigmoid":
        return F.interpolate(answer[None], shape, mode="nearest-exact")[0, 0].long().numpy()
    enlarged = F.interpolate(answer[None], shape, mode="bilinear", align_corners=False)[0]
    return (enlarged[0] > 0.5).long().numpy() if len(enlarged) == 1 else enlarged.argmax(0).numpy()
