"""An evaluation that is interrupted goes on after the block that it was in, and comes to the same values."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.runner import TIMES, Make, Runner
from torch.multiprocessing.spawn import spawn

from curriculum_search.evaluation import Frechet, KernelDistance, Pixels, ValidationLoss
from curriculum_search.evaluation.generation import Generation
from curriculum_search.experiment import Cadence, Experiment
from curriculum_search.training import CHECKPOINT, Interrupted, PlainSession, checkpoint, train

torch.set_num_threads(1)

CPU = torch.device("cpu")
BLOCKS = [0, 8, 16, 24, 32]  # first samples of an evaluation's blocks
PIXELS = Pixels(num_components=4)


@pytest.fixture
def long(tiny: Make) -> Experiment:
    """A run of two evaluations in five blocks each, the last one half used; sums and features are kept of them, and the
    images of three blocks for the grid."""
    experiment = tiny(training={"num_evaluations": 2})
    evaluators = (
        ValidationLoss(num_images=8, num_levels=10, num_intervals=5),
        Frechet(extractor=PIXELS, num_samples=36),
        KernelDistance(extractor=PIXELS, num_samples=20, subset_size=10),
    )
    evaluation = replace(experiment.evaluation, evaluators=evaluators, grid_images=20)
    return replace(experiment, evaluation=evaluation)


@dataclass
class Blocks:
    """What was generated: the first sample of each block."""

    first: list[int]
    after: Callable[[], None] = lambda: None  # called after each


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    watched, original = Blocks([]), Generation.block

    def block(self: Generation, network: Any, first: int, count: int) -> Any:
        made = original(self, network, first, count)
        watched.first.append(first)
        watched.after()
        return made

    monkeypatch.setattr(Generation, "block", block)
    return watched


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def grids(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def stop_after(blocks: Blocks, session: PlainSession, count: int) -> None:
    """Have a session ask for a stop once so many blocks have been made."""

    def ask() -> None:
        session.should_stop = len(blocks.first) == count

    blocks.after = ask


def interrupted(runner: Runner, experiment: Experiment, blocks: Blocks, run_dir: Path, count: int) -> None:
    session = PlainSession(run_dir=run_dir, device=CPU)
    stop_after(blocks, session, count)
    with pytest.raises(Interrupted) as stopped:
        runner(experiment, session)
    assert stopped.value.images == 160
    assert session.reports == []
    assert checkpoint.load(run_dir / CHECKPOINT)["images"] == 160


def test_an_evaluation_that_is_stopped_after_each_of_its_blocks_is_the_undisturbed_one(
    long: Experiment, runner: Runner, blocks: Blocks
) -> None:
    runner(long)
    expected, undisturbed = runner.curve(), grids(runner.session.run_dir)
    assert blocks.first == BLOCKS + BLOCKS
    run_dir = runner.folder / "stopped"
    run_dir.mkdir()
    for number in range(5):
        blocks.first.clear()
        interrupted(runner, long, blocks, run_dir, 1)
        assert blocks.first == BLOCKS[number : number + 1]
    blocks.first.clear()
    blocks.after = lambda: None
    runner(long, PlainSession(run_dir=run_dir, device=CPU))
    assert blocks.first == BLOCKS  # of the second evaluation; of the first all were there
    assert runner.curve() == expected
    assert names(run_dir) == ["checkpoint.before.pt", CHECKPOINT, "samples", "samples.png"]
    assert grids(run_dir) == undisturbed
    assert list(undisturbed) == ["samples.png", "samples/160.png"]


def test_a_kill_costs_what_was_generated_since_it_was_last_kept(
    long: Experiment, runner: Runner, blocks: Blocks
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        if len(blocks.first) == 4:
            raise Killed

    runner(long)
    expected = runner.curve()
    run_dir = runner.folder / "killed"
    run_dir.mkdir()
    blocks.first.clear()
    blocks.after = kill
    often = replace(long, cadence=Cadence(checkpoint_minutes=1e-9))
    with pytest.raises(Killed):
        runner(often, PlainSession(run_dir=run_dir, device=CPU))
    blocks.first.clear()
    blocks.after = lambda: None
    runner(often, PlainSession(run_dir=run_dir, device=CPU))
    assert blocks.first == BLOCKS[3:] + BLOCKS
    assert runner.curve() == expected


def damaged(run_dir: Path) -> None:
    for path in run_dir.glob("evaluation-*.pt"):
        path.write_bytes(path.read_bytes()[:1_000])


def of_other_weights(run_dir: Path) -> None:
    """As on a GPU, where a run that went back to an older checkpoint comes by other roundings."""
    state = checkpoint.load(run_dir / CHECKPOINT)
    next(iter(state["ema"].values()))[0] += 1e-3
    checkpoint.save(run_dir / CHECKPOINT, state)


@pytest.mark.parametrize("change", [damaged, of_other_weights])
def test_what_was_kept_is_left_where_it_is_damaged_or_of_other_weights(
    long: Experiment, runner: Runner, blocks: Blocks, change: Callable[[Path], None]
) -> None:
    run_dir = runner.folder / "changed"
    run_dir.mkdir()
    interrupted(runner, long, blocks, run_dir, 2)
    assert names(run_dir) == [CHECKPOINT, "evaluation-0.pt"]
    change(run_dir)
    blocks.first.clear()
    blocks.after = lambda: None
    runner(long, PlainSession(run_dir=run_dir, device=CPU))
    assert blocks.first == BLOCKS + BLOCKS


def test_after_each_block_it_is_said_that_the_evaluation_goes_on(
    long: Experiment, runner: Runner, blocks: Blocks
) -> None:
    class Heard(PlainSession):
        count = 0

        def goes_on(self) -> None:
            self.count += 1

    session = Heard(run_dir=runner.folder, device=CPU)
    runner(long, session)
    assert session.count == len(blocks.first) == 2 * len(BLOCKS)


def test_an_evaluation_of_seconds_keeps_nothing(long: Experiment, runner: Runner, blocks: Blocks) -> None:
    run_dir = runner.folder / "short"
    run_dir.mkdir()
    seen: list[list[str]] = []
    blocks.after = lambda: seen.append(names(run_dir))
    runner(replace(long, cadence=Cadence(sample_grids="end")), PlainSession(run_dir=run_dir, device=CPU))
    assert seen == 5 * [[]] + 5 * [[CHECKPOINT]]
    assert list(grids(run_dir)) == ["samples.png"]


def worker(rank: int, folder: str, experiment: Experiment) -> None:
    """Train as one of two workers, of which the second is told to stop after its first block, and again; then to the
    end."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    made, original = list[int](), Generation.block

    def block(self: Generation, network: Any, first: int, count: int) -> Any:
        made.append(first)
        return original(self, network, first, count)

    Generation.block = block  # type: ignore[method-assign]
    told, run_dir = list[list[int]](), Path(folder, "run")
    run_dir.mkdir(exist_ok=True)
    for number in range(3):
        made.clear()

        class Stops(PlainSession):
            @property
            def should_stop(self, last: bool = number == 2) -> bool:
                return rank == 1 and not last and len(made) == 1

            @should_stop.setter
            def should_stop(self, value: bool) -> None:
                pass

        session = Stops(run_dir=run_dir, device=CPU)
        try:
            train(experiment, session, Path(folder, "cache"))
        except Interrupted:
            told.append(list(made))
    curve = [{k: v for k, v in report.metrics.items() if k not in TIMES} for report in session.reports]
    Path(folder, f"worker {rank}").write_text(json.dumps([told, made, curve]))


def test_several_workers_stop_after_the_same_block_and_go_on_together(long: Experiment, runner: Runner) -> None:
    alone = runner.folder / "alone"
    alone.mkdir()
    runner(long, PlainSession(run_dir=alone, device=CPU))
    spawn(worker, (str(runner.folder), long), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (json.loads((runner.folder / f"worker {rank}").read_text()) for rank in range(2))
    # The blocks 0, 16, 32 are the first worker's, 8 and 24 the second's.
    assert first[:2] == [[[0], [16]], [32, 0, 16, 32]]
    assert second[:2] == [[[8], [24]], [8, 24]]
    assert first[2] == second[2]
    assert grids(runner.folder / "run").keys() == grids(alone).keys()
    for report, one in zip(first[2], runner.session.reports, strict=True):
        for name, value in report.items():
            assert value == pytest.approx(one.metrics[name], rel=1e-4, abs=1e-6)
