"""The loss plateau: the next cluster is unlocked when the loss has stopped falling (Kim et al. 2025).

The paper's rule is: go on when the loss has not improved for more than tau iterations, and forget the best loss at
every switch.  On a raw loss without a trend it fires after a median of 1.7 tau, whatever the model has learned, so
it can also watch a smoothed loss or one on fixed images, noise levels and noise.  And while a loss keeps falling it
never fires, so a stage, and the curriculum, have a longest duration.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.decision import Decision, Observation, Pacing, Reason

Gate = Literal["raw", "smoothed", "bank"]


@dataclass(frozen=True, kw_only=True)
class Plateau(Pacing):
    """Go on when the loss has not improved for longer than the patience, or the stage has lasted long enough.

    Attributes:
        gate: the loss that is watched: ``raw``, the training loss of every step; ``smoothed``, its exponential average;
            ``bank``, the loss on fixed images and noise at the levels in training.
        patience_share: tau, as a share of the budget.
        delta: the least improvement that counts, as a share of the best loss.
        smoothing_share: length of the exponential average, as a share of the budget; only for ``smoothed``.
        checks_per_patience: how often per patience the bank is evaluated; only for ``bank``.
        window_steps: steps between two looks at the losses on the device; every step's loss is judged, only later.
        max_stage_share: longest stage, as a share of the budget; where a step is longer, several end with it.
        end_share: the share of the budget after which the curriculum is over in any case.
    """

    kind: Literal["plateau"] = "plateau"
    gate: Gate = "raw"
    patience_share: float = 0.01
    delta: float = 0.0
    smoothing_share: float = 0.005
    checks_per_patience: int = 4
    window_steps: int = 8
    max_stage_share: float = 0.1
    end_share: float = 0.5

    def __post_init__(self) -> None:
        require(self.gate in get_args(Gate), "gate", f"one of {', '.join(get_args(Gate))}", self.gate)
        require(0 < self.patience_share <= 1, "patience_share", "in (0, 1]", self.patience_share)
        require(0 <= self.delta < 1, "delta", "in [0, 1)", self.delta)
        require(0 < self.smoothing_share <= 1, "smoothing_share", "in (0, 1]", self.smoothing_share)
        require(self.checks_per_patience >= 1, "checks_per_patience", "at least 1", self.checks_per_patience)
        require(self.window_steps >= 1, "window_steps", "at least 1", self.window_steps)
        require(0 < self.max_stage_share <= 1, "max_stage_share", "in (0, 1]", self.max_stage_share)
        require(0 < self.end_share <= 1, "end_share", "in (0, 1]", self.end_share)

    @property
    def loss_window_steps(self) -> int | None:
        return None if self.gate == "bank" else self.window_steps

    @property
    def reads_bank(self) -> bool:
        return self.gate == "bank"

    def decide(self, seen: Observation) -> Decision:
        if seen.stage == seen.num_stages:
            return Decision(seen.stage)
        if seen.images_seen >= _images(self.end_share, seen):
            return Decision(seen.num_stages, Reason.END)
        over = (seen.images_seen - seen.stage_start_images) // _images(self.max_stage_share, seen)
        if over >= 1:  # more than once where a step is longer than a stage
            return Decision(min(seen.stage + over, seen.num_stages), Reason.STAGE_LIMIT)
        memory = dict(seen.memory)
        patience_images = round(self.patience_share * seen.total_images)
        for images, loss in self._readings(seen, memory):
            best = memory.get("best")
            if best is None or loss < best - self.delta * abs(best):
                memory["best"], memory["best_images"] = loss, images
            elif images - memory["best_images"] > patience_images:
                return Decision(seen.stage + 1, Reason.PLATEAU)
        return Decision(seen.stage, memory=memory)

    def canonical(self) -> Pacing:
        default = Plateau()
        return replace(
            self,
            smoothing_share=self.smoothing_share if self.gate == "smoothed" else default.smoothing_share,
            checks_per_patience=self.checks_per_patience if self.gate == "bank" else default.checks_per_patience,
            window_steps=default.window_steps if self.gate == "bank" else self.window_steps,
            max_stage_share=min(self.max_stage_share, self.end_share),
        )

    def _readings(self, seen: Observation, memory: dict[str, float]) -> Iterator[tuple[int, float]]:
        """The new values of the watched loss, each with the images seen by then."""
        if self.gate == "raw":
            yield from seen.losses
        elif self.gate == "smoothed":
            yield from self._averages(seen, memory)
        else:
            yield from self._bank_checks(seen, memory)

    def _averages(self, seen: Observation, memory: dict[str, float]) -> Iterator[tuple[int, float]]:
        length = self.smoothing_share * seen.total_images
        for images, loss in seen.losses:
            decay = math.exp(-(images - memory.get("averaged_images", seen.stage_start_images)) / length)
            memory["sum"] = decay * memory.get("sum", 0.0) + (1.0 - decay) * loss
            memory["weight"] = decay * memory.get("weight", 0.0) + (1.0 - decay)
            memory["averaged_images"] = images
            # A young average is as noisy as one loss, and a lucky one would stay the best for the whole stage.
            if images - seen.stage_start_images >= length:
                yield images, memory["sum"] / memory["weight"]

    def _bank_checks(self, seen: Observation, memory: dict[str, float]) -> Iterator[tuple[int, float]]:
        interval = self.patience_share * seen.total_images / self.checks_per_patience
        if seen.images_seen - memory.get("checked_images", seen.stage_start_images) < interval:
            return
        if seen.bank_loss is None:
            raise ValueError("gate 'bank' needs the loss on a fixed bank: pass bank_losses to CurriculumSampler.update")
        memory["checked_images"] = seen.images_seen
        yield seen.images_seen, seen.bank_loss()


def _images(share: float, seen: Observation) -> int:
    """A duration in images, never none, so that no stage is over before it has begun."""
    return max(round(share * seen.total_images), 1)
