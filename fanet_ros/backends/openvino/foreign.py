"""Brings a network that is not FANet into the form of FANet's graph: uint8 NHWC RGB frames in, logits NCHW out.

What the file shows is read from it, what it cannot show from its card, and one run on a picture made of noise shows
whether the two fit. It runs in a process of its own (fanet_ros.artefacts.build_process): files may come from anywhere.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends.openvino.loading import DESCRIPTION, MODEL, NO_MEMORY, import_openvino, openvino_core, reason_of
from fanet_ros.errors import LabelSetError, SettingError, WeightsError
from fanet_ros.frames.frame import fit_input_size
from fanet_ros.labelling.postprocess import MAX_CLASSES
from fanet_ros.model.foreign import LABELS, LOGITS, PROBABILITIES, SIZE_STEP, Entrance, Exit, ForeignNetwork
from fanet_ros.model.foreign_files import network_files
from fanet_ros.model.model_card import ModelCard, read_card
from fanet_ros.model.network_card import NetworkCard
from fanet_ros.settings import MAX_PIXELS, MAX_SIDE, MIN_SIDE, Size
from fanet_ros.untrusted.text import printable

_FLOATS = ("f32", "f16", "bf16", "f64")
_WHOLE = ("i64", "i32", "i16", "i8", "u8", "u16", "u32", "u64", "boolean")
_PROBED = Size(320, 192)  # where neither file nor card says a size; unlike sides tell height from width
_MOST_SHRUNK = 64  # of an answer's sides against the input's
_ROUNDING = 1e-3  # of probabilities, in half precision, too
_MEMORY = 0.75  # of what is free, for reading and trying a file: a few bytes can ask for any amount


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
    _leave_memory_to_others()
    try:
        model = openvino_core().read_model(path)
    except (RuntimeError, MemoryError) as error:
        raise WeightsError(f"{path}: OpenVINO cannot read it: {reason_of(error)}") from None
    entrance, size, batches = _image_of(path, model, card)
    entrance = _with_normalisation(path, entrance, card.network, draft)
    outputs = model.outputs
    number = _output_of(path, outputs, card.network.output, draft)
    probed = tried = size or _probe_size(card)
    try:
        model = import_openvino().Model([outputs[number]], model.get_parameters())
        model = _with_entrance(model, entrance, size, batches)
        numbers = _probe(path, model, probed)
        network = _described(path, entrance, number, numbers, model.output(0), probed)
        if size is None:  # exporters note an open size beside shapes that they have seen once
            tried = Size(probed.width + SIZE_STEP, probed.height + 2 * SIZE_STEP)
            _described(path, entrance, number, _probe(path, model, tried), model.output(0), tried)
        model = _with_exit(model, network)
    except (RuntimeError, MemoryError) as error:
        reason = reason_of(error)
        if size is None and reason != NO_MEMORY:
            reason += "; its file says any size, but was it exported for one only?"
        raise WeightsError(f"{path}: OpenVINO cannot run it on an image of {tried}: {reason}") from None
    several = len(outputs) > 1
    network = replace(
        network,
        align_corners=card.network.align_corners,
        size=size,
        batches=batches and 0 not in network.exit.added,
        outputs=tuple(map(_name, outputs)) if several and not card.network.output else (),
        findings=(
            f"input '{entrance.name}': {entrance.type}, {entrance.layout.upper()}, "
            + ("an open size, " if size is None else f"{size} only, ")
            + ("batches of any length" if batches else "one image at a time"),
            f"output '{_name(outputs[number])}': {_in_words(network)}, at {_shape(numbers)} for an image of {probed}",
            *([f"all outputs: {_names(outputs)}"] if several else []),
        ),
    )
    import_openvino().save_model(model, folder / MODEL, compress_to_fp16=False)
    (folder / DESCRIPTION).write_text(network.as_json(), encoding="utf-8")


def _leave_memory_to_others() -> None:
    """Have this process fail, and no other be ended, if the file asks for more memory than there is."""
    with suppress(OSError, ValueError):  # not Linux, or less is allowed already
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (round(_MEMORY * free), most))


# what the file shows -------------------------------------------------------------------------------------------------


def _image_of(weights: Path, model: Any, card: ModelCard) -> tuple[Entrance, Size | None, bool]:
    """Return how the image goes in, its size if that is fixed, and whether there may be several."""
    inputs = model.inputs
    if len(inputs) != 1:
        raise WeightsError(f"{weights}: has {len(inputs)} inputs ({_names(inputs)}), expected one, the image")
    shape, kind = inputs[0].get_partial_shape(), inputs[0].get_element_type().get_type_name()
    described = f"its input '{_name(inputs[0])}' is {kind} of shape {shape}"
    expected = "expected float or uint8, (N, 3, height, width) or (N, height, width, 3)"
    if kind not in (*_FLOATS, "u8") or shape.rank.is_dynamic or len(shape) != 4:
        raise WeightsError(f"{weights}: {described}, {expected}")
    sides = [None if side.is_dynamic else side.get_length() for side in shape]
    fitting = [
        layout
        for layout, channels, rows in (("nchw", 1, 2), ("nhwc", 3, 1))
        if sides[channels] in (3, None) and (sides[rows] or MIN_SIDE) >= MIN_SIDE
    ]
    certain = [layout for layout in fitting if sides[layout.index("c")] == 3]
    fitting = certain or fitting
    said = card.network.layout
    if len(fitting) > 1 and not said:
        fitting = [layout for layout in fitting if _takes(model, layout)] or fitting
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
    entrance = Entrance(_name(inputs[0]), kind, layout, blue_first=card.network.channel_order == "bgr")
    return entrance, size, sides[0] is None


def _takes(model: Any, layout: str) -> bool:
    """Whether what comes first fits images in this layout: it tells where the file leaves all sides open."""
    lengths = {"n": 1, "c": 3, "h": _PROBED.height, "w": _PROBED.width}
    try:
        model.clone().reshape([lengths[axis] for axis in layout])
    except RuntimeError:
        return False
    return True


def _check_fixed(weights: Path, size: Size, card: ModelCard) -> None:
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size) or size.width * size.height > MAX_PIXELS:
        raise WeightsError(f"{weights}: takes images of {size}, expected sides from {MIN_SIDE} to {MAX_SIDE} pixels")
    if card.input_size not in (None, size):
        raise LabelSetError(
            f"the card of {weights} says input_size {card.input_size}, but the network takes {size} only"
        )


def _output_of(weights: Path, outputs: list[Any], name: str, draft: bool) -> int:
    """Return the number of the output that is the answer."""
    found = [number for number, output in enumerate(outputs) if not name or name in output.get_names()]
    if not found:
        raise LabelSetError(
            f"the card of {weights} says output '{printable(name)}', but the network has {_names(outputs)}"
        )
    if len(found) > 1 and not draft:
        raise LabelSetError(
            f"{weights} has {len(outputs)} outputs ({_names(outputs)}): say in its card which one is the answer, "
            f"for example 'output: {_name(outputs[0])}'"
        )
    return found[0]


def _probe_size(card: ModelCard) -> Size:
    return fit_input_size("auto", card.input_size or _PROBED, card.input_size or _PROBED, step=SIZE_STEP)


# what goes before and after ------------------------------------------------------------------------------------------


def _with_normalisation(weights: Path, entrance: Entrance, card: NetworkCard, draft: bool) -> Entrance:
    if card.says_nothing_of_pixels and entrance.type == "u8":
        return entrance
    if card.says_nothing_of_pixels and draft:
        card = NetworkCard(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))  # about what most take
    if card.says_nothing_of_pixels:
        raise LabelSetError(
            f"{weights} takes {entrance.type} numbers, and no card says which pixels they are: put mean, std and scale "
            f"into {weights.with_suffix('.md').name} (fanet export --card {weights} writes one to be completed)"
        )
    try:
        offset, divisor = card.normalisation()
    except SettingError as error:
        raise LabelSetError(f"the card of {weights}: {error}") from None
    if entrance.type == "u8" and (any(offset) or set(divisor) != {1.0}):
        raise LabelSetError(
            f"the card of {weights} has mean, std or scale, but the network takes uint8 pixels and normalises them "
            "itself; leave the three out"
        )
    return replace(entrance, offset=offset, divisor=divisor)


def _with_entrance(model: Any, entrance: Entrance, size: Size | None, batches: bool) -> Any:
    """Return the model behind its entrance."""
    ov = import_openvino()
    sides = {"n": -1 if batches else 1, "c": 3, "h": -1, "w": -1}
    if size is not None:
        sides |= {"h": size.height, "w": size.width}
    model.reshape([sides[axis] for axis in entrance.layout])
    prepare = ov.preprocess.PrePostProcessor(model)
    prepare.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    prepare.input().model().set_layout(ov.Layout(entrance.layout.upper()))
    steps = prepare.input().preprocess()
    if entrance.blue_first:
        steps.reverse_channels()
    if entrance.type != "u8":
        steps.convert_element_type(ov.Type.f32)
        if any(entrance.offset):
            steps.mean(list(entrance.offset))
        if set(entrance.divisor) != {1.0}:
            steps.scale(list(entrance.divisor))
        steps.convert_element_type(getattr(ov.Type, entrance.type))
    return prepare.build()


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


def _described(
    weights: Path, entrance: Entrance, number: int, numbers: NDArray[Any], output: Any, size: Size
) -> ForeignNetwork:
    """Return what the probe's answer shows of the network."""
    kind = output.get_element_type().get_type_name()
    described = f"{weights}: its output is {kind} of shape {_shape(numbers)} for an image of {size}"
    expected = "expected a number for each class and place, or labels"
    if kind not in (*_FLOATS, *_WHOLE) or not 2 <= numbers.ndim <= 4:
        raise WeightsError(f"{described}, {expected}")
    added: tuple[int, ...] = {4: (), 3: (1,) if len(numbers) == 1 else (0,), 2: (0, 1)}[numbers.ndim]
    numbers = np.expand_dims(numbers, added)
    likely = (1, 3) if entrance.layout == "nchw" else (3, 1)
    places = [axis for axis in likely if _lies_on(numbers.shape, axis, size)]
    if len(numbers) != 1 or not places:
        raise WeightsError(f"{described}, {expected}, on a grid that lies evenly on the image")
    order = (0, 1, 2, 3) if places[0] == 1 else (0, 3, 1, 2)
    numbers = numbers.transpose(order)
    channels = numbers.shape[1]
    single = channels == 1
    if kind in _WHOLE or (single and bool((numbers == np.round(numbers)).all())):
        if not single:
            raise WeightsError(f"{described}: whole numbers in {channels} channels, expected labels in one")
        lowest, highest = int(numbers.min()), int(numbers.max())
        if lowest < 0 or highest >= MAX_CLASSES:
            raise WeightsError(f"{described}: labels from {lowest} to {highest}, expected 0 to {MAX_CLASSES - 1}")
        answer, classes, single = LABELS, highest + 1, False
    else:
        if channels > MAX_CLASSES:
            raise WeightsError(f"{described}: {channels} classes, expected at most {MAX_CLASSES}")
        # Those of a sigmoid need not add up to 1; logits hardly ever lie there all, and then have the same labels.
        inside = numbers.min() >= -_ROUNDING and numbers.max() <= 1 + _ROUNDING
        answer, classes = PROBABILITIES if inside else LOGITS, max(2, channels)
    end = Exit(number, added, order, single)
    return ForeignNetwork(weights.stem, classes, answer, False, None, False, entrance, end)


def _lies_on(shape: tuple[int, ...], channels: int, size: Size) -> bool:
    """Whether the axes besides this one are the image's height and width, shrunk by the same number."""
    height, width = shape[2:] if channels == 1 else shape[1:3]
    if not min(height, width):
        return False
    down = size.height / height

    def fits(shrunk: float) -> bool:  # up to the rounding of both sides
        return abs(size.width / shrunk - width) <= 1 and abs(size.height / shrunk - height) <= 1

    return (fits(down) or fits(size.width / width)) and 0.5 <= down <= _MOST_SHRUNK


def _with_exit(model: Any, network: ForeignNetwork) -> Any:
    """Return the model with its exit."""
    ov, end = import_openvino(), network.exit
    ops, numbers = ov.opset13, model.output(0).get_node().input_value(0)
    numbers = ops.convert(numbers, "f32").output(0)
    if end.added:
        numbers = ops.unsqueeze(numbers, ops.constant(np.array(end.added))).output(0)
    if end.order != (0, 1, 2, 3):
        numbers = ops.transpose(numbers, ops.constant(np.array(end.order))).output(0)
    if end.single:
        # a logit of "yes" against one of 0, a probability against what it lacks to 1
        is_logit = network.answer == LOGITS
        no = ops.multiply(numbers, np.float32(0)) if is_logit else ops.subtract(np.float32(1), numbers)
        numbers = ops.concat([no, numbers], axis=1).output(0)
    numbers.set_names({"logits"})
    return ov.Model([ops.result(numbers)], model.get_parameters(), "network")


# words ---------------------------------------------------------------------------------------------------------------


def _in_words(network: ForeignNetwork) -> str:
    if network.answer == LABELS:
        return f"labels of {network.classes} or more classes, without confidence"
    single = ", told by one channel: first the rest, then what it finds" if network.exit.single else ""
    return f"{network.answer} of {network.classes} classes{single}"


def _shape(numbers: NDArray[Any]) -> str:
    return "x".join(map(str, numbers.shape))


def _name(port: Any) -> str:
    return printable(min(port.get_names(), default=port.get_node().get_friendly_name()))


def _names(ports: list[Any]) -> str:
    return ", ".join(_name(port) for port in ports[:8]) + (", ..." if len(ports) > 8 else "")
