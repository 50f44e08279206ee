"""Which modules of a network are its blocks, which networks can be sharded, and blocks that are computed again."""

from collections.abc import Callable

import pytest
import torch
from support.conditions import of_classes
from torch import Tensor, nn

from curriculum_search.conditions import ClassCondition
from curriculum_search.models import DiT, Model, UNet, check_shards, recompute

TINY: list[Model] = [
    DiT(patch_size=4, hidden_size=16, depth=3, num_heads=2),
    UNet(block_channels=(8, 8), layers_per_block=1, attention=(1,), dropout=0.5),
]


def built(model: Model) -> nn.Module:
    torch.manual_seed(0)
    return model.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(4))


@pytest.mark.parametrize("model", TINY, ids=lambda model: model.kind)
def test_blocks_hold_most_of_the_weights_none_twice_and_can_be_sharded(model: Model) -> None:
    network = built(model)
    blocks = model.blocks(network)
    counted = [id(parameter) for block in blocks for parameter in block.parameters()]
    assert len(counted) == len(set(counted)) > len(list(network.parameters())) / 2
    check_shards(network, blocks)


def test_the_blocks_of_a_dit_are_its_blocks() -> None:
    network = built(TINY[0])
    assert TINY[0].blocks(network) == list(network.blocks)  # type: ignore[arg-type]


def test_lists_in_lists_and_modules_that_are_never_called_are_looked_into() -> None:
    class Namespace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.ReLU()

    linear = nn.Linear(2, 2)
    network = nn.ModuleDict(
        {
            "outside": nn.Linear(2, 2),
            "list": nn.ModuleList([nn.ModuleList([linear, linear]), Namespace(), nn.ReLU()]),
        }
    )
    assert DiT().blocks(network) == [linear, network["list"][1].one]  # type: ignore[index]


class Odd(nn.Module):
    """A network with a parameter that cannot be sharded."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(values)


def tied_blocks() -> tuple[nn.Module, list[nn.Module]]:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    return network, list(network)


def tied_outside() -> tuple[nn.Module, list[nn.Module]]:
    network, _ = tied_blocks()
    return network, [network[0]]  # type: ignore[index]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (Odd(torch.tensor(1.0)), []), "gain is a single number, which cannot be sharded"),
        (lambda: (Odd(torch.zeros(2, 3).T), []), "gain is not contiguous, which cannot be sharded"),
        (lambda: (nn.ReLU(), []), "the network has no parameters"),
        (lambda: (nn.Linear(2, 2), [nn.Linear(2, 2)]), r"blocks\(\) gives a module that is none of the network's"),
        (tied_blocks, "two of the network's blocks share a parameter"),
        (tied_outside, "a block shares a parameter with what is outside of it"),
    ],
)
def test_a_network_that_cannot_be_sharded_is_refused(
    make: Callable[[], tuple[nn.Module, list[nn.Module]]], words: str
) -> None:
    with pytest.raises(ValueError, match=rf"^resources\.sharding must be none: {words}$"):
        check_shards(*make())


@pytest.mark.parametrize("model", TINY, ids=lambda model: model.kind)
def test_blocks_that_are_computed_again_have_the_same_gradients_and_keep_less(model: Model) -> None:
    plain, again = built(model), built(model)
    recompute(model.blocks(again))
    assert plain.state_dict().keys() == again.state_dict().keys()
    kept, gradients = list[int](), list[list[Tensor]]()
    for network in (plain, again):
        saved = list[int]()

        def pack(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        for parameter in network.parameters():  # adaLN-Zero would have no gradients inside its blocks
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
        torch.manual_seed(1)  # of the dropout
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = network(torch.ones(4, 1, 8, 8), torch.rand(4), ClassCondition.of(torch.arange(4)))
        kept.append(sum(saved))
        out.square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert kept[1] < kept[0] / 2
