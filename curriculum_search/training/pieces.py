"""Tensors that lie in several files by rows: what the workers of a sharded run have written, each its part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pieces:
    """A tensor in pieces along its first dimension.

    Attributes:
        tensors: in their order; some may have no rows.
    """

    tensors: Sequence[Tensor]

    def rows(self, start: int, stop: int) -> Tensor:
        """A copy of the rows start .. stop - 1, which reads nothing else."""
        found, begin = [self.tensors[0][:0]], 0
        for tensor in self.tensors:
            found.append(tensor[max(start - begin, 0) : max(stop - begin, 0)])
            begin += len(tensor)
        return torch.cat(found)

    def whole(self) -> Tensor:
        """A copy of all of it."""
        return torch.cat(list(self.tensors))


def merged(common: Mapping[Any, Any], parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """A state out of what all workers have of it, and what each of them alone has: tensors, in nested mappings of the
    same keys, which become `Pieces`."""
    state = dict(common)
    for key, first in parts[0].items():
        own = [part[key] for part in parts]
        state[key] = merged(common.get(key, {}), own) if isinstance(first, Mapping) else Pieces(own)
    return state


def whole(state: Mapping[str, Any], device: torch.device | str) -> dict[str, Any]:
    """A state with whole tensors, on `device`, in place of `Pieces`."""
    return {key: _whole(value, device) if _has_pieces(value) else value for key, value in state.items()}


def _whole(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Pieces):
        return value.whole().to(device)
    return {key: _whole(each, device) for key, each in value.items()} if isinstance(value, Mapping) else value


def _has_pieces(value: Any) -> bool:
    return isinstance(value, Pieces) or (isinstance(value, Mapping) and any(map(_has_pieces, value.values())))
