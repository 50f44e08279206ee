"""Loss weights that are learned in other people's training code."""

import math
import re
from dataclasses import replace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from support.curricula import Write

from curriculum_search.adapters import (
    CurriculumAdapter,
    DiffusersFlowMatching,
    EDMSigmas,
    LearnedWeights,
    Levels,
    Quantiles,
    ScheduleSampler,
)
from curriculum_search.curriculum import Curriculum, CurriculumFile
from curriculum_search.diffusion import DDPM, EDM, Flow, LossSecondMoment, NoWeighting, Process, Uncertainty, Uniform
from curriculum_search.experiment import Experiment, Training
from curriculum_search.export import curriculum_of
from curriculum_search.training.learned import Learned

CPU = torch.device("cpu")


def exported(process: Process, weighting: Uncertainty) -> CurriculumFile:
    """What is exported of an experiment whose losses are weighted back, as those of an adaptive density are."""
    density = LossSecondMoment(num_bins=4, history=2)
    training = Training(total_images=4000, batch_size=40)
    curriculum = Curriculum(num_clusters=2)
    return curriculum_of(
        Experiment(process=process, density=density, weighting=weighting, training=training, curriculum=curriculum)
    )


@pytest.mark.parametrize(
    ("process", "weighting"),
    [
        (Flow(shift=2.0), Uncertainty(channels=16, learning_rate=0.03)),
        (EDM(), Uncertainty()),
        (DDPM(), Uncertainty(base=NoWeighting())),
    ],
)
def test_each_step_is_that_of_our_own_loop(process: Process, weighting: Uncertainty) -> None:
    file, settings = exported(process, weighting), Training(betas=(0.8, 0.95))
    native = Learned(weighting, settings, seed=3, device=CPU)
    weights = LearnedWeights(file)
    weights.learned.load_state_dict(native.module.state_dict())
    group = {"params": weights.parameters(), "lr": weights.learning_rate, "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([group], betas=settings.betas)
    adapter = Quantiles(file, total_images=4000)
    importances = []
    for step in range(40):
        torch.manual_seed(step)
        q = adapter.quantiles(40, CPU)
        losses = torch.rand(40) * torch.exp(2 * q)
        adapter.observe(losses)
        importances.append(adapter.importance)

        # As training/loop.py has it.
        log_snr = process.log_snr(q)
        objective = native.objective(weighting.weights(log_snr, process) * losses, log_snr)
        theirs = (adapter.importance * objective).sum() / len(q)
        theirs.backward()  # type: ignore[no-untyped-call]
        native.step(1.0)

        ours = (weights(losses, adapter.log_snr) * adapter.importance).mean()
        optimizer.zero_grad()
        ours.backward()
        optimizer.step()
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(weights.learned.state_dict(), native.module.state_dict())
    assert torch.cat(importances).std() > 0.1


def test_the_log_snr_of_a_draw_is_that_of_the_levels_that_were_given(curriculum_file: Write) -> None:
    levels = Levels(curriculum_file(Flow(shift=3.0)), "flow", total_images=4000)
    t = levels.levels(50, CPU)
    torch.testing.assert_close(levels.log_snr, 2 * torch.log((1 - t) / t), rtol=1e-4, atol=1e-4)

    edm = EDMSigmas(curriculum_file(EDM()), total_images=4000)
    sigma = edm.sigmas(50, CPU).flatten()
    torch.testing.assert_close(edm.log_snr, -2 * sigma.log())

    timesteps = ScheduleSampler(curriculum_file(DDPM()), 1000, total_images=4000)
    drawn, _ = timesteps.sample(50, CPU)
    alphas = torch.from_numpy(DDPM().alphas_cumprod())[drawn]
    expected = torch.log(alphas / (1 - alphas)).float()
    torch.testing.assert_close(timesteps.log_snr, expected, rtol=1e-4, atol=1e-4)

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow = DiffusersFlowMatching(curriculum_file(Flow()), scheduler, total_images=4000)
    sigmas = scheduler.sigmas[flow.indices(500)].double()
    expected = 2 * torch.log((1 - sigmas) / sigmas).clamp(min=math.log(1e-9)).float()
    torch.testing.assert_close(flow.log_snr, expected, rtol=1e-3, atol=1e-3)


def test_before_a_draw_there_is_no_log_snr(curriculum_file: Write) -> None:
    adapter: CurriculumAdapter = EDMSigmas(curriculum_file(EDM()), total_images=4000)
    with pytest.raises(ValueError, match="log_snr is that of a draw, and nothing has been drawn yet"):
        _ = adapter.log_snr


def test_a_curriculum_without_learned_weights_is_an_error(curriculum_file: Write) -> None:
    message = "needs a curriculum with a weighting that is learned (weighting.kind uncertainty), and this one has none"
    with pytest.raises(ValueError, match=re.escape(message)):
        LearnedWeights(curriculum_file(Flow(), density=Uniform()))


def test_first_values_are_those_of_the_seed(curriculum_file: Write) -> None:
    file = replace(CurriculumFile.load(curriculum_file(Flow())), weighting=Uncertainty())
    first, again, other = (dict(LearnedWeights(file, seed=seed).named_parameters()) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again)
    assert not torch.equal(first["learned.weight"], other["learned.weight"])
