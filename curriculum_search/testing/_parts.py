"""Checks of the parts of a curriculum: partition, order, accumulation, pacing."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from curriculum_search.curriculum import (
    Accumulation,
    Decision,
    FixedPacing,
    Observation,
    Order,
    Pacing,
    Partition,
)
from curriculum_search.diffusion import DDPM, EDM, Flow, LogitNormal, Process, Uniform
from curriculum_search.testing._require import check_configuration, require

_CLUSTERS = (1, 2, 7, 20)
_TOTAL_IMAGES = 64_000
_BATCH_SIZE = 256


def check_partition(partition: Partition) -> None:
    """Edges increase strictly from 0 to 1, fit the process's levels, and are the same every time.

    A ValueError for some numbers of clusters is allowed (bounds on a cluster's size exclude some), for all is not.

    Raises:
        AssertionError: what does not hold, and for which process and number of clusters.
    """
    check_configuration(partition, Partition)
    processes: tuple[Process, ...] = (DDPM(), DDPM(schedule="cosine", num_timesteps=100), EDM(), Flow())
    for process in processes:
        possible = 0
        for density in (Uniform().piecewise(process), LogitNormal().piecewise(process)):
            for num_clusters in _CLUSTERS:
                where = f"{partition}, {process}, {num_clusters} clusters"
                try:
                    edges = partition.edges(process, density, num_clusters)
                except ValueError:
                    continue
                possible += 1
                _check_edges(edges, num_clusters, process.num_levels, where)
                again = partition.edges(process, density, num_clusters)
                require(np.array_equal(edges, again), f"{where}: {edges} became {again} the second time")
        require(possible, f"{partition}, {process}: no number of clusters of {_CLUSTERS} is possible")


def _check_edges(edges: np.ndarray, num_clusters: int, num_levels: int | None, where: str) -> None:
    require(isinstance(edges, np.ndarray) and edges.dtype == np.float64, f"{where}: edges must be a float64 array")
    require(edges.shape == (num_clusters + 1,), f"{where}: needs {num_clusters + 1} edges, not shape {edges.shape}")
    require(edges[0] == 0 and edges[-1] == 1, f"{where}: edges must span [0, 1], not [{edges[0]}, {edges[-1]}]")
    require(np.all(np.diff(edges) > 0), f"{where}: edges must increase strictly, not {edges}")
    if num_levels is not None:
        levels = edges * num_levels
        require(np.allclose(levels, np.rint(levels)), f"{where}: edges must lie between two timesteps, not {edges}")


def check_order(order: Order) -> None:
    """The order names every cluster once, and is the same every time.

    A ValueError for some numbers of clusters is allowed (an order may be one of so many), for all is not.

    Raises:
        AssertionError: what does not hold, and for which number of clusters.
    """
    check_configuration(order, Order)
    possible = 0
    for num_clusters in _CLUSTERS:
        edges = np.linspace(0.0, 1.0, num_clusters + 1)
        try:
            permutation = order.permutation(edges)
        except ValueError:
            continue
        possible += 1
        where = f"{order}, {num_clusters} clusters"
        require(permutation.dtype == np.int64, f"{where}: must be int64, not {permutation.dtype}")
        complete = np.array_equal(np.sort(permutation), np.arange(num_clusters))
        require(complete, f"{where}: must name each cluster once, not {permutation}")
        require(np.array_equal(permutation, order.permutation(edges)), f"{where}: changes from call to call")
        require(np.array_equal(edges, np.linspace(0.0, 1.0, num_clusters + 1)), f"{where}: changes its argument")
    require(possible, f"{order}: no number of clusters of {_CLUSTERS} is possible")


def check_accumulation(accumulation: Accumulation) -> None:
    """Shares are a distribution over the unlocked clusters that trains the newest and ignores the masses' scale.

    Raises:
        AssertionError: what does not hold, and for which masses.
    """
    check_configuration(accumulation, Accumulation)
    random = np.random.default_rng(0)
    for num_unlocked in _CLUSTERS:
        masses = random.uniform(0.1, 1.0, num_unlocked)
        shares = accumulation.shares(masses)
        where = f"{accumulation}, masses {masses}"
        require(shares.shape == masses.shape, f"{where}: one share per cluster, not {shares}")
        distribution = np.all(shares >= 0) and math.isclose(shares.sum(), 1.0, abs_tol=1e-12)
        require(distribution, f"{where}: shares must be at least 0 and sum to 1, not {shares}")
        require(shares[-1] > 0, f"{where}: the newest cluster must be trained, not {shares}")
        require(np.allclose(accumulation.shares(3.0 * masses), shares), f"{where}: only proportions may matter")
        if accumulation.keeps_shares:
            kept = np.allclose(shares, masses / masses.sum())
            require(kept, f"{where}: keeps_shares is declared, yet shares are {shares}")


def check_pacing(pacing: Pacing) -> None:
    """Decisions are pure, go forward, name their reasons, and unlock everything while the loss falls, rises or rests.

    Of a `FixedPacing` it is also checked that only the share of the budget matters.  A fixed pacing may leave clusters
    locked at the end of the budget (Wu et al.'s a > 1); one that watches losses may not.

    Raises:
        AssertionError: what does not hold, and where.
    """
    check_configuration(pacing, Pacing)
    losses: dict[str, Callable[[int], float]] = {
        "falling": lambda images: 1.0 / (1 + images),
        "rising": lambda images: 1.0 + images,
        "resting": lambda images: 1.0,
    }
    for name, loss in losses.items():
        for num_clusters in _CLUSTERS:
            for num_stages in {num_clusters, num_clusters + min(num_clusters - 1, 1)}:
                where = f"{pacing}, {num_clusters} clusters, {name} loss"
                stage = _follow(pacing, loss, num_clusters, num_stages, where)
                if not isinstance(pacing, FixedPacing):
                    require(stage == num_stages, f"{where}: only stage {stage} of {num_stages} at the budget's end")
    if isinstance(pacing, FixedPacing):
        _check_fixed(pacing)


def _follow(pacing: Pacing, loss: Callable[[int], float], num_clusters: int, num_stages: int, where: str) -> int:
    """Train a whole budget on made-up losses; the stage at its end."""
    seen = Observation(0, _TOTAL_IMAGES, num_clusters, num_stages, stage=1, stage_start_images=0)
    seen = replace(seen, stage=pacing.decide(seen).stage)
    window = pacing.loss_window_steps
    pending: list[tuple[int, float]] = []
    for images in range(_BATCH_SIZE, _TOTAL_IMAGES + 1, _BATCH_SIZE):
        pending.append((images, loss(images)))
        told = window is not None and len(pending) >= window
        seen = replace(
            seen,
            images_seen=images,
            losses=tuple(pending) if told else (),
            bank_loss=partial(loss, images) if pacing.reads_bank else None,
        )
        pending = [] if told else pending
        decision = pacing.decide(seen)
        _check_decision(pacing, seen, decision, where)
        if decision.advances:
            seen = replace(seen, stage=decision.stage, stage_start_images=images, memory={})
        else:
            seen = replace(seen, memory=decision.memory)
    return seen.stage


def _check_decision(pacing: Pacing, seen: Observation, decision: Decision, where: str) -> None:
    at = f"{where}, at {seen.images_seen} images"
    forward = seen.stage <= decision.stage <= seen.num_stages
    require(forward, f"{at}: from stage {seen.stage} of {seen.num_stages} to {decision.stage}")
    explained = decision.advances == (decision.stage != seen.stage)
    require(explained, f"{at}: from stage {seen.stage} to {decision.stage} for reason {decision.reason}")
    require(pacing.decide(seen) == decision, f"{at}: decides differently when asked again")
    require(json.loads(json.dumps(dict(decision.memory))) == decision.memory, f"{at}: cannot save {decision.memory}")


def _check_fixed(pacing: FixedPacing) -> None:
    shares = np.linspace(0.0, 1.0, 401)
    fractions = np.array([pacing.fraction(float(share)) for share in shares])
    require(np.all(np.isfinite(fractions)), f"{pacing}: fraction is not always finite: {fractions}")
    falls = np.flatnonzero(np.diff(fractions) < -1e-12)
    require(len(falls) == 0, f"{pacing}: fraction falls after {shares[falls[:1]]} of the budget")
    for images in range(0, 1001, 40):
        seen = Observation(images, 1000, 10, 10, stage=1, stage_start_images=0)
        stage = pacing.decide(seen).stage
        larger = replace(seen, images_seen=1000 * images, total_images=1_000_000)
        require(pacing.decide(larger).stage == stage, f"{pacing}: at {images / 1000} of a larger budget differs")
        later = replace(seen, stage=10, stage_start_images=images, memory={"other": 1.0})
        require(pacing.decide(later).stage == stage, f"{pacing}: at {images / 1000} of the budget the past matters")
