"""Runs that are played rather than trained: a phase is handed what a landscape says."""

import math
import zlib
from collections.abc import Callable

from curriculum_search.experiment import Experiment
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.search.phases.ablation import AblationPhase
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.training import Report

FINISHED = Outcome(status=Status.FINISHED)


def finishes(job: Job) -> Outcome:
    """The end of a run that comes to it."""
    return FINISHED


def final_value(experiment: Experiment) -> float:
    """A landscape: best at a learning rate of 2e-3, a tenth better with a curriculum, a little noise by seed."""
    value = 1.0 + abs(math.log10(experiment.training.learning_rate / 2e-3))
    order = experiment.curriculum.order.to_dict()["kind"]
    noise = zlib.crc32(f"{order} {experiment.seed}".encode()) / 2**32
    return float(value - 0.1 * (order == "easy_to_hard") + 0.001 * noise)


class Theatre:
    """Plays the runs of a phase or of a chain of them, two at a time, in the order in which they are handed out."""

    def __init__(self, phase: JobSource, end: Callable[[Job], Outcome | None] = finishes) -> None:
        self.phase = phase
        self.end = end
        self.played: list[Job] = []

    def play(self, limit: int = 1000) -> list[Job]:
        running: list[Job] = []
        while len(self.played) < limit:
            job = self.phase.next()
            if isinstance(job, Job):
                running.append(job)
                self.played.append(job)
            elif not running:
                assert job is Exhausted.DONE
                break
            if len(running) == 2 or job is Exhausted.WAIT or job is Exhausted.DONE:
                self.run(running.pop(0))
        return self.played

    def run(self, job: Job) -> None:
        """Play one run."""
        value = final_value(job.experiment)
        for images in (80, 160, 240, 320):
            final = images == 320
            metrics = {"val_loss": value + (320 - images) / 1000, "unlocked_share": 1.0, "fd_pca4_24": value}
            exposure = {"edges": [0.0, 0.5, 1.0], "mass": [0.25, 0.75]} if final else {}
            if self.phase.reported(job, Report(images=images, metrics=metrics, final=final, exposure=exposure)):
                self.phase.ended(job, Outcome(status=Status.STOPPED))
                return
        outcome = self.end(job)
        if outcome is not None:
            self.phase.ended(job, outcome)


def confirmation_of(search: SearchPhase) -> ConfirmationPhase:
    """The confirmation that follows a search, ready to go on."""
    confirmation = ConfirmationPhase(search.file, search.store, search.ledger, search.finished(), search.pareto())
    confirmation.resume()
    return confirmation


def ablation_of(confirmation: ConfirmationPhase) -> AblationPhase:
    """The ablation that follows a confirmation, ready to go on."""
    ablation = AblationPhase(confirmation.file, confirmation.store, confirmation.ledger, confirmation)
    ablation.resume()
    return ablation
