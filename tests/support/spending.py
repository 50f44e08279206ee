"""Runs of the tiny study that are told to a ledger, or left by an earlier command."""

from pathlib import Path

from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.search.arms import BaselineName, Run, baseline
from curriculum_search.search.design import SIZES
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report
from support.clock import Clock

#: The tiny study has 2 baselines and 3 trials of 320 images each, and at least 12 runs in its confirmation: 2 seeds of
#: the leader, its control, the published setting and the leader's settings without a curriculum, and 4 of ordinary
#: training.
RUN, BASELINES, RESERVE = 320, 2, 12


def run_of(file: StudyFile, seed: int = 0, *, small: bool = True, order: BaselineName = "no_curriculum") -> Run:
    """The run of a baseline arm on a seed."""
    return file.run(baseline(order, file.small if small else file.base), seed, small=small)


def trial_of(file: StudyFile, rate: float) -> Run:
    """The run of a searched configuration without a curriculum, with a learning rate."""
    return file.trial({"training.learning_rate": rate, "curriculum.order.kind": "none"})


def baselines(file: StudyFile) -> list[Run]:
    """The runs of the baseline arms in the search."""
    return [file.run(arm, 0, small=True) for arm in file.baselines(small=True)]


def record(
    folder: Path, run: Run, *, images: int, status: Status | None = Status.FINISHED, seconds: float = 0.0
) -> None:
    """Leave a run's folder as an earlier command would have."""
    of_run = RunFolder(folder / "runs" / run.key)
    of_run.write_experiment(run.experiment, {})
    of_run.write_report(Report(images=images, metrics={}))
    if status is not None:
        of_run.write_result(RunResult(status=status, metrics={}, images=images, seconds=seconds))


def begin(ledger: Ledger, run: Run) -> None:
    """Have a run handed out."""
    ledger.store.start(run.key, run.experiment, name=run.arm.name, tags={})


def report(ledger: Ledger, run: Run, images: int) -> None:
    """Have a run report so many images."""
    ledger.store.reported(run.key, Report(images=images, metrics={}))


def end(ledger: Ledger, run: Run, status: Status = Status.FINISHED) -> None:
    """Have a run end."""
    live = ledger.store.live[run.key]
    ledger.store.ended(run.key, Outcome(status=status))
    ledger.ended(live, "small" if run.experiment.seed in ledger.file.search_seeds else "full", status)


def play(ledger: Ledger, clock: Clock, run: Run, *, seconds: float, images: int = RUN) -> None:
    """Have a run begin and end."""
    begin(ledger, run)
    clock.now += seconds
    report(ledger, run, images)
    end(ledger, run, Status.FINISHED if images == RUN else Status.STOPPED)


def timed(ledger: Ledger, *, concurrency: int, run_seconds: float) -> Ledger:
    """A ledger that knows how many runs there is room for at once, and how long one lasts."""
    for size in SIZES:
        ledger.set_concurrency(size, concurrency)
        ledger.expect(size, run_seconds)
    return ledger


def trials_left(ledger: Ledger, waiting: list[Run], most: int) -> int:
    """How many more trials may begin, with these runs before them."""
    return ledger.budget.trials_left([ledger.rest(run) for run in waiting], most)
