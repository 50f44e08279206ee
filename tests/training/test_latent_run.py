"""A run on an autoencoder's latents: trained, stopped and resumed, evaluated on the images that it decodes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.autoencoder import save_autoencoder
from support.conditions import shown
from support.runner import Make, Runner, Step

from curriculum_search.data import Digits, Latents
from curriculum_search.difficulty import PrincipalAxes
from curriculum_search.diffusion import DDPM, DDIMSampler
from curriculum_search.evaluation import FixedBank, Frechet, Pixels, ValidationLoss, evaluate
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.frechet import frechet_distance
from curriculum_search.experiment import Experiment
from curriculum_search.models import DiT
from curriculum_search.models.encoders import VAE, Autoencoder, Decoded
from curriculum_search.training import Interrupted, PlainSession

CPU = torch.device("cpu")
DIGITS = Digits().load()
MODEL = DiT(patch_size=2, hidden_size=16, depth=1, num_heads=2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> VAE:
    return VAE(path=save_autoencoder(tmp_path_factory.mktemp("vae") / "vae"))


@pytest.fixture
def latent(tiny: Make, encoder: VAE) -> Experiment:
    return tiny(encoder=encoder, model=MODEL)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were decoded together, each time that some were."""
    counts: list[int] = []
    decode = Autoencoder.decode

    def counting(self: Any, values: torch.Tensor) -> Decoded:
        counts.append(len(values))
        return decode(self, values)

    monkeypatch.setattr(Autoencoder, "decode", counting)
    return counts


def evaluation_run(experiment: Experiment, cache_dir: Path) -> EvaluationRun:
    return experiment.evaluation.build(
        process=experiment.process,
        source=experiment.data,
        train_set=DIGITS,
        device=CPU,
        cache_dir=cache_dir,
        encoder=experiment.encoder,
    )


def test_a_run_that_is_stopped_after_each_of_its_steps_is_the_undisturbed_run(
    latent: Experiment, runner: Runner
) -> None:
    latent.check()
    runner(latent)
    expected = runner.curve()
    run_dir = runner.folder / "stopped"
    run_dir.mkdir()
    for _ in range(20):
        with pytest.raises(Interrupted):
            runner(latent, PlainSession(run_dir=run_dir, device=CPU, should_stop=True))
    runner(latent, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected
    assert {"val_loss", "fd_pca4_24"} <= set(expected[-1][1])


def test_steps_see_draws_of_the_posterior_that_are_new_at_every_step_and_the_same_in_every_arm(
    tiny: Make, encoder: VAE, runner: Runner, steps: list[Step]
) -> None:
    for sample in (True, True, False):
        runner(tiny(encoder=dataclasses.replace(encoder, sample=sample), model=MODEL))
    drawn, again, means = steps[:20], steps[20:40], steps[40:]
    for a, b, mean in zip(drawn, again, means, strict=True):
        assert a.images.shape == (16, 2, 4, 4)
        assert torch.equal(a.images, b.images)
        assert not torch.equal(a.images, mean.images)
    differences = [a.images - mean.images for a, mean in zip(drawn, means, strict=True)]
    assert not torch.equal(differences[0], differences[1])


def test_images_are_mirrored_before_they_are_encoded(
    tiny: Make, encoder: VAE, runner: Runner, steps: list[Step]
) -> None:
    means = dataclasses.replace(encoder, sample=False)
    runner(tiny(encoder=means, model=MODEL, training={"horizontal_flip": True}))
    stored = DIGITS.read(np.arange(len(DIGITS)))[0]
    codec = means.load(CPU)
    plain, mirrored = (codec.encode(images, None).flatten(1) for images in (stored, stored.flip(-1)))
    seen = steps[0].images.flatten(1)
    exactly = "donot_use_mm_for_euclid_dist"
    distances = [torch.cdist(seen, values, compute_mode=exactly).min(1).values for values in (plain, mirrored)]
    as_it_is, flipped = (distance < 1e-4 for distance in distances)
    assert bool((as_it_is | flipped).all())
    assert 0 < int((flipped & ~as_it_is).sum()) < 16


def test_samples_are_not_clipped_and_metrics_are_those_of_the_decoded_images(
    latent: Experiment, tmp_path: Path, encoder: VAE
) -> None:
    run = evaluation_run(latent, tmp_path)
    torch.manual_seed(1)
    network = latent.build_network(DIGITS).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    blocks = list(run.generation.blocks(network, 0, 24))
    assert max(float(block.values.abs().max()) for block in blocks) > 1
    for block in blocks:
        assert block.values.shape == (8, 2, 4, 4)
        assert torch.equal(block.images, encoder.load(CPU).decode(block.values).images)
    extractor = Pixels(num_components=4)
    rows = run._references.features[extractor](torch.cat([block.images for block in blocks])).double()
    reference = run._references.gaussian(extractor, None)
    assert run.metrics(network, final=False)["fd_pca4_24"] == pytest.approx(
        frechet_distance(reference, rows.mean(0), rows.T.cov()), rel=1e-5
    )
    assert f"decoded by vae(path={encoder.path}" in run.protocol()
    assert "clip_x0=False" in run.protocol()


def test_an_evaluation_decodes_no_image_twice(latent: Experiment, tmp_path: Path, decoded: list[int]) -> None:
    settings = dataclasses.replace(
        latent.evaluation,
        evaluators=(
            Frechet(extractor=Pixels(num_components=4), num_samples=24),
            Frechet(extractor=Pixels(num_components=5), num_samples=16),
            ValidationLoss(num_images=4, num_levels=2, num_intervals=2),
        ),
        grid_images=20,
    )
    network = latent.build_network(DIGITS).eval().requires_grad_(False)
    table = evaluate(
        settings,
        network=network,
        process=latent.process,
        source=latent.data,
        device=CPU,
        cache_dir=tmp_path,
        encoder=latent.encoder,
        num_blocks=2,
    )
    assert decoded == [8, 8, 8] * 2
    assert table.grid.shape == (1, 4 * 8, 5 * 8)


def test_grids_after_every_evaluation_decode_no_image_twice(
    latent: Experiment, runner: Runner, decoded: list[int]
) -> None:
    runner(dataclasses.replace(latent, evaluation=dataclasses.replace(latent.evaluation, grid_images=30)))
    assert decoded == [8, 8, 8, 6] * 4  # the grid has six more samples than the evaluation
    images = [int(path.stem) for path in (runner.session.run_dir / "samples").iterdir()]
    assert sorted(images) == [80, 160, 240]


def test_the_grid_of_a_network_that_was_not_evaluated_is_made_for_it(
    latent: Experiment, tmp_path: Path, decoded: list[int]
) -> None:
    run = evaluation_run(latent, tmp_path)
    network = latent.build_network(DIGITS).eval().requires_grad_(False)
    run.metrics(network, final=True)
    decoded.clear()
    assert run.grid(network).shape == (1, 16, 16)
    assert decoded == []
    other = latent.build_network(DIGITS).eval().requires_grad_(False)
    assert run.grid(other).shape == (1, 16, 16)
    assert decoded == [4]


@pytest.fixture
def stored(tmp_path: Path, encoder: VAE) -> Latents:
    """Digits that were encoded before, and the digits themselves to compare with."""
    moments = encoder.load(CPU).posterior(DIGITS.read(np.arange(len(DIGITS)))[0])
    np.save(tmp_path / "latents.npy", moments.flatten(1, 2).numpy())
    np.save(tmp_path / "images.npy", DIGITS.read(np.arange(len(DIGITS)))[0].numpy())
    assert DIGITS.labels is not None
    np.save(tmp_path / "labels.npy", DIGITS.labels)
    return Latents(
        path=str(tmp_path / "latents.npy"),
        layout="mean_std",
        labels_path=str(tmp_path / "labels.npy"),
        reference_path=str(tmp_path / "images.npy"),
    )


def test_training_on_stored_latents_is_training_on_the_images_that_they_are_of(
    latent: Experiment, stored: Latents, runner: Runner, steps: list[Step]
) -> None:
    from_latents = dataclasses.replace(latent, data=stored)
    from_latents.check()
    runner(latent)
    expected = runner.curve()
    runner(from_latents)
    for a, b in zip(steps[:20], steps[20:], strict=True):
        torch.testing.assert_close(a.images, b.images, rtol=0, atol=1e-5)
        assert shown(a.condition) == shown(b.condition)
    for (_, ours), (_, theirs) in zip(runner.curve(), expected, strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)
        assert ours["fd_pca4_24"] == pytest.approx(theirs["fd_pca4_24"], rel=1e-2)


def test_what_latents_cannot_do_is_said_before_the_run(latent: Experiment, stored: Latents, tmp_path: Path) -> None:
    run = dataclasses.replace(latent, data=stored)
    flipping = dataclasses.replace(run.training, horizontal_flip=True)
    with pytest.raises(ValueError, match="training: horizontal_flip must be false with latents, which cannot"):
        dataclasses.replace(run, training=flipping).check()
    alone = dataclasses.replace(stored, reference_path=None)
    for extractor, words in ((Pixels(num_components=4), "extractor pixels looks at the reference's images"),):
        frechet = Frechet(extractor=extractor, num_samples=24)
        evaluation = dataclasses.replace(run.evaluation, evaluators=(frechet,))
        with pytest.raises(
            ValueError, match=f"evaluation: evaluators.0: {words}, and latents 4x4 has .*: data.reference_path names"
        ):
            dataclasses.replace(run, data=alone, evaluation=evaluation).check()
    learned = dataclasses.replace(run.evaluation, evaluators=(Frechet(num_samples=24),))
    with pytest.raises(ValueError, match=r"extractor classifier .*, and latents 4x4 has latents: use .*reference_path"):
        dataclasses.replace(run, evaluation=learned).check()
    np.save(tmp_path / "large.npy", np.zeros((20, 16, 16), np.uint8))
    large = dataclasses.replace(stored, reference_path=str(tmp_path / "large.npy"))
    message = (
        r"images have shape \(2, 4, 4\), the reference's are encoded to \(2, 8, 8\): data\.reference_resolution: 8 .*"
    )
    with pytest.raises(ValueError, match=f"{message}large.npy"):
        dataclasses.replace(run, data=large).check()


def test_the_bank_and_the_difficulty_studies_are_of_latents(encoder: VAE) -> None:
    def silent(x: torch.Tensor, time: torch.Tensor, condition: Any) -> torch.Tensor:
        assert x.shape[1:] == (2, 4, 4)
        return torch.zeros_like(x)

    bank = FixedBank(DIGITS, DDPM(), num_images=100, num_levels=2, seed=0, device=CPU, encoder=encoder)
    assert bank.losses(silent).tolist() == pytest.approx([1, 1], abs=0.2)
    assert PrincipalAxes.of(DIGITS, 50, 0, encoder).num_pixels == 2 * 4 * 4


def test_an_encoder_that_does_not_fit_is_named_before_the_run(tiny: Make, encoder: VAE, tmp_path: Path) -> None:
    color = VAE(path=save_autoencoder(tmp_path / "color", channels=3))
    with pytest.raises(ValueError, match=r"encoder: .*color takes images of 3 channels, and digits 8x8 has 1"):
        tiny(encoder=color, model=MODEL).check()
    with pytest.raises(
        ValueError, match=r"model: patch_size must divide the resolution 4, and 8 does not; 1, 2, 4 do \(data: digits\)"
    ):
        tiny(encoder=encoder, model=dataclasses.replace(MODEL, patch_size=8)).check()


def test_only_an_encoder_changes_what_a_run_is_called(tiny: Make, encoder: VAE) -> None:
    named = {tiny(encoder=e).identity() for e in (encoder, dataclasses.replace(encoder, sample=False))}
    assert len(named | {tiny().identity()}) == 3
    assert "encoder" not in Experiment().identifying()  # runs of before there were encoders keep their names


def test_sampling_for_unbounded_values_keeps_everything_else() -> None:
    assert DDIMSampler(num_steps=7, eta=0.5).unclipped() == DDIMSampler(num_steps=7, eta=0.5, clip_x0=False)
