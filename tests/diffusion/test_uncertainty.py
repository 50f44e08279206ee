import math
from typing import Any

import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    EDMWeighting,
    Flow,
    MinSNR,
    NoWeighting,
    Process,
    Uncertainty,
    Weighting,
)
from curriculum_search.diffusion.uncertainty import LogVariance

torch.set_num_threads(1)


def built(seed: int = 0, **fields: Any) -> LogVariance:
    module = Uncertainty(**fields).build(torch.Generator().manual_seed(seed))
    assert isinstance(module, LogVariance)
    return module


def test_loss_and_gradients_are_those_of_edm2() -> None:
    """EDM2's loss as its paper has it (eq. 14 and 15), written out pixel by pixel for a denoiser of one weight."""
    generator = torch.Generator().manual_seed(1)
    images, noise = (torch.randn(6, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    sigma = torch.tensor([0.01, 0.1, 0.4, 1.0, 5.0, 60.0], dtype=torch.float64)
    process, weighting, module = EDM(), Uncertainty(), built().double()

    gain = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    weight = module.weight.detach().clone().requires_grad_()
    c_noise = sigma.log() / 4
    features = 2**0.5 * torch.cos(c_noise[:, None] * module.frequencies + module.phases)
    u = features @ (weight / weight.square().sum().sqrt())
    by_pixel = u[:, None, None, None]
    shape = sigma[:, None, None, None]
    x, data = images + shape * noise, 0.5
    denoised = data**2 / (shape**2 + data**2) * x + shape * data / (shape**2 + data**2).sqrt() * (
        gain * x / (shape**2 + data**2).sqrt()
    )
    lam = (shape**2 + data**2) / (shape * data) ** 2
    expected = (lam / by_pixel.exp() * (denoised - images) ** 2 + by_pixel).mean()
    expected.backward()  # type: ignore[no-untyped-call]

    own = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return own * x

    q = process.quantile(sigma)
    losses = process.losses(network, images, q, noise, Unconditional())
    log_snr = process.log_snr(q)
    loss = module(weighting.weights(log_snr, process) * losses, log_snr).mean()
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)  # the process and u compute in float32
    torch.testing.assert_close(own.grad, gain.grad, rtol=1e-4, atol=0)
    assert module.weight.grad is not None
    assert weight.grad is not None
    # Before the loss came its weights were set to the norm that they keep; the direction is what the gradient is of.
    ratio = weight.detach().norm() / module.weight.detach().norm()
    torch.testing.assert_close(module.weight.grad, weight.grad * ratio, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("process", [EDM(), DDPM(prediction="v"), Flow()], ids=lambda p: p.kind)
def test_u_becomes_the_logarithm_of_the_mean_loss_at_each_level(process: Process) -> None:
    """A loss that a network would have: near 1 at the clean end, less in the middle, and random from image to image."""
    generator = torch.Generator().manual_seed(2)
    module = built()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)

    def mean_loss(log_snr: Tensor) -> Tensor:
        return 0.05 + 0.95 * torch.sigmoid(log_snr - 2.0) + 0.1 * torch.sigmoid(-log_snr)

    for step in range(1500):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - step / 1500)
        log_snr = process.log_snr(torch.rand(512, generator=generator))
        losses = mean_loss(log_snr) * torch.empty(512).exponential_(generator=generator)
        module(losses, log_snr).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    log_snr = process.log_snr(torch.linspace(0.02, 0.98, 49))
    error = module.u(log_snr) - mean_loss(log_snr).log()
    assert error.abs().max() < 0.15
    assert error.abs().mean() < 0.05


@pytest.mark.parametrize(
    ("process", "base", "is_near"),
    [
        (EDM(), EDMWeighting(), True),
        (DDPM(prediction="v"), EDMWeighting(), True),
        (Flow(), EDMWeighting(), True),
        (DDPM(), NoWeighting(), True),
        (DDPM(), EDMWeighting(), False),
    ],
)
def test_losses_under_the_base_that_suits_a_process_are_near_one_at_first(
    process: Process, base: Weighting, is_near: bool
) -> None:
    """An untrained network predicts 0.  Beyond a factor of 50 u does not follow."""
    generator = torch.Generator().manual_seed(3)
    images, noise = (std * torch.randn(64, 3, 8, 8, generator=generator) for std in (0.5, 1.0))
    q = torch.linspace(0.0, 1.0, 64)

    def untrained(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return torch.zeros_like(x)

    weights = Uncertainty(base=base).weights(process.log_snr(q), process)
    losses = weights * process.losses(untrained, images, q, noise, Unconditional())
    assert bool(losses.log().abs().max() < math.log(10)) == is_near
    if not is_near:
        assert losses.max() > 5e4


@pytest.mark.parametrize("level", [1 / 50, 50.0])
def test_u_reaches_a_factor_of_fifty_to_either_side(level: float) -> None:
    module, process = built(), EDM()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.02, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator().manual_seed(4)
    for step in range(2000):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 2000)
        log_snr = process.log_snr(torch.rand(256, generator=generator))
        module(torch.full((256,), level), log_snr).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    u = module.u(process.log_snr(torch.linspace(0.02, 0.98, 49)))
    assert (u - math.log(level)).abs().max() < 0.3


def test_its_weights_keep_their_size_whatever_the_steps() -> None:
    module = built()
    for _ in range(20):
        module(torch.rand(8), torch.linspace(-5, 5, 8)).sum().backward()
        with torch.no_grad():
            assert module.weight.grad is not None
            module.weight.sub_(5.0 * module.weight.grad)
        module.zero_grad()
    module(torch.rand(8), torch.zeros(8))
    assert module.weight.norm().item() == pytest.approx(math.sqrt(128), rel=1e-5)
    before = module.eval().weight.detach().clone()
    module(torch.rand(8), torch.zeros(8))
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("base", [EDMWeighting(sigma_data=0.7), MinSNR(), NoWeighting()])
def test_what_is_divided_is_the_loss_under_its_base(base: Weighting, process: Process) -> None:
    log_snr = torch.linspace(-9, 9, 19)
    assert torch.equal(Uncertainty(base=base).weights(log_snr, process), base.weights(log_snr, process))


def test_the_published_base_is_edms() -> None:
    assert Uncertainty().base == EDMWeighting()


def test_the_first_values_come_from_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = built(0), built(0), built(1)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert not torch.equal(other.state_dict()[name], value)
    assert set(first.state_dict()) == {"weight", "frequencies", "phases"}
    u = torch.stack([built(seed).u(torch.tensor([0.0])) for seed in range(400)])
    assert u.std().item() == pytest.approx(1.0, rel=0.1)  # a unit vector on features of unit size


def test_it_is_finite_at_the_ends_of_q(process: Process) -> None:
    log_snr = process.log_snr(torch.tensor([0.0, 0.5, 1.0]))
    objective = built()(torch.tensor([1e-6, 1.0, 1e4]), log_snr)
    assert objective.dtype == torch.float32
    assert torch.isfinite(objective).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 0}, "channels must be at least 1, not 0"),
        ({"learning_rate": 0.0}, r"learning_rate must be above 0, not 0\.0"),
        ({"base": {"kind": "uncertainty"}}, "base must be a weighting that is not learned, not uncertainty"),
        ({"base": {"kind": "p2", "k": -1.0}}, "k must be positive"),
    ],
)
def test_bad_fields_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Weighting.from_dict({"kind": "uncertainty", **fields})


def test_it_comes_back_from_plain_fields() -> None:
    weighting = Uncertainty(base=MinSNR(gamma=3.0), channels=16, learning_rate=1e-3)
    assert Weighting.from_dict(weighting.to_dict()) == weighting
