"""A few steps of the user's own training code before a study begins: what it does wrong is said once, at once."""

import re
from dataclasses import replace
from pathlib import Path

from curriculum_search.experiment import Experiment, OwnTrainer
from curriculum_search.loading import UserError
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.runs.watch import STACKS
from curriculum_search.search.arms import NO_CURRICULUM, baseline
from curriculum_search.search.design import SIZES, Size
from curriculum_search.search.measure import reason_of, temporary_folder
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report, StatusReport

_STEPS, _EVALUATIONS = 4, 2


def rehearse(file: StudyFile, *, root: Path, cache_dir: Path, groups: Groups) -> None:
    """Have a few steps trained on the connected cluster, at each size that the study has.

    The curriculum is that of the baseline that asks most of the code: one that watches the loss, if there is one.

    Args:
        file: the study file, whose trainer is code of the user's own.
        root: the folder of all results, which all nodes see; a temporary folder is made there.
        cache_dir: where what can be computed again is kept.
        groups: of workers, which the study goes on with.

    Raises:
        UserError: the code does not do what a study needs; the message names its file and says what to change.
    """
    names = [name for name in file.study.baselines if name != NO_CURRICULUM] or [NO_CURRICULUM]
    for size in SIZES if file.study.proxy else SIZES[1:]:
        experiment = file.experiment(baseline(names[0], file.base), file.study.seed, small=size == "small")
        with temporary_folder(root) as folder:
            source = _Rehearsal(file, size, experiment, folder, cache_dir)
            print(f"{file.study.name}: a rehearsal of {source.trainer.title}, {_STEPS} steps", flush=True)
            run_jobs(source, resources=experiment.resources, limit=1, scratch=folder / "tune", groups=groups)
        if source.problem:
            raise UserError(f"{file.path}: base.trainer: {source.problem}")


class _Rehearsal(JobSource):
    """A source of one short run."""

    def __init__(self, file: StudyFile, size: Size, experiment: Experiment, folder: Path, cache_dir: Path) -> None:
        assert isinstance(experiment.trainer, OwnTrainer)
        self.file, self.folder, self.cache_dir = file, folder, cache_dir
        self.trainer = experiment.trainer
        batch_size = experiment.training.batch_size
        self.experiment = replace(
            experiment,
            training=replace(
                experiment.training, total_images=_STEPS * batch_size, num_evaluations=_EVALUATIONS, warmup_images=0
            ),
            cadence=replace(
                experiment.cadence, silence_minutes=self.trainer.rehearsal_minutes, status_images=batch_size
            ),
        )
        self.problem = ""
        self._given = False
        self._drawn = 0

    def next(self) -> Job | Exhausted:
        if self._given:
            return Exhausted.DONE
        self._given = True
        key = self.experiment.identity()
        (self.folder / key).mkdir()
        return Job(
            key=key,
            experiment=self.experiment,
            run_dir=(self.folder / key).resolve(),
            cache_dir=self.cache_dir,
            plugins=self.file.plugins,
            working_dir=Path.cwd(),
            tried_again="never",
        )

    def reported(self, job: Job, report: Report) -> bool:
        return False

    def progressed(self, job: Job, status: StatusReport) -> None:
        self._drawn = status.images

    def ended(self, job: Job, outcome: Outcome) -> None:
        if outcome.status is Status.FINISHED:
            return
        if (job.run_dir / STACKS).exists():
            self.problem = (
                f"{self.trainer.title}: has not reported within {self.trainer.rehearsal_minutes:g} minutes "
                f"(base.trainer.rehearsal_minutes){self._stood(job.run_dir / STACKS)}: {_STEPS} steps and a report "
                f"must fit, and it has drawn noise levels for {self._drawn} of {job.experiment.training.total_images} "
                "images; run.total_images and run.report_is_due say how much is to be done"
            )
        else:
            self.problem = reason_of(job, outcome).removeprefix("TrainerError: ")

    def _stood(self, stacks: Path) -> str:
        """Where in the user's files a silent run was."""
        names = {str(path) for path in self.trainer.files}
        for path, line in re.findall(r'File "([^"]+)", line (\d+)', stacks.read_text()):
            if path in names:
                return f", and stood in {Path(path).name}, line {line}"
        return ""
