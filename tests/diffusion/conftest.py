"""Data whose best denoiser is known: every pixel of every image independently Gaussian."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.diffusion import DDPM, EDM, Flow, Network, Process

torch.set_num_threads(1)

MEAN, STD = 0.3, 0.4


def _best_network(process: Process) -> Network:
    """The network that predicts the conditional mean, given pixels from N(MEAN, STD^2), in float64."""

    def clean(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        x, time = x.double(), time.double()[:, None, None, None]
        if isinstance(process, DDPM):
            cumulative = torch.from_numpy(process.alphas_cumprod())[time.long()]
            alpha, sigma = cumulative.sqrt(), (1 - cumulative).sqrt()
            x0 = clean(x, alpha, sigma)
            eps = (x - alpha * x0) / sigma
            return {"epsilon": eps, "x0": x0, "v": alpha * eps - sigma * x0}[process.prediction]
        if isinstance(process, EDM):
            sigma, data = torch.exp(4 * time), process.sigma_data
            total = sigma**2 + data**2
            x = x * total.sqrt()
            x0 = clean(x, torch.ones_like(sigma), sigma)
            return (x0 - data**2 / total * x) / (sigma * data / total.sqrt())
        assert isinstance(process, Flow)
        x0 = clean(x, 1 - time, time)
        return x0 if process.prediction == "x0" else (x - x0) / time

    return network


@pytest.fixture
def best_network() -> Callable[[Process], Network]:
    return _best_network


@pytest.fixture
def toy_images() -> tuple[Tensor, Tensor]:
    """Six images [6, 2, 2, 2], some pixels at -1 and 1, and a noise, by a formula that other code can repeat."""
    i = torch.arange(48, dtype=torch.float64).reshape(6, 2, 2, 2)
    return (1.1 * torch.cos(2.0 * i)).clamp(-1, 1).float(), (1.5 * torch.sin(3.0 * i + 1.0)).float()


PROCESSES = [
    DDPM(),
    DDPM(schedule="cosine", prediction="v", num_timesteps=300),
    DDPM(prediction="x0"),
    EDM(),
    EDM(p_mean=-0.4, p_std=1.0, sigma_data=0.7),
    Flow(),
    Flow(prediction="x0", shift=3.0),
]


@pytest.fixture(params=PROCESSES, ids=lambda p: f"{p.kind}-{p.prediction}-{p.num_levels}")
def process(request: pytest.FixtureRequest) -> Process:
    found: Process = request.param
    return found
