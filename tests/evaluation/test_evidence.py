"""What is kept of samples that pass by."""

import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import Network
from curriculum_search.evaluation import Diverged, Need, Pixels
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.evidence import Samples
from curriculum_search.evaluation.features import Features
from curriculum_search.evaluation.generation import Block

EXTRACTOR = Pixels(num_components=2)
MOMENTS, FEATURES, PROBABILITIES = (
    Need(extractor=EXTRACTOR, num_samples=3, form="moments"),
    Need(extractor=EXTRACTOR, num_samples=5, form="features"),
    Need(extractor=EXTRACTOR, num_samples=4, form="probabilities"),
)


class Corners(Features):
    """Two opposite pixels are the features, the first tells the two classes; counts the images that it was shown."""

    dimension, num_classes, checksum, words = 2, 2, "corners", "corners"

    def __init__(self) -> None:
        self.shown: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.shown.append(len(images))
        return torch.stack([images[:, 0, 0, 0], images[:, 0, 1, 1]], 1).float()

    def with_probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        rows = self(images)
        return rows, torch.stack([rows[:, 0], 255 - rows[:, 0]], 1) / 255


def block(first: int, count: int, *, finite: bool = True) -> Block:
    """Images whose grey values grow with their index."""
    values = torch.arange(first * 4, (first + count) * 4, dtype=torch.float32).view(count, 1, 2, 2)
    return Block(
        first=first,
        values=values / 127.5 - 1,
        images=values.to(torch.uint8),
        condition=Unconditional(),
        finite=torch.tensor(finite),
    )


def collected(*needs: Need) -> tuple[Samples, Corners]:
    corners = Corners()
    return Samples(needs, {EXTRACTOR: corners}, torch.device("cpu")), corners


def test_one_pass_of_generation_feeds_all_evaluators(run: EvaluationRun, network: Network) -> None:
    calls = []

    def counting(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        calls.append(len(x))
        return network(x, time, condition)

    run.collect(counting, run.settings.active(final=True))
    assert calls == [32] * 4 * 3  # four blocks of three steps: 100 samples are the most that anyone needs


def test_each_need_keeps_its_form_of_as_many_samples_as_it_asked_for() -> None:
    samples, _ = collected(MOMENTS, FEATURES, PROBABILITIES)
    for first in (0, 4):
        samples.add(block(first, 4), first)
    samples.reduce()
    rows = torch.tensor([[4.0 * i, 4.0 * i + 3] for i in range(5)])
    assert torch.equal(samples.rows[FEATURES], rows)
    assert torch.equal(samples.rows[PROBABILITIES], torch.stack([rows[:4, 0], 255 - rows[:4, 0]], 1) / 255)
    assert samples.moments[MOMENTS].count == 3
    assert torch.equal(samples.moments[MOMENTS].mean(), rows[:3].double().mean(0))


def test_an_extractor_sees_each_block_once_and_none_that_nobody_needs() -> None:
    samples, corners = collected(MOMENTS, FEATURES)
    for first in (0, 4, 8):
        samples.add(block(first, 4), first)
    assert corners.shown == [4, 4]


def test_samples_count_from_where_they_are_said_to_start() -> None:
    samples, _ = collected(FEATURES)
    samples.add(block(40, 5), 0)
    samples.reduce()
    assert samples.rows[FEATURES][:, 0].tolist() == [160, 164, 168, 172, 176]


def test_a_block_or_a_feature_that_is_not_finite_is_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = collected(FEATURES)
    samples.add(block(0, 5, finite=False), 0)
    with pytest.raises(Diverged, match="the samples, or what the network gave on the way to them, are not finite"):
        samples.reduce()
    monkeypatch.setattr(Corners, "__call__", lambda self, images: torch.full((len(images), 2), torch.nan))
    samples, _ = collected(FEATURES)
    samples.add(block(0, 5), 0)
    with pytest.raises(Diverged, match="the features of the samples are not finite"):
        samples.reduce()
