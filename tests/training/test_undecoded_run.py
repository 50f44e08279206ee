"""A run on latents that nothing decodes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.latent_files import MEAN_STD
from support.runner import Make, Runner

from curriculum_search.data import Digits, Latents, LatentSet
from curriculum_search.evaluation import Evaluation, Frechet, LatentComponents, Pixels, ValidationLoss
from curriculum_search.experiment import Experiment
from curriculum_search.models import DiT
from curriculum_search.models.encoders import Undecoded

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Latents:
    path = str(tmp_path / "a.npy")
    np.save(path, MEAN_STD)
    return Latents(path=path, layout="mean_std", reference_latents_path=path)


@pytest.fixture
def run(tiny: Make, data: Latents) -> Experiment:
    distance = Frechet(extractor=LatentComponents(num_components=4), num_samples=24)
    evaluation = Evaluation(
        evaluators=(distance, ValidationLoss(num_images=4, num_levels=2, num_intervals=2)),
        final_evaluators=(),
        batch_size=8,
        grid_images=4,
    )
    model = DiT(patch_size=2, hidden_size=16, depth=1, num_heads=2)
    return tiny(data=data, encoder=Undecoded(scale=0.5, shift=(1.0, -1.0)), model=model, evaluation=evaluation)


def test_a_run_trains_and_is_compared_with_latents_by_a_metric_that_says_so(run: Experiment, runner: Runner) -> None:
    run.check()
    runner(run)
    assert {"fd_latents4_24", "val_loss"} <= set(runner.curve()[-1][1])
    protocol = run.evaluation.build(
        process=run.process,
        source=run.data,
        train_set=run.data.load(),
        device=CPU,
        cache_dir=runner.folder,
        encoder=run.encoder,
    ).protocol()
    assert "latents of undecoded(scale=0.5, shift=(1.0, -1.0), sample=True), not decoded" in protocol
    assert "a distance between latents, not between images" in protocol
    assert "8 bits" not in protocol


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": {"scale": 0.001}}, "encoder: .*standard deviation of 0.00"),
        (
            {"encoder": {"shift": (1.0, 2.0, 3.0)}},
            "encoder: shift must be one number or 2, one for each channel, not 3",
        ),
        (
            {"evaluation": {"evaluators": (Frechet(extractor=Pixels(num_components=4), num_samples=24),)}},
            "evaluators.0: extractor must be latents, not pixels, where the encoder has no decoder",
        ),
        (
            {
                "evaluation": {
                    "evaluators": (
                        Frechet(extractor=LatentComponents(), num_samples=500, reference_file="statistics.npz"),
                    )
                }
            },
            "num_components of extractor latents must be at most the 32 values of a latent, not 64",
        ),
        (
            {
                "evaluation": {
                    "evaluators": (
                        Frechet(extractor=LatentComponents(num_components=4), num_samples=24, reference_file="a.npz"),
                    )
                }
            },
            "reference_file must be null with extractor latents, not a.npz",
        ),
        ({"data": Digits()}, "encoder: encoder undecoded takes latents, and digits 8x8 has images: latents to compare"),
    ],
)
def test_what_does_not_fit_is_said_before_the_run(run: Experiment, changes: dict[str, Any], words: str) -> None:
    for name, change in changes.items():
        part = dataclasses.replace(getattr(run, name), **change) if isinstance(change, dict) else change
        run = dataclasses.replace(run, **{name: part})
    with pytest.raises(ValueError, match=words):
        run.check()


def test_latents_to_compare_with_may_be_others_of_the_same_form(run: Experiment, data: Latents, tmp_path: Path) -> None:
    other = str(tmp_path / "held out.npy")
    np.save(other, MEAN_STD[:10])
    held_out = dataclasses.replace(data, reference_latents_path=other)
    reference = held_out.reference()
    assert isinstance(reference, LatentSet)
    assert len(reference) == 10
    assert reference.fingerprint != held_out.load().fingerprint
    dataclasses.replace(run, data=held_out).check()
