"""The checks of noise processes and densities find what is wrong."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.kinds import member
from torch import Tensor

from curriculum_search.conditions import Unconditional
from curriculum_search.diffusion import DDPM, Flow, PiecewiseDensity, Uniform
from curriculum_search.testing import check_density, check_process


@pytest.mark.parametrize(
    ("method", "replacement", "message"),
    [
        ("_log_snr", lambda self, q: q, "log_snr must fall with q"),
        ("_level", lambda self, q: q * 0.5, r"quantile\(level\(q\)\) differs from q"),
        ("_level", lambda self, q: q / (1 - q), r"quantile\(level\(q\)\) differs from q"),
        ("_log_snr", lambda self, q: -3 * q, "add_noise gives log-SNR"),
        (
            "losses",
            lambda self, network, x, q, noise, condition: network(x, q, condition).mean(),
            r"losses must be float32 \[B\]",
        ),
        ("losses", lambda self, network, x, q, n, condition: x.mean((1, 2, 3)), "no gradient|does not require grad"),
        (
            "losses",
            lambda self, network, x, q, n, condition: network(x, q, Unconditional()).mean((1, 2, 3)),
            "the condition does not reach",
        ),
    ],
)
def test_wrong_processes_are_found(method: str, replacement: Callable[..., Tensor], message: str) -> None:
    process = member(Flow, **{method: replacement})
    with pytest.raises((AssertionError, RuntimeError), match=message):
        check_process(process)


@pytest.mark.parametrize(
    ("method", "replacement", "message"),
    [
        ("_level", lambda self, q: torch.round(q * 1000).long().clamp(max=999), "level must be floor"),
        ("_quantile", lambda self, t: t / 1000, "must be the middle of its bin"),
    ],
)
def test_wrong_timesteps_are_found(method: str, replacement: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_process(member(DDPM, **{method: replacement}))


def test_a_density_that_is_drawn_from_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PiecewiseDensity, "icdf", lambda self, u: np.asarray(u) ** 2)
    with pytest.raises(AssertionError, match="icdf is not the inverse of the cdf"):
        check_density(Uniform())
