"""An evaluation's names and values, for one network or over seed blocks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.sources import AtHand
from torch import Tensor

from curriculum_search.conditions import ClassCondition, Condition, Unconditional
from curriculum_search.data import Digits, MemoryImages
from curriculum_search.diffusion import DDPM, Network
from curriculum_search.evaluation import Classifier, Evaluation, FixedBank, Frechet, Pixels, evaluate
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.frechet import Gaussian, frechet_distance
from curriculum_search.evaluation.inception_score import inception_score
from curriculum_search.evaluation.kernel import kernel_distance
from curriculum_search.evaluation.precision_recall import precision_recall
from curriculum_search.evaluation.report import Table

CPU = torch.device("cpu")


def test_names_are_known_without_running_anything(settings: Evaluation) -> None:
    often = ("fd_classifier_60", "val_loss", "val_loss_q0-0.5", "val_loss_q0.5-1")
    final = (
        "fd_classifier_100",
        "fd_pca20_90",
        "kid_classifier_100",
        "kid_classifier_100_spread",
        "precision_classifier_80",
        "recall_classifier_80",
        "is_classifier_100",
        "is_classifier_100_spread",
    )
    assert settings.metric_names(final=False) == often
    assert settings.metric_names(final=True) == often + final


def test_every_metric_knows_its_direction(settings: Evaluation) -> None:
    assert settings.direction("fd_classifier_60") == "minimize"
    assert settings.direction("val_loss_q0-0.5") == "minimize"
    assert settings.direction("recall_classifier_80") == "maximize"
    assert settings.direction("is_classifier_100") == "maximize"
    with pytest.raises(ValueError, match="no evaluator yields 'fid50k'; there are fd_classifier_60, val_loss"):
        settings.direction("fid50k")


def test_values_are_those_of_each_metric_on_the_samples_in_memory(
    settings: Evaluation, run: EvaluationRun, network: Network, digits: MemoryImages, classifier: Classifier
) -> None:
    values = run.metrics(network, final=True)
    assert tuple(values) == settings.metric_names(final=True)
    images = torch.cat([block.images for block in run.generation.blocks(network, 0, 100)])
    features = run._references.features[classifier]
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(images)
        real = features(digits.read(np.arange(len(digits)))[0]).double()
    reference = Gaussian.from_covariance(real.mean(0), real.T.cov())
    for count in (60, 100):
        part = rows[:count].double()
        expected = frechet_distance(reference, part.mean(0), part.T.cov())
        assert values[f"fd_classifier_{count}"] == pytest.approx(expected, rel=1e-5)
    chosen = run._references.rows(classifier, None, 100)
    kid = kernel_distance(chosen, rows[:100], num_subsets=4, subset_size=50)
    assert (values["kid_classifier_100"], values["kid_classifier_100_spread"]) == pytest.approx(kid, rel=1e-5)
    manifold = run._references.rows(classifier, None, 80)
    shares = precision_recall(manifold, rows[:80])
    assert (values["precision_classifier_80"], values["recall_classifier_80"]) == pytest.approx(shares)
    score = inception_score(probabilities[:100], num_splits=5)
    assert (values["is_classifier_100"], values["is_classifier_100_spread"]) == pytest.approx(score, rel=1e-5)
    losses = FixedBank(digits, DDPM(), num_images=8, num_levels=4, seed=0, device=CPU).losses(network)
    found = [values["val_loss"], values["val_loss_q0-0.5"], values["val_loss_q0.5-1"]]
    assert found == pytest.approx([float(losses.mean()), float(losses[:2].mean()), float(losses[2:].mean())])


def test_what_is_evaluated_beside_a_metric_does_not_change_it(run: EvaluationRun, network: Network) -> None:
    often, final = run.metrics(network, final=False), run.metrics(network, final=True)
    assert often == {name: final[name] for name in often}


def test_real_images_are_at_a_small_distance_and_noise_at_a_large_one(
    settings: Evaluation, digits: MemoryImages, cache_dir: Path, classifier: Classifier
) -> None:
    run = dataclasses.replace(settings, seed=3).build(
        process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir
    )
    gaussian = run._references.gaussian(classifier, None)
    features = run._references.features[classifier]
    images = digits.read(np.arange(0, len(digits), 3))[0]
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = [features(x).double() for x in (images, noise)]
    near, far = (frechet_distance(gaussian, x.mean(0), x.T.cov(), len(x)) for x in rows)
    assert near < 0.05 * far


def test_reference_statistics_from_a_file_are_used(
    settings: Evaluation,
    digits: MemoryImages,
    cache_dir: Path,
    classifier: Classifier,
    network: Network,
    tmp_path: Path,
    run: EvaluationRun,
) -> None:
    real = run._references.gaussian(classifier, None)
    path = tmp_path / "stats.npz"
    np.savez(path, mu=real.mean.numpy() + 1, sigma=(real.factor @ real.factor.T).numpy())
    evaluator = Frechet(extractor=classifier, num_samples=60, reference_file=str(path))
    other = Evaluation(evaluators=(evaluator,), final_evaluators=(), sampler=settings.sampler, batch_size=32)
    moved = other.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    found, plain = (r.metrics(network, final=False)["fd_classifier_60"] for r in (moved, run))
    samples = run.collect(network, run.settings.evaluators).moments[evaluator.needs[0]]
    shift = 16 - 2 * float((samples.mean() - real.mean).sum())
    assert found - plain == pytest.approx(shift, rel=1e-6)
    assert str(path) in moved.protocol()


def test_the_table_has_mean_and_deviation_over_disjoint_blocks_of_samples(
    table: Table, run: EvaluationRun, settings: Evaluation, network: Network
) -> None:
    assert tuple(row.name for row in table.rows) == settings.metric_names(final=True)
    first = run.metrics(network, final=True)
    for row in table.rows:
        assert row.values[0] == first[row.name]
        assert row.mean == pytest.approx(np.mean(row.values))
        assert row.sd == pytest.approx(np.std(row.values, ddof=1))
    values = {row.name: row.values for row in table.rows}
    assert len(set(values["fd_classifier_60"])) == len(set(values["val_loss"])) == 3
    # Block 1 starts where the longest need of block 0 ends.
    images = torch.cat([b.images for b in run.generation.blocks(network, 100, 60)])[:60]
    frechet = settings.evaluators[0]
    assert isinstance(frechet, Frechet)
    with torch.no_grad():
        rows = run._references.features[frechet.extractor](images).double()
    gaussian = run._references.gaussian(frechet.extractor, None)
    assert values["fd_classifier_60"][1] == pytest.approx(
        frechet_distance(gaussian, rows.mean(0), rows.T.cov()), rel=1e-5
    )
    assert table.metrics()["fd_classifier_60"] == pytest.approx(np.mean(values["fd_classifier_60"]))
    assert table.metrics()["fd_classifier_60_sd"] == pytest.approx(np.std(values["fd_classifier_60"], ddof=1))


def test_a_single_block_has_no_deviation(settings: Evaluation, network: Network, cache_dir: Path) -> None:
    short = dataclasses.replace(settings, final_evaluators=())
    table = evaluate(
        short, network=network, process=DDPM(), source=Digits(), device=CPU, cache_dir=cache_dir, num_blocks=1
    )
    assert all(row.sd is None for row in table.rows)
    assert not any(name.endswith("_sd") for name in table.metrics())
    with pytest.raises(ValueError, match="num_blocks must be in"):
        evaluate(short, network=network, process=DDPM(), source=Digits(), device=CPU, cache_dir=cache_dir, num_blocks=0)


def test_relabelled_images_in_memory_work_as_training_set(
    digits: MemoryImages, settings: Evaluation, network: Network, cache_dir: Path
) -> None:
    unlabelled = MemoryImages("unlabelled", digits.images, None)
    plain = Evaluation(
        evaluators=(Frechet(extractor=Pixels(num_components=5), num_samples=20),),
        final_evaluators=(),
        sampler=settings.sampler,
    )
    run = plain.build(process=DDPM(), source=AtHand(unlabelled), train_set=unlabelled, device=CPU, cache_dir=cache_dir)

    def unconditional(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        assert isinstance(condition, Unconditional)
        return network(x, time, ClassCondition.of(torch.zeros(len(x), dtype=torch.int64)))

    assert run.metrics(unconditional, final=False)["fd_pca5_20"] > 0
    assert "unconditional" in run.protocol()
