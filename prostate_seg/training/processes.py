"""Training and evaluation by several processes of ``torchrun``, one for each GPU, or on the CPU."""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import distributed
from torch.distributed.nn import functional

from ..errors import SettingsError

PATIENCE = datetime.timedelta(hours=2)  # a process that has fewer cases waits for the others
_WRITERS = ("StatsHandler", "TensorBoardStatsHandler", "EvaluationTables", "BestWeights")


def join_processes() -> torch.device:
    """Join the processes that torchrun started. Return the device of this process: a GPU, or the CPU without one.

    SettingsError is raised if torchrun did not start this process, or if it started more processes than there are
    GPUs.
    """
    if "LOCAL_RANK" not in os.environ:
        raise SettingsError(
            "A configuration for several GPUs runs in torchrun; give: torchrun --standalone --nproc_per_node=2 -m "
            "monai.bundle run ..."
        )
    number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if gpus and number >= gpus:
        raise SettingsError(f"There are {gpus} GPUs here for {number + 1} processes or more; start {gpus}.")
    device = torch.device("cuda", number) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if gpus else "gloo", timeout=PATIENCE)
    return device


def place() -> tuple[int, int]:
    """Return the number of this process, from 0, and the number of processes: 0 and 1 without torchrun."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def is_first_process() -> bool:
    """Return whether this is the first process, or the only one."""
    return place()[0] == 0


def share_of_process(cases: Sequence[Any]) -> list[Any]:
    """Return every nth case for the nth process. SettingsError is raised if there are more processes than cases."""
    number, count = place()
    if count > len(cases):
        raise SettingsError(f"There are {len(cases)} cases for {count} processes; start {len(cases)} or fewer.")
    return list(cases[number::count])


def from_all_processes(items: list[Any]) -> list[Any]:
    """Return the items of all processes, in the order before :func:`share_of_process`."""
    _, count = place()
    if count == 1:
        return items
    shares: list[Any] = [None] * count
    distributed.all_gather_object(shares, items)
    none = object()
    rounds = itertools.zip_longest(*shares, fillvalue=none)
    return [item for each in rounds for item in each if item is not none]


def sum_of_processes(sums: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes.

    Its gradient is right if the gradients of the weights are averaged over the processes, as
    DistributedDataParallel does: they are then those of one process with the cases of all.
    """
    return sums if place()[1] == 1 else torch.as_tensor(functional.all_reduce(sums))


def handlers_of_process(handlers: Sequence[Any]) -> list[Any]:
    """Return the handlers of this process. Only the first process reports and writes."""
    if is_first_process():
        return list(handlers)
    return [handler for handler in handlers if type(handler).__name__ not in _WRITERS]


def leave_processes() -> None:
    """Wait for the other processes, and leave them (:func:`join_processes`).

    Without the wait a thread of Gloo may still release a tensor when Python ends, which aborts the process
    (pytorch/pytorch#179291).
    """
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
