"""Numbers marked as printed are k-diffusion's (get_sigmas_karras, sample_heun, sample_euler, Denoiser), of flow SiT's
(integrators.ode from noise at 0 to data at 1, of a network that gives minus ours at 1 - t)."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import DDPM, EDM, EulerSampler, Flow, HeunSampler, Network, Process, Sampler
from curriculum_search.diffusion.ode import ODESampler, flow_schedule, rho_schedule

Best = Callable[[Process], Network]


def wavy_network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    return torch.sin(1.3 * x + time[:, None, None, None])


def test_sigmas_are_the_published_ones() -> None:
    sigmas = rho_schedule(18, rho=7, sigma_min=0.002, sigma_max=80)
    np.testing.assert_allclose(sigmas[:4], [80.0, 57.58597, 40.78557, 28.37458], rtol=1e-6)  # Printed.
    assert sigmas[17] == pytest.approx(0.002)
    assert sigmas[18] == 0
    assert len(sigmas) == 19


@pytest.mark.parametrize(
    ("shift", "times"),
    [
        (1.0, [1, 0.75, 0.5, 0.25, 0]),
        (3.0, [1, 0.9, 0.75, 0.5, 0]),
        (0.5, [1, 0.6, 1 / 3, 1 / 7, 0]),
    ],
)
def test_flow_steps_through_shifted_times_as_it_trains_on_them(shift: float, times: list[float]) -> None:
    process, called = Flow(shift=shift), []

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        called.append(time[0].item())
        return x

    np.testing.assert_allclose(flow_schedule(4, process), times, rtol=1e-12)
    assert flow_schedule(4, process)[[0, -1]].tolist() == [1.0, 0.0]
    EulerSampler(num_steps=4).sample(process, network, torch.ones(1, 1, 2, 2), Unconditional(), [])
    np.testing.assert_allclose(called, times[:-1], rtol=1e-6)
    called.clear()
    HeunSampler(num_steps=4).sample(process, network, torch.ones(1, 1, 2, 2), Unconditional(), [])
    both_ends = list(itertools.chain(*itertools.pairwise(times)))
    np.testing.assert_allclose(called, both_ends[:-1], rtol=1e-6)  # 0 is not asked for


def test_times_without_a_shift_are_equally_far_apart_to_the_bit() -> None:
    for num_steps in (1, 7, 50):
        assert np.array_equal(flow_schedule(num_steps, Flow()), np.linspace(1.0, 0.0, num_steps + 1))


@pytest.mark.parametrize(
    ("sampler", "printed"),
    [
        (HeunSampler(clip=False), [1.26442, -0.981621, 1.21457, -0.917608, 1.10598, -0.763719, 0.709471, -0.0312657]),
        (
            EulerSampler(num_steps=18, clip=False),
            [1.13764, -0.935046, 1.0927, -0.870197, 0.976475, -0.65942, 0.582033, 0.0732412],
        ),
    ],
)
def test_samples_of_edm_are_the_published_ones(
    sampler: Sampler, printed: list[float], toy_images: tuple[Tensor, Tensor]
) -> None:
    found = sampler.sample(EDM(), wavy_network, toy_images[1][:1], Unconditional(), [])
    np.testing.assert_allclose(found.flatten(), printed, atol=1e-5)


@pytest.mark.parametrize(
    ("sampler", "printed"),
    [
        (
            EulerSampler(num_steps=8, clip=False),
            [0.453236, -0.562954, 0.18683, -0.469448, -0.0251758, -0.36888, -0.183697, -0.256557],
        ),
        (  # heun2 in seven steps, euler in the last: in all eight heun2 of SiT ends at 0.451001, -0.555076, ...
            HeunSampler(num_steps=8, clip=False),
            [0.439334, -0.55602, 0.204497, -0.45376, 0.00943553, -0.342774, -0.146233, -0.221697],
        ),
    ],
)
def test_samples_of_flow_are_the_published_ones(
    sampler: Sampler, printed: list[float], toy_images: tuple[Tensor, Tensor]
) -> None:
    found = sampler.sample(Flow(), wavy_network, toy_images[1][:1], Unconditional(), [])
    np.testing.assert_allclose(found.flatten(), printed, atol=1e-5)


def errors(sampler: ODESampler, process: Process, network: Network) -> tuple[float, float]:
    """Errors of mean and deviation; the best network for Gaussian data is affine, and so is the sampler."""
    noise = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    at_zero, at_one = sampler.sample(process, network, noise, Unconditional(), []).flatten().tolist()
    return abs(at_zero - 0.3), abs(at_one - at_zero - 0.4)


@pytest.mark.parametrize("process", [EDM(), EDM(p_mean=-0.4, sigma_data=0.8), Flow(), Flow(shift=3.0)], ids=str)
def test_both_methods_turn_noise_into_the_datas_distribution(process: Process, best_network: Best) -> None:
    network = best_network(process)
    assert max(errors(HeunSampler(num_steps=80, clip=False), process, network)) < 2e-3
    assert max(errors(EulerSampler(num_steps=400, clip=False), process, network)) < 1e-2


@pytest.mark.parametrize("process", [EDM(), Flow()], ids=str)
def test_euler_converges_with_first_order_and_heun_with_second(process: Process, best_network: Best) -> None:
    network = best_network(process)
    euler = [errors(EulerSampler(num_steps=n, clip=False), process, network)[1] for n in (64, 128)]
    heun = [errors(HeunSampler(num_steps=n, clip=False), process, network)[1] for n in (16, 32)]
    assert 1.8 < euler[0] / euler[1] < 2.4
    assert 3.3 < heun[0] / heun[1] < 5.5


def test_one_step_returns_the_estimate_of_the_clean_image(best_network: Best) -> None:
    noise = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for process in (EDM(), Flow()):
        network = best_network(process)
        level = torch.full((3,), 80.0 if isinstance(process, EDM) else 1.0)
        x0 = process.estimate_at(network, noise * level[0], level, Unconditional()).x0
        for sampler in (EulerSampler(num_steps=1), HeunSampler(num_steps=1)):
            found = sampler.sample(process, network, noise, Unconditional(), [])
            torch.testing.assert_close(found, x0.float(), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("sampler", "calls"), [(HeunSampler(num_steps=5), 9), (EulerSampler(num_steps=5), 5)])
@pytest.mark.parametrize("process", [EDM(), Flow()], ids=str)
def test_network_calls_are_as_documented(sampler: Sampler, calls: int, process: Process) -> None:
    times = []

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        times.append(time)
        return -9 * torch.ones_like(x)

    images = sampler.sample(process, network, torch.ones(2, 1, 2, 2), Unconditional(), [])
    assert len(times) == calls
    assert all(t.shape == (2,) and t.dtype == torch.float32 for t in times)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("sampler", [HeunSampler(), EulerSampler()])
def test_a_process_that_does_not_fit_is_refused(sampler: Sampler) -> None:
    sampler.check(EDM())
    sampler.check(Flow())
    with pytest.raises(ValueError, match="needs process edm or flow, not ddpm: use ddim or ddpm"):
        sampler.sample(DDPM(), wavy_network, torch.zeros(1, 1, 2, 2), Unconditional(), [])


@pytest.mark.parametrize("kind", ["heun", "euler"])
@pytest.mark.parametrize("fields", [{"num_steps": 0}, {"rho": 0.0}, {"sigma_min": 0.0}, {"sigma_min": 90.0}])
def test_impossible_fields_are_refused_by_name(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Sampler.from_dict({"kind": kind, **fields})


def test_every_kind_is_registered() -> None:
    assert set(Sampler.kinds()) == {"ddim", "ddim_strided", "ddpm", "heun", "euler"}
