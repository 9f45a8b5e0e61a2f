"""Brings a network that is not FANet into the form of FANet's graph: uint8 NHWC RGB frames in, logits NCHW out.

What the file shows is read from it, what it cannot show from its card, and one run on a picture made of noise shows
whether the two fit. It runs in a process of its own (fanet_ros.artefacts.build_process): files may come from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.openvino.loading import DESCRIPTION, MODEL, import_openvino, openvino_core
from fanet_ros.errors import LabelSetError, SettingError, WeightsError
from fanet_ros.frames.frame import fit_input_size
from fanet_ros.labelling.postprocess import MAX_CLASSES
from fanet_ros.model.foreign import LABELS, LOGITS, PROBABILITIES, SIZE_STEP, ForeignNetwork, network_files
from fanet_ros.model.model_card import ModelCard, read_card
from fanet_ros.model.network_card import NetworkCard
from fanet_ros.settings import MAX_PIXELS, MAX_SIDE, MIN_SIDE, Size
from fanet_ros.untrusted.text import printable

_FLOATS, _INTEGERS = ("f32", "f16", "bf16", "f64"), ("i64", "i32", "i16", "i8", "u8", "u16", "u32", "u64")
_PROBED = Size(320, 192)  # where neither file nor card says a size; unlike sides tell height from width
_MOST_SHRUNK = 64  # of an answer's sides against the input's
_ROUNDING = 1e-3  # of sums of probabilities, in half precision, too


@dataclass(frozen=True)
class _Input:
    """The image as the file has it."""

    name: str
    type: str
    layout: str
    size: Size | None
    batches: bool


@dataclass(frozen=True)
class _Answer:
    """The output as a probe has shown it."""

    kind: str
    classes: int
    added: tuple[int, ...]  # axes of size 1 that it lacks, where they are then
    order: tuple[int, ...]  # of its axes, with which it becomes (N, channels, h, w)
    single: bool  # one channel, which tells two classes apart
    shrunk: float


def build(folder: Path, *, weights: str, draft: bool = False) -> None:
    """Write model.xml, model.bin and network.json into an existing folder.

    Args:
        folder: to write to.
        weights: path of an ONNX file or of OpenVINO's model.xml.
        draft: whether the card is still to be written: what it does not say is guessed.

    Raises:
        WeightsError: a file is missing, damaged, or holds no network that turns an image into classes.
        LabelSetError: the card cannot be used, or does not fit the file.
    """
    path = Path(weights)
    network_files(path)  # refuses what reaches out of its folder
    card = read_card(path)
    try:
        model = openvino_core().read_model(path)
    except RuntimeError as error:
        raise WeightsError(f"{path}: OpenVINO cannot read it: {_reason(error)}") from None
    image = _image_of(path, model, card)
    chosen, outputs = _output_of(path, model, card.network.output, draft)
    found = _name(chosen)
    size = image.size or _probe_size(card)
    try:
        model = import_openvino().Model([chosen], model.get_parameters())
        model = _with_preprocessing(path, model, image, card, draft)
        numbers = _probe(path, model, size)
        answer = _answer_of(path, numbers, model.output(0).get_element_type().get_type_name(), size, image.layout)
        model = _with_answer(model, answer)
    except RuntimeError as error:
        raise WeightsError(f"{path}: OpenVINO cannot run it on an image of {size}: {_reason(error)}") from None
    network = ForeignNetwork(
        name=path.stem,
        classes=answer.classes,
        answer=answer.kind,
        align_corners=card.network.align_corners,
        size=image.size,
        batches=image.batches and 0 not in answer.added,
        normalises_itself=image.type == "u8",
        outputs=tuple(_name(output) for output in outputs) if len(outputs) > 1 and not card.network.output else (),
        findings=_findings(image, answer, found, outputs),
    )
    import_openvino().save_model(model, folder / MODEL, compress_to_fp16=False)
    (folder / DESCRIPTION).write_text(network.as_json(), encoding="utf-8")


# what the file shows -------------------------------------------------------------------------------------------------


def _image_of(weights: Path, model: Any, card: ModelCard) -> _Input:
    inputs = model.inputs
    if len(inputs) != 1:
        raise WeightsError(f"{weights}: has {len(inputs)} inputs ({_names(inputs)}), expected one, the image")
    shape, kind = inputs[0].get_partial_shape(), inputs[0].get_element_type().get_type_name()
    described = f"its input '{_name(inputs[0])}' is {kind} of shape {shape}"
    expected = "expected float or uint8, (N, 3, height, width) or (N, height, width, 3)"
    if kind not in (*_FLOATS, "u8") or shape.rank.is_dynamic or len(shape) != 4:
        raise WeightsError(f"{weights}: {described}, {expected}")
    sides = [None if side.is_dynamic else side.get_length() for side in shape]
    fitting = [layout for layout, axis in (("nchw", 1), ("nhwc", 3)) if sides[axis] in (3, None)]
    certain = [layout for layout in fitting if sides[layout.index("c")] == 3]
    fitting = certain or fitting
    said = card.network.layout
    if not fitting or (said and said not in fitting):
        card_says = f", and the card says layout {said}" if said else ""
        raise WeightsError(f"{weights}: {described}{card_says}, {expected}")
    if len(fitting) > 1 and not said:
        raise LabelSetError(f"{weights}: {described}, which fits two layouts: add 'layout: nchw' or nhwc to its card")
    layout = said or fitting[0]
    height, width = (sides[layout.index(axis)] for axis in "hw")
    if sides[0] not in (1, None):
        raise WeightsError(f"{weights}: {described}: it takes {sides[0]} images at once; export it for batches of 1")
    if (height is None) != (width is None):
        raise WeightsError(f"{weights}: {described}: one side is open; export it with both open or both fixed")
    size = None if height is None or width is None else Size(width, height)
    if size is not None:
        _check_fixed(weights, size, card)
    return _Input(_name(inputs[0]), kind, layout, size, sides[0] is None)


def _check_fixed(weights: Path, size: Size, card: ModelCard) -> None:
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size) or size.width * size.height > MAX_PIXELS:
        raise WeightsError(f"{weights}: takes images of {size}, expected sides from {MIN_SIDE} to {MAX_SIDE} pixels")
    if card.input_size not in (None, size):
        raise LabelSetError(
            f"the card of {weights} says input_size {card.input_size}, but the network takes {size} only"
        )


def _output_of(weights: Path, model: Any, name: str, draft: bool) -> tuple[Any, list[Any]]:
    """Return the output that is the answer, and all of them."""
    outputs = model.outputs
    found = [output for output in outputs if name in output.get_names()] if name else outputs
    if name and not found:
        raise LabelSetError(
            f"the card of {weights} says output '{printable(name)}', but the network has {_names(outputs)}"
        )
    if len(found) > 1 and not draft:
        raise LabelSetError(
            f"{weights} has {len(outputs)} outputs ({_names(outputs)}): say in its card which one is the answer, "
            f"for example 'output: {_name(outputs[0])}'"
        )
    return found[0], outputs


def _probe_size(card: ModelCard) -> Size:
    return fit_input_size("auto", card.input_size or _PROBED, card.input_size or _PROBED, step=SIZE_STEP)


# what goes before and after ------------------------------------------------------------------------------------------


def _with_preprocessing(weights: Path, model: Any, image: _Input, card: ModelCard, draft: bool) -> Any:
    """Return the model behind what turns a uint8 NHWC RGB frame into its input."""
    ov = import_openvino()
    sides = {"n": -1 if image.batches else 1, "c": 3, "h": -1, "w": -1}
    if image.size is not None:
        sides |= {"h": image.size.height, "w": image.size.width}
    model.reshape([sides[axis] for axis in image.layout])
    prepare = ov.preprocess.PrePostProcessor(model)
    prepare.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    prepare.input().model().set_layout(ov.Layout(image.layout.upper()))
    steps = prepare.input().preprocess()
    if card.network.channel_order == "bgr":
        steps.reverse_channels()
    offset, divisor = _normalisation(weights, card.network, image, draft)
    if image.type != "u8":
        steps.convert_element_type(ov.Type.f32)
        if any(offset):
            steps.mean(list(offset))
        if any(each != 1 for each in divisor):
            steps.scale(list(divisor))
        steps.convert_element_type(getattr(ov.Type, image.type))
    return prepare.build()


def _normalisation(
    weights: Path, card: NetworkCard, image: _Input, draft: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    unchanged = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if card.says_nothing_of_pixels and image.type == "u8":
        return unchanged
    if card.says_nothing_of_pixels and draft:
        card = NetworkCard(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))  # about what most take
    if card.says_nothing_of_pixels:
        raise LabelSetError(
            f"{weights} takes {image.type} numbers, and no card says which pixels they are: put mean, std and scale "
            f"into {weights.with_suffix('.md').name} (fanet export --card {weights} writes one to be completed)"
        )
    try:
        found = card.normalisation()
    except SettingError as error:
        raise LabelSetError(f"the card of {weights}: {error}") from None
    if image.type == "u8" and found != unchanged:
        raise LabelSetError(
            f"the card of {weights} has mean, std or scale, but the network takes uint8 pixels and normalises them "
            "itself; leave the three out"
        )
    return found


def _probe(weights: Path, model: Any, size: Size) -> NDArray[Any]:
    """Return what the network says to a picture of soft blobs of all colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[None]
    model = model.clone()
    model.reshape([1, size.height, size.width, 3])  # as the backend does it
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    numbers: NDArray[Any] = compiled.create_infer_request().infer([picture])[0].copy()
    if not np.isfinite(numbers.astype(np.float64)).all():
        raise WeightsError(
            f"{weights}: its answer to a test image is not all finite numbers: is the file damaged, or do mean, std "
            "and scale in its card not fit?"
        )
    return numbers


def _answer_of(weights: Path, numbers: NDArray[Any], kind: str, size: Size, layout: str) -> _Answer:
    described = f"{weights}: its output is {kind} of shape {numbers.shape} for an image of {size}"
    expected = "expected a number for each class and place, or labels"
    if kind not in (*_FLOATS, *_INTEGERS) or not 2 <= numbers.ndim <= 4:
        raise WeightsError(f"{described}, {expected}")
    added: tuple[int, ...] = {4: (), 3: (1,) if len(numbers) == 1 else (0,), 2: (0, 1)}[numbers.ndim]
    numbers = np.expand_dims(numbers, added)
    places = [axis for axis in ((1, 3) if layout == "nchw" else (3, 1)) if _lies_on(numbers.shape, axis, size)]
    if len(numbers) != 1 or not places:
        raise WeightsError(f"{described}, {expected}, on a grid that lies evenly on the image")
    order = (0, 1, 2, 3) if places[0] == 1 else (0, 3, 1, 2)
    numbers = numbers.transpose(order)
    channels, height = numbers.shape[1:3]
    shrunk = size.height / height
    whole = kind in _INTEGERS or (channels == 1 and bool((numbers == np.round(numbers)).all()))
    if whole:
        if channels != 1:
            raise WeightsError(f"{described}: whole numbers for {channels} channels, expected labels in one")
        lowest, highest = int(numbers.min()), int(numbers.max())
        if lowest < 0 or highest >= MAX_CLASSES:
            raise WeightsError(f"{described}: labels from {lowest} to {highest}, expected 0 to {MAX_CLASSES - 1}")
        return _Answer(LABELS, highest + 1, added, order, False, shrunk)
    if channels > MAX_CLASSES:
        raise WeightsError(f"{described}: {channels} classes, expected at most {MAX_CLASSES}")
    total = numbers.astype(np.float64).sum(1)
    inside = numbers.min() >= -_ROUNDING and numbers.max() <= 1 + _ROUNDING
    sums_to_one = channels == 1 or bool(np.abs(total - 1).max() < _ROUNDING)
    answer = PROBABILITIES if inside and sums_to_one else LOGITS
    return _Answer(answer, max(2, channels), added, order, channels == 1, shrunk)


def _lies_on(shape: tuple[int, ...], channels: int, size: Size) -> bool:
    """Whether the axes besides this one are the image's height and width, shrunk by the same number."""
    height, width = shape[2:] if channels == 1 else shape[1:3]
    across, down = size.width / width, size.height / height
    # up to the rounding of both sides
    alike = abs(across - down) <= max(across / width, down / height) * 2
    return min(height, width) > 0 and alike and 0.5 <= down <= _MOST_SHRUNK


def _with_answer(model: Any, answer: _Answer) -> Any:
    """Return the model with float32 (N, channels, h, w) as its only output."""
    ov = import_openvino()
    ops, numbers = ov.opset13, model.output(0).get_node().input_value(0)
    numbers = ops.convert(numbers, "f32").output(0)
    if answer.added:
        numbers = ops.unsqueeze(numbers, ops.constant(np.array(answer.added))).output(0)
    if answer.order != (0, 1, 2, 3):
        numbers = ops.transpose(numbers, ops.constant(np.array(answer.order))).output(0)
    if answer.single:  # "no" beside "yes"
        no = (
            ops.subtract(np.float32(1), numbers)
            if answer.kind == PROBABILITIES
            else ops.multiply(numbers, np.float32(0))
        )
        numbers = ops.concat([no, numbers], axis=1).output(0)
    numbers.set_names({"logits"})
    return ov.Model([ops.result(numbers)], model.get_parameters(), "network")


# words ---------------------------------------------------------------------------------------------------------------


def _findings(image: _Input, answer: _Answer, chosen: str, outputs: list[Any]) -> tuple[str, ...]:
    size = "an open size" if image.size is None else f"{image.size} only"
    what = {
        LABELS: f"labels, {answer.classes} or more classes, no confidence",
        LOGITS: f"logits of {answer.classes} classes",
        PROBABILITIES: f"probabilities of {answer.classes} classes",
    }
    others = [f"all outputs: {_names(outputs)}"] if len(outputs) > 1 else []
    single = ", from one channel: no and yes" if answer.single else ""
    return (
        f"input '{image.name}': {image.type}, {image.layout.upper()}, {size}, "
        + ("batches of any length" if image.batches else "one image at a time"),
        f"output '{chosen}': {what[answer.kind]}{single}, at 1/{answer.shrunk:.3g} of the size",
        *others,
    )


def _name(port: Any) -> str:
    return printable(min(port.get_names(), default=port.get_node().get_friendly_name()))


def _names(ports: list[Any]) -> str:
    return ", ".join(_name(port) for port in ports[:8]) + (", ..." if len(ports) > 8 else "")


def _reason(error: RuntimeError) -> str:
    """What OpenVINO says, without the places in its sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return printable("; ".join((telling or lines)[:3]), 400)
