"""What every metric says of itself, and metrics of the user's own."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch

from curriculum_search.data import Digits, MemoryImages
from curriculum_search.diffusion import DDPM, Network
from curriculum_search.evaluation import (
    Evaluation,
    Evaluator,
    Evidence,
    Frechet,
    Need,
    Pixels,
    PrecisionRecall,
    ValidationLoss,
)
from curriculum_search.evaluation.evaluator import compact

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class MeanFeature(Evaluator):
    """A user's own metric."""

    kind: Literal["mean_feature_of_a_test"] = "mean_feature_of_a_test"
    promised: str = "mean_feature"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.promised,)

    @property
    def needs(self) -> tuple[Need, ...]:
        return (Need(extractor=Pixels(num_components=3), num_samples=10, form="features"),)

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        yield "mean_feature", float(evidence.rows[self.needs[0]].mean())


def test_an_evaluator_of_ones_own_is_available_by_its_kind(
    settings: Evaluation, digits: MemoryImages, cache_dir: Path, network: Network
) -> None:
    evaluator = Evaluator.from_dict({"kind": "mean_feature_of_a_test"})
    own = dataclasses.replace(settings, evaluators=(evaluator,), final_evaluators=())
    run = own.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    assert tuple(run.metrics(network, final=False)) == ("mean_feature",)
    assert "mean_feature_of_a_test(promised=mean_feature)" in run.protocol()


def test_an_evaluator_that_breaks_its_promise_is_named(
    settings: Evaluation, digits: MemoryImages, cache_dir: Path, network: Network
) -> None:
    own = dataclasses.replace(settings, evaluators=(MeanFeature(promised="other"),), final_evaluators=())
    run = own.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    with pytest.raises(RuntimeError, match=r"promised .'other',. and yielded .'mean_feature',."):
        run.metrics(network, final=False)


def test_counts_in_names_are_written_in_thousands_where_they_are_whole_ones() -> None:
    assert [compact(count) for count in (2, 500, 1_000, 2_500, 50_000)] == ["2", "500", "1k", "2500", "50k"]


def test_a_metric_needs_nothing_and_finds_nothing_wrong_unless_it_says_so(digits: MemoryImages) -> None:
    loss = ValidationLoss()
    assert loss.needs == ()
    assert MeanFeature.direction == "minimize"
    Evaluator.check(loss, digits, digits)


def test_a_metric_on_features_needs_them_of_its_samples_and_asks_the_extractor_what_is_wrong(
    digits: MemoryImages,
) -> None:
    pixels = Pixels(num_components=65)
    metric = PrecisionRecall(extractor=pixels, num_samples=70)
    assert metric.needs == (Need(extractor=pixels, num_samples=70, form="features"),)
    assert Frechet(extractor=pixels, num_samples=70).needs == (Need(extractor=pixels, num_samples=70, form="moments"),)
    with pytest.raises(ValueError, match="num_components of extractor pixels must be at most the 64 values"):
        metric.check(digits, digits)


@pytest.mark.parametrize("count", [1, 2**20 + 1])
def test_a_number_of_samples_that_no_seed_has_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=rf"num_samples must be in 2\.\.1048576, not {count}"):
        Frechet(num_samples=count)
