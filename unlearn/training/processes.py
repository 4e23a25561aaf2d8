"""Several processes that train one model together, as SLURM starts them: `srun --ntasks=4 ...`.

Every process does the same work on its share of each training batch. Only the first one writes and
takes locks, and it decides for all what there is to do.
"""

import os
from typing import Any, TypeVar

import torch
from torch import distributed

from unlearn.errors import UserError

T = TypeVar("T")


def size() -> int:
    """Processes that train one model together, 1 for an ordinary run."""
    name = os.environ.get("SLURM_JOB_NAME", "bash")
    return int(os.environ.get("SLURM_NTASKS", 1)) if name not in ("bash", "interactive") else 1


def rank() -> int:
    """Number of this process, 0 for the one that writes."""
    return int(os.environ.get("SLURM_PROCID", 0)) if size() > 1 else 0


def is_first() -> bool:
    """Whether this process writes."""
    return rank() == 0


def agree(decision: T) -> T:
    """What the first process has decided. All processes must ask, in the same order."""
    if size() == 1:
        return decision
    _connect()
    told: list[Any] = [decision]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def total(value: int) -> int:
    """Sum of what all processes give. All must ask, in the same order."""
    if size() == 1:
        return value
    _connect()
    told: list[Any] = [None] * size()
    distributed.all_gather_object(told, value)
    return sum(told)


def leave() -> None:
    """End the process group after all are done; a process that exits inside one may abort."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def share() -> tuple[int, int]:
    """This process's number and how many share each training batch."""
    return rank(), size()


def check(devices: int, num_nodes: int) -> None:
    """Refuse a number of devices that the processes do not match.

    Raises:
        UserError: Lightning would start further processes by running the whole command again,
            which under a sweep would start the sweep again.
    """
    if devices * num_nodes == size():
        return
    if size() == 1:
        raise UserError(
            f"trainer.devices={devices} with trainer.num_nodes={num_nodes} needs as many processes "
            f"made by SLURM: launcher=slurm hydra.launcher.tasks_per_node={devices} "
            f"hydra.launcher.nodes={num_nodes}; elsewhere use one device a job"
        )
    raise UserError(
        f"SLURM made {size()} processes, and trainer.devices={devices} times trainer.num_nodes="
        f"{num_nodes} is {devices * num_nodes}: they must be equal"
    )


def _connect() -> None:
    """Join the process group that Lightning will use too."""
    if distributed.is_initialized():
        return
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    there = SLURMEnvironment(auto_requeue=False)
    os.environ["MASTER_ADDR"] = there.main_address
    os.environ["MASTER_PORT"] = str(there.main_port)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(there.local_rank())
    distributed.init_process_group(backend, rank=rank(), world_size=size())
