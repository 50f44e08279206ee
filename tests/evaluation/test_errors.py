"""A run that has diverged has no number."""

import pickle
from pathlib import Path

import pytest
import torch

from curriculum_search.data import Digits, MemoryImages
from curriculum_search.diffusion import DDPM, Network
from curriculum_search.evaluation import Classifier, Diverged, Evaluation
from curriculum_search.evaluation.evaluation import EvaluationRun

CPU = torch.device("cpu")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_has_diverged_has_no_number(run: EvaluationRun, bad: float) -> None:
    with pytest.raises(Diverged, match="not finite"):
        run.metrics(lambda x, time, condition: torch.full_like(x, bad), final=False)


def test_a_loss_that_is_not_finite_is_a_divergence_too(
    settings: Evaluation, digits: MemoryImages, cache_dir: Path
) -> None:
    only = Evaluation(evaluators=settings.evaluators[1:], final_evaluators=())
    run = only.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    with pytest.raises(Diverged, match="val_loss is inf"):
        run.metrics(lambda x, time, condition: torch.full_like(x, 1e30), final=False)


def test_features_that_are_not_finite_are_a_divergence(
    run: EvaluationRun, network: Network, monkeypatch: pytest.MonkeyPatch, classifier: Classifier
) -> None:
    run._references.gaussian(classifier, None)  # of the features as they are
    features = run._references.features[classifier]
    monkeypatch.setattr(type(features), "__call__", lambda self, images: torch.full((len(images), 16), torch.inf))
    with pytest.raises(Diverged, match="features of the samples"):
        run.metrics(network, final=False)


def test_a_divergence_is_an_error_that_comes_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(Diverged("val_loss is inf")))
    assert isinstance(error, RuntimeError)
    assert type(error) is Diverged
    assert str(error) == "val_loss is inf"
