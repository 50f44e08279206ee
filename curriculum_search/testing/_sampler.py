"""The check of a whole curriculum at work."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum_search.curriculum import CurriculumSampler, Decision, Reason
from curriculum_search.diffusion import PiecewiseDensity
from curriculum_search.testing._require import require

_STEPS = 80
_LOCAL_BATCH = 32


def check_curriculum_sampler(factory: Callable[[str], CurriculumSampler]) -> None:
    """Draws follow the stage's density inside what is unlocked; states restore exactly; the exposure adds up.

    Also that drawing and observing never read from the device: they are done on torch's ``meta`` device, which has no
    values to read.

    Args:
        factory: makes the same sampler, at its start, on the given device.

    Raises:
        AssertionError: what does not hold, and after how many images.
    """
    sampler = factory("cpu")
    start = sampler.history[0]
    require(
        (start.images, start.stage, start.reason) == (0, sampler.stage, Reason.START) and len(sampler.history) == 1,
        f"history must begin with the first stage, not {sampler.history}",
    )
    images_per_step = max(1, sampler.total_images // _STEPS)
    densities: list[PiecewiseDensity] = []
    resumed: CurriculumSampler | None = None
    for step in range(_STEPS):
        if step == _STEPS // 3:
            resumed = factory("cpu")
            resumed.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
        densities.append(sampler.stage_density)
        images_seen = (step + 1) * images_per_step
        stages_before = len(sampler.history)
        q, decision = _step(sampler, step, images_seen)
        _check_history(sampler, decision, stages_before, images_seen)
        if resumed is not None:
            q_resumed, decision_resumed = _step(resumed, step, images_seen)
            same = torch.equal(q, q_resumed) and decision.stage == decision_resumed.stage
            require(same, f"at {images_seen} images a restored sampler no longer does what the saved one does")
    require(
        resumed is not None and resumed.state_dict() == sampler.state_dict(),
        "a restored sampler ends in another state than the one that was never stopped",
    )
    average = PiecewiseDensity.mix(np.ones(len(densities)), densities)
    error = np.abs(sampler.exposure().cdf_at(average.knots) - average.cdf).max()
    require(error < 1e-9, f"exposure() differs from the average of what was drawn from by {error:.2g}")
    _check_reads_nothing(factory("meta"))


def _step(sampler: CurriculumSampler, step: int, images_seen: int) -> tuple[Tensor, Decision]:
    """One step of a training that learns at a rate of its own at every noise level."""
    u = torch.rand(_LOCAL_BATCH, generator=torch.Generator().manual_seed(step))
    q, weight = sampler.draw(u)
    _check_draw(sampler, u, q, weight)
    sampler.observe(q, (2.0 - q) / (1.0 + step))
    levels = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    bank: Any = (lambda: (2.0 - levels) / (1.0 + step)) if sampler.needs_bank else None
    return q, sampler.update(images_seen, bank)


def _check_draw(sampler: CurriculumSampler, u: Tensor, q: Tensor, weight: Tensor) -> None:
    where = f"stage {sampler.stage}"
    shaped = all(t.shape == u.shape and t.dtype == torch.float32 for t in (q, weight))
    require(shaped, f"{where}: draws and weights must be float32 {tuple(u.shape)}")
    require(bool(((weight > 0) & weight.isfinite()).all()), f"{where}: weights must be positive, not {weight}")
    values = q.double().numpy()
    clusters = np.searchsorted(sampler.edges, values, side="right") - 1
    unlocked = sampler.permutation[: sampler.stage]
    locked = values[~np.isin(clusters, unlocked)]
    require(len(locked) == 0, f"{where}: drew {locked[:3]} outside the unlocked clusters {sorted(unlocked)}")
    require(np.all(sampler.stage_density.pdf_at(values) > 0), f"{where}: drew where the stage's density is zero")
    error = np.abs(sampler.stage_density.cdf_at(values) - u.double().numpy()).max()
    require(error < 1e-3, f"{where}: draws are off the stage's distribution function by {error:.2g}")
    require(torch.equal(sampler.draw(u)[0], q), f"{where}: the same u gave other draws")


def _check_history(sampler: CurriculumSampler, decision: Decision, stages_before: int, images_seen: int) -> None:
    at = f"at {images_seen} images"
    require(decision.stage == sampler.stage, f"{at}: decided on stage {decision.stage}, is in {sampler.stage}")
    recorded = len(sampler.history) - stages_before
    require(recorded == int(decision.advances), f"{at}: {recorded} switches recorded, decided {decision.reason}")
    last = sampler.history[-1]
    if decision.advances:
        right = (last.images, last.stage, last.reason) == (images_seen, decision.stage, decision.reason)
        require(right, f"{at}: {decision} was recorded as {last}")
    share = min(sampler.stage / sampler.num_clusters, 1.0) * sampler.way
    require(sampler.unlocked_share == share, f"{at}: unlocked_share is {sampler.unlocked_share}, not {share}")


def _check_reads_nothing(sampler: CurriculumSampler) -> None:
    for _ in range(3):
        try:
            q, _ = sampler.draw(torch.rand(_LOCAL_BATCH, device="meta"))
            sampler.observe(q, torch.rand(_LOCAL_BATCH, device="meta"))
        except (RuntimeError, NotImplementedError) as error:
            raise AssertionError(f"draw or observe reads values from the device: {error}") from error
