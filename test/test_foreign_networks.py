"""Networks that are not FANet, from their file to labels: parity with their own framework, and what is refused."""

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from foreign_networks import CARD, SIZE_LINE, Kind, own_answer, own_labels, picture, write_network

from fanet_ros.artefacts.cache import weights_digest
from fanet_ros.backends.foreign import describe_network
from fanet_ros.backends.request import FrameRequest
from fanet_ros.errors import BackendError, FanetError, LabelSetError, SettingError, WeightsError
from fanet_ros.frames.frame import FrameResizer
from fanet_ros.labelling.postprocess import LabelBuffers, enlarge_labels
from fanet_ros.model.weights import load_weights
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size

KINDS = {
    "segformer": Kind(),
    "full size": Kind(stride=1),
    "fixed": Kind(fixed=True),
    "probabilities": Kind("softmax"),
    "probabilities of each class": Kind("sigmoids"),
    "mmseg": Kind("argmax_keep", stride=1),
    "argmax without channels": Kind("argmax", stride=1, fixed=True),
    "argmax int32 at 1/4": Kind("argmax_int32"),
    "argmax uint8": Kind("argmax_uint8", stride=1),
    "argmax as floats": Kind("argmax_float", stride=1),
    "logits channels last": Kind("logits_last"),
    "argmax channels last": Kind("argmax_last", stride=1),
    "argmax without batch": Kind("argmax_plane", stride=1, fixed=True),
    "tensorflow": Kind(nhwc=True),
    "tensorflow argmax": Kind("argmax", stride=1, nhwc=True),
    "uint8": Kind(takes_uint8=True, nhwc=True),
    "bgr": Kind(bgr=True),
    "two outputs": Kind(outputs=("main", "auxiliary")),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", KINDS)
def test_labels_are_those_of_the_networks_own_framework(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    weights, network = write_network(tmp_path, kind)
    segmenter = Segmenter(weights, backend="openvino", precision="fp32")
    # the card's 192x128 at the frame's shape, in steps of 32
    frame, seen = (picture(192, 128), Size(192, 128)) if kind.fixed else (picture(256, 160), Size(192, 128))
    found = segmenter.segment(frame, confidence=True)
    assert found.input_size == seen
    image = frame if kind.fixed else cv2.resize(frame, seen)
    expected = own_labels(network, image, frame.shape[:2])
    assert len(np.unique(expected)) > 2  # else this says nothing
    assert (found.labels == expected).mean() >= 0.999
    decides = kind.head.startswith("argmax")
    assert (found.confidence is None) == decides
    if not decides:
        answer = own_answer(network, image)
        enlarged = torch.nn.functional.interpolate(answer[None], frame.shape[:2], mode="bilinear")[0]
        sure = (enlarged if kind.head in ("softmax", "sigmoids") else enlarged.softmax(0)).max(0).values
        assert np.abs(found.confidence - 255 * sure.numpy()).max() < 3
    segmenter.close()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("head", ["logits", "softmax", "argmax_keep"])
def test_merged_classes_of_all_kinds_of_answers(head: str, align_corners: bool, tmp_path: Path) -> None:
    kind = Kind(head)
    weights, network = write_network(tmp_path, kind, f"{kind.card}align_corners: {str(align_corners).lower()}\n")
    segmenter, frame = Segmenter(weights, labels="drivable3", backend="openvino", precision="fp32"), picture(192, 128)
    label_of, shape = segmenter.label_set.label_of, (96, 144)
    assert segmenter.label_set.names == ("drivable", "walkable", "obstacle") and label_of is not None
    out = LabelBuffers(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    found = segmenter.segment(frame, output_size=Size(144, 96), confidence=True, out=out)
    answer = own_answer(network, frame)
    if head == "argmax_keep":
        own, _ = enlarge_labels(answer.numpy(), Size(144, 96), 19, align_corners=align_corners)
        np.testing.assert_array_equal(found.labels, label_of[own])
        assert found.confidence is None
    else:
        wide = F.interpolate(answer[None], shape, mode="bilinear", align_corners=align_corners)[0]
        each, ids = wide if head == "softmax" else wide.softmax(0), np.unique(label_of)
        sums = torch.stack([each[label_of == label].sum(0) for label in ids])
        assert (found.labels == ids[sums.argmax(0).numpy()]).mean() >= 0.999
        assert (label_of[wide.argmax(0).numpy()] != found.labels).mean() > 0.005, "the sums matter"
        assert found.confidence is not None
        assert np.abs(found.confidence - 255 * sums.max(0).values.numpy()).max() < 3
    assert len(np.unique(found.labels)) > 1
    segmenter.close()


@pytest.mark.parametrize("labels", ["", "drivable3"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("head", ["logits", "softmax", "sigmoids"])
def test_what_another_network_can_learn_of_it(head: str, align_corners: bool, labels: str, tmp_path: Path) -> None:
    kind = Kind(head)
    weights, network = write_network(tmp_path, kind, f"{kind.card}align_corners: {str(align_corners).lower()}\n")
    segmenter, frame = Segmenter(weights, labels=labels, backend="openvino", precision="fp32"), picture(192, 128)
    found, soft = segmenter.segment_softly(frame, "rgb8", Size(64, 43))
    np.testing.assert_array_equal(found.labels, segmenter.segment(frame).labels)
    assert soft.shape == (len(segmenter.label_set), 43, 64)
    frame = picture(195, 129)  # a point is the centre of three by three pixels
    found, soft = segmenter.segment_softly(frame, "rgb8", Size(65, 43))
    answer = own_answer(
        network, FrameResizer(align_corners=align_corners).to_network_input(frame, "rgb8", found.input_size)
    )
    wide = F.interpolate(answer[None], (129, 195), mode="bilinear", align_corners=align_corners)[0]
    each = (wide.softmax(0) if head == "logits" else wide / wide.sum(0).clamp(min=1)).numpy()
    if segmenter.label_set.label_of is not None:
        each = np.stack([each[segmenter.label_set.label_of == label].sum(0) for label in range(3)])
    np.testing.assert_allclose(soft, each[:, 1::3, 1::3], atol=1e-3)
    segmenter.close()


def test_labels_alone_are_no_teacher(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind("argmax_keep"))
    with pytest.raises(SettingError, match=r"gives labels alone.*export it with its logits"):
        Segmenter(weights, backend="openvino").segment_softly(picture(192, 128), "rgb8", Size(64, 43))


@pytest.mark.parametrize("head", ["sigmoid", "boolean"])
def test_one_channel_tells_two_classes(head: str, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("classes: [{name: rest, color: [0, 0, 0]}, {name: road, color: [9, 9, 9]}]\n")
    card = CARD.replace("cityscapes19", "two.yaml") + SIZE_LINE
    weights, network = write_network(tmp_path, Kind(head), card)
    segmenter = Segmenter(weights, backend="openvino")
    frame = picture(192, 128)
    found = segmenter.segment(frame).labels
    assert 0.1 < found.mean() < 0.9
    assert (found == own_labels(network, frame, frame.shape[:2])).mean() >= 0.999


def test_several_frames_run_as_one_batch_where_the_file_allows_it(tmp_path: Path) -> None:
    frames = [picture(192, 128, seed) for seed in range(3)]
    for kind, batch in ((KINDS["segformer"], 3), (KINDS["fixed"], 1)):
        weights, network = write_network(tmp_path, kind)
        segmenter = Segmenter(weights, backend="openvino")
        segmenter.warm_up(batch=3)
        assert (segmenter.batching.batch == batch) or segmenter.batching.reason
        for result, frame in zip(
            segmenter.segment_batch([FrameRequest(f, "rgb8") for f in frames]), frames, strict=True
        ):
            assert not isinstance(result, FanetError)
            assert (result.labels == own_labels(network, frame, (128, 192))).mean() >= 0.999


def test_aligned_corners_are_believed(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind(), Kind().card + "align_corners: true\n")
    frame = picture(192, 128)
    found = Segmenter(weights, backend="openvino").segment(frame).labels
    answer = own_answer(network, frame)[None]
    expected = torch.nn.functional.interpolate(answer, (128, 192), mode="bilinear", align_corners=True)[0].argmax(0)
    assert (found == expected.numpy()).mean() >= 0.999


def test_mean_and_std_of_whole_pixels_need_no_scale(tmp_path: Path) -> None:
    """As mmsegmentation's configurations have them."""
    card = CARD.replace("scale: 1/255\n", "") + SIZE_LINE
    for numbers in ("0.485, 0.456, 0.406", "0.229, 0.224, 0.225"):
        card = card.replace(numbers, ", ".join(f"{255 * float(number):.6g}" for number in numbers.split(", ")))
    weights, network = write_network(tmp_path, Kind(), card)
    frame = picture(192, 128)
    found = Segmenter(weights, backend="openvino").segment(frame).labels
    assert (found == own_labels(network, frame, (128, 192))).mean() >= 0.999


def test_openvinos_form_does_the_same(tmp_path: Path) -> None:
    import openvino

    weights, network = write_network(tmp_path, Kind())
    converted = tmp_path / "converted.xml"
    openvino.save_model(openvino.convert_model(weights), converted, compress_to_fp16=False)
    converted.with_suffix(".md").write_text(weights.with_suffix(".md").read_text())
    frame = picture(192, 128)
    found = Segmenter(converted, backend="openvino").segment(frame).labels
    assert (found == own_labels(network, frame, (128, 192))).mean() >= 0.999
    (tmp_path / "renamed.xml").write_bytes(weights.read_bytes())
    with pytest.raises(WeightsError, match="no XML, so it is not OpenVINO's form"):
        Segmenter(tmp_path / "renamed.xml")
    converted.with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match="converted.bin, are missing"):
        Segmenter(converted)


# what a card can get wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "card", "message"),
    [
        (Kind(), "", "no card says which pixels they are"),
        (Kind(), "label_set: cityscapes19\n", "no card says which pixels they are"),
        (Kind(), CARD.replace("label_set: cityscapes19\n", ""), "has 19 classes, and no card names their label set"),
        (Kind(), CARD.replace("cityscapes19", "camvid11"), "'camvid11' has 11 classes but the weights have 19"),
        (Kind("sigmoid"), CARD, "the weights have 2; .*; its one channel tells two classes: first the rest"),
        (Kind("argmax"), CARD.replace("cityscapes19", "idd7"), "'idd7' has 7 classes but the weights have 1"),
        (Kind(), CARD.replace("1/255", "255"), "scale: received 255, expected"),
        (Kind(), CARD.replace("1/255", "1"), "do not fit each other: black and white would become -2.1"),
        (Kind(), CARD.replace("[0.485", "[123.7"), "do not fit each other"),
        (Kind(), CARD.replace("[0.485, ", "["), "mean: received .*, expected three numbers"),
        (Kind(), CARD.replace("0.229", "0"), "std: received .*, expected three numbers above 0"),
        (Kind(), CARD.replace("mean:", "means:"), "received 'means', did you mean mean?"),
        (Kind(), CARD.replace("mean:", "Mean:"), "received 'Mean', did you mean mean?"),
        (Kind(), CARD + "color_order: bgr\n", "received 'color_order', did you mean channel_order?"),
        (Kind(), CARD.replace("[0.229, 0.224, 0.225]", "58").replace("1/255", "1"), "do not fit each other"),
        (Kind(), CARD + "channel_order: grb\n", "channel_order: received 'grb', expected rgb or bgr"),
        (Kind(), CARD + "align_corners: perhaps\n", "align_corners: received 'perhaps', expected true or false"),
        (Kind(), CARD + "layout: nhwc\n", r"shape \[\?,3,\?,\?\], and the card says layout nhwc"),
        (Kind(), CARD + "output: missing\n", "output 'missing', but the network has logits"),
        (Kind(), CARD + "output: 1.5\n", "output: received 1.5, expected the name of .*, in quotes"),
        (Kind(outputs=("a", "b")), CARD, r"has 2 outputs \(a, b\): say in its card which one"),
        (Kind(outputs=("a", "b")), CARD + "output: b\n", "has 19 classes but the weights have 2"),
        (Kind(fixed=True), CARD + "input_size: 640x360\n", "input_size 640x360, but the network takes 192x128 only"),
        (Kind(takes_uint8=True), CARD, "takes uint8 pixels and normalises them itself"),
    ],
)
def test_a_wrong_card_is_one_clear_error(kind: Kind, card: str, message: str, tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, kind, card)
    with pytest.raises(LabelSetError if "layout" not in card else WeightsError, match=message):
        Segmenter(weights, backend="openvino")


@pytest.mark.parametrize("nhwc", [False, True])
def test_the_layout_is_found_where_all_sides_are_open(nhwc: bool, tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind(nhwc=nhwc))

    def all_open(model: onnx.ModelProto) -> None:
        for value in (model.graph.input[0], model.graph.output[0]):
            for axis, side in enumerate(value.type.tensor_type.shape.dim):
                side.dim_param = f"axis_{axis}"

    image = picture(192, 128)
    found = Segmenter(changed(weights, all_open), backend="openvino", precision="fp32").segment(image)
    assert (found.labels == own_labels(network, image, (128, 192))).mean() >= 0.999


def test_an_output_may_be_named_by_a_number(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(outputs=("a", "b")), CARD + "output: 101\n")

    def renamed(model: onnx.ModelProto) -> None:
        names = dict(zip("ab", ("101", "202"), strict=True))
        for node in model.graph.node:
            node.output[:] = [names.get(each, each) for each in node.output]
            node.input[:] = [names.get(each, each) for each in node.input]
        for output in model.graph.output:
            output.name = names[output.name]

    found = Segmenter(changed(weights, renamed), backend="openvino").segment(picture(192, 128))
    assert len(np.unique(found.labels)) > 2


def test_a_changed_card_is_another_network(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind())
    before, frame = Segmenter(weights, backend="openvino").segment(picture(192, 128)).labels, picture(192, 128)
    digest = weights_digest(weights)
    card = weights.with_suffix(".md")
    card.write_text(card.read_text() + "\nwords alone change nothing\n")
    assert weights_digest(weights) == digest
    card.write_text(card.read_text().replace("label_set", "channel_order: bgr\nlabel_set"))
    assert weights_digest(weights) != digest
    assert (Segmenter(weights, backend="openvino").segment(frame).labels != before).mean() > 0.1


# what files can get wrong ---------------------------------------------------------------------------------------------


def changed(weights: Path, change) -> Path:
    model = onnx.load(weights)
    change(model)
    onnx.save(model, weights)
    return weights


def test_what_is_no_network_at_all_is_told_as_of_all_weights(tmp_path: Path) -> None:
    (tmp_path / "a_folder.onnx").mkdir()
    os.mkfifo(tmp_path / "a_pipe.onnx")
    (tmp_path / "device.onnx").symlink_to("/dev/zero")
    contents = {
        "lfs.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        "page.onnx": b"<html>nothing</html>",
        "page.xml": b"<!DOCTYPE html>",
        "empty.onnx": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name, reason in {
        "a_folder.onnx": "not a file; give",
        "a_pipe.onnx": "it is a pipe, and no file",
        "device.onnx": "it is a device, and no file",
        "lfs.onnx": "run `git lfs pull`",
        "page.onnx": "a web page, not weights",
        "page.xml": "a web page, not weights",
        "empty.onnx": "the file is empty",
        "none.onnx": "no such weights file",
    }.items():
        with pytest.raises(WeightsError, match=reason):
            Segmenter(tmp_path / name)


def test_damaged_and_strange_files_are_refused(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind())
    whole = weights.read_bytes()
    for content in (b"\x00" * 100, whole[:-100], whole[: len(whole) // 2], whole[:3]):
        weights.write_bytes(content)
        with pytest.raises(WeightsError, match="damaged or truncated ONNX file, or not one at all"):
            Segmenter(weights)
    weights.write_bytes(whole)

    def custom(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain, model.graph.node[0].op_type = "com.example", "Magic"

    def not_finite(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.name.endswith("classifier.bias"))
        values = np.frombuffer(tensor.raw_data, np.float32).copy()
        values[0] = np.nan
        tensor.raw_data = values.tobytes()

    def bomb(model: onnx.ModelProto) -> None:  # a few bytes that ask for ten terabytes
        graph, node = model.graph, onnx.helper.make_node
        graph.initializer.append(onnx.helper.make_tensor("sides", onnx.TensorProto.INT64, [2], [10**6, 25 * 10**5]))
        graph.node.insert(0, node("ConstantOfShape", ["sides"], ["large"]))
        graph.node.insert(1, node("ReduceMean", ["large"], ["small"], keepdims=0))
        graph.node.append(node("Add", [graph.output[0].name, "small"], ["sum"]))
        graph.output[0].name = "sum"

    def huge(model: onnx.ModelProto) -> None:
        for axis, side in ((2, 100_000), (3, 100_000)):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side

    def grey(model: onnx.ModelProto) -> None:
        model.graph.node[0].input[0], model.graph.input[0].name = "three", "grey"
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
        model.graph.node.insert(0, onnx.helper.make_node("Concat", ["grey"] * 3, ["three"], axis=1))

    def batch(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4

    for change, message in (
        (custom, "OpenVINO cannot read it: it does not know these operations: com.example.Magic"),
        (not_finite, "not all finite numbers"),
        (bomb, "it asks for more memory than there is$"),
        (huge, "takes images of 100000x100000, expected sides from 32 to 8192"),
        (grey, r"its input 'grey' is f32 of shape \[\?,1,\?,\?\], expected float or uint8, \(N, 3"),
        (batch, "it takes 4 images at once|OpenVINO cannot read it"),
    ):
        weights.write_bytes(whole)
        with pytest.raises(WeightsError, match=message):
            Segmenter(changed(weights, change))


def test_weights_beside_the_file_are_read_and_those_elsewhere_are_not(tmp_path: Path) -> None:
    weights, network = write_network(tmp_path, Kind())
    onnx.save(onnx.load(weights), weights, save_as_external_data=True, location="big.data", size_threshold=0)
    frame, digest = picture(192, 128), weights_digest(weights)
    found = Segmenter(weights, backend="openvino").segment(frame).labels
    assert (found == own_labels(network, frame, (128, 192))).mean() >= 0.999
    data = tmp_path / "big.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    assert weights_digest(weights) != digest

    outside = tmp_path / "elsewhere"
    outside.mkdir()
    data.rename(outside / "big.data")
    with pytest.raises(WeightsError, match="'big.data', which is missing"):
        Segmenter(weights)
    data.symlink_to(outside / "big.data")  # within the folder above, but a link may not lead out of the file's own
    inner = tmp_path / "inner"
    inner.mkdir()
    weights.rename(inner / "model.onnx")
    for name in ("../elsewhere/big.data", str(outside / "big.data"), "/etc/passwd"):

        def elsewhere(model: onnx.ModelProto, name: str = name) -> None:
            for tensor in model.graph.initializer:
                tensor.external_data[0].value = name

        model = onnx.load(inner / "model.onnx", load_external_data=False)
        elsewhere(model)
        (inner / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(WeightsError, match="which is not in its folder"):
            Segmenter(inner / "model.onnx")


@pytest.mark.parametrize(
    ("stride", "card", "message"),
    [
        (1, CARD, "of shape 128x192 for an image of 320x192"),
        (4, CARD, "on an image of 320x192: .*was it exported for one only"),
        (4, CARD + SIZE_LINE, "on an image of 224x192: .*was it exported for one only"),
    ],
)
def test_a_file_that_says_any_size_and_means_one_is_told_of(
    stride: int, card: str, message: str, tmp_path: Path
) -> None:
    weights, _ = write_network(tmp_path, Kind("argmax_plane", stride=stride, fixed=True), card)

    def open_up(model: onnx.ModelProto) -> None:
        graph = model.graph
        shape = [1, 19, 128 // stride, 192 // stride]  # as exporters write it down that have seen one image
        graph.initializer.append(onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [4], shape))
        place, argmax = next((i, node) for i, node in enumerate(graph.node) if node.op_type == "ArgMax")
        graph.node.insert(place, onnx.helper.make_node("Reshape", [argmax.input[0], "shape"], ["reshaped"]))
        argmax.input[0] = "reshaped"
        for axis in (2, 3):
            graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
        for side in graph.output[0].type.tensor_type.shape.dim:
            side.ClearField("dim_value")

    with pytest.raises(WeightsError, match=message):
        Segmenter(changed(weights, open_up))


# what only FANet does -------------------------------------------------------------------------------------------------


def test_what_only_fanet_does_refuses_others_in_words(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind())
    with pytest.raises(BackendError, match="backend torch runs FANet only"):
        Segmenter(weights, backend="torch")
    with pytest.raises(SettingError, match="video memory .* is for FANet only, but model.onnx is another network"):
        Segmenter(weights, temporal_frames=2)
    with pytest.raises(WeightsError, match="needs the weights of a FANet"):
        load_weights(weights)


def test_a_network_of_fixed_size_has_no_other(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind(fixed=True))
    for asked in ("camera", "640x352"):
        with pytest.raises(SettingError, match="takes images of 192x128 only"):
            Segmenter(weights, input_size=asked)
    with pytest.raises(SettingError, match="no smaller input for a latency budget"):
        Segmenter(weights, scales=(1.0, 0.5))
    assert Segmenter(weights, input_size="192x128", backend="openvino").input_size_for(Size(1280, 720)) == (192, 128)


def test_that_there_is_no_confidence_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights, _ = write_network(tmp_path, Kind("argmax", stride=1))
    with caplog.at_level(logging.WARNING):
        segmenter = Segmenter(weights, backend="openvino")
        for _ in range(3):
            found = segmenter.segment(picture(192, 128), confidence=True, confidence_threshold=0.9)
            assert found.confidence is None and (found.labels != 255).all()
    assert caplog.text.count("there is no confidence") == 1
    assert not segmenter.has_confidence


def test_what_was_found_is_told(tmp_path: Path) -> None:
    weights, _ = write_network(tmp_path, Kind("softmax", stride=1, fixed=True))
    network = describe_network(weights)
    assert network is not None
    assert network.findings == (
        "input 'image': f32, NCHW, 192x128 only, one image at a time",
        "output 'logits': probabilities of 19 classes, at 1x19x128x192 for an image of 192x128",
    )
    assert describe_network(tmp_path / "model.pth") is None
