"""What keeps torch from importing its compiler, which takes as long as half of torch, where nothing is compiled."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: What fills a tensor with its first values.
_FILLS = {getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")}


class EagerAdamW(torch.optim.AdamW):
    """torch's AdamW, bit for bit, for loops that compile nothing.

    Its own methods import the compiler, only to be told not to be compiled, or to break a graph that there is not.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


@contextmanager
def without_values() -> Iterator[None]:
    """Within the block networks are built on the device "meta", where tensors have shapes alone.

    They are not filled with their first values, for which torch would import its compiler's decompositions.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _FILLS:
            return args[0] if args else named["tensor"]
        if func is torch.arange:  # Constants that are computed from it may have their values.
            named.setdefault("device", "cpu")
        return func(*args, **named)
