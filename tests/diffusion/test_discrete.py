"""Numbers marked as printed are guided-diffusion's (SpacedDiffusion); diffusers' schedulers are a second peer."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    DDIMSampler,
    DDPMSampler,
    Network,
    Process,
    Sampler,
    StridedDDIMSampler,
)
from curriculum_search.diffusion.discrete import spaced_timesteps

Best = Callable[[Process], Network]
Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "x0", "v"]


def wavy_network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    t = time[:, None, None, None]
    return torch.cat([torch.sin(1.3 * x + t / 500), torch.cos(x + t / 300)], dim=1)


def generators(n: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + i) for i in range(n)]


# (schedule, prediction) -> printed ddim_sample_loop, and p_sample_loop with noise from a generator with seed 5; 7 steps
PUBLISHED: dict[tuple[Schedule, Prediction], tuple[list[float], list[float]]] = {
    ("linear", "epsilon"): (
        [1.0, -1.0, 1.0, -0.907396, -0.298868, -0.693091, -0.495182, -0.555723],
        [-0.959528, -0.569856, -0.411823, -1.0, -1.0, -0.37208, -0.457097, -0.342246],
    ),
    ("linear", "x0"): (
        [0.953936, -0.873984, 0.956214, -0.123868, 0.960241, 0.818805, 0.964195, 0.959216],
        [0.911763, 0.916438, 0.960728, 0.755656, -0.996095, 0.906205, 0.957407, 0.654862],
    ),
    ("cosine", "epsilon"): (
        [1.0, -1.0, 1.0, -0.961072, 0.846093, -0.813754, -0.607129, -0.677012],
        [-0.811298, -0.656342, -0.494041, -1.0, -1.0, -0.410314, -0.472711, -0.586309],
    ),
    ("cosine", "x0"): (
        [0.963403, 0.423988, 0.96347, 0.910998, 0.963524, 0.95899, 0.963443, 0.963107],
        [0.945727, 0.933236, 0.961769, 0.924479, -0.139961, 0.958331, 0.964514, 0.957835],
    ),
}


@pytest.mark.parametrize(("schedule", "prediction"), PUBLISHED)
def test_samples_with_learned_variance_are_the_published_ones(
    schedule: Schedule, prediction: Prediction, toy_images: tuple[Tensor, Tensor]
) -> None:
    noise = toy_images[1][:1]
    process = DDPM(schedule=schedule, prediction=prediction, learned_variance=True)
    ddim, ddpm = PUBLISHED[schedule, prediction]
    found = DDIMSampler(num_steps=7).sample(process, wavy_network, noise, Unconditional(), generators(1))
    np.testing.assert_allclose(found.flatten(), ddim, atol=1e-5)
    found = DDPMSampler(num_steps=7).sample(process, wavy_network, noise, Unconditional(), generators(1, first=5))
    np.testing.assert_allclose(found.flatten(), ddpm, atol=1e-5)


def test_timesteps_are_spaced_as_published() -> None:
    assert spaced_timesteps(1000, 10).tolist() == [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]
    many = spaced_timesteps(1000, 250).tolist()
    assert many[:6] + many[-4:] == [0, 4, 8, 12, 16, 20, 987, 991, 995, 999]
    assert spaced_timesteps(1000, 1000).tolist() == list(range(1000))
    assert spaced_timesteps(1000, 1).tolist() == [999]


@pytest.mark.parametrize(
    ("num_timesteps", "num_steps", "stride"),
    [(1000, 50, 20), (1000, 250, 4), (1000, 30, 34), (4000, 100, 40), (40, 40, 1)],
)
def test_strided_timesteps_are_those_of_the_published_ddim_n(num_timesteps: int, num_steps: int, stride: int) -> None:
    found = StridedDDIMSampler(num_steps=num_steps).timesteps(num_timesteps).tolist()
    assert found == [i * stride for i in range(num_steps)]
    assert found[-1] < num_timesteps <= found[-1] + stride


@pytest.mark.parametrize(("num_steps", "near"), [(300, "250 or 334"), (1, "2 or 3"), (999, "500 or 1000")])
def test_a_number_of_steps_that_no_stride_gives_is_refused_as_in_the_published_code(num_steps: int, near: str) -> None:
    sampler = StridedDDIMSampler(num_steps=num_steps)
    with pytest.raises(ValueError, match=f"whole stride through 1000 timesteps, such as {near}, not {num_steps}"):
        sampler.check(DDPM())


def test_strided_ddim_takes_the_steps_of_diffusers_with_leading_timesteps() -> None:
    from diffusers import DDIMScheduler

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return wavy_network(x, time, condition)[:, :2]

    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, timestep_spacing="leading")
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist()[::-1] == list(range(0, 1000, 20))
    x = noise = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for t in scheduler.timesteps:
        x = scheduler.step(
            network(x, t.float().expand(3), Unconditional()), t, x, use_clipped_model_output=True
        ).prev_sample
    found = StridedDDIMSampler(num_steps=50).sample(DDPM(), network, noise, Unconditional(), [])
    torch.testing.assert_close(found, x, rtol=0, atol=2e-4)
    assert not torch.allclose(
        DDIMSampler(num_steps=50).sample(DDPM(), network, noise, Unconditional(), []), x, rtol=0, atol=1e-2
    )


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddim_takes_the_steps_of_diffusers(schedule: Schedule, prediction: Prediction) -> None:
    from diffusers import DDIMScheduler

    noise = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    process = DDPM(schedule=schedule, prediction=prediction, num_timesteps=40)

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return wavy_network(x, time, condition)[:, :2]

    scheduler = DDIMScheduler(
        num_train_timesteps=40,
        beta_start=0.0025,
        beta_end=0.5,
        beta_schedule={"linear": "linear", "cosine": "squaredcos_cap_v2"}[schedule],
        prediction_type={"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}[prediction],
    )
    scheduler.set_timesteps(40)
    x = noise
    for t in scheduler.timesteps:
        x = scheduler.step(
            network(x, t.float().expand(3), Unconditional()), t, x, use_clipped_model_output=True
        ).prev_sample
    found = DDIMSampler(num_steps=40).sample(process, network, noise, Unconditional(), [])
    torch.testing.assert_close(found, x, rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    "process",
    [DDPM(), DDPM(prediction="x0"), DDPM(prediction="v", schedule="cosine"), DDPM(num_timesteps=400)],
    ids=str,
)
def test_ddim_turns_noise_into_the_datas_distribution(process: DDPM, best_network: Best) -> None:
    """The best network for Gaussian data is affine, and so is the sampler: two noises show mean and deviation."""
    sampler = DDIMSampler(num_steps=process.num_timesteps, clip_x0=False)
    noise = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    at_zero, at_one = sampler.sample(process, best_network(process), noise, Unconditional(), []).flatten().tolist()
    assert at_zero == pytest.approx(0.3, abs=5e-3)
    assert at_one - at_zero == pytest.approx(0.4, rel=1e-2)


@pytest.mark.parametrize(
    "sampler", [DDPMSampler(num_steps=1000, clip_x0=False), DDIMSampler(num_steps=500, eta=1.0, clip_x0=False)]
)
def test_ancestral_sampling_turns_noise_into_the_datas_distribution(sampler: Sampler, best_network: Best) -> None:
    noise = torch.randn(50, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    images = sampler.sample(DDPM(), best_network(DDPM()), noise, Unconditional(), generators(50))
    assert images.mean().item() == pytest.approx(0.3, abs=0.01)
    assert images.std().item() == pytest.approx(0.4, rel=0.02)


def test_ddim_with_eta_1_is_ddpm_with_the_posteriors_variance() -> None:
    noise = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return wavy_network(x, time, condition)[:, :2]

    one = DDIMSampler(num_steps=12, eta=1.0).sample(DDPM(), network, noise, Unconditional(), generators(3))
    other = DDPMSampler(num_steps=12).sample(DDPM(), network, noise, Unconditional(), generators(3))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "sampler", [DDPMSampler(num_steps=6), DDIMSampler(num_steps=6, eta=0.5), StridedDDIMSampler(num_steps=6, eta=0.5)]
)
def test_a_sample_depends_on_its_own_generator_alone(sampler: Sampler, best_network: Best) -> None:
    process = DDPM()
    noise = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    network = best_network(process)
    together = sampler.sample(process, network, noise, Unconditional(), generators(4))
    alone = sampler.sample(process, network, noise[2:3], Unconditional(), generators(1, first=2))
    assert torch.equal(together[2:3], alone)
    assert not torch.equal(together, sampler.sample(process, network, noise, Unconditional(), generators(4, first=9)))


@pytest.mark.parametrize("sampler", [DDPMSampler(num_steps=5), DDIMSampler(num_steps=5)])
def test_clipped_samples_lie_in_the_range_of_images(sampler: Sampler) -> None:
    noise = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    images = sampler.sample(DDPM(), lambda x, time, condition: -x, noise, Unconditional(), generators(4))
    assert images.abs().max() == 1
    assert not images.requires_grad


@pytest.mark.parametrize("sampler", [DDPMSampler(num_steps=50), DDIMSampler(num_steps=50), StridedDDIMSampler()])
def test_a_process_that_does_not_fit_is_refused(sampler: Sampler) -> None:
    sampler.check(DDPM())
    with pytest.raises(ValueError, match="needs process ddpm, not edm: use heun or euler"):
        sampler.check(EDM())
    with pytest.raises(ValueError, match="num_steps must be at most the process's 40 timesteps, not 50"):
        sampler.check(DDPM(num_timesteps=40))


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [("ddim", {"num_steps": 0}, "num_steps"), ("ddpm", {"num_steps": 0}, "num_steps"), ("ddim", {"eta": 1.5}, "eta")],
)
def test_impossible_fields_are_refused_by_name(kind: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Sampler.from_dict({"kind": kind, **fields})
