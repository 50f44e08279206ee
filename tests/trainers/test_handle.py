"""The handle: a sampler for each codebase, what is reported, and what is exactly recorded."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.own_training import NOTHING
from torch.multiprocessing.spawn import spawn
from trainers.conftest import MakeOwn

from curriculum_search.curriculum import Curriculum
from curriculum_search.diffusion import DDPM, EDM, Density, Flow, Histogram, Process, Uniform
from curriculum_search.experiment import OwnTrainer
from curriculum_search.trainers import clock
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.handle import Params, Run
from curriculum_search.training import PlainSession


@pytest.fixture
def take(tmp_path: Path, own: MakeOwn) -> Any:
    def make(process: Process, density: Density | None = None) -> Run:
        curriculum = Curriculum(num_clusters=1 if density else 4)
        experiment = own(NOTHING, process=process, density=density or Uniform(), curriculum=curriculum)
        assert isinstance(experiment.trainer, OwnTrainer)
        session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
        return Run(Assignment.of(experiment, experiment.trainer), session)

    return make


class Scheduler:
    """As diffusers' FlowMatchEulerDiscreteScheduler is made with a shift."""

    def __init__(self, num_timesteps: int = 1000, shift: float = 3.0) -> None:
        share = torch.linspace(1, num_timesteps, num_timesteps).flip(0) / num_timesteps
        self.sigmas = shift * share / (1 + (shift - 1) * share)
        self.timesteps = self.sigmas * num_timesteps


def test_each_codebase_gets_its_own_levels_of_the_same_quantiles(take: Any) -> None:
    run = take(DDPM())
    q = run.quantiles().quantiles(16, "cpu")
    t, weights = take(DDPM()).schedule_sampler(SimpleNamespace(num_timesteps=1000)).sample(16, "cpu")
    assert torch.equal(t, (q * 1000).long())
    assert torch.equal(weights, torch.ones(16))
    scheduler = SimpleNamespace(config=SimpleNamespace(num_train_timesteps=1000))
    assert torch.equal(take(DDPM()).diffusers_timesteps(scheduler).timesteps(16, "cpu"), t)

    share = take(Flow()).levels("flow").levels(16, "cpu")
    assert torch.equal(take(Flow()).sit_times().times(16, "cpu"), 1 - share)
    noise = take(Flow()).levels("flow", level=lambda t: 2 * t).levels(16, "cpu")
    assert torch.equal(noise, 2 * share)

    sigma = take(EDM()).edm_sigmas().sigmas(16, "cpu")
    assert sigma.shape == (16, 1, 1, 1)
    assert torch.equal(take(EDM()).levels("edm").levels(16, "cpu"), sigma.flatten())


def test_the_indices_of_a_flow_scheduler_are_those_of_the_sigmas_next_to_what_the_study_draws(take: Any) -> None:
    scheduler = Scheduler()
    share = take(Flow()).levels("flow").levels(16, "cpu")
    indices = take(Flow()).diffusers_flow_matching(scheduler).indices(16)
    nearest = (scheduler.sigmas[None] - share[:, None]).abs().argmin(1)
    assert (scheduler.sigmas[indices] - share).abs().max() <= (scheduler.sigmas[nearest] - share).abs().max() + 1e-6


def test_an_exposure_that_a_study_puts_in_place_of_the_density_is_what_is_drawn(take: Any) -> None:
    """The exposure-matched control is made like that, in whatever codebase."""
    half = Histogram(edges=(0.0, 0.5, 1.0), mass=(1.0, 1e-9))
    draws: list[Callable[[Run], torch.Tensor]] = [
        lambda run: run.diffusers_flow_matching(Scheduler()).indices(16),
        lambda run: run.sit_times().times(16, "cpu"),
        lambda run: run.levels("flow").levels(16, "cpu"),
    ]
    for draw in draws:
        levels = draw(take(Flow(), half)).double()
        upper = draw(take(Flow(), Histogram(edges=(0.0, 0.5, 1.0), mass=(1e-9, 1.0)))).double()
        assert levels.max() < upper.min() or levels.min() > upper.max()


def test_a_report_that_is_not_due_is_a_status_and_saves(take: Any, tmp_path: Path) -> None:
    run = take(DDPM())
    sampler = run.quantiles()
    for _ in range(3):
        sampler.quantiles(16, "cpu")
    run.report(images=48, metrics={"score": 1.0}, checkpoint={"x": torch.ones(2)})
    assert run.reports == []
    again = take(DDPM())
    assert torch.equal(again.restore()["x"], torch.ones(2))
    assert again.quantiles().images_seen == 48
    assert again.images_seen == 48


def test_the_sampler_goes_on_whether_it_is_taken_before_or_after_restoring(take: Any) -> None:
    run = take(DDPM())
    sampler = run.quantiles()
    for _ in range(5):
        sampler.quantiles(16, "cpu")
    run.report(images=80, metrics={"score": 1.0}, checkpoint={})
    expected = sampler.quantiles(16, "cpu")
    before, after = take(DDPM()), take(DDPM())
    early = before.quantiles()
    assert before.restore() == {}
    assert after.restore() == {}
    assert torch.equal(early.quantiles(16, "cpu"), expected)
    assert torch.equal(after.quantiles().quantiles(16, "cpu"), expected)
    assert [report.images for report in after.reports] == [80]


def test_a_checkpoint_of_another_run_is_refused(take: Any) -> None:
    run = take(DDPM())
    run.quantiles().quantiles(16, "cpu")
    run.report(images=16, checkpoint={})
    with pytest.raises(ValueError, match=r"checkpoint.pt belongs to another run: move it away"):
        take(Flow()).restore()


def test_a_run_has_a_folder_of_its_own(take: Any, tmp_path: Path) -> None:
    run = take(DDPM())
    assert run.folder == tmp_path / "own"
    assert run.folder.is_dir()
    assert (run.rank, run.world_size, run.images_seen, run.should_stop) == (0, 1, 0, False)


def test_parameters_know_which_of_them_have_been_read() -> None:
    params = Params({"a": 1, "b": 2, "c": 3})
    assert (params["a"], params.get("b"), params.get("d", 4), len(params)) == (1, 2, 4, 3)
    assert params.unread == {"c"}
    assert dict(**params) == {"a": 1, "b": 2, "c": 3}
    assert params.unread == set()


@dataclass
class Counter:
    """Stands for the module `time`: whenever it is looked at, so many seconds have passed."""

    step: float
    now: float = 0.0

    def perf_counter(self) -> float:
        self.now += self.step
        return self.now


#: What a step takes by each worker's clock.
STEP_SECONDS = {"quick": (1e-4, 1e-4), "slow": (1e-4, 1.0)}


def agreements(rank: int, assignment: Assignment, folder: Path) -> tuple[list[int], int]:
    """Draw as one of two workers, of which the second is asked to stop two draws before the end: after how many draws
    they have asked each other, and how many there were."""
    asked: list[int] = []

    class Asked(PlainSession):
        @property
        def should_stop(self) -> bool:
            asked.append(run.images_seen // 16)
            return rank == 1 and run.images_seen >= run.total_images - 32

        @should_stop.setter
        def should_stop(self, value: bool) -> None: ...

    run = Run(assignment, Asked(run_dir=folder, device=torch.device("cpu")))
    sampler = run.quantiles()
    while not run.should_stop:
        sampler.quantiles(8, "cpu")
    return asked, run.images_seen // 16


def worker(rank: int, folder: Path, assignments: dict[str, Assignment]) -> None:
    """Write down what `agreements` finds by the clocks of each case."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for name, assignment in assignments.items():
        clock.time = Counter(STEP_SECONDS[name][rank])  # type: ignore
        (folder / f"{name} {rank}").write_text(json.dumps(agreements(rank, assignment, folder)))
    dist.destroy_process_group()


def test_several_workers_agree_to_end_after_as_many_draws_as_take_half_a_second(tmp_path: Path, own: MakeOwn) -> None:
    def assignment(steps: int) -> Assignment:
        experiment = own(NOTHING, training={"total_images": 16 * steps})
        assert isinstance(experiment.trainer, OwnTrainer)
        return Assignment.of(experiment, experiment.trainer)

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    both = {"quick": assignment(120), "slow": assignment(12)}
    spawn(worker, args=(tmp_path, both), nprocs=2)  # type: ignore[no-untyped-call]
    found = {name: [json.loads((tmp_path / f"{name} {rank}").read_text()) for rank in (0, 1)] for name in both}
    assert found["quick"] == 2 * [[[1, 2, 3, 53, 103], 120]]
    assert found["slow"] == 2 * [[list(range(1, 11)), 10]]  # at the draw at which one of them is asked to
