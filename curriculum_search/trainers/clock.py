"""The clock of a run that the user's own code trains: it follows the sampler, draw by draw."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.adapters import CurriculumAdapter
from curriculum_search.evaluation import Diverged
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError
from curriculum_search.trainers.view import View
from curriculum_search.training import StatusReport
from curriculum_search.training.randomness import derive_seed


class Clock:
    """Counts images and seconds, sums losses, and gives the sampler its random numbers (an `adapters.Follower`).

    Args:
        assignment: what is to be trained.
        device: of the run.
        say: takes a status; called on every worker after the same draws.

    Attributes:
        sampler: what is followed; None before the code has asked for one.
        draws: how many there have been in this process.
        step_images: images of the last draw, over all workers.
        seconds: spent in training up to the last rest.
    """

    def __init__(self, assignment: Assignment, device: torch.device, say: Callable[[StatusReport], None]) -> None:
        self.sampler: CurriculumAdapter | None = None
        self.draws = self.step_images = 0
        self.seconds = 0.0
        self._assignment = assignment
        self._device = device
        self._say = say
        self._since: float | None = None  # when the clock last began to run; None: it stands
        self._answered = 0  # images up to which it has been answered whether a report is due
        self._asked = False
        self._generator: torch.Generator | None = None
        self._sums: list[Tensor | None] = [None, None]  # of the losses since the last report, and the last status
        self._counts = [0, 0]
        self._status_images, self._status_seconds = 0, 0.0

    @property
    def images_seen(self) -> int:
        """Images that noise levels have been drawn for, over all workers."""
        return self.sampler.images_seen if self.sampler is not None else 0

    @property
    def seconds_now(self) -> float:
        """Spent in training so far, up to now where it does not rest."""
        return self.seconds + (0.0 if self._since is None else time.perf_counter() - self._since)

    def take(self, sampler: CurriculumAdapter) -> None:
        """Follow a sampler.

        Raises:
            TrainerError: there is one already.
        """
        if self.sampler is not None:
            raise self._error("asks for a second sampler: a run has one, which keeps its clock")
        self.sampler = sampler
        sampler.follow(self)

    def is_due(self) -> bool:
        """Whether the last step has reached an evaluation; the same until the next draw.  If so, the clock stands."""
        self._asked = True
        due = any(self._answered < point <= self.images_seen for point in self._assignment.points)
        if due:
            self.rest()
        return due

    def rest(self) -> None:
        """Stand until the next draw."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def reported(self) -> None:
        """Take that there has been a report: begin the sums of the next."""
        self._answered = self.images_seen
        self._clear(0)

    def view(self) -> View:
        """The run after its last step, which is ended; every worker must call it.

        Raises:
            Diverged: a loss was not finite.
        """
        assert self.sampler is not None
        self.sampler.end_step()
        self.rest()
        return View(
            images=self.images_seen,
            step_images=self.step_images,
            seconds=self.seconds,
            train_loss=self._mean_loss(0),
            stage=self.sampler.stage,
            unlocked_share=self.sampler.unlocked_share,
            switches=tuple(
                {"images": switch.images, "stage": switch.stage, "reason": switch.reason.value}
                for switch in self.sampler.history
            ),
            exposure=self.sampler.exposure(),
        )

    def say(self, images: int) -> None:
        """Give a status of the steps up to `images`."""
        assert self.sampler is not None
        seconds = self.seconds_now
        status = StatusReport(
            images=images,
            train_loss=self._mean_loss(1),
            images_per_second=(images - self._status_images) / max(seconds - self._status_seconds, 1e-9),
            stage=self.sampler.stage,
            unlocked_share=self.sampler.unlocked_share,
        )
        self._clear(1)
        self._status_images, self._status_seconds = images, seconds
        self._say(status)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has of it, the same on all workers; each must call it."""
        assert self.sampler is not None
        return {
            "sampler": self.sampler.state_dict(),
            "seconds": self.seconds,
            "losses": [self._total(0), self._total(1)],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        assert self.sampler is not None
        self.sampler.load_state_dict(state["sampler"])
        self.seconds = self._status_seconds = state["seconds"]
        self._answered = self._status_images = self.images_seen
        for i, (total, count) in enumerate(state["losses"]):
            if count and distributed.rank() == 0:
                self._sums[i], self._counts[i] = torch.tensor(total, dtype=torch.float64, device=self._device), count

    # What the sampler tells and is told.

    def uniforms(self, images_seen: int, batch_size: int, device: torch.device) -> Tensor:
        """This worker's part of the numbers that the whole batch has: those that our own loop draws."""
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device=device)
        self._generator.manual_seed(derive_seed(self._assignment.seed, "level", images_seen))
        whole = torch.rand(batch_size * distributed.world_size(), generator=self._generator, device=device)
        return whole[distributed.rank() * batch_size :][:batch_size]

    def drew(self, images_before: int) -> None:
        """Take a draw.

        Raises:
            TrainerError: the run has seen all its images before.
        """
        if images_before >= self._assignment.total_images:
            raise self._error(
                f"goes on beyond its budget of {self._assignment.total_images:,} images: end the loop when "
                "run.should_stop, or after run.total_images; draws that train nothing belong into "
                "`with sampler.validation():`"
            )
        if self.images_seen - images_before > self._assignment.batch_size:
            raise self._error(
                f"draws for {self.images_seen - images_before:,} images at once, and training.batch_size is "
                f"{self._assignment.batch_size:,}: set it to the images of an optimiser step, over all workers"
            )
        if self._asked:
            if any(self._answered < point <= images_before for point in self._assignment.points):
                self._clear(0)  # It has been evaluated, and what came of it may go another way than by a report.
            self._answered, self._asked = max(self._answered, images_before), False
        if images_before - self._status_images >= self._assignment.status_images:
            self.say(images_before)
        self.draws += 1
        self.step_images = self.images_seen - images_before
        if self._since is None:
            self._since = time.perf_counter()

    def observed(self, losses: Tensor) -> None:
        """Add the losses of a draw; nothing waits for the device."""
        total = losses.sum().double()
        for i, known in enumerate(self._sums):
            self._sums[i] = total if known is None else known + total
            self._counts[i] += losses.numel()

    def _clear(self, i: int) -> None:
        self._sums[i], self._counts[i] = None, 0

    def _mean_loss(self, i: int) -> float | None:
        """Over all workers; None if no loss was told."""
        total, count = self._total(i)
        if not count:
            return None
        if not math.isfinite(total):
            raise Diverged(f"the training loss is {total / count} at {self.images_seen} images")
        return total / count

    def _total(self, i: int) -> tuple[float, int]:
        """The sum of the losses and their number, over all workers."""
        own = self._sums[i]
        row = torch.zeros(1, 2, dtype=torch.float64, device=self._device)
        if own is not None:
            row = torch.stack([own.to(self._device), torch.full_like(own, self._counts[i], device=self._device)])[None]
        total, count = distributed.all_gather_cat(row).sum(0).tolist()
        return total, round(count)

    def _error(self, problem: str) -> TrainerError:
        return TrainerError(self._assignment.title, problem)
