"""The checks of noise processes and densities find what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.kinds import member
from torch import Tensor

from curriculum_search.conditions import Unconditional
from curriculum_search.diffusion import DDPM, DDIMSampler, EulerSampler, Flow, PiecewiseDensity, Sampler, Uniform
from curriculum_search.testing import check_density, check_process, check_sampler


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


def euler(*arguments: Any) -> Tensor:
    return EulerSampler(num_steps=3).sample(*arguments)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"check": lambda self, process: _refuse()}, "check refuses the processes"),
        ({"sample": lambda self, *a: euler(*a) + torch.rand(())}, "random numbers that are not its generators'"),
        ({"sample": lambda self, *a: euler(*a)[:1]}, r"samples must be float32 \(8, 3, 4, 4\)"),
        ({"sample": lambda self, *a: euler(*a).double()}, "samples must be float32"),
        ({"sample": lambda self, *a: euler(*a) / 0}, "not finite"),
        ({"sample": lambda self, *a: euler(*a).requires_grad_()}, "carry a gradient"),
        ({"sample": lambda self, *a: euler(*a) - euler(*a).mean()}, "depends on its batch"),
        ({"sample": lambda self, p, n, x, c, g: euler(p, n, x, Unconditional(), g)}, "got the condition"),
        ({"unclipped": lambda self: _Sliced()}, r"unclipped\(\) gives no samples"),
    ],
)
def test_wrong_samplers_are_found(methods: dict[str, Callable[..., Any]], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(member(EulerSampler, **methods))


def _refuse() -> None:
    raise ValueError("nothing fits")


class _Sliced:
    def sample(self, *arguments: Any) -> Tensor:
        return euler(*arguments)[:1]


def test_samplers_that_repeat_themselves_are_not_taken_for_random(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))
    with pytest.raises(AssertionError, match="the same noise and generators give other samples"):
        check_sampler(member(EulerSampler, sample=lambda self, *a: euler(*a) + next(calls)))


def test_our_samplers_pass() -> None:
    for kind in Sampler.kinds().values():
        if kind.__module__.startswith("curriculum_search"):
            check_sampler(kind(num_steps=4))  # type: ignore[call-arg]
    check_sampler(DDIMSampler(num_steps=4, eta=0.5))
