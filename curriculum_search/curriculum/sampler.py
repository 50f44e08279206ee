"""The curriculum at work: it draws noise levels, observes losses, and moves from stage to stage.

In stage k the first k clusters of the order are unlocked, and noise quantiles q follow the stage's density over them:
the base density restricted to what is unlocked.  The last stage is ordinary training, and its density is the base
density itself.  A training step is::

    q, weight = sampler.draw(torch.rand(batch_size, device=device))
    losses = ...                                     # at these q, per sample; train on (weight * losses).mean()
    sampler.observe(q, losses.detach())
    images_seen += batch_size * world_size
    decision = sampler.update(images_seen)
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.accumulation import Accumulation
from curriculum_search.curriculum.base_density import BaseDensity
from curriculum_search.curriculum.decision import Decision, Observation, Pacing, Reason
from curriculum_search.curriculum.losses import LossTrace
from curriculum_search.curriculum.stage_density import UnionDensity, importance, stage_density
from curriculum_search.diffusion.density import PiecewiseDensity


@dataclass(frozen=True)
class Switch:
    """The beginning of a stage, as recorded in `CurriculumSampler.history`.

    Attributes:
        images: images seen when it began.
        stage: its number, from 1.
        reason: why it began.
    """

    images: int
    stage: int
    reason: Reason


class CurriculumSampler:
    """Draws noise quantiles q as a curriculum says, and decides when its next stage begins.

    All workers of a run have one each, and as they see the same clock and the same losses, they are always alike.

    Args:
        edges: float64 [N + 1], the clusters' edges in q, from 0 to 1.
        permutation: int [N], the clusters in the order of their unlocking.
        accumulation: what is still trained once the next cluster is unlocked.
        union_density: each unlocked cluster's mass: its own under the base density, or an equal one.
        pacing: when the next stage begins.
        density: the base density of q at its beginning.
        total_images: the training budget, at least 1.
        device: where draws are made.

    Attributes:
        density: what ordinary training draws from: the base density, where it moves the one that it ends with, and
            where it adapts the one that it starts from.
        stage: the present stage, from 1.
        num_stages: the number of the last stage, which is ordinary training: N where all clusters together already are
            the base density, else N + 1.
        stage_density: the density of q in the present stage.
        history: the beginning of every stage so far, the first included.

    Raises:
        ValueError: a cluster has no mass under the base density, or there is no budget.
    """

    def __init__(
        self,
        *,
        edges: np.ndarray,
        permutation: np.ndarray,
        accumulation: Accumulation,
        union_density: UnionDensity,
        pacing: Pacing,
        density: BaseDensity,
        total_images: int,
        device: torch.device | str,
    ) -> None:
        require(total_images >= 1, "total_images", "at least 1", total_images)
        self.edges = np.array(edges, dtype=np.float64)
        self.permutation = np.array(permutation, dtype=np.int64)
        self.accumulation = accumulation
        self.union_density = union_density
        self.pacing = pacing
        self.total_images = total_images
        self.num_clusters = len(self.permutation)
        ends_as_base = self.num_clusters == 1 or (accumulation.keeps_shares and union_density == "base")
        self.num_stages = self.num_clusters if ends_as_base else self.num_clusters + 1
        self.density = density.settled
        masses = np.minimum(*(np.diff(each.cdf_at(self.edges)) for each in (density.present, density.settled)))
        for low, high, mass in zip(self.edges, self.edges[1:], masses, strict=False):
            if not mass > 0:
                raise ValueError(f"the base density has no mass in the cluster of q from {low:.6g} to {high:.6g}")

        self._base = density
        self._device = torch.device(device)
        window_steps = pacing.loss_window_steps
        self._trace = None if window_steps is None else LossTrace(window_steps)

        self._images_seen = 0
        self._stage_start_images = 0
        self._memory: dict[str, float] = {}
        # The time average of the stages so far, as masses x images on knots that the densities of all stages share.
        self._exposure_knots = np.union1d(density.knots, self.edges)  # of all that it can be
        self._exposure = np.zeros(len(self._exposure_knots) - 1)
        self._density_start_images = 0

        self.stage = 1
        self.stage = pacing.decide(self._observation()).stage
        self.history = [Switch(0, self.stage, Reason.START)]
        self._begin_stage()

    def draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Noise quantiles and the weights of their losses, for uniform random numbers.

        Args:
            u: [B], uniform in [0, 1), on this sampler's device.

        Returns:
            q: float32 [B], inside the unlocked clusters; a deterministic, rising function of u.
            weight: float32 [B], 1 unless the density adapts and is `unbiased`: then what keeps the expected loss that
                of a base density which does not adapt.  Multiply each sample's loss by it.
        """
        q = self._table.draw(u)
        if self._weights is None:
            return q, torch.ones_like(q)
        starts, weights = self._weights
        return q, weights[torch.searchsorted(starts, q, right=True) - 1]

    def observe(self, q: Tensor, losses: Tensor, *, shared: bool = False) -> None:
        """Take note of the losses of the step under way; nothing waits for the device.

        Every worker calls it with its own samples, as often as it likes in a step.  Only where a gate or an
        adaptive density needs losses does it do anything.

        Args:
            q: [B], as drawn.
            losses: [B], the samples' losses, without any weight, detached.
            shared: the samples are those of all workers, the same on each; otherwise they are gathered here.
        """
        if self._trace is not None and self.stage < self.num_stages:
            self._trace.add(losses, shared=shared)
        self._base.observe(q, losses, shared=shared)

    def update(self, images_seen: int, bank_losses: Callable[[], Tensor] | None = None) -> Decision:
        """End a step: decide whether another stage begins, and begin it.

        Waits for the device only where a window of losses ends, a bank is looked at, or another stage begins.

        Args:
            images_seen: images trained on by now, over all workers.
            bank_losses: gives the mean loss at each of L equally spaced noise quantiles (l + 1/2) / L, float64 [L],
                the same on all workers; needed where `needs_bank`.

        Returns:
            The decision, whose `advances` says whether another stage has begun.

        Raises:
            ValueError: losses are needed, and none came.
        """
        self._images_seen = images_seen
        losses: tuple[tuple[int, float], ...] = ()
        if self._trace is not None and self.stage < self.num_stages:
            losses = self._trace.end_step(images_seen)
        moved = self._base.update(self._progress)
        decision = self.pacing.decide(self._observation(losses, bank_losses))
        self._memory = {} if decision.advances else dict(decision.memory)
        if decision.advances or moved:
            self._end_stage()
        if decision.reason is not None:
            self.stage, self._stage_start_images = decision.stage, images_seen
            if self._trace is not None:
                self._trace.clear()
                if self.stage == self.num_stages:
                    self._trace.end()
            self.history.append(Switch(images_seen, decision.stage, decision.reason))
        if decision.advances or moved:
            self._begin_stage()
        return decision

    @property
    def needs_bank(self) -> bool:
        """Whether `update` wants `bank_losses`."""
        return self.pacing.reads_bank

    @property
    def needs_losses(self) -> bool:
        """Whether `observe` has to be called."""
        return self._trace is not None or self._base.needs_losses

    @property
    def unlocked_share(self) -> float:
        """The share of the clusters that is unlocked, times the share of its way that a moving density has gone.

        It is 1 once the curriculum is over.
        """
        return min(self.stage / self.num_clusters, 1.0) * self.way

    @property
    def way(self) -> float:
        """The share of its way that a moving base density has gone; 1 where it does not move."""
        return self._base.way

    def density_in(self, stage: int, base: PiecewiseDensity) -> PiecewiseDensity:
        """The density of q in a stage, 1 to `num_stages`, where the base density is `base`."""
        if stage == self.num_stages:
            return base
        return stage_density(base, self.edges, self.permutation[:stage], self.accumulation, self.union_density)

    def exposure(self) -> PiecewiseDensity:
        """How often each noise level was trained: the stages' densities averaged over the images seen so far.

        Exact, not counted from draws: a constant density equal to it is the control that separates order from exposure.

        Raises:
            ValueError: no image has been seen.
        """
        if self._images_seen == 0:
            raise ValueError("there is no exposure before the first update")
        return PiecewiseDensity.from_masses(self._exposure_knots, self._exposure + self._exposure_of_stage())

    def to(self, device: torch.device | str) -> None:
        """Draw on another device from now on."""
        self._device = torch.device(device)
        self._begin_stage()

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on, the same on all workers; plain numbers, strings, lists and dictionaries."""
        return {
            "edges": self.edges.tolist(),
            "images_seen": self._images_seen,
            "stage": self.stage,
            "stage_start_images": self._stage_start_images,
            "memory": dict(self._memory),
            "history": [{**asdict(switch), "reason": switch.reason.value} for switch in self.history],
            "law_start_images": self._density_start_images,  # as states have called it from the first version on
            "exposure": self._exposure.tolist(),
            "trace": None if self._trace is None else self._trace.state_dict(),
            "losses": self._base.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, to the bit, where `state_dict` was taken, on any number of workers.

        Raises:
            ValueError: the state belongs to a curriculum with other clusters or stages, or one that keeps other losses.
        """
        kept = (self._trace is None, self._base.state_dict() is None, len(self._exposure))
        if (
            state["edges"] != self.edges.tolist()
            or (state["trace"] is None, state["losses"] is None, len(state["exposure"])) != kept
            or not 1 <= state["stage"] <= self.num_stages
        ):
            raise ValueError("the state was saved by another curriculum: clusters, density or gate differ")
        self._images_seen = state["images_seen"]
        self.stage = state["stage"]
        self._stage_start_images = state["stage_start_images"]
        self._memory = dict(state["memory"])
        self.history = [Switch(s["images"], s["stage"], Reason(s["reason"])) for s in state["history"]]
        self._density_start_images = state["law_start_images"]
        self._exposure = np.array(state["exposure"], dtype=np.float64)
        if self._trace is not None:
            self._trace.load_state_dict(state["trace"])
        self._base.load_state_dict(state["losses"], self._progress)
        self._begin_stage()

    @property
    def _progress(self) -> float:
        """The share of the budget that is spent."""
        return min(self._images_seen / self.total_images, 1.0)

    def _observation(
        self, losses: tuple[tuple[int, float], ...] = (), bank_losses: Callable[[], Tensor] | None = None
    ) -> Observation:
        return Observation(
            images_seen=self._images_seen,
            total_images=self.total_images,
            num_clusters=self.num_clusters,
            num_stages=self.num_stages,
            stage=self.stage,
            stage_start_images=self._stage_start_images,
            losses=losses,
            bank_loss=None if bank_losses is None else lambda: self._mean_over_stage(bank_losses()),
            memory=self._memory,
        )

    def _mean_over_stage(self, losses: Tensor) -> float:
        values = losses.double().cpu().numpy()
        return float(values @ np.diff(self.stage_density.cdf_at(np.linspace(0.0, 1.0, len(values) + 1))))

    def _begin_stage(self) -> None:
        self.stage_density = self.density_in(self.stage, self._base.present)
        self._table = self.stage_density.table(self._device)
        self._weights: tuple[Tensor, Tensor] | None = None
        if self._base.unbiased:
            starts, weights = importance(self.density_in(self.stage, self.density), self.stage_density)
            self._weights = torch.from_numpy(starts).to(self._device), torch.from_numpy(weights).to(self._device)

    def _end_stage(self) -> None:
        self._exposure += self._exposure_of_stage()
        self._density_start_images = self._images_seen

    def _exposure_of_stage(self) -> np.ndarray:
        masses = np.maximum(np.diff(self.stage_density.cdf_at(self._exposure_knots)), 0.0)
        return np.asarray((self._images_seen - self._density_start_images) * masses)
