import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch

from curriculum_search.data import Digits, MemoryImages, to_uint8
from curriculum_search.diffusion import DDPM, DDIMSampler
from curriculum_search.evaluation import (
    Classifier,
    DinoV2,
    Diverged,
    Evaluation,
    Evaluator,
    Evidence,
    FixedBank,
    Frechet,
    Inception,
    InceptionScore,
    KernelDistance,
    Need,
    Pixels,
    PrecisionRecall,
    TorchScript,
    ValidationLoss,
    evaluate,
    save_grid,
)
from curriculum_search.evaluation.frechet import Gaussian, frechet_distance
from curriculum_search.evaluation.inception_score import inception_score
from curriculum_search.evaluation.kernel import kernel_distance
from curriculum_search.evaluation.precision_recall import precision_recall

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def settings(classifier):
    return Evaluation(
        evaluators=(
            Frechet(extractor=classifier, num_samples=60),
            ValidationLoss(num_images=8, num_levels=4, num_intervals=2),
        ),
        final_evaluators=(
            Frechet(extractor=classifier, num_samples=100),
            Frechet(extractor=Pixels(num_components=20), num_samples=90),
            KernelDistance(extractor=classifier, num_samples=100, num_subsets=4, subset_size=50),
            PrecisionRecall(extractor=classifier, num_samples=80),
            InceptionScore(extractor=classifier, num_samples=100, num_splits=5),
        ),
        sampler=DDIMSampler(num_steps=3),
        batch_size=32,
        grid_images=10,
    )


@pytest.fixture(scope="session")
def run(settings, digits, cache_dir):
    return settings.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)


class Sources:
    """A data source made of two sets at hand."""

    def __init__(self, train, reference=None):
        self._train, self._reference = train, reference or train

    def load(self):
        return self._train

    def reference(self):
        return self._reference


# --- names ---


def test_names_are_known_without_running_anything(settings):
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


@pytest.mark.parametrize(
    ("evaluator", "name"),
    [
        (Frechet(extractor=Inception(), num_samples=50_000), "fid50k"),
        (Frechet(extractor=Inception(), num_samples=2_500), "fid2500"),
        (Frechet(extractor=Inception(resize="clean"), num_samples=50_000), "fd_inception_clean_50k"),
        (Frechet(extractor=DinoV2(), num_samples=10_000), "fd_dinov2_10k"),
        (Frechet(extractor=DinoV2(size="vitb"), num_samples=10_000), "fd_dinov2_vitb_10k"),
        (Frechet(extractor=Classifier(), num_samples=2_000), "fd_classifier_2k"),
        (Frechet(extractor=TorchScript(path="x", name="mine"), num_samples=500), "fd_mine_500"),
        (KernelDistance(extractor=Inception(), num_samples=50_000), "kid_inception_50k"),
        (InceptionScore(extractor=Inception(), num_samples=50_000), "is_inception_50k"),
    ],
)
def test_fid_is_the_original_inception_and_the_number_of_samples_is_always_there(evaluator, name):
    assert evaluator.names[0] == name


def test_every_metric_knows_its_direction(settings):
    assert settings.direction("fd_classifier_60") == "minimize"
    assert settings.direction("val_loss_q0-0.5") == "minimize"
    assert settings.direction("recall_classifier_80") == "maximize"
    assert settings.direction("is_classifier_100") == "maximize"
    with pytest.raises(ValueError, match="no evaluator yields 'fid50k'; there are fd_classifier_60, val_loss"):
        settings.direction("fid50k")


# --- values ---


def test_values_are_those_of_each_metric_on_the_samples_in_memory(settings, run, network, digits, classifier):
    values = run.metrics(network, final=True)
    assert tuple(values) == settings.metric_names(final=True)
    images = torch.cat([block.images for block in run.generation.blocks(network, 0, 100)])
    features = run._references.features[classifier]
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(to_uint8(images))
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
    expected = precision_recall(manifold, rows[:80])
    assert (values["precision_classifier_80"], values["recall_classifier_80"]) == pytest.approx(expected)
    score = inception_score(probabilities[:100], num_splits=5)
    assert (values["is_classifier_100"], values["is_classifier_100_spread"]) == pytest.approx(score, rel=1e-5)
    losses = FixedBank(digits, DDPM(), num_images=8, num_levels=4, seed=0, device=CPU).losses(network)
    found = [values["val_loss"], values["val_loss_q0-0.5"], values["val_loss_q0.5-1"]]
    assert found == pytest.approx([float(losses.mean()), float(losses[:2].mean()), float(losses[2:].mean())])


def test_what_is_evaluated_beside_a_metric_does_not_change_it(run, network):
    often, final = run.metrics(network, final=False), run.metrics(network, final=True)
    assert often == {name: final[name] for name in often}


def test_one_pass_of_generation_feeds_all_evaluators(run, network):
    calls = []

    def counting(x, time, labels):
        calls.append(len(x))
        return network(x, time, labels)

    run.collect(counting, run.settings.active(final=True))
    assert calls == [32] * 4 * 3  # four blocks of three steps: 100 samples are the most that anyone needs


def test_real_images_are_at_a_small_distance_and_noise_at_a_large_one(settings, digits, cache_dir, classifier):
    run = dataclasses.replace(settings, seed=3).build(
        process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir
    )
    gaussian = run._references.gaussian(classifier, None)
    features = run._references.features[classifier]
    images = digits.read(np.arange(0, len(digits), 3))[0]
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        near, far = (features(x).double() for x in (images, noise))
    near, far = (frechet_distance(gaussian, x.mean(0), x.T.cov(), len(x)) for x in (near, far))
    assert near < 0.05 * far


def test_reference_statistics_from_a_file_are_used(settings, digits, cache_dir, classifier, network, tmp_path, run):
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


# --- a run that has diverged ---


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_that_has_diverged_has_no_number(run, bad):
    with pytest.raises(Diverged, match="not finite"):
        run.metrics(lambda x, time, labels: torch.full_like(x, bad), final=False)


def test_a_loss_that_is_not_finite_is_a_divergence_too(settings, digits, cache_dir):
    only = Evaluation(evaluators=settings.evaluators[1:], final_evaluators=())
    run = only.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    with pytest.raises(Diverged, match="val_loss is inf"):
        run.metrics(lambda x, time, labels: torch.full_like(x, 1e30), final=False)


def test_features_that_are_not_finite_are_a_divergence(run, network, monkeypatch, classifier):
    features = run._references.features[classifier]
    monkeypatch.setattr(type(features), "__call__", lambda self, images: torch.full((len(images), 16), torch.inf))
    with pytest.raises(Diverged, match="features of the samples"):
        run.metrics(network, final=False)


# --- plug-ins ---


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


def test_an_evaluator_of_ones_own_is_available_by_its_kind(settings, digits, cache_dir, network):
    evaluator = Evaluator.from_dict({"kind": "mean_feature_of_a_test"})
    own = dataclasses.replace(settings, evaluators=(evaluator,), final_evaluators=())
    run = own.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    assert tuple(run.metrics(network, final=False)) == ("mean_feature",)
    assert "mean_feature_of_a_test(promised=mean_feature)" in run.protocol()


def test_an_evaluator_that_breaks_its_promise_is_named(settings, digits, cache_dir, network):
    own = dataclasses.replace(settings, evaluators=(MeanFeature(promised="other"),), final_evaluators=())
    run = own.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)
    with pytest.raises(RuntimeError, match=r"promised .'other',. and yielded .'mean_feature',."):
        run.metrics(network, final=False)


# --- the table of jobs/evaluate.py ---


@pytest.fixture(scope="session")
def table(settings, network, cache_dir):
    source = Digits()
    return evaluate(
        settings, network=network, process=DDPM(), source=source, device=CPU, cache_dir=cache_dir, num_blocks=3
    )


def test_the_table_has_mean_and_deviation_over_disjoint_blocks_of_samples(table, run, settings, network):
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
    with torch.no_grad():
        rows = run._references.features[settings.evaluators[0].extractor](to_uint8(images)).double()
    gaussian = run._references.gaussian(settings.evaluators[0].extractor, None)
    assert values["fd_classifier_60"][1] == pytest.approx(
        frechet_distance(gaussian, rows.mean(0), rows.T.cov()), rel=1e-5
    )
    assert table.metrics()["fd_classifier_60"] == pytest.approx(np.mean(values["fd_classifier_60"]))
    assert table.metrics()["fd_classifier_60_sd"] == pytest.approx(np.std(values["fd_classifier_60"], ddof=1))


def test_the_text_has_every_metric_and_the_protocol_in_words(table, run, classifier):
    text = table.text()
    for row in table.rows:
        assert f"{row.mean:.5g}" in text
    assert text.endswith(table.protocol)
    for words in (
        "averaged (EMA) weights",
        "ddim(num_steps=3, eta=0.0, clip_x0=True)",
        "no guidance",
        "100 samples, classifier trained on digits 8x8",
        run._references.features[classifier].checksum[:12],
        "1,797 of 1,797 images of digits 8x8",
        run.reference.fingerprint[:12],
    ):
        assert words in table.protocol


def test_the_grid_is_the_first_samples_side_by_side(table, run, network, tmp_path):
    assert table.grid.shape == (1, 3 * 8, 4 * 8)
    images = to_uint8(torch.cat([b.images for b in run.generation.blocks(network, 0, 10)]))
    difference = table.grid[:, 8:16, 8:16].int() - images[5].int()  # second row, second column
    assert difference.abs().max() <= 1
    assert not table.grid[:, 16:, 16:].any()  # ten images leave two places empty
    from PIL import Image

    for grid in (table.grid, table.grid.expand(3, -1, -1)):
        save_grid(grid, tmp_path / "grid.png")
        with Image.open(tmp_path / "grid.png") as image:
            shown = np.asarray(image)
        assert max(shown.shape[:2]) >= 512
        factor = shown.shape[1] // 32
        np.testing.assert_array_equal(shown.reshape(24 * factor, 32 * factor, -1)[::factor, ::factor, 0], table.grid[0])


def test_a_single_block_has_no_deviation(settings, network, cache_dir):
    short = dataclasses.replace(settings, final_evaluators=())
    table = evaluate(
        short, network=network, process=DDPM(), source=Digits(), device=CPU, cache_dir=cache_dir, num_blocks=1
    )
    assert all(row.sd is None for row in table.rows)
    assert not any(name.endswith("_sd") for name in table.metrics())
    with pytest.raises(ValueError, match="num_blocks must be in"):
        evaluate(short, network=network, process=DDPM(), source=Digits(), device=CPU, cache_dir=cache_dir, num_blocks=0)


def test_relabelled_images_in_memory_work_as_training_set(digits, settings, network, cache_dir):
    unlabelled = MemoryImages("unlabelled", digits.images, None)
    plain = Evaluation(
        evaluators=(Frechet(extractor=Pixels(num_components=5), num_samples=20),),
        final_evaluators=(),
        sampler=settings.sampler,
    )
    run = plain.build(process=DDPM(), source=Sources(unlabelled), train_set=unlabelled, device=CPU, cache_dir=cache_dir)

    def unconditional(x, time, labels):
        assert labels is None
        return network(x, time, torch.zeros(len(x), dtype=torch.int64))

    assert run.metrics(unconditional, final=False)["fd_pca5_20"] > 0
    assert "unconditional" in run.protocol()
