"""What follows a training step."""

from dataclasses import dataclass

from curriculum_search.experiment import Experiment

#: Steps after which several workers meet at the latest, to agree on what only one of them knows.
MEETING_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Events:
    """What is due after a step, as far as the images seen decide it: the same on all workers.

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
    """Decides what follows each step of `experiment`, trained by `world_size` workers."""

    def __init__(self, experiment: Experiment, world_size: int) -> None:
        self.cadence = experiment.cadence
        self.batch_size = experiment.training.batch_size
        self.points = frozenset(experiment.training.evaluation_points())
        self.alone = world_size == 1

    def after(self, images_seen: int) -> Events:
        """What is due after the step that ends at `images_seen`."""
        status = self.cadence.status_is_due(images_seen, self.batch_size)
        checkpoint = self.cadence.checkpoint_is_due(images_seen, self.batch_size)
        evaluation = images_seen in self.points
        by_steps = not self.alone and images_seen % (MEETING_STEPS * self.batch_size) == 0
        meeting = status or checkpoint or evaluation or by_steps
        return Events(
            status=status,
            checkpoint=checkpoint,
            evaluation=evaluation,
            meeting=meeting,
            asks=self.alone or meeting,
        )
