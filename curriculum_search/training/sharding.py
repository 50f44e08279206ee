"""A network whose weights, average, gradients and optimiser state are shared out over the workers of a run.

PyTorch's FSDP2 (Zhao et al. 2023, arXiv 2304.11277; `fully_shard`): of each tensor a worker holds a part of the rows,
as a DTensor.  A block's weights are gathered when it is run, forwards and backwards, and its gradients are exchanged so
that each worker has the sums of its own rows.  This module takes a second to import, so runs without sharding do not.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from curriculum_search.training.ema import Ema
from curriculum_search.training.pieces import Pieces


class Sharding:
    """Shares out a network in place; all workers have built the same, and each of them calls every method.

    Args:
        network: what is trained, on `device`.
        blocks: its modules that are gathered one at a time.
        device: where it is.
        halflife_images, rampup_share: of its average, see `Ema`.

    Attributes:
        ema: the average of its weights, shared out as they are.
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: Sequence[nn.Module],
        device: torch.device,
        *,
        halflife_images: int,
        rampup_share: float,
    ) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # where fully_shard puts what it shares out
        frame = _frame(network)
        # Of the group that is there: one of its own would have to be ended with the run.
        mesh = DeviceMesh.from_group(cast(dist.ProcessGroup, dist.group.WORLD), device.type)
        for block in blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        # Between two steps the root is in shards too, whether it went backwards or not.
        self._root: FSDPModule = fully_shard(network, mesh=mesh, reshard_after_forward=True)
        self._network = network
        self._buffers = [
            (module._buffers, name)
            for module in network.modules()
            for name in module._buffers
            if name not in module._non_persistent_buffers_set
        ]
        self.ema = ShardedEma(network, frame, halflife_images=halflife_images, rampup_share=rampup_share)

    def exchange_gradients(self, now: bool) -> None:
        """Whether the next backward pass ends with the exchange, or only adds up this worker's own gradients."""
        self._root.set_requires_gradient_sync(now)

    def share_buffers(self) -> None:
        """Give all workers the first one's buffers, as DistributedDataParallel does."""
        for buffers, name in self._buffers:
            if (buffer := buffers[name]) is not None:
                dist.broadcast(buffer, 0)

    @staticmethod
    def split(state: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """What all workers have of a state, as a copy on the CPU, and the rows that this one alone has."""
        common, own = dict[Any, Any](), dict[Any, Any]()
        for key, value in state.items():
            if isinstance(value, DTensor):
                own[key] = _local(value)
            elif isinstance(value, Mapping):
                common[key], part = Sharding.split(value)
                if part:
                    own[key] = part
            else:
                common[key] = value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else copy.deepcopy(value)
        return common, own

    def fitted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A saved state, of whole tensors or of `Pieces`, with this worker's part of what it holds a part of."""
        weights = self._network.state_dict()
        parameters = list(self._network.parameters())
        optimizer = state["optimizer"]
        moments = {
            index: {name: _own_rows(value, parameters[index]) for name, value in values.items()}
            for index, values in optimizer["state"].items()
        }
        return {
            **state,
            "network": {name: _own_rows(value, weights[name]) for name, value in state["network"].items()},
            "ema": {name: _own_rows(value, weights[name]) for name, value in state["ema"].items()},
            "optimizer": {**optimizer, "state": moments},
        }


class ShardedEma(Ema):
    """An average of which each worker holds the rows that it holds of the weights.

    Args:
        network: what is trained, shared out.
        frame: a copy of it without numbers in its parameters.
        halflife_images, rampup_share: see `Ema`.
    """

    def __init__(self, network: nn.Module, frame: nn.Module, *, halflife_images: int, rampup_share: float) -> None:
        super().__init__(network, halflife_images=halflife_images, rampup_share=rampup_share, copied=frame)
        self._shards = {
            id(empty): cast(DTensor, parameter.detach().clone())
            for empty, parameter in zip(frame.parameters(), network.parameters(), strict=True)
        }
        self._averages = [_local(shard) for shard in self._shards.values()]
        states = frame.state_dict(keep_vars=True)
        self._named = {name: self._shards[id(value)] for name, value in states.items() if id(value) in self._shards}

    def state_dict(self) -> dict[str, Any]:
        """The average of each parameter as a DTensor, and the buffers."""
        return {**self.network.state_dict(), **self._named}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in self.state_dict().items():
            _local(value).copy_(_local(state[name]))

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The averaged network with all its weights, gathered for the duration of the block.  Within it workers need
        not do the same."""
        gathered = {key: nn.Parameter(shard.full_tensor(), requires_grad=False) for key, shard in self._shards.items()}
        frame = [
            (module._parameters, name, parameter)
            for module in self.network.modules()
            for name, parameter in module._parameters.items()
            if parameter is not None
        ]
        try:
            for parameters, name, empty in frame:
                parameters[name] = gathered[id(empty)]
            yield self.network
        finally:
            for parameters, name, empty in frame:
                parameters[name] = empty

    def _weights_of(self, network: nn.Module) -> list[Tensor]:
        return [_local(parameter) for parameter in network.parameters()]


def _frame(network: nn.Module) -> nn.Module:
    """A copy of a network that takes no memory for its parameters."""
    empty = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta")) for parameter in network.parameters()
    }
    return copy.deepcopy(network, empty)


def _local(tensor: Tensor) -> Tensor:
    """This worker's rows."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor


def _own_rows(value: Any, like: Tensor) -> Any:
    """This worker's part of a saved tensor where `like`, of the same shape as a whole, is shared out."""
    if not isinstance(like, DTensor) or not (isinstance(value, Pieces) or (isinstance(value, Tensor) and value.ndim)):
        return value
    pieces = value if isinstance(value, Pieces) else Pieces([value])
    most = -(-len(like) // dist.get_world_size())  # rows of a worker, as fully_shard has it
    start = most * dist.get_rank()
    own = pieces.rows(start, start + most).to(like.device)
    return DTensor.from_local(own, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
