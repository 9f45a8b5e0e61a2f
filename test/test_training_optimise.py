import pytest
import torch
from torch import nn

from fanet_ros.model.network import FANet, FANetConfig
from fanet_ros.training.optimise import make_average, make_optimizer, make_schedule
from fanet_ros.training.recipe_learning import OptimizerRecipe


def recipe(**settings: object) -> OptimizerRecipe:
    return OptimizerRecipe.model_validate({"rate": 0.1, **settings})


@pytest.mark.parametrize(("kind", "expected"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_encoder_and_norms_have_settings_of_their_own(kind: str, expected: type) -> None:
    network = FANet(FANetConfig("resnet18", 3))
    network.fam_4.up.requires_grad_(False)
    optimizer = make_optimizer(network, recipe(kind=kind, encoder_rate=0.1, weight_decay=0.01, momentum=0.8))
    assert isinstance(optimizer, expected)
    setting = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert setting[id(network.resnet.conv1.weight)] == (pytest.approx(0.01), 0.01)
    assert setting[id(network.resnet.bn1.weight)] == (pytest.approx(0.01), 0)
    assert setting[id(network.clslayer.conv_out.weight)] == (pytest.approx(0.1), 0.01)
    assert setting[id(network.clslayer.conv.bn.bias)] == (pytest.approx(0.1), 0)
    assert id(network.fam_4.up.conv.weight) not in setting
    assert len(setting) == sum(parameter.requires_grad for parameter in network.parameters())
    if kind == "sgd":
        assert all(group["momentum"] == 0.8 for group in optimizer.param_groups)


def rates(iterations: int, **settings: object) -> list[float]:
    layer = nn.Linear(2, 2)
    setting = recipe(**settings)
    optimizer = make_optimizer(layer, setting)
    schedule = make_schedule(optimizer, setting, iterations)
    found = []
    for _ in range(iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_decays_polynomially() -> None:
    found = rates(10, power=0.9)
    assert found == pytest.approx([0.1 * (1 - i / 10) ** 0.9 for i in range(10)])


def test_the_rate_warms_up_exponentially() -> None:
    found = rates(100, warm_up=4, warm_up_from=1e-4, power=0)
    assert found[:6] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e-1])


def test_the_average_starts_plain_and_ends_slow() -> None:
    layer = nn.BatchNorm2d(1)
    average = make_average(layer, decay=0.5)
    seen = []
    for value in range(1, 30):
        with torch.no_grad():
            layer.weight.fill_(value)
            layer.running_mean.fill_(-value)  # type: ignore[union-attr, operator]
            layer.num_batches_tracked.fill_(value)  # type: ignore[union-attr, operator]
        average.update_parameters(layer)
        seen.append(average.module.weight.item())
    assert seen[0] == 1  # what it began with is forgotten
    assert seen[1] == pytest.approx(1 * 2 / 11 + 2 * 9 / 11)
    # with decay 0.5, the average lags one step behind a value that grows by one
    assert seen[-1] == pytest.approx(28, abs=1e-3)
    assert average.module.running_mean.item() == pytest.approx(-28, abs=1e-3)
    assert average.module.num_batches_tracked.item() == 29
