"""What follows a training step."""

import math
from dataclasses import dataclass

from curriculum_search.experiment import Experiment

#: Steps after which several workers meet at the latest, to agree on what only one of them knows, and the seconds that
#: fewer steps should take: what asks a run to stop may give it no more than one or two.
MEETING_STEPS, MEETING_SECONDS = 50, 0.5


class Pace:
    """After how many steps several workers meet: as many as take about half a second in the slowest of them.

    Each finds out what its own steps took when all have met, and tells the others at the next meeting, so that all come
    to the same number; until they know, they meet after every step.

    Attributes:
        steps: from one meeting to the next.
        own_seconds: that a step took in this worker, which it tells the others; infinite: it does not know yet.
    """

    def __init__(self) -> None:
        self.steps = 1
        self.own_seconds = math.inf

    def met(self, slowest: float, *, steps: int, seconds: float) -> None:
        """Take a meeting.

        Args:
            slowest: the largest of the workers' `own_seconds`.
            steps: since the meeting before.
            seconds: that they took here; infinite: it is not known.
        """
        self.steps = max(int(MEETING_SECONDS / max(slowest, MEETING_SECONDS / MEETING_STEPS)), 1)
        self.own_seconds = seconds / steps


@dataclass(frozen=True, kw_only=True)
class Events:
    """What is due after a step: the same on all workers.

    Attributes:
        status: the run says how it is doing.
        checkpoint: it is saved for the images since the last time.
        evaluation: it is evaluated, saved and reported.
        meeting: the workers tell each other what each of them alone knows, whether it is to stop.
        asks: whether to stop, and whether the last checkpoint is too old, is looked at: after every step of a single
            worker, and at the meetings of several.
    """

    status: bool
    checkpoint: bool
    evaluation: bool
    meeting: bool
    asks: bool


class Schedule:
    """Decides what follows each step of `experiment`, trained by `world_size` workers.

    Attributes:
        pace: of the meetings of several workers.
    """

    def __init__(self, experiment: Experiment, world_size: int) -> None:
        self.cadence = experiment.cadence
        self.batch_size = experiment.training.batch_size
        self.points = frozenset(experiment.training.evaluation_points())
        self.alone = world_size == 1
        self.pace = Pace()
        self._steps = 0  # since the last meeting

    def after(self, images_seen: int) -> Events:
        """What is due after the step that ends at `images_seen`; called after each."""
        self._steps += 1
        status = self.cadence.status_is_due(images_seen, self.batch_size)
        checkpoint = self.cadence.checkpoint_is_due(images_seen, self.batch_size)
        evaluation = images_seen in self.points
        by_steps = not self.alone and self._steps >= self.pace.steps
        meeting = status or checkpoint or evaluation or by_steps
        return Events(
            status=status,
            checkpoint=checkpoint,
            evaluation=evaluation,
            meeting=meeting,
            asks=self.alone or meeting,
        )

    def met(self, slowest: float, seconds: float) -> None:
        """Take that the workers have met after the last step; see `Pace.met`."""
        self.pace.met(slowest, steps=self._steps, seconds=seconds)
        self._steps = 0
