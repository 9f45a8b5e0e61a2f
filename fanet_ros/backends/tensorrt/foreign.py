"""A network that is not FANet as an ONNX file with the input and output of FANet's exported graph, for TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fanet_ros.errors import BackendError
from fanet_ros.model.foreign import LOGITS, ForeignNetwork
from fanet_ros.model.foreign_files import network_files
from fanet_ros.model.graph import INPUT_NAME, OUTPUT_NAME

_WITH_AXES_AS_INPUT = 13  # the opset from which on Unsqueeze is told its axes by a tensor


def write_wrapped(weights: Path, network: ForeignNetwork, path: Path) -> None:
    """Write the network with its entrance and exit (fanet_ros.model.foreign): `frame` in, `logits` out.

    Args:
        weights: an ONNX file.
        network: what it takes and gives.
        path: of the file to write, which holds all weights.

    Raises:
        BackendError: it is no ONNX file, or onnx is missing; says what to do.
        WeightsError: the file cannot be used any more.
    """
    if weights.suffix.lower() != ".onnx":
        raise BackendError(f"backend tensorrt reads ONNX, but {weights.name} is OpenVINO's form; give the .onnx file")
    try:
        import onnx
        from onnx import compose, helper
    except ImportError as error:
        raise BackendError(
            f"backend tensorrt needs onnx for other networks than FANet ({error}): pip install onnx"
        ) from None
    network_files(weights)  # none of them lies elsewhere
    model = compose.add_prefix(onnx.load(str(weights)), "network/", inplace=True)  # its names may be ours
    graph, entrance, end = model.graph, network.entrance, network.exit
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)
    before: list[Any] = []
    after: list[Any] = []

    def constant(name: str, values: Any, kind: int = onnx.TensorProto.FLOAT, shape: tuple[int, ...] = ()) -> str:
        graph.initializer.append(helper.make_tensor(f"fanet_{name}", kind, shape or (len(values),), values))
        return f"fanet_{name}"

    def add(nodes: list[Any], kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"fanet_{len(before)}_{len(after)}"
        nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    weighted = {tensor.name for tensor in graph.initializer}
    image = next(each for each in graph.input if each.name not in weighted)
    now = add(before, "Cast", [INPUT_NAME], to=onnx.TensorProto.FLOAT)  # TensorRT can do nothing else with uint8
    if entrance.blue_first:
        now = add(before, "Gather", [now, constant("order", [2, 1, 0], onnx.TensorProto.INT64)], axis=3)
    if any(entrance.offset):
        now = add(before, "Sub", [now, constant("offset", entrance.offset)])
    if set(entrance.divisor) != {1.0}:
        now = add(before, "Div", [now, constant("divisor", entrance.divisor)])
    if entrance.layout == "nchw":
        now = add(before, "Transpose", [now], perm=[0, 3, 1, 2])
    if entrance.type not in ("f32", "u8"):  # what takes uint8 begins with a cast, which is content with floats
        now = add(before, "Cast", [now], to=image.type.tensor_type.elem_type)
    before.append(helper.make_node("Identity", [now], [image.name]))  # whoever reads it, also within a branch or loop

    now = add(after, "Cast", [graph.output[end.number].name], to=onnx.TensorProto.FLOAT)
    if end.added and opset >= _WITH_AXES_AS_INPUT:
        now = add(after, "Unsqueeze", [now, constant("axes", end.added, onnx.TensorProto.INT64)])
    elif end.added:
        now = add(after, "Unsqueeze", [now], axes=list(end.added))
    if end.order != (0, 1, 2, 3):
        now = add(after, "Transpose", [now], perm=list(end.order))
    if end.single and network.answer == LOGITS:
        now = add(after, "Concat", [add(after, "Mul", [now, constant("nothing", [0.0])]), now], axis=1)
    elif end.single:
        now = add(after, "Concat", [add(after, "Sub", [constant("one", [1.0]), now]), now], axis=1)
    after.append(helper.make_node("Identity", [now], [OUTPUT_NAME]))

    size = ("height", "width") if network.size is None else (network.size.height, network.size.width)
    frame = helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.UINT8, (1, *size, 3))
    logits = helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, (1, None, None, None))
    fields: dict[str, list[Any]] = {"node": [*before, *graph.node, *after], "input": [frame], "output": [logits]}
    for field, values in fields.items():
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be inputs, too
    graph.ClearField("value_info")  # shapes that another batch may have had
    onnx.save(model, str(path))
