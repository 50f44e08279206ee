"""What the training loops in this folder share.

Each of them has the form of a public codebase's own, written anew and cut down to what touches noise levels and
checkpoints.  Between ``# [docs] where`` and ``# [/docs]`` stand the lines that docs/how-to/adapters.md shows.  Each has
a function ``train(stop=..., resume=...)``, which trains in the current folder up to a step and saves there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from curriculum_search.adapters import CurriculumAdapter

BATCH = 50
STEPS = 40  # a budget of 2,000 images


@dataclass
class Run:
    """What a test wants to know of a run.

    Attributes:
        curriculum: its adapter.
        levels: the noise levels of each draw.
        losses: of each draw, the loss trained on and the mean of its samples' losses.
    """

    curriculum: CurriculumAdapter
    levels: list[Tensor] = field(default_factory=list)
    losses: list[tuple[float, float]] = field(default_factory=list)

    def record(self, levels: Tensor, loss: Tensor, losses: Tensor) -> None:
        self.levels.append(levels.flatten())
        self.losses.append((loss.item(), losses.mean().item()))


class Network(nn.Module):
    """A network for any input and level: one scale."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, level: Tensor, *_: object, **__: object) -> Tensor:
        return self.scale * x


class Loader:
    """Batches of images and labels.  A step's random numbers depend on the step alone, so that runs can be compared."""

    def __init__(self, first_step: int = 0, last_step: int = STEPS) -> None:
        self.steps = range(first_step, last_step)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for step in self.steps:
            torch.manual_seed(step)
            yield torch.randn(BATCH, 1, 4, 4), torch.zeros(BATCH, dtype=torch.int64)

    def __len__(self) -> int:
        return STEPS


def mean_flat(x: Tensor) -> Tensor:
    """[B, ...] to [B]."""
    return x.flatten(1).mean(1)


def square_error(network: nn.Module, images: Tensor, level: Tensor, share: Tensor) -> Tensor:
    """Of the noise in images that have that share of it, [B, 1, 4, 4]."""
    noise, share = torch.randn_like(images), share.reshape(-1, 1, 1, 1)
    difference: Tensor = network((1 - share) * images + share * noise, level) - noise
    return difference.square()
