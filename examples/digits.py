"""What the examples share: real images (scikit-learn's digits), a small network, and a distance to measure by."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def load() -> tuple[Tensor, Tensor, Tensor]:
    """Training images float32 [1200, 1, 8, 8] in [-1, 1], their labels, and images held out [597, 1, 8, 8]."""
    found = load_digits()
    order = torch.randperm(len(found.images), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(found.images).float()[order, None] / 8 - 1
    labels = torch.from_numpy(found.target).long()[order]
    return images[:1200], labels[:1200], images[1200:]


class Batches:
    """Endless batches in an order that depends on the seed alone; `position` is where the next one starts."""

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, seed: int, position: int = 0) -> None:
        self.images, self.labels, self.batch_size, self.seed, self.position = images, labels, batch_size, seed, position

    def next(self) -> tuple[Tensor, Tensor]:
        """Images and labels."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.position)
        self.position += self.batch_size
        rows = torch.randint(len(self.images), (self.batch_size,), generator=generator)
        return self.images[rows], self.labels[rows]


class Network(nn.Module):
    """A residual network over all pixels, told the noise level and the class."""

    frequencies: Tensor

    def __init__(self, dim: int = 64, width: int = 192, depth: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, 2, 16))
        self.level = nn.Linear(32, width)
        self.label = nn.Embedding(num_classes, width)
        self.first = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, dim)

    def forward(self, x: Tensor, level: Tensor, y: Tensor | None = None) -> Tensor:
        """`x` of any shape [B, ...] with `dim` values, `level` [B] in about [0, 1], `y` [B]."""
        angles = level[:, None] * self.frequencies
        told = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        hidden = self.first(x.flatten(1)) + told
        if y is not None:
            hidden = hidden + self.label(y)
        for block in self.blocks:
            hidden = hidden + block(nn.functional.silu(hidden + told))
        return self.last(hidden).reshape(x.shape)


def distance(samples: Tensor, reference: Tensor, components: int = 16) -> float:
    """Frechet distance between the leading principal components of samples and of images held out; less is better."""
    mean = reference.flatten(1).double().mean(0)
    axes = torch.linalg.svd(reference.flatten(1).double() - mean, full_matrices=False)[2][:components]
    ours, theirs = ((x.flatten(1).double() - mean) @ axes.T for x in (samples, reference))
    a, b = torch.cov(ours.T), torch.cov(theirs.T)
    values, vectors = torch.linalg.eigh(b)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ a @ root).clamp(min=0).sqrt().sum()
    shift = (ours.mean(0) - theirs.mean(0)).square().sum()
    return float(shift + a.trace() + b.trace() - 2 * cross)
