"""Networks that are not FANet in the form TensorRT is given them, run by ONNX Runtime, and built by a real TensorRT."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from foreign_networks import Kind, own_answer, picture, write_network
from onnx import helper, numpy_helper
from test_tensorrt_build import builds

from fanet_ros.backends.foreign import describe_network
from fanet_ros.backends.tensorrt.api import library
from fanet_ros.backends.tensorrt.foreign import write_wrapped
from fanet_ros.errors import BackendError
from fanet_ros.settings import Size

KINDS = {
    "open": Kind(),
    "probabilities": Kind("softmax", stride=1),
    "one channel": Kind("sigmoid"),
    "argmax": Kind("argmax", stride=1),
    "channels last": Kind(nhwc=True),
    "uint8": Kind(takes_uint8=True, nhwc=True),
    "bgr": Kind(bgr=True, fixed=True),
    "two outputs": Kind(outputs=("main", "auxiliary")),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def wrap(tmp_path: Path, weights: Path) -> Path:
    network = describe_network(weights)
    assert network is not None
    write_wrapped(weights, network, tmp_path / "wrapped.onnx")
    onnx.checker.check_model(str(tmp_path / "wrapped.onnx"), full_check=True)
    return tmp_path / "wrapped.onnx"


def run(path: Path, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (frame,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (frame.name, frame.type, logits.name, logits.type) == (
        "frame",
        "tensor(uint8)",
        "logits",
        "tensor(float)",
    )
    return session.run(None, {"frame": image[None]})[0]


@pytest.mark.parametrize("name", [name for name in KINDS if name != "uint8"])
def test_frames_go_in_and_logits_come_out(name: str, tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, KINDS[name])
    image = picture(192, 128)
    found, expected = run(wrap(tmp_path, weights), image), own_answer(network, image)
    if name == "one channel":
        expected = torch.cat([1 - expected, expected])
    assert found.shape == (1, *expected.shape)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=2e-3)


def test_an_old_opset_does(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind("argmax", stride=1, fixed=True), opset=11)
    image = picture(192, 128)
    np.testing.assert_array_equal(run(wrap(tmp_path, weights), image)[0], own_answer(network, image).numpy())


def test_weights_that_are_inputs_as_well_are_no_image(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind())
    model = onnx.load(weights)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        model.graph.input.insert(0, helper.make_tensor_value_info(tensor.name, tensor.data_type, values.shape))
    onnx.save(model, weights)
    image = picture(192, 128)
    found = run(wrap(tmp_path, weights), image)[0]
    np.testing.assert_allclose(found, own_answer(network, image).numpy(), atol=2e-3)


def test_an_image_that_is_read_within_a_branch(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind())
    model, value = onnx.load(weights), helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, None)
    for node in model.graph.node:
        node.input[:] = ["seen" if name == "image" else name for name in node.input]
    branches = [
        helper.make_graph([helper.make_node(kind, ["image"], ["chosen"])], kind, [], [value])
        for kind in ("Identity", "Neg")
    ]
    choice = helper.make_node("If", ["yes"], ["seen"], then_branch=branches[0], else_branch=branches[1])
    model.graph.node.insert(0, choice)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    onnx.save(model, weights)
    image = picture(192, 128)
    found = run(wrap(tmp_path, weights), image)[0]
    np.testing.assert_allclose(found, own_answer(network, image).numpy(), atol=2e-3)


def test_openvinos_form_is_refused(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind())
    network = describe_network(weights)
    assert network is not None
    with pytest.raises(BackendError, match=r"reads ONNX, but model.xml is OpenVINO's form"):
        write_wrapped(weights.with_suffix(".xml"), network, tmp_path / "wrapped.onnx")


@builds
@pytest.mark.parametrize("name", KINDS)
def test_tensorrt_builds_it(name: str, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, KINDS[name])
    plan = library().build(wrap_unchecked(tmp_path, weights), Size(192, 128), "fp32", typed=False)
    assert len(plan.engine) > 1000
    if not library().mixes_precisions:
        with pytest.raises(BackendError, match="lowers none to fp16: use precision fp32"):
            library().build(tmp_path / "wrapped.onnx", Size(192, 128), "fp16", typed=False)


def wrap_unchecked(tmp_path: Path, weights: Path) -> Path:
    """What takes uint8 is given floats, which TensorRT takes and ONNX's checker does not."""
    network = describe_network(weights)
    assert network is not None
    write_wrapped(weights, network, tmp_path / "wrapped.onnx")
    return tmp_path / "wrapped.onnx"
