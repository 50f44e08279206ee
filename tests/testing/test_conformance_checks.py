"""The checks find what is wrong.  That they pass what is right, the tests of the project's own kinds show."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.curriculum import (
    Accumulation,
    Curriculum,
    CurriculumSampler,
    Decision,
    FixedPacing,
    Observation,
    Order,
    Pacing,
    Partition,
    Reason,
)
from curriculum_search.diffusion import DDPM, Density, Flow, PiecewiseDensity, Process, Uniform
from curriculum_search.testing import (
    check_accumulation,
    check_curriculum_sampler,
    check_density,
    check_order,
    check_pacing,
    check_partition,
    check_process,
)


@pytest.fixture(autouse=True)
def unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds that a test defines are forgotten after it."""
    for family in (Accumulation, Density, Order, Pacing, Partition, Process):
        monkeypatch.setattr(family, "_members", dict(family.kinds()))


def member(family: type[Any], **methods: Callable[..., Any]) -> Any:
    """An instance of a new kind of `family` with the given methods."""
    fields = {"__annotations__": {"kind": Literal["wrong"]}, "kind": "wrong", "__module__": __name__}
    return dataclass(frozen=True, kw_only=True)(type("Wrong", (family,), {**fields, **methods}))()


def partition(edges: Callable[..., np.ndarray]) -> Partition:
    return member(Partition, edges=lambda self, process, density, num_clusters: edges(num_clusters))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (lambda n: np.linspace(0, 1, n + 2), r"needs 2 edges, not shape \(3,\)"),
        (lambda n: np.linspace(0.1, 1, n + 1), "edges must span"),
        (lambda n: np.linspace(0, 1, n + 1).astype(np.float32), "edges must be a float64 array"),
        (lambda n: np.sort(np.append([0, 0, 1], np.linspace(0, 1, n + 1)[2:-1]))[-n - 1 :], "edges must"),
        (lambda n: np.linspace(0, 1, n + 1) ** 1.01, "edges must lie between two timesteps"),
        (lambda n: np.sort(np.r_[0, 1, np.rint(np.random.rand(n - 1) * 1000) / 1000]), "became|increase strictly"),
    ],
)
def test_wrong_edges_are_found(edges: Callable[[int], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_partition(partition(edges))


def test_a_partition_that_never_works_is_found() -> None:
    def nothing(num_clusters: int) -> np.ndarray:
        raise ValueError("no")

    with pytest.raises(AssertionError, match=r"no number of clusters of .* is possible"):
        check_partition(partition(nothing))


@pytest.mark.parametrize(
    ("permutation", "message"),
    [
        (lambda edges: np.zeros(len(edges) - 1, dtype=np.int64), "must name each cluster once"),
        (lambda edges: np.arange(len(edges) - 1, dtype=np.int32), "must be int64"),
        (lambda edges: np.random.permutation(len(edges) - 1), "changes from call to call"),
    ],
)
def test_wrong_orders_are_found(permutation: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_order(member(Order, permutation=lambda self, edges: permutation(edges)))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (lambda m: m, "sum to 1"),
        (lambda m: np.eye(len(m))[0], "the newest cluster must be trained"),
        (lambda m: np.full(len(m), 1 / len(m)) * (1 - 1e-3 * m) + 1e-3 * m.mean() / len(m), "only proportions"),
    ],
)
def test_wrong_shares_are_found(shares: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_accumulation(member(Accumulation, shares=lambda self, masses: shares(masses)))


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (lambda p: 1 - p, r"from stage \d+ of \d+ to"),
        (lambda p: float("nan") if p == 1 else p, "fraction is not always finite|cannot convert"),
        (lambda p: 0.52 + 1e-4 * np.sin(40 * p), "fraction falls after"),
    ],
)
def test_wrong_pacing_functions_are_found(fraction: Callable[[float], float], message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=message):
        check_pacing(member(FixedPacing, fraction=lambda self, progress: fraction(progress)))


def stage_after(seen: Observation, stage: int) -> Decision:
    return Decision(stage, Reason.SCHEDULE if stage != seen.stage else None)


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (lambda seen: Decision(1), "only stage 1 of .* at the budget's end"),
        (
            lambda seen: Decision(min(seen.stage + (seen.images_seen > 0), seen.num_stages)),
            "from stage 1 to 2 for reason None",
        ),
        (lambda seen: stage_after(seen, seen.num_stages + 1), r"from stage \d+ of \d+ to"),
        (lambda seen: Decision(seen.stage, memory={"at": np.float32(0.1)}), "not JSON serializable|cannot save"),
    ],
)
def test_wrong_decisions_are_found(decide: Callable[[Observation], Decision], message: str) -> None:
    with pytest.raises((AssertionError, TypeError), match=message):
        check_pacing(member(Pacing, decide=lambda self, seen: decide(seen)))


def test_a_fixed_pacing_that_looks_at_more_than_its_share_of_the_budget_is_found() -> None:
    def decide(self: FixedPacing, seen: Observation) -> Decision:
        return stage_after(seen, min(1 + seen.images_seen // 20_000, seen.num_stages))

    with pytest.raises(AssertionError, match="of a larger budget differs"):
        check_pacing(member(FixedPacing, fraction=lambda self, progress: progress, decide=decide))


def test_a_kind_that_its_own_configuration_does_not_bring_back_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Unnamed(FixedPacing):
        def fraction(self, progress: float) -> float:
            return progress

    with pytest.raises(AssertionError, match="declare `kind: Literal"):
        check_pacing(Unnamed())


@pytest.mark.parametrize(
    ("method", "replacement", "message"),
    [
        ("_log_snr", lambda self, q: q, "log_snr must fall with q"),
        ("_level", lambda self, q: q * 0.5, r"quantile\(level\(q\)\) differs from q"),
        ("_level", lambda self, q: q / (1 - q), r"quantile\(level\(q\)\) differs from q"),
        ("_log_snr", lambda self, q: -3 * q, "add_noise gives log-SNR"),
        (
            "losses",
            lambda self, network, x, q, noise, labels: network(x, q, labels).mean(),
            r"losses must be float32 \[B\]",
        ),
        ("losses", lambda self, network, x, q, n, labels: x.mean((1, 2, 3)), "no gradient|does not require grad"),
        ("losses", lambda self, network, x, q, n, labels: network(x, q, None).mean((1, 2, 3)), "labels do not reach"),
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


def curriculum(device: str) -> CurriculumSampler:
    return Curriculum(num_clusters=4).build(DDPM(), Uniform(), 8000, 100, device)


class DrawsEverything(CurriculumSampler):
    def draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return u, torch.ones_like(u)


class ReadsLosses(CurriculumSampler):
    def observe(self, q: Tensor, losses: Tensor, *, shared: bool = False) -> None:
        losses.mean().item()


class ForgetsItsStage(CurriculumSampler):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state | {"stage": 1})


class HidesItsSwitches(CurriculumSampler):
    def update(self, images_seen: int, bank_losses: Callable[[], Tensor] | None = None) -> Decision:
        decision = super().update(images_seen, bank_losses)
        del self.history[1:]
        return decision


class CountsItsDraws(CurriculumSampler):
    def exposure(self) -> PiecewiseDensity:
        return self.stage_density


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (DrawsEverything, "outside the unlocked clusters"),
        (ReadsLosses, "reads values from the device"),
        (ForgetsItsStage, "a restored sampler no longer does what the saved one does"),
        (HidesItsSwitches, "0 switches recorded"),
        (CountsItsDraws, r"exposure\(\) differs"),
    ],
)
def test_wrong_samplers_are_found(wrong: type[CurriculumSampler], message: str) -> None:
    def factory(device: str) -> CurriculumSampler:
        sampler = curriculum(device)
        sampler.__class__ = wrong
        return sampler

    with pytest.raises(AssertionError, match=message):
        check_curriculum_sampler(factory)


def test_a_check_names_the_part_that_is_wrong() -> None:
    wrong = member(Order, permutation=lambda self, edges: np.zeros(len(edges) - 1, dtype=np.int64))
    assert dataclasses.is_dataclass(wrong)
    with pytest.raises(AssertionError, match=r"Wrong\(kind='wrong'\), 2 clusters: must name each cluster once"):
        check_order(wrong)
