"""The state of a run is saved and restored as a whole."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.runner import Make, Runner

from curriculum_search.curriculum import Curriculum, Plateau
from curriculum_search.experiment import Experiment
from curriculum_search.training import CHECKPOINT, PlainSession, Report, StatusReport, checkpoint
from curriculum_search.training.ema import Ema
from curriculum_search.training.state import TrainingState

CPU = torch.device("cpu")

#: All that a checkpoint held when runs were saved at evaluations alone.
OLD_KEYS = ("format", "identity", "images", "seconds", "reports", "network", "ema", "optimizer", "sampler")

#: A gate that has seen a part of its window.
GATED = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.1, window_steps=8))

REPORT = Report(images=16, metrics={"val_loss": 0.5, "train_seconds": 1.0}, switches=({"images": 0, "stage": 1},))


def untrained(experiment: Experiment, seed: int) -> TrainingState:
    torch.manual_seed(seed)
    network = experiment.build_network(experiment.data.load())
    return TrainingState(
        identity=experiment.identity(),
        network=network,
        ema=Ema(network, halflife_images=640, rampup_share=0.5),
        optimizer=torch.optim.AdamW(network.parameters()),
        sampler=experiment.curriculum.build(experiment.process, experiment.density, 320, 16, CPU),
        device=CPU,
    )


def step(state: TrainingState, images: int, losses: list[float]) -> None:
    """Something that changes every part."""
    torch.manual_seed(images)
    for parameter in state.network.parameters():
        parameter.grad = torch.randn_like(parameter)
    state.optimizer.step()
    state.images_seen = images
    state.ema.update(state.network, images_seen=images, batch_size=16)
    state.add_losses(torch.tensor(losses))
    state.sampler.observe(torch.full((2,), 0.5), torch.tensor(losses))
    state.sampler.update(images)
    state.gather()
    state.seconds += 1.0


def same(a: Any, b: Any) -> bool:
    """Equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.fixture
def state(tiny: Make) -> TrainingState:
    """After two steps, an evaluation after the first, and no status yet."""
    state = untrained(tiny(curriculum=GATED), seed=0)
    step(state, 16, [1.0, 3.0])
    state.end_evaluation(REPORT)
    step(state, 32, [5.0, 7.0])
    return state


def test_what_is_saved_and_restored_is_the_same_state_and_goes_on_alike(
    state: TrainingState, tiny: Make, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / CHECKPOINT, state.state_dict())
    restored = untrained(tiny(curriculum=GATED), seed=1)
    assert not same(restored.state_dict(), state.state_dict())
    restored.restore(tmp_path / CHECKPOINT)
    assert same(restored.state_dict(), state.state_dict())
    assert restored.reports == [REPORT]
    for both in (state, restored):
        step(both, 48, [0.1, 0.2])
    assert same(restored.state_dict(), state.state_dict())


def test_losses_are_averaged_since_the_last_evaluation_and_since_the_last_status(state: TrainingState) -> None:
    assert state.train_loss == (5.0 + 7.0) / 16
    assert state.images_per_second == 16 / (2.0 - 1.0)
    status = state.end_status()
    assert status == StatusReport(images=32, train_loss=16.0 / 32, images_per_second=16.0, stage=2, unlocked_share=0.5)
    step(state, 48, [2.0, 2.0])
    assert state.end_status().train_loss == 4.0 / 16
    assert state.train_loss == 16.0 / 32


def test_a_state_dict_does_not_change_with_the_sums(state: TrainingState) -> None:
    saved = state.state_dict()
    state.end_status()
    assert saved["loss_sums"] == [[12.0, 16.0]]


def test_sums_of_another_number_of_workers_are_kept_in_total(state: TrainingState) -> None:
    saved = state.state_dict() | {"loss_sums": [[12.0, 16.0], [4.0, 8.0]]}
    state.load_state_dict(saved)
    assert state.train_loss == 16.0 / 16
    step(state, 48, [1.0, 1.0])
    assert state.train_loss == 18.0 / 32
    assert state.end_status().train_loss == 26.0 / 48


def test_a_checkpoint_of_another_experiment_is_refused(state: TrainingState, tiny: Make, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / CHECKPOINT, state.state_dict())
    other = untrained(tiny(seed=1), seed=0)
    with pytest.raises(ValueError, match=rf"belongs to another experiment \({state.identity}, not {other.identity}\)"):
        other.restore(tmp_path / CHECKPOINT)


def test_a_checkpoint_in_the_layout_before_cadences_goes_on_as_it_would_have_then(tiny: Make, runner: Runner) -> None:
    class Halt(Exception):  # noqa: N818
        pass

    class Halts(PlainSession):
        def report(self, report: Report) -> None:
            if report.images == 160:
                raise Halt

    experiment = tiny(curriculum=GATED)
    runner(experiment)
    expected = runner.curve()
    run_dir = runner.folder / "old"
    run_dir.mkdir()
    with pytest.raises(Halt):
        runner(experiment, Halts(run_dir=run_dir, device=CPU))
    new = checkpoint.load(run_dir / CHECKPOINT)
    assert set(new) > set(OLD_KEYS)
    torch.save({key: new[key] for key in OLD_KEYS}, run_dir / CHECKPOINT)
    runner(experiment, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected
