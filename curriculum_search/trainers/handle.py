"""The handle by which training code of the user's own takes part in a study.

It hands out the sampler of noise levels in the form of the user's codebase, and keeps the clock: what is drawn through
that sampler is recorded exactly, and what is reported is set beside it.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.adapters import (
    CurriculumAdapter,
    DiffusersSigmas,
    DiffusersTimesteps,
    EDMSigmas,
    Levels,
    Quantiles,
    ScheduleSampler,
    SiTTimes,
)
from curriculum_search.adapters.diffusers import FlowMatchScheduler
from curriculum_search.evaluation import Diverged
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError, check_end, checked_images, checked_metrics
from curriculum_search.trainers.clock import Clock
from curriculum_search.trainers.view import View
from curriculum_search.training import CHECKPOINT, Interrupted, Report, Session, TrainingResult, checkpoint
from curriculum_search.training.events import Pace

A = TypeVar("A", bound=CurriculumAdapter)
BankLosses = Callable[[], Tensor] | None

_STATUS, _EVALUATION, _DIVERGED, _WRONG = range(4)


class Params(Mapping[str, Any]):
    """The parameters of a run, which know which of them have been asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self.unread = set(self._values)

    def __getitem__(self, name: str) -> Any:
        self.unread.discard(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


class Run:
    """One training run of a study, as the code that trains it sees it.

    A run takes one sampler, from one of the methods below, draws its noise levels from it, and whenever
    `report_is_due`, which is ``training.num_evaluations`` times, evaluates and reports::

        def train(run):
            sampler = run.schedule_sampler(diffusion)
            state = run.restore()                       # None in the beginning
            while not run.should_stop:
                t, weights = sampler.sample(batch_size, run.device)
                ...                                     # one step on the losses at t, weighted
                if run.report_is_due:
                    run.report(images=run.images_seen, metrics={"fid": ...}, checkpoint={"model": ...})

    Random numbers that place noise levels are a function of the seed and the images drawn for, the same for all arms of
    a study and in a run that is resumed.  With several workers torch.distributed is ready, each draws for its own part
    of the batch, all parts being equal, and each calls `report`, at the same images; the metrics are those of rank 0.

    Args:
        assignment: what is to be trained.
        session: where the run lives.
        announce: hears of each evaluation that is due, with what is known then, and of the images restored.

    Attributes:
        params: the values of ``trainer.params``.
        seed: of the run: of weights, data order and whatever else is random.  Runs with one seed are compared.
        device: what to compute on.
        total_images: images to be seen, over all workers: the budget that all arms share.
        batch_size: ``training.batch_size``, over all workers, by which a curriculum's patience is counted.
        reports: of the evaluations so far.
    """

    def __init__(
        self, assignment: Assignment, session: Session, *, announce: Callable[[View | int], None] | None = None
    ) -> None:
        self.params = Params(assignment.params)
        self.seed = assignment.seed
        self.device = session.device
        self.total_images = assignment.total_images
        self.batch_size = assignment.batch_size
        self.reports: list[Report] = []
        self._assignment = assignment
        self._session = session
        self._announce = announce
        self._clock = Clock(assignment, session.device, session.status)
        self._restored: dict[str, Any] | None = None
        self._saved_images = 0
        self._is_readable = False  # what is saved
        self._pace, self._leaves = Pace(), False  # when several workers agree on whether to end, and what they have ...
        self._met_draws, self._met_seconds = 0, -math.inf  # ... after so many draws and seconds

    # The sampler, in the form that a codebase has for it.

    def schedule_sampler(self, diffusion: object, *, bank_losses: BankLosses = None) -> ScheduleSampler:
        """For DiT, guided-diffusion, improved-diffusion: ``t, weights = sampler.sample(batch_size, device)``."""
        return self._take(ScheduleSampler(self._curriculum, diffusion, **self._options(bank_losses)))

    def edm_sigmas(self, *, bank_losses: BankLosses = None) -> EDMSigmas:
        """For EDM and EDM2: ``sigma = sampler.sigmas(batch_size, device)``."""
        return self._take(EDMSigmas(self._curriculum, **self._options(bank_losses)))

    def sit_times(self, *, bank_losses: BankLosses = None) -> SiTTimes:
        """For SiT: ``t = sampler.times(batch_size, device, t0, t1)``."""
        return self._take(SiTTimes(self._curriculum, **self._options(bank_losses)))

    def diffusers_timesteps(self, scheduler: object, *, bank_losses: BankLosses = None) -> DiffusersTimesteps:
        """For diffusers with a DDPMScheduler: ``timesteps = sampler.timesteps(batch_size, device)``."""
        return self._take(DiffusersTimesteps(self._curriculum, scheduler, **self._options(bank_losses)))

    def diffusers_flow_matching(
        self, scheduler: FlowMatchScheduler, *, bank_losses: BankLosses = None
    ) -> DiffusersSigmas:
        """For diffusers with a FlowMatchEulerDiscreteScheduler: ``indices = sampler.indices(batch_size)``.

        What is drawn without a curriculum is the study's own density over the share of noise.
        """
        return self._take(DiffusersSigmas(self._curriculum, scheduler, **self._options(bank_losses)))

    def levels(
        self, process: str, *, level: Callable[[Tensor], Tensor] | None = None, bank_losses: BankLosses = None
    ) -> Levels:
        """For any codebase with continuous levels: ``levels = sampler.levels(batch_size, device)``; see `Levels`."""
        return self._take(Levels(self._curriculum, process, level=level, **self._options(bank_losses)))

    def quantiles(self, *, bank_losses: BankLosses = None) -> Quantiles:
        """For code that makes its own levels of the noise quantile: ``q = sampler.quantiles(batch_size, device)``."""
        return self._take(Quantiles(self._curriculum, **self._options(bank_losses)))

    # What the run is and where it stands.

    @property
    def rank(self) -> int:
        """This process among the workers of the run."""
        return distributed.rank()

    @property
    def world_size(self) -> int:
        """The workers of the run."""
        return distributed.world_size()

    @property
    def folder(self) -> Path:
        """A folder of the run's own, for whatever the code writes; it is there again when the run is resumed."""
        folder = self._session.run_dir / "own"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def images_seen(self) -> int:
        """Images that noise levels have been drawn for, over all workers."""
        return self._clock.images_seen

    @property
    def report_is_due(self) -> bool:
        """Whether the last step has reached an evaluation; the same until the next draw, and on all workers.

        From when it says so to the next draw the run's clock of seconds stands, so that throughput is that of training.
        """
        due = self._clock.is_due()
        if due and self._announce is not None:
            self._announce(self._clock.view())
        return due

    @property
    def should_stop(self) -> bool:
        """Whether to end now: the run has seen all its images, or its command is to end, which goes on with it later;
        then a last ``report(images=..., checkpoint=...)`` saves what is to be gone on with.

        Several workers ask it after every step, and agree about twice a second on whether one of them is to end.
        """
        if self.images_seen >= self.total_images:
            return True
        if self.world_size == 1:
            return self._session.should_stop
        steps = self._clock.draws - self._met_draws
        if steps >= self._pace.steps:
            own = torch.tensor([[self._session.should_stop, self._pace.own_seconds]], device=self.device)
            stop, slowest = distributed.all_gather_cat(own.double()).amax(0).tolist()
            self._leaves, seconds = bool(stop), self._clock.seconds_now
            self._pace.met(slowest, steps=steps, seconds=seconds - self._met_seconds)
            self._met_draws, self._met_seconds = self._clock.draws, seconds
        return self._leaves

    # What the run says.

    def report(self, *, images: int, metrics: Mapping[str, float] | None = None, checkpoint: Any = None) -> None:
        """Say how far the run is and, where a report is due, how good it is.  Metrics of a report that is not due are
        left out: all runs of a study are compared at the same images.

        Args:
            images: images seen so far, over all workers: those that noise levels were drawn for.
            metrics: name to value: all that ``trainer.metrics`` names, and others.
            checkpoint: what `restore` gives back: tensors, numbers, text, and lists and dictionaries of them.  Rank 0
                writes it.  None: nothing is saved.

        Raises:
            Diverged: a value is not finite.
            TrainerError: images or metrics are not what they have to be.
        """
        images = checked_images(
            self._assignment,
            images,
            drawn=self.images_seen,
            step_images=self._clock.step_images,
            reports=self.reports,
        )
        view = self._clock.view()
        values = self._values(metrics or {}, images)
        if values is None:
            if checkpoint is not None:
                self._save(checkpoint, images)
            self._clock.say(images)
            return
        report = view.report(
            values,
            images=min(images, self.total_images),
            final=images >= self.total_images,
            earlier=self.reports,
        )
        self.reports.append(report)
        self._clock.reported()
        if checkpoint is not None:
            self._save(checkpoint, images)
        if report.final and self.params.unread and self._announce is None:  # a program has them as arguments
            warnings.warn(
                f"{self._assignment.title} never reads {', '.join(sorted(self.params.unread))} of trainer.params",
                stacklevel=1,
            )
        self._session.report(report)

    def restore(self) -> Any:
        """What the last report with a checkpoint saved, None in the beginning.

        It is called before the first draw, and brings the sampler's state along.  A run that does not call it begins
        again when it is resumed.
        """
        if self.images_seen:
            raise self._error("calls run.restore() after it has drawn noise levels: call it before the first draw")
        path = self._session.run_dir / CHECKPOINT
        state, damage = checkpoint.load_last(path, sets_aside=self.rank == 0)
        if damage and self.rank == 0:
            self._session.remark(damage)
        if state is None:
            return None
        if state["identity"] != self._assignment.identity:
            raise ValueError(f"{path} belongs to another run: move it away, and this one begins again")
        self._restored, self._saved_images, self._is_readable = state["clock"], state["images"], True
        self.reports = [Report.from_plain(report) for report in state["reports"]]
        if self._clock.sampler is not None:
            self._clock.load_state_dict(self._restored)
        if self._announce is not None:
            self._announce(self._saved_images)
        for report in self.reports:  # Whoever listens may not have heard what was said before an interruption.
            self._session.report(report)
        return state["own"]

    def result(self) -> TrainingResult:
        """How the run ended, once the code has.

        Raises:
            Interrupted: it was asked to.
            TrainerError: it ended too early, or has not reported what it should.
        """
        if len(self.reports) < len(self._assignment.points) and (self._session.should_stop or self._leaves):
            raise Interrupted(self._saved_images)
        check_end(self._assignment, drawn=self.images_seen, reports=self.reports, ended="returns")
        last = self.reports[-1]
        return TrainingResult(
            metrics=dict(last.metrics),
            images=last.images,
            seconds=last.metrics["train_seconds"],
            exposure=dict(last.exposure),
        )

    @property
    def _curriculum(self) -> Any:
        return self._assignment.curriculum

    def _options(self, bank_losses: BankLosses) -> dict[str, Any]:
        return {"total_images": self.total_images, "bank_losses": bank_losses}

    def _take(self, sampler: A) -> A:
        self._clock.take(sampler)
        if self._restored is not None:
            self._clock.load_state_dict(self._restored)
        return sampler

    def _values(self, metrics: Mapping[str, float], images: int) -> dict[str, float] | None:
        """The values of an evaluation; None where it is none, which rank 0 decides for all."""
        points, reported = self._assignment.points, len(self.reports)
        kind, values, problem = _STATUS, dict[str, float](), None
        if self.rank == 0 and metrics and reported < len(points) and images >= points[reported]:
            try:
                kind = _EVALUATION
                values = checked_metrics(self._assignment, metrics, images=images, reports=self.reports)
            except (Diverged, TrainerError) as error:
                kind, problem = _DIVERGED if isinstance(error, Diverged) else _WRONG, error
        kind = int(distributed.all_gather_cat(torch.tensor([kind], device=self.device))[0])
        if problem is not None:
            raise problem
        if kind == _DIVERGED:
            raise Diverged("rank 0 says so")
        if kind == _WRONG:
            raise self._error("has been ended by what rank 0 reports")
        return values if kind == _EVALUATION else None

    def _save(self, own: Any, images: int) -> None:
        self._saved_images = images
        state = {
            "identity": self._assignment.identity,
            "images": images,
            "reports": [asdict(report) for report in self.reports],
            "clock": self._clock.state_dict(),
            "own": own,
        }
        if self.rank == 0:
            path = self._session.run_dir / CHECKPOINT
            checkpoint.save(path, state)
            if not self._is_readable:
                self._check_saved(path)
        distributed.barrier()

    def _check_saved(self, path: Path) -> None:
        try:
            checkpoint.load(path)
        except ValueError:
            path.unlink()
            raise self._error(
                "run.report(checkpoint=...) must be tensors, numbers, text, and lists and dictionaries of them, such "
                "as state_dicts; write other objects to a file in run.folder"
            ) from None
        self._is_readable = True

    def _error(self, problem: str) -> TrainerError:
        return TrainerError(self._assignment.title, problem)
