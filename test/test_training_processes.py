import pytest
import torch

from fanet_ros.errors import SettingError
from fanet_ros.training.processes import join_processes


def test_alone_nothing_is_wrapped_or_summed() -> None:
    with join_processes("cpu") as processes:
        assert processes.is_first and processes.count == 1
        layer = torch.nn.Linear(1, 1)
        assert processes.wrap(layer) is layer
        assert torch.equal(processes.sum(torch.arange(3)), torch.arange(3))
        assert processes.largest(3) == 3
        assert processes.first(lambda: "done") == "done"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError, match="finds no CUDA GPU; use device cpu or auto"), join_processes("cuda"):
        pass
    with join_processes("auto") as processes:
        assert processes.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_a_gpu_is_found() -> None:
    with join_processes("auto") as processes:
        assert processes.device == torch.device("cuda", 0)
    with pytest.raises(SettingError, match="GPU 99 was asked for"), join_processes("cuda:99"):
        pass
