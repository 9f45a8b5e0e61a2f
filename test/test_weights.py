"""Every public form of FANet weights loads; everything else is refused with one error that says why.

Most checkpoints here hold, under each key, one number broadcast to the tensor's shape: torch stores that number alone,
so that the files are small, and a different number per key shows any confusion of keys.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fanet_ros.errors import WeightsError
from fanet_ros.model.network import BACKBONES, FANet, FANetConfig
from fanet_ros.model.weights import load_network, load_weights
from fanet_ros.resources import DEFAULT_WEIGHTS

State = dict[str, Tensor]


def state_of(backbone: str = "resnet18", classes: int = 7, auxiliary: bool = False) -> State:
    """A state dict in the fam_*/clslayer layout whose k-th tensor is filled with k / 64, exact in half precision."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in FANet(FANetConfig(backbone, classes, auxiliary)).state_dict().items()}
    return {name: torch.tensor(k / 64).expand(shape) for k, (name, shape) in enumerate(shapes.items())}


def in_training_layout(state: State) -> State:
    """The same tensors under the names of the authors' Train tree."""
    return {name.replace("fam_", "ffm_").replace("clslayer.", "clslayer_8."): t for name, t in state.items()}


def without(state: State, prefix: str) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def assert_loads(path: Path, expected: State, backbone: str = "resnet18", classes: int = 7) -> None:
    """Every tensor of the network, and no other, has the expected number."""
    weights = load_weights(path)
    assert weights.config == FANetConfig(backbone, classes)
    assert weights.source == path
    names = {name for name in expected if "num_batches" not in name and not name.startswith("clslayer_")}
    assert weights.state_dict.keys() == names
    for name, tensor in weights.state_dict.items():
        assert tensor.dtype == torch.float32 and tensor.is_contiguous()
        assert tensor.shape == expected[name].shape
        assert (tensor == expected[name]).all(), name


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_shipped_weights_load():
    weights = load_weights(DEFAULT_WEIGHTS)
    assert weights.config == FANetConfig("resnet18", 11)
    assert weights.config.name == "FANet-18"
    network = load_network(str(DEFAULT_WEIGHTS))
    assert not network.training
    stored = load_file(DEFAULT_WEIGHTS)
    for name, tensor in network.state_dict().items():
        assert "num_batches" in name or torch.equal(tensor, stored[name].float()), name


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("layout", [dict, in_training_layout])
def test_backbone_classes_and_layout_are_inferred(tmp_path, backbone, layout):
    state = state_of(backbone, classes=7, auxiliary=layout is in_training_layout)
    assert_loads(saved(tmp_path / "weights.pth", layout(state)), state, backbone, classes=7)


@pytest.mark.parametrize("wrapper", [None, "model_state", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_prefix(tmp_path, wrapper, prefix):
    state = state_of()
    content: dict[str, Any] = {prefix + name: tensor for name, tensor in state.items()}
    content = {wrapper: content, "epoch": 3} if wrapper else content
    assert_loads(saved(tmp_path / "weights.pt", content), state)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_of_the_authors_training(tmp_path, zipped):
    """With its optimizer and its best IoU, a numpy scalar; in the present format of torch and in the legacy one."""
    state = state_of(classes=19, auxiliary=True)
    content = {
        "iter": 40_000,
        "model_state": in_training_layout(state),
        "best_iou": np.float64(0.744),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]},
    }
    path = saved(tmp_path / "best_model.pkl", content, _use_new_zipfile_serialization=zipped)
    assert_loads(path, state, classes=19)
    if not zipped:  # numpy 1, with which most were saved, had another name for it
        old = path.read_bytes().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
        assert old != path.read_bytes()
        path.write_bytes(old)
        assert_loads(path, state, classes=19)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32(tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in state_of().items()}
    assert_loads(saved(tmp_path / "weights.pth", state), state)


def test_what_inference_does_not_need_may_be_absent_or_present(tmp_path):
    state = state_of(auxiliary=True)
    lean = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    for branch in ("clslayer_32.", "clslayer_16.", "fam_32.smooth.", "fam_8.smooth.", "fam_4.up."):
        lean = without(lean, branch)
    path = saved(tmp_path / "lean.pth", lean)
    assert_loads(path, lean)
    network = load_network(path)
    assert network.clslayer.conv_out.weight.unique() == lean["clslayer.conv_out.weight"].unique()
    classifier = {"resnet.fc.weight": torch.ones(1000, 512), "resnet.fc.bias": torch.ones(1000)}
    assert_loads(saved(tmp_path / "rich.pth", state | classifier), state)


def test_content_decides_not_the_suffix(tmp_path):
    state = {name: tensor.clone() for name, tensor in state_of().items()}
    save_file(state, tmp_path / "weights.pth")
    assert_loads(tmp_path / "weights.pth", state)
    assert_loads(saved(tmp_path / "weights.safetensors", state_of()), state)


def test_all_that_does_not_fit_is_one_error(tmp_path):
    state = without(state_of("resnet34"), "fam_16.w_qs.")
    state["fam_16.extra.weight"] = torch.ones(1)
    state["clslayer.conv.conv.weight"] = torch.ones(256, 512, 3, 3)
    state["resnet.conv1.weight"] = torch.ones(64, 3, 7, 7, dtype=torch.int8)
    message = refusal(saved(tmp_path / "weights.pth", state))
    assert message.splitlines() == [
        "does not fit FANet-34, the closest of 3 networks",
        "  missing: fam_16.w_qs.conv.weight, fam_16.w_qs.bn.weight, fam_16.w_qs.bn.bias, "
        "fam_16.w_qs.bn.running_mean, fam_16.w_qs.bn.running_var (5 keys)",
        "  left over: fam_16.extra.weight (1 key)",
        "  wrong shape: clslayer.conv.conv.weight (expected (256, 256, 3, 3), received (256, 512, 3, 3)) (1 key)",
        "  not dense floating point: resnet.conv1.weight (torch.int8) (1 key)",
        "  likely cause: a modified FANet, or another version of it; give weights of the published architecture",
    ]


def imagenet_encoder() -> State:
    return {n.removeprefix("resnet."): t for n, t in state_of().items() if n.startswith("resnet.")}


def deeper_encoder() -> State:
    """As of FANet-101: more blocks in the third stage than any encoder that is supported."""
    state = state_of("resnet50")
    extra = {n.replace("layer3.5.", "layer3.6."): t for n, t in state.items() if ".layer3.5." in n}
    return state | extra


@pytest.mark.parametrize(
    ("state", "network", "cause"),
    [
        (imagenet_encoder(), "FANet-18", "these are the weights of a ResNet encoder alone"),
        (
            without(without(state_of(), "fam_"), "clslayer"),
            "FANet-18",
            "these are the weights of a ResNet encoder alone",
        ),
        ({"backbone.features.0.weight": torch.ones(3)}, "FANet-18", "these are the weights of another architecture"),
        (without(state_of(), "resnet.layer4."), "FANet-18", "an incomplete checkpoint"),
        (without(state_of(), "fam_8.smooth.bn."), "FANet-18", "an incomplete checkpoint"),  # half a spare branch
        (without(state_of(), "clslayer."), "FANet-18", "an incomplete checkpoint"),
        (deeper_encoder(), "FANet-50", "an encoder other than ResNet-18, -34 or -50"),
        ({n: t.to(torch.int8) for n, t in state_of().items()}, "FANet-18", "quantised or exported"),
        (state_of() | {"clslayer.conv_out.weight": torch.ones(7)}, "FANet-18", "a modified FANet"),
    ],
)
def test_likely_cause_is_named(tmp_path, state, network, cause):
    message = refusal(saved(tmp_path / "weights.pth", state))
    assert message.startswith(f"does not fit {network}")
    assert f"likely cause: {cause}" in message.splitlines()[-1]


def test_long_lists_are_shortened(tmp_path):
    message = refusal(saved(tmp_path / "weights.pth", imagenet_encoder()))
    left_over = next(line for line in message.splitlines() if line.startswith("  left over: "))
    assert left_over.count(", ") == 8 and left_over.endswith(f", ... ({len(imagenet_encoder()) - 21} keys)")


def test_both_layouts_at_once_are_refused(tmp_path):
    state = state_of() | in_training_layout(state_of())
    assert "occur in both public layouts" in refusal(saved(tmp_path / "weights.pth", state))


def test_impossible_class_count_is_refused(tmp_path):
    state = state_of() | {"clslayer.conv_out.weight": torch.ones(1000, 256, 1, 1)}
    assert "1000 outputs: classes must be an integer from 1 to 255" in refusal(saved(tmp_path / "w.pth", state))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    state = state_of()
    state["fam_4.smooth.bn.running_mean"] = torch.tensor(value).expand(128)
    message = refusal(saved(tmp_path / "weights.pth", state))
    assert "fam_4.smooth.bn.running_mean (1 key) hold NaN or infinity" in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer.*`git lfs pull`"),
        (b"\n<!DOCTYPE html>\n<html>sign in</html>", "a web page, not weights"),
        (b"\x08\x07\x12\x07pytorch", "neither a safetensors file nor a torch checkpoint"),
        (b"PK\x03\x04" + bytes(100), "a damaged or truncated torch checkpoint"),
        (b"\x80\x02}q\x00", "a damaged or truncated torch checkpoint"),
        (DEFAULT_WEIGHTS.read_bytes()[:100_000], "a damaged or truncated safetensors file"),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, content, complaint):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=complaint):
        load_weights(path)


def test_a_name_that_is_no_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.safetensors")
    path.write_bytes(DEFAULT_WEIGHTS.read_bytes())
    assert load_network(path).config == load_network(DEFAULT_WEIGHTS).config


def test_truncated_torch_checkpoint_is_refused(tmp_path):
    path = saved(tmp_path / "weights.pth", state_of())
    path.write_bytes(path.read_bytes()[:-1000])
    assert "a damaged or truncated torch checkpoint" in refusal(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    assert "no such weights file" in refusal(tmp_path / "absent.safetensors")
    assert "not a file" in refusal(tmp_path)


def test_pickled_code_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (trace,))

    message = refusal(saved(tmp_path / "hostile.pth", {"model_state": Hostile()}))
    assert "which is refused because unpickling it may run code" in message
    assert not trace.exists()
    message = refusal(saved(tmp_path / "module.pth", torch.nn.Conv2d(1, 1, 1)))
    assert "needs torch.nn.modules.conv.Conv2d" in message
    assert "torch.save(model.state_dict(), 'weights.pth')" in message


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.jit"
)  # such archives exist, though torch now makes others
@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file:UserWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.trace(torch.nn.ReLU(), torch.ones(1)).save(tmp_path / "script.pt")
    assert "a TorchScript archive" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([torch.ones(1)], "holds a list where named tensors belong"),
        ({}, "holds a dict where named tensors belong"),
        ({"epoch": 3, "net": {"a": torch.ones(1)}}, "epoch, net \\(2 keys\\) are no tensors.*model_state, state_dict"),
    ],
)
def test_checkpoints_without_a_state_dict_are_refused(tmp_path, content, complaint):
    with pytest.raises(WeightsError, match=complaint):
        load_weights(saved(tmp_path / "weights.pth", content))


def test_the_state_of_a_training_names_its_weights(tmp_path):
    path = saved(tmp_path / "last.pt", {"format": 2, "iteration": 7, "learner": {"network": state_of()}})
    assert "fanet train --resume" in refusal(path) and "once it has validated or ended" in refusal(path)
    (tmp_path / "final.safetensors").touch()
    assert refusal(path).endswith(f"the weights are {tmp_path / 'final.safetensors'}")
    (tmp_path / "best.safetensors").touch()
    assert refusal(path).endswith(f"are {tmp_path / 'best.safetensors'} or {tmp_path / 'final.safetensors'}")


def test_a_relative_path_tells_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("mine.pth")) == f"no such weights file (looked for in {tmp_path}); check the path"


def authors_checkpoint(path: Path) -> Path:
    return saved(path, {"model_state": in_training_layout(state_of(auxiliary=True)), "best_iou": np.float64(0.744)})


def test_a_torch_that_only_adds_permissions_gets_them_back(tmp_path, monkeypatch):
    """As torch 2.4 does."""
    monkeypatch.delattr(torch.serialization, "safe_globals")
    torch.serialization.add_safe_globals([Path])
    before = torch.serialization.get_safe_globals()
    try:
        assert_loads(authors_checkpoint(tmp_path / "best_model.pkl"), state_of(auxiliary=True))
        assert set(torch.serialization.get_safe_globals()) == set(before)
    finally:
        torch.serialization.clear_safe_globals()


def test_a_torch_without_permissions_reads_tensors_and_says_what_it_cannot(tmp_path, monkeypatch):
    """As torch before 2.4 does."""
    monkeypatch.delattr(torch.serialization, "safe_globals")
    monkeypatch.delattr(torch.serialization, "add_safe_globals")
    assert_loads(saved(tmp_path / "weights.pth", state_of()), state_of())
    message = refusal(authors_checkpoint(tmp_path / "best_model.pkl"))
    assert "a pickle that needs numpy." in message and message.endswith("or use torch 2.4 or later here")


@pytest.mark.parametrize(
    "said", ["Unsupported global: GLOBAL os.system was not an allowed global", "Unsupported class os.system"]
)
def test_what_torch_refuses_is_named_whichever_torch_it_is(said, tmp_path, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    path = saved(tmp_path / "weights.pth", state_of())
    monkeypatch.setattr(torch, "load", refuse)
    assert "needs os.system, which is refused" in refusal(path)
