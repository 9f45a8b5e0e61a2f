"""The processes of a training: one, or those that torchrun starts; each has its device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fanet_ros.errors import FanetError, SettingError, TrainingError

_PATIENCE = timedelta(minutes=60)  # the others wait while the first renders, counts or writes

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Processes:
    """This process among all of the training.

    Attributes:
        rank: 0 for the first, which writes files and talks.
        count: of all processes.
        device: that this process trains on.
        control: over which the processes agree without involving a GPU; None where there is only one.
    """

    rank: int
    count: int
    device: torch.device
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Make a module average its gradients over all processes; on GPUs its batch norm sees the whole batch, too.

        On the CPU, for which torch has no synchronised batch norm, each process normalises by its own samples; what
        counts in the end are the first one's running statistics (`share_buffers`).
        """
        if self.count == 1:
            return module
        if self.device.type != "cuda":
            return DistributedDataParallel(module)
        synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return DistributedDataParallel(synchronised, device_ids=[self.device.index])

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, on the CPU."""
        if self.count == 1:
            return values.cpu()
        total = values.to(self.device, copy=True)
        dist.all_reduce(total)
        return total.cpu()

    def largest(self, number: int) -> int:
        """Return the largest of the numbers that the processes give."""
        if self.count == 1:
            return number
        answer = torch.tensor(number)
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=self.control)
        return int(answer)

    def first(self, action: Callable[[], ResultT]) -> ResultT:
        """Let the first process do something, and return its result in all; the others wait.

        Raises:
            FanetError: it failed; in the other processes a TrainingError with the same message.
        """
        if self.count == 1:
            return action()
        answer: list[object] = [None, None]
        failure: FanetError | None = None
        if self.is_first:
            try:
                answer[0] = action()
            except FanetError as error:
                failure, answer[1] = error, str(error)
        dist.broadcast_object_list(answer, src=0, group=self.control)
        if failure is not None:
            raise failure
        if answer[1] is not None:
            raise TrainingError(str(answer[1]))
        return answer[0]  # type: ignore[return-value]

    def share_buffers(self, module: nn.Module) -> None:
        """Give all processes the first one's buffers: the running statistics of batch norm."""
        if self.count > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started, or be the only one.

    Args:
        device: `auto` (a CUDA GPU if there is one), `cpu`, `cuda` or `cuda:<index>`; with torchrun, each process takes
            the GPU of its local rank.

    Raises:
        SettingError: the device is not there.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _find_device(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, count, chosen, dist.new_group(backend="gloo", timeout=_PATIENCE))
    finally:
        dist.destroy_process_group()


def _find_device(device: str, local_rank: int | None) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SettingError(
            f"device '{device}' was asked for, but torch {torch.__version__} finds no CUDA GPU; use device cpu or auto"
        )
    index = torch.device(device).index
    if local_rank is not None:
        if index is not None:
            raise SettingError(
                f"device '{device}' was asked for, but torchrun gives each process its own GPU; use cuda"
            )
        index = local_rank
    index = index or 0
    if index >= torch.cuda.device_count():
        raise SettingError(f"GPU {index} was asked for, but there are {torch.cuda.device_count()}")
    return torch.device("cuda", index)
