"""The difficulty study: one model for each interval of noise levels, trained as jobs, then the relative entropy.

What it leaves in its folder is difficulty.json, which `measured` partitions and orders read, and difficulty.png.  Run
again, it goes on where it was.
"""

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from curriculum_search.cli import show
from curriculum_search.curriculum import DifficultyFile
from curriculum_search.difficulty import ConvergenceCurve, ConvergenceStudy, EntropyCurve, EntropyStudy, PrincipalAxes
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.report import difficulty as difficulty_figure
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status, stamped
from curriculum_search.runs.progress import Progress
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.workspace import workspace
from curriculum_search.storage import address_of
from curriculum_search.tracking import STUDY
from curriculum_search.training import Report, StatusReport

#: Of the experiment, what decides how hard its noise levels are.
_DETAILS = ("data", "encoder", "density", "weighting", "model", "training", "seed")


@dataclass(frozen=True, kw_only=True)
class DifficultyResult:
    """What a difficulty study came to.

    Attributes:
        path: of difficulty.json.
        figure: of difficulty.png.
        file: what is in the former.
        convergence, entropy: the two studies in full.
    """

    path: Path
    figure: Path
    file: DifficultyFile
    convergence: ConvergenceCurve
    entropy: EntropyCurve


def measure_difficulty(
    base: Experiment,
    plugins: Mapping[str, str],
    *,
    where: str,
    root: Path,
    cache_dir: Path,
    convergence: ConvergenceStudy,
    entropy: EntropyStudy,
) -> DifficultyResult:
    """Measure how hard the noise levels of an experiment are, or go on with it.

    Args:
        base: the data, process, density, model and training; its curriculum and metrics do not matter.
        plugins: file name to source text of the user's own kinds.
        where: the experiment's file, for messages.
        root: the folder of all results; the study's is ``root/difficulty-<identity>``.
        cache_dir: where reference statistics are kept between runs.
        convergence: which models are trained.
        entropy: how the relative entropy is estimated.

    Raises:
        UserError: what has to be changed before anything can start, or a model diverged.
    """
    if not base.is_native:
        raise UserError(
            f"{where}: trainer: difficulty is measured with our own network and loop; write down data and model, and "
            "set trainer.kind=native"
        )
    try:
        base.data.check()
        experiments = convergence.experiments(base)
        experiments[0].check()
        axes = PrincipalAxes.of(base.data.load(), entropy.num_images, entropy.seed, base.encoder)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"{where}: {error}") from error
    identity = hashlib.sha256("".join(e.identity() for e in experiments).encode()).hexdigest()[:12]
    folder = root / f"difficulty-{identity}"
    with (
        Cluster(dashboard=base.resources.in_group) as cluster,
        workspace(folder, root=root, name=folder.name) as space,
        RunStore(
            folder,
            cache_dir=cache_dir,
            plugins=plugins,
            tracker=space.tracker,
            objective="train_loss",
            direction=Direction.MINIMIZE,
        ) as store,
    ):
        space.listen(store.befell)
        space.connect()
        runs = IntervalRuns(store, experiments)
        space.begin(name=folder.name, tags={"study": folder.name})
        runs.resume()
        if runs.pending():
            concurrency = min(cluster.capacity(base.resources).trials, len(experiments))
            print(f"difficulty: {base.data.summary()}", flush=True)
            with runs.progress.under_way(concurrency):
                run_jobs(runs, resources=base.resources, limit=None, scratch=folder / "tune", groups=cluster.groups)
        runs.check()
        points = [runs.points(i, metric) for i, metric in enumerate(convergence.metrics(base))]
        converged = convergence.measure(base, points, axes)
        result = _publish(folder, base, converged, entropy.measure_axes(axes, base.process), entropy)
        for path in (result.path, result.figure):
            space.tracker.log_artifact(STUDY, path)
        space.finish()
    _print(result, base)
    return result


class IntervalRuns(JobSource):
    """A source of jobs: the runs of a convergence study that have not ended.

    Args:
        store: keeps the runs.
        experiments: one for each interval.
    """

    def __init__(self, store: RunStore, experiments: tuple[Experiment, ...]) -> None:
        self.store = store
        self.experiments = {experiment.identity(): experiment for experiment in experiments}
        edges = np.linspace(0, 1, len(experiments) + 1)
        self.names = dict(
            zip(self.experiments, (f"q {a:.3g} to {b:.3g}" for a, b in itertools.pairwise(edges)), strict=True)
        )
        self.progress = Progress(
            "difficulty",
            store.live,
            objective=store.objective,
            direction=None,
            preparing=experiments[0].preparing(),
        )
        self._queue: list[str] = []

    def resume(self) -> None:
        """Find out what is left to be run: what has not ended, and what an error has ended."""
        for key in self.experiments:
            self.store.forget_failure(key)
        self._queue = [key for key in self.experiments if self.store.result(key) is None]
        self.progress.total = len(self._queue)

    def pending(self) -> bool:
        """Whether any model is left to be trained."""
        return bool(self._queue)

    def next(self) -> Job | Exhausted:
        """From the cleanest interval to the noisiest."""
        if not self._queue:
            return Exhausted.DONE
        key = self._queue.pop(0)
        name = self.names[key]
        return self.store.start(key, self.experiments[key], name=name, tags={"role": "interval", "interval": name})

    def reported(self, job: Job, report: Report) -> bool:
        """Write the report down."""
        self.store.reported(job.key, report)
        return False

    def progressed(self, job: Job, status: StatusReport) -> None:
        """Write the status down."""
        self.store.progressed(job.key, status)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Write the result down."""
        self.progress.ended(self.names[job.key], self.store.ended(job.key, outcome))

    def went_on(self, job: Job) -> None:
        """Take that it is not silent."""
        self.store.went_on(job.key)

    def restarted(self, job: Job, reason: str) -> None:
        """Say it, and count it in MLflow."""
        self.noticed(f"{self.names[job.key]} {self.store.restarted(job.key, reason)}")

    def remarked(self, job: Job, words: str) -> None:
        """Write it down, and say it."""
        self.store.note(job.key, words)
        self.noticed(f"{self.names[job.key]}: {words}")

    def befell(self, words: str) -> None:
        """Write it down for all runs under way, and say it."""
        self.store.befell(words)
        self.noticed(words)

    def noticed(self, line: str) -> None:
        """Say it."""
        self.progress.say(stamped(line))

    def tick(self, capacity: Capacity) -> None:
        """Show where the study is."""
        self.progress.capacity = capacity
        self.store.write_befallen()
        for line in self.store.silent():
            self.noticed(line)
        self.progress.show()

    def points(self, i: int, metric: str) -> list[tuple[int, float]]:
        """(images seen, value) of run `i` at each evaluation."""
        return self.store.curve(list(self.experiments)[i]).points(metric)

    def check(self) -> None:
        """Whether every model was trained to its end.

        Raises:
            UserError: one was not.
        """
        for key, name in self.names.items():
            result = self.store.result(key)
            if result is None or result.status.is_failure:
                folder = self.store.folder(key).path
                raise UserError(f"the model of {name} failed ({folder}); the same command tries it again")
            if result.status is not Status.FINISHED:
                raise UserError(
                    f"the model of {name} {result.status.value} after {result.images:,} images "
                    f"({result.reason}); a lower training.learning_rate may help"
                )


def _publish(
    folder: Path, base: Experiment, convergence: ConvergenceCurve, entropy: EntropyCurve, settings: EntropyStudy
) -> DifficultyResult:
    """Write difficulty.json and the figure."""
    plain = base.to_dict()
    file = DifficultyFile(
        process=plain["process"],
        convergence=convergence.difficulty(),
        entropy=entropy.difficulty(),
        details={
            "convergence": convergence.to_dict()["intervals"],
            "entropy": {"estimator": settings.to_dict(), **entropy.to_dict()},
            "experiment": {name: plain[name] for name in _DETAILS},
        },
    )
    path, figure_path = folder / "difficulty.json", folder / "difficulty.png"
    file.save(path)
    figure = difficulty_figure(
        {
            "convergence": (file.convergence.edges, file.convergence.values),
            "entropy (square root)": (file.entropy.edges, file.entropy.values),
        },
        losses={
            (row.low, row.high): [(0, 1.0), *zip(row.images, row.missing, strict=True)] for row in convergence.intervals
        },
        title=f"How hard noise levels are: {_subject(base)}",
    )
    figure.savefig(figure_path)
    return DifficultyResult(path=path, figure=figure_path, file=file, convergence=convergence, entropy=entropy)


def _print(result: DifficultyResult, base: Experiment) -> None:
    """The table, what it says in words, and where it is."""
    rows = result.convergence.intervals
    edges = np.array(result.file.convergence.edges)
    entropies = result.file.entropy.over(edges)
    table = Table(
        title=f"Difficulty (mean 1): {_subject(base)}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    heads = ("q", "convergence", "entropy", "missing", "90 % at", "best loss", "/linear")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row, convergence, entropy in zip(rows, result.file.convergence.values, entropies, strict=True):
        table.add_row(
            f"{row.low:.3g}-{row.high:.3g}",
            f"{convergence:.2f}",
            f"{entropy:.2f}",
            f"{100 * row.difficulty:.1f} %",
            f"{row.images_to_most:,.0f}",
            f"{row.best_loss:.3g}",
            f"{row.loss_over_linear:.2f}",
        )
    show(table)
    for name, values in (
        ("convergence", np.array(result.file.convergence.values)),
        ("relative entropy (square root)", entropies),
    ):
        hardest, easiest = rows[int(values.argmax())], rows[int(values.argmin())]
        times = values.max() / values.min()
        print(
            f"By {name}, q {hardest.low:.3g}-{hardest.high:.3g} is the hardest, {times:.1f} times "
            f"q {easiest.low:.3g}-{easiest.high:.3g}, the easiest; rank correlation of difficulty with noise "
            f"{_rank_correlation(values):+.2f}."
        )
    if late := result.convergence.still_learning():
        names = ", ".join(f"{row.low:.3g}-{row.high:.3g} ({100 * row.late_share:.0f} %)" for row in late)
        print(
            f"Still learning, so harder than measured: q {names} of the loss reduction came in the last quarter of "
            f"training. Give more training.total_images."
        )
    print(f"Difficulty:   {address_of(result.path)}\nFigure:       {address_of(result.figure)}")
    print(
        f"Use it with:  curriculum.partition.kind=measured curriculum.partition.path={result.path}\n"
        f"              curriculum.order.kind=measured curriculum.order.path={result.path}",
        flush=True,
    )


def _subject(base: Experiment) -> str:
    return f"{base.data.load().name}, {base.to_dict()['process']['kind']}, {base.process.prediction}-prediction"


def _rank_correlation(values: np.ndarray) -> float:
    """Spearman's correlation of `values` with their index."""
    if len(values) < 2:
        return 0.0
    ranks = np.argsort(np.argsort(values))
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])
