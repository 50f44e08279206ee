"""The blocks of a network: which they are, whether they can be sharded, and how they are computed again backwards."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def listed_blocks(network: nn.Module) -> list[nn.Module]:
    """The modules with parameters in a network's ``nn.ModuleList``, the outermost ones, each once and in order."""
    return list(dict.fromkeys(_listed(network)))


def check_shards(network: nn.Module, blocks: Sequence[nn.Module]) -> None:
    """Whether PyTorch's ``fully_shard`` takes a network, block by block.

    Raises:
        ValueError: it does not, and why.
    """
    modules, owners = set(network.modules()), dict[int, int]()
    for number, block in enumerate(blocks):
        if block not in modules:
            raise ValueError("resources.sharding must be none: blocks() gives a module that is none of the network's")
        for parameter in block.parameters():
            if owners.setdefault(id(parameter), number) != number:
                raise ValueError("resources.sharding must be none: two of the network's blocks share a parameter")
    inside = set().union(*(set(block.modules()) for block in blocks))
    outside = [module for module in network.modules() if module not in inside]
    named = list(network.named_parameters())
    if not named:
        raise ValueError("resources.sharding must be none: the network has no parameters")
    for module in outside:
        if any(id(parameter) in owners for parameter in module.parameters(recurse=False)):
            raise ValueError("resources.sharding must be none: a block shares a parameter with what is outside of it")
    for name, parameter in named:
        if not parameter.ndim or not parameter.is_contiguous():
            what = "a single number" if not parameter.ndim else "not contiguous"
            raise ValueError(f"resources.sharding must be none: {name} is {what}, which cannot be sharded")


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Have blocks keep their inputs alone for the backward pass, and compute the rest again (Chen et al. 2016, arXiv
    1604.06174), dropout with the numbers that it drew.  Changes the modules in place, and nothing in their state dicts.
    """
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def _listed(module: nn.Module, within: bool = False) -> Iterator[nn.Module]:
    """The blocks in a module, which is `within` a list if that is what its members are of."""
    for child in module.children():
        runs = type(child).forward is not nn.Module.forward  # lists, dictionaries and namespaces do not
        if within and runs and next(child.parameters(), None) is not None:
            yield child
        else:
            yield from _listed(child, isinstance(child, nn.ModuleList) or (within and not runs))
