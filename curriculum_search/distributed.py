"""The few collective operations that the core needs, each of which does nothing in a process of its own, and where
processes meet."""

import socket

import torch
import torch.distributed as dist
from torch import Tensor


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's index among the workers of the run."""
    return dist.get_rank() if _initialised() else 0


def world_size() -> int:
    """The number of workers that train this run together."""
    return dist.get_world_size() if _initialised() else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its sum over all workers, in place, and return it."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def all_gather_cat(tensor: Tensor) -> Tensor:
    """The workers' tensors (equal shapes) joined along dimension 0 in the order of their ranks."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def barrier() -> None:
    """Wait until every worker is here."""
    if world_size() > 1:
        dist.barrier()


def free_port() -> int:
    """A port of this machine that nothing listens on now, where processes can meet."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port
