"""What happens between evaluations: statuses, checkpoints, being told to stop, and going on from there."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runner import Make, Runner

from curriculum_search.curriculum import Curriculum, Linear, Plateau
from curriculum_search.diffusion import LossSecondMoment
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Cadence
from curriculum_search.training import (
    CHECKPOINT,
    Interrupted,
    PlainSession,
    Report,
    StatusReport,
    checkpoint,
    loop,
    unfinished,
)
from curriculum_search.training.randomness import StepRandom

torch.set_num_threads(1)

CPU = torch.device("cpu")

#: Every piece of state that a curriculum can have in the middle of a window.
RUNS: dict[str, dict[str, Any]] = {
    "linear": {"curriculum": Curriculum(num_clusters=4, pacing=Linear())},
    "plateau": {"curriculum": Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.1, window_steps=3))},
    "smoothed": {"curriculum": Curriculum(num_clusters=4, pacing=Plateau(gate="smoothed", patience_share=0.1))},
    "bank": {"curriculum": Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.1))},
    "adaptive": {"density": LossSecondMoment(), "curriculum": Curriculum(num_clusters=2, reset_ema=True)},
}


@dataclass
class StopsAfter(PlainSession):
    """Is told to stop once it has heard the status at `images`."""

    images: int = 0

    def status(self, status: StatusReport) -> None:
        super().status(status)
        self.should_stop = status.images == self.images


def untimed(statuses: list[StatusReport]) -> list[tuple[int, float | None, int, float]]:
    return [(s.images, s.train_loss, s.stage, s.unlocked_share) for s in statuses]


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images seen at each checkpoint of this process."""
    images: list[int] = []
    save = checkpoint.save

    def recorded(path: Path, state: dict[str, Any]) -> None:
        if path.name == CHECKPOINT:
            images.append(state["images"])
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", recorded)
    return images


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_stopped_after_each_of_its_steps_is_the_undisturbed_run(
    tiny: Make, runner: Runner, name: str
) -> None:
    experiment = tiny(**RUNS[name], cadence=Cadence(status_images=48))
    whole = runner(experiment)
    expected, undisturbed = runner.curve(), runner.session

    run_dir = runner.folder / "stopped"
    run_dir.mkdir()
    statuses: list[StatusReport] = []
    stops, saved, reported = list[int](), list[int](), list[list[int]]()
    result = None
    while result is None:  # A step, or a block of an evaluation, is all that a process comes to.
        last = PlainSession(run_dir=run_dir, device=CPU, should_stop=True)
        try:
            result = runner(experiment, last)
        except Interrupted as stopped:
            stops.append(stopped.images)
            saved.append(checkpoint.load(run_dir / CHECKPOINT)["images"])
            reported.append([report.images for report in last.reports])
        statuses += last.statuses
    assert saved == stops
    assert reported == [list(range(80, images, 80)) for images in stops]
    assert list(dict.fromkeys(stops)) == list(range(16, 336, 16))
    assert [stops.count(images) for images in (64, 80, 96)] == [1, 1 + 3, 1]
    assert runner.curve() == expected
    assert untimed(statuses) == untimed(undisturbed.statuses)
    assert [report.switches for report in last.reports] == [report.switches for report in undisturbed.reports]
    assert result.exposure == whole.exposure


def test_a_stop_is_heard_at_the_next_step_and_does_not_wait_for_an_evaluation(
    tiny: Make, runner: Runner, saves: list[int]
) -> None:
    session = StopsAfter(run_dir=runner.folder, device=CPU, images=128)
    with pytest.raises(Interrupted):
        runner(tiny(cadence=Cadence(status_images=16)), session)
    assert saves == [80, 144]
    assert [report.images for report in session.reports] == [80]
    assert session.statuses[-1].images == 144


def test_a_status_tells_the_mean_loss_since_the_one_before_and_the_stage(tiny: Make, runner: Runner) -> None:
    experiment = tiny(cadence=Cadence(status_images=16))
    runner(experiment)
    reports, each = runner.session.reports, runner.session.statuses
    assert [status.images for status in each] == list(range(16, 336, 16))
    for report in reports:
        inside = [s.train_loss or 0.0 for s in each if report.images - 80 < s.images <= report.images]
        assert sum(inside) / 5 == pytest.approx(report.metrics["train_loss"], rel=1e-12)
    switches = [switch for report in reports for switch in report.switches]
    for status in each:
        assert status.stage == sum(switch["images"] <= status.images for switch in switches)
        assert status.unlocked_share == min(status.stage / 4, 1.0)
        assert 0 < status.images_per_second < float("inf")

    runner(tiny(cadence=Cadence(status_images=48)))
    rare = runner.session.statuses
    assert [status.images for status in rare] == [48, 96, 144, 192, 240, 288]
    for i, status in enumerate(rare):
        three = [s.train_loss or 0.0 for s in each[3 * i : 3 * i + 3]]
        assert status.train_loss == pytest.approx(sum(three) / 3, rel=1e-12)


def test_a_loss_that_is_not_finite_ends_the_run_at_the_next_status_and_is_never_saved(
    tiny: Make, runner: Runner, saves: list[int]
) -> None:
    training = {"learning_rate": 1e30, "max_grad_norm": None, "num_evaluations": 1}
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf) at 48 images"):
        runner(tiny(training=training, cadence=Cadence(status_images=48)))
    assert (runner.session.statuses, saves) == ([], [])
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf) at 32 images"):
        runner(tiny(training=training, cadence=Cadence(status_images=48, checkpoint_images=16)))
    assert saves == [16]  # after the first step the loss was still that of the first weights


def test_checkpoints_come_by_images_beside_those_of_evaluations(tiny: Make, runner: Runner, saves: list[int]) -> None:
    runner(tiny())
    assert saves == [80, 160, 240, 320]
    saves.clear()
    runner(tiny(cadence=Cadence(checkpoint_images=48)))
    assert saves == [48, 80, 96, 144, 160, 192, 240, 288, 320]


@dataclass
class Clock:
    """Stands for the module `time`: wall time passes when it is told to."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return time.perf_counter()


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (None, [160, 320]),
        (100.0, [160, 320]),
        # Each step takes a minute.  An evaluation's checkpoint begins the count again.
        (4.0, [64, 128, 160, 224, 288, 320]),
        (3.5, [64, 128, 160, 224, 288, 320]),
    ],
)
def test_a_checkpoint_comes_when_the_last_is_too_old(
    tiny: Make,
    runner: Runner,
    saves: list[int],
    monkeypatch: pytest.MonkeyPatch,
    minutes: float | None,
    expected: list[int],
) -> None:
    clock = Clock()
    draw = StepRandom.noise

    def noise(self: StepRandom, shape: tuple[int, ...], images_seen: int) -> torch.Tensor:
        clock.now += 60.0
        return draw(self, shape, images_seen)

    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(unfinished, "time", clock)
    monkeypatch.setattr(StepRandom, "noise", noise)
    runner(tiny(training={"num_evaluations": 2}, cadence=Cadence(checkpoint_minutes=minutes)))
    assert saves == expected


def test_the_cadence_changes_neither_identity_nor_any_value(tiny: Make, runner: Runner) -> None:
    often = Cadence(status_images=16, checkpoint_images=32, checkpoint_minutes=1e-9)
    never = Cadence(status_images=10**9, checkpoint_minutes=None)
    curves, identities = [], set()
    for cadence in (Cadence(), often, never):
        experiment = tiny(**RUNS["plateau"], cadence=cadence)
        runner(experiment)
        curves.append(runner.curve())
        identities.add(experiment.identity())
    assert curves[0] == curves[1] == curves[2]
    assert len(identities) == 1


def test_steps_go_on_while_a_checkpoint_is_written_and_none_is_reported_before_it_is(
    tiny: Make, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written, may_write = checkpoint.save, list[int](), threading.Event()

    def held(path: Path, state: dict[str, Any]) -> None:
        assert may_write.wait(30)
        save(path, state)
        written.append(state["images"])

    @dataclass
    class Watches(PlainSession):
        def status(self, status: StatusReport) -> None:
            if status.images < 80:
                assert not written
            if status.images == 64:  # three steps after the state of 16 images was handed over
                may_write.set()

        def report(self, report: Report) -> None:
            assert written[-1] == report.images

    monkeypatch.setattr(checkpoint, "save", held)
    cadence = Cadence(status_images=16, checkpoint_images=10**9)
    monkeypatch.setattr(Cadence, "checkpoint_is_due", lambda self, images_seen, batch_size: images_seen == 16)
    runner(tiny(cadence=cadence), Watches(run_dir=runner.folder, device=CPU))
    assert written == [16, 80, 160, 240, 320]


def test_a_write_that_finds_no_room_ends_the_run_at_the_next_step(
    tiny: Make, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def full(path: Path, state: dict[str, Any]) -> None:
        failed.set()
        raise OSError(28, "No space left on device")

    class Waits(PlainSession):
        def status(self, status: StatusReport) -> None:
            super().status(status)
            assert status.images == 16 or failed.wait(30)

    monkeypatch.setattr(checkpoint, "save", full)
    session = Waits(run_dir=runner.folder, device=CPU)
    with pytest.raises(OSError, match="No space left"):
        runner(tiny(cadence=Cadence(status_images=16, checkpoint_images=16)), session)
    assert [status.images for status in session.statuses] in ([16], [16, 32])
