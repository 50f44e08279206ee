"""Collective operations, alone and between two processes."""

import socket
import subprocess
import sys

import torch

from curriculum_search import distributed

#: Prints what one of two workers gets.
PROGRAM = """
import sys
import torch
import torch.distributed as dist
from curriculum_search import distributed

rank, port = map(int, sys.argv[1:])
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
assert (distributed.rank(), distributed.world_size()) == (rank, 2)
mine = torch.tensor([1.0 + rank, 10.0])
summed = distributed.all_reduce_sum(mine)
assert summed is mine
gathered = distributed.all_gather_cat(torch.arange(6).reshape(3, 2).T[:, :1] + 100 * rank)
distributed.barrier()
print(summed.tolist(), gathered.tolist())
dist.destroy_process_group()
"""


def test_alone_every_operation_does_nothing() -> None:
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    tensor = torch.tensor([1.0, 2.0])
    assert distributed.all_reduce_sum(tensor) is tensor
    assert distributed.all_gather_cat(tensor) is tensor
    assert tensor.tolist() == [1.0, 2.0]
    distributed.barrier()


def test_two_workers_sum_in_place_and_gather_in_the_order_of_their_ranks() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workers = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), str(port)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert outputs == ["[3.0, 20.0] [[0], [1], [100], [101]]\n"] * 2


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", distributed.free_port())):
        pass
