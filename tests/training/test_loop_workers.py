"""Real workers: two processes train one run, and come to what one process comes to, however they are disturbed."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.runner import TIMES, Make, Runner
from torch.multiprocessing.spawn import spawn

from curriculum_search.curriculum import Curriculum, Linear, Plateau
from curriculum_search.diffusion import Uncertainty
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Cadence, Experiment
from curriculum_search.loading import validated
from curriculum_search.training import (
    CHECKPOINT,
    Interrupted,
    PlainSession,
    Report,
    StatusReport,
    loop,
    train,
    unfinished,
)
from curriculum_search.training import checkpoint as checkpoints
from curriculum_search.training.randomness import derive_seed

CURRICULA = {
    "linear": Curriculum(num_clusters=4, pacing=Linear()),
    "plateau": Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2)),
    "bank": Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.05)),
}
SETTINGS: dict[str, dict[str, Any]] = {"linear": {"microbatch_size": 4}}
HALFWAY = "halfway"  # a run with a plateau that both workers leave at 160 images
STOPPED = "stopped"  # one of which a single worker is told to stop wherever they meet
LATE = "late"  # one whose checkpoints are always too old by the first worker's clock, and never by the other's
SLOW = "slow"  # the same, where a step of the other takes long
STEP_SECONDS = {LATE: (1e-3, 1e-3), SLOW: (1e-3, 1.0)}  # by each worker's clock
LEARNED = "learned"  # one whose loss weights are learned, in microbatches
DIVERGING = "diverging"
EVERY_48 = Cadence(status_images=48, checkpoint_minutes=None)


class Halt(Exception):  # noqa: N818
    """A worker group is stopped."""


class Session(PlainSession):
    def report(self, report: Report) -> None:
        super().report(report)
        if self.run_dir.name == HALFWAY and report.images == 160:
            raise Halt


@dataclass
class Clock:
    """Stands for the module `time`: whenever it is looked at, so many seconds have passed, by either of its clocks."""

    monotonic_step: float
    counter_step: float
    now: float = 0.0
    counter: float = 0.0

    def monotonic(self) -> float:
        self.now += self.monotonic_step
        return self.now

    def perf_counter(self) -> float:
        self.counter += self.counter_step
        return self.counter


@dataclass
class Told:
    """What one worker said in all processes that a run took, and where it was saved or ended."""

    reports: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    saves: list[int] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)
    diverged: str = ""


def worker(rank: int, folder: str) -> None:
    """Train every experiment in `folder` as one of two workers."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    save = checkpoints.save
    for path in sorted(Path(folder).glob("*.json")):
        told = Told()

        def recorded(path: Path, state: dict[str, Any], told: Told = told) -> None:
            if path.name == CHECKPOINT:
                told.saves.append(state["images"])
            save(path, state)

        checkpoints.save = recorded
        experiment = validated(Experiment, json.loads(path.read_text()), path.name)
        run_dir = Path(folder, "two", path.stem)
        run_dir.mkdir(parents=True, exist_ok=True)
        hour, step = 3600.0 * (rank == 0), STEP_SECONDS.get(path.stem, (0.0, 0.0))[rank]
        loop.time = Clock(hour, step) if path.stem in STEP_SECONDS else time  # type: ignore
        unfinished.time = Clock(0.0, 0.0) if path.stem in STEP_SECONDS else time  # type: ignore
        going = True
        while going:
            session = Session(run_dir=run_dir, device=torch.device("cpu"))
            session.should_stop = path.stem == STOPPED and rank == 1
            try:
                train(experiment, session, Path(folder, "cache"))
                going = False
            except Interrupted as interrupted:
                told.interrupted.append(interrupted.images)
            except Diverged as diverged:
                going, told.diverged = False, str(diverged)
            except Halt:
                going = False
            told.reports = [report.to_json() for report in session.reports]
            told.statuses += [status.to_json() for status in session.statuses]
        (run_dir / f"told by rank {rank}").write_text(json.dumps(vars(told)))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory, tiny: Make) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    runs = {
        name: tiny(curriculum=curriculum, training=SETTINGS.get(name, {}), cadence=EVERY_48)
        for name, curriculum in CURRICULA.items()
    }
    runs |= {HALFWAY: runs["plateau"], STOPPED: runs["plateau"]}
    runs[LATE] = runs[SLOW] = replace(runs["plateau"], cadence=replace(EVERY_48, checkpoint_minutes=10.0))
    runs[LEARNED] = tiny(weighting=Uncertainty(), curriculum=CURRICULA["plateau"], training={"microbatch_size": 4})
    runs[DIVERGING] = tiny(training={"learning_rate": 1e30, "max_grad_norm": None}, cadence=EVERY_48)
    for name, experiment in runs.items():
        (folder / f"{name}.json").write_text(json.dumps(experiment.to_dict()))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    spawn(worker, args=(str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    return folder


@pytest.fixture
def told(two_workers: Path) -> Callable[[str], list[Told]]:
    """What each worker said of a run."""

    def read(name: str) -> list[Told]:
        folder = two_workers / "two" / name
        return [Told(**json.loads((folder / f"told by rank {rank}").read_text())) for rank in (0, 1)]

    return read


def curve(told: Told) -> list[tuple[Any, ...]]:
    """All that was reported, but for times."""
    reports = [Report.from_json(text) for text in told.reports]
    return [
        (r.images, {k: v for k, v in r.metrics.items() if k not in TIMES}, r.switches, r.final, r.exposure)
        for r in reports
    ]


def losses(told: Told) -> list[tuple[int, float | None, int]]:
    """All statuses, but for times."""
    statuses = [StatusReport.from_json(text) for text in told.statuses]
    return [(status.images, status.train_loss, status.stage) for status in statuses]


@pytest.mark.parametrize("name", CURRICULA)
def test_two_workers_reach_the_metrics_of_one(
    told: Callable[[str], list[Told]], name: str, runner: Runner, tiny: Make
) -> None:
    first, second = ([Report.from_json(text) for text in rank.reports] for rank in told(name))
    runner(tiny(curriculum=CURRICULA[name], training=SETTINGS.get(name, {}), cadence=EVERY_48))
    assert [r.images for r in first] == [r.images for r in second] == [80, 160, 240, 320]
    for one, a, b in zip(runner.session.reports, first, second, strict=True):
        assert a.switches == b.switches == one.switches
        for metric in ("train_loss", "val_loss", "fd_pca4_24"):
            assert a.metrics[metric] == b.metrics[metric] == pytest.approx(one.metrics[metric], rel=1e-4)
    assert first[-1].exposure == runner.session.reports[-1].exposure


def test_two_workers_learn_the_weights_of_the_loss_that_one_learns(
    told: Callable[[str], list[Told]], two_workers: Path, runner: Runner, tiny: Make
) -> None:
    first, second = told(LEARNED)
    assert curve(first) == curve(second)
    runner(tiny(weighting=Uncertainty(), curriculum=CURRICULA["plateau"]))
    for one, images, metrics in zip(runner.session.reports, *list(zip(*curve(first), strict=True))[:2], strict=True):
        assert one.images == images
        for metric in ("train_loss", "val_loss", "fd_pca4_24"):
            assert metrics[metric] == pytest.approx(one.metrics[metric], rel=1e-4)
    folders = (runner.session.run_dir, two_workers / "two" / LEARNED)
    alone, together = (checkpoints.load(folder / CHECKPOINT)["weighting"]["module"]["weight"] for folder in folders)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    untrained = Uncertainty().build(torch.Generator().manual_seed(derive_seed(0, "weighting")))
    assert not torch.allclose(alone, untrained.state_dict()["weight"], rtol=0.01)


@pytest.mark.parametrize("name", CURRICULA)
def test_two_workers_have_the_statuses_of_one(
    told: Callable[[str], list[Told]], name: str, runner: Runner, tiny: Make
) -> None:
    first, second = told(name)
    assert losses(first) == losses(second)
    runner(tiny(curriculum=CURRICULA[name], training=SETTINGS.get(name, {}), cadence=EVERY_48))
    for (images, loss, stage), status in zip(losses(first), runner.session.statuses, strict=True):
        assert (images, stage) == (status.images, status.stage)
        assert loss == pytest.approx(status.train_loss, rel=1e-4)


def test_a_stop_that_one_worker_hears_stops_both_where_they_meet_and_leaves_no_trace_in_the_curve(
    told: Callable[[str], list[Told]],
) -> None:
    whole, stopped = told("plateau"), told(STOPPED)
    points = list(range(80, 321, 80))
    meetings = list(range(16, 321, 16))  # The workers of a process meet after its first step.
    for rank in (0, 1):
        assert stopped[rank].interrupted == sorted([*meetings, *points])  # and after the block that both have of each
        assert curve(stopped[rank]) == curve(whole[rank])
        assert losses(stopped[rank]) == losses(whole[rank])
    assert stopped[0].saves == sorted([*meetings, *points, *points])  # an evaluation that was put off has its own
    assert stopped[1].saves == []


def test_the_first_worker_alone_decides_by_its_clock(told: Callable[[str], list[Told]]) -> None:
    whole, late = told("plateau"), told(LATE)
    assert whole[0].saves == [80, 160, 240, 320]
    # They meet after the first two steps, then know that theirs are quick, and meet where they have to.
    assert late[0].saves == sorted({16, 32, *range(48, 321, 48), *range(80, 321, 80)})
    assert late[1].saves == []
    assert [curve(rank) for rank in late] == [curve(rank) for rank in whole]


def test_workers_one_of_which_is_slow_meet_after_every_step_which_changes_no_number(
    told: Callable[[str], list[Told]],
) -> None:
    whole, slow = told("plateau"), told(SLOW)
    assert slow[0].saves == list(range(16, 321, 16))
    assert [curve(rank) for rank in slow] == [curve(rank) for rank in whole]
    assert [losses(rank) for rank in slow] == [losses(rank) for rank in whole]


def test_both_workers_find_a_loss_that_is_not_finite_at_the_same_status(told: Callable[[str], list[Told]]) -> None:
    first, second = told(DIVERGING)
    assert first.diverged == second.diverged
    assert first.diverged.endswith("at 48 images")
    assert (first.reports, first.statuses, first.saves) == ([], [], [])


def test_what_two_workers_began_one_can_end(two_workers: Path, runner: Runner, tiny: Make) -> None:
    """The number of workers is no part of a run's identity."""
    experiment = tiny(curriculum=CURRICULA["plateau"])
    alone = runner(experiment)
    session = PlainSession(run_dir=two_workers / "two" / HALFWAY, device=torch.device("cpu"))
    assert checkpoints.load(session.run_dir / CHECKPOINT)["images"] == 160
    result = runner(experiment, session)
    assert [report.images for report in session.reports] == [80, 160, 240, 320]
    assert result.exposure == alone.exposure
    for metric in ("train_loss", "val_loss", "fd_pca4_24"):
        assert result.metrics[metric] == pytest.approx(alone.metrics[metric], rel=1e-4)


def test_a_number_of_workers_that_cannot_share_the_noise_is_refused(tiny: Make) -> None:
    with pytest.raises(ValueError, match=r"noise_shards must be a multiple of the number of workers \(3\), not 8"):
        tiny().check_workers(3)
