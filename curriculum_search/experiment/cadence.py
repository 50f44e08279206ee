"""How often a run says how it is doing, how often it is saved, and how long it may be silent."""

from dataclasses import dataclass
from typing import Literal

from curriculum_search.config import Config

#: Optimiser steps between two status points where `Cadence.status_images` leaves it open.
STATUS_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Cadence(Config):
    """The clocks of a run, but for that of evaluations, which is `Training.num_evaluations`.

    Nothing of it changes what is trained: a run that is resumed from any of its checkpoints is the undisturbed run.

    Attributes:
        status_images: images seen between two status points (mean loss, throughput, stage), at each of which a loss
            that is not finite ends the run; None: 200 optimiser steps.  Costs one wait for the device, and with
            several workers one small collective.
        checkpoint_images: images seen between two checkpoints, beside the one at each evaluation; None: none.  Costs
            a step the copy of weights, their average and the optimiser's state (together four times the weights) in
            memory; the disk is written to meanwhile.
        checkpoint_minutes: minutes of wall time since the last checkpoint after which there is another, whatever it
            was written for; None: none.  With one worker the clock is looked at after every step, with several where
            they meet in any case: about twice a second, at least every 50 steps.
        silence_minutes: minutes without a status or an evaluation after which a run on a cluster is taken to hang: its
            stacks are written to its folder, and it is ended and counted as failed; None: never.  Of an evaluation each
            block of samples counts, and what else it measures has to come to its end within it; of training code of
            one's own nothing but what it reports.  One whose process is halted itself is ended a minute later, without
            stacks.
        sample_grids: after which evaluations the run's samples are saved as a grid of images, which are always of the
            same noise: "evaluations" is each of them, "end" the last one; None: each of a single run and of a confirmed
            arm's first seed, the last one of any other run of a study.
    """

    status_images: int | None = None
    checkpoint_images: int | None = None
    checkpoint_minutes: float | None = 10.0
    silence_minutes: float | None = 180.0
    sample_grids: Literal["evaluations", "end"] | None = None

    def __post_init__(self) -> None:
        for name in ("status_images", "checkpoint_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or null, not {value}")
        for name in ("checkpoint_minutes", "silence_minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0 or null, not {value}")

    def status_is_due(self, images_seen: int, batch_size: int) -> bool:
        """Whether the step that ends at `images_seen` ends at a status point."""
        every = STATUS_STEPS * batch_size if self.status_images is None else self.status_images
        return _passes(every, images_seen, batch_size)

    def checkpoint_is_due(self, images_seen: int, batch_size: int) -> bool:
        """Whether the step that ends at `images_seen` is followed by a checkpoint for its images; the same on all
        workers."""
        return self.checkpoint_images is not None and _passes(self.checkpoint_images, images_seen, batch_size)

    def grid_is_due(self, *, final: bool) -> bool:
        """Whether an evaluation, the last one or one before, is followed by a grid of samples."""
        return final or self.sample_grids != "end"

    def overdue(self, seconds: float) -> bool:
        """Whether the last checkpoint, `seconds` ago, is too old."""
        return self.checkpoint_minutes is not None and seconds >= 60 * self.checkpoint_minutes


def _passes(every: int, images_seen: int, batch_size: int) -> bool:
    """Whether the step that ends at `images_seen` reaches a multiple of `every`."""
    return images_seen // every > (images_seen - batch_size) // every
