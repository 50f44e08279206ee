"""The difficulty study from its command line to a curriculum that uses it, with real Ray on one machine."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from curriculum_search.commands.difficulty import DifficultyResult, IntervalRuns, measure_difficulty
from curriculum_search.curriculum import Curriculum, DifficultyFile, MeasuredOrder, MeasuredPartition
from curriculum_search.difficulty import ConvergenceStudy, EntropyStudy
from curriculum_search.diffusion import Histogram
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment, Training
from curriculum_search.loading import UserError
from curriculum_search.models import DiT
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Exhausted, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.tracking import Tracker

ROOT = Path(__file__).parents[2]
BASE = Experiment(
    model=DiT(hidden_size=16, depth=1, num_heads=2, patch_size=4),
    training=Training(total_images=256, batch_size=32, learning_rate=1e-2),
)
CONVERGENCE = ConvergenceStudy(num_intervals=3, num_images=16, levels_per_interval=2, num_evaluations=4)
ENTROPY = EntropyStudy(num_images=64, num_draws=32, num_levels=8)
EXPERIMENTS = CONVERGENCE.experiments(BASE)


def measure(root: Path) -> DifficultyResult:
    return measure_difficulty(
        BASE, {}, where="my.yaml", root=root, cache_dir=root / "cache", convergence=CONVERGENCE, entropy=ENTROPY
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> DifficultyResult:
    """The study, run once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("RAY_ADDRESS", raising=False)
        return measure(tmp_path_factory.mktemp("results"))


def test_every_model_is_trained_in_its_interval_and_becomes_better_there_than_silence(
    measured: DifficultyResult,
) -> None:
    for i, (row, experiment) in enumerate(zip(measured.convergence.intervals, EXPERIMENTS, strict=True)):
        assert (row.low, row.high) == (i / 3, (i + 1) / 3)
        assert row.images == (64, 128, 192, 256)
        assert row.best_loss < row.start_loss
        result = RunFolder(measured.path.parent / "runs" / experiment.identity()).read_result()
        assert result is not None
        exposure = Histogram(edges=tuple(result.exposure["edges"]), mass=tuple(result.exposure["mass"]))
        drawn = exposure.piecewise(BASE.process)
        assert drawn.cdf_at(row.high) - drawn.cdf_at(row.low) == pytest.approx(1, abs=1e-9)


def test_the_file_can_be_read_again_and_the_figure_is_there(measured: DifficultyResult) -> None:
    file = DifficultyFile.load(measured.path)
    assert (file.convergence, file.entropy) == (measured.file.convergence, measured.file.entropy)
    assert file.process["kind"] == "ddpm"
    assert [row["difficulty"] for row in file.details["convergence"]] == [
        row.difficulty for row in measured.convergence.intervals
    ]
    assert np.allclose(file.details["entropy"]["relative_entropy"], measured.entropy.relative_entropy)
    assert measured.figure.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("curve", ["convergence", "entropy"])
def test_the_file_cuts_and_orders_the_clusters_of_a_curriculum(
    measured: DifficultyResult, curve: Literal["convergence", "entropy"]
) -> None:
    path, difficulty = str(measured.path), measured.file.curve(curve)
    order = MeasuredOrder(path=path, curve=curve)
    cut = Curriculum(num_clusters=3, partition=MeasuredPartition(path=path, curve=curve), order=order)
    edges = np.array(cut.resolve(BASE.process, BASE.density, 256, 32).edges)
    shares = difficulty.over(edges) * np.diff(edges)
    one_timestep = max(difficulty.values) / 1000
    assert np.allclose(shares, 1 / 3, atol=one_timestep)
    ordered = replace(cut, partition=Curriculum().partition).resolve(BASE.process, BASE.density, 256, 32)
    by_difficulty = difficulty.over(np.array(ordered.edges))[list(ordered.permutation)]
    assert np.all(np.diff(by_difficulty) >= 0)


def test_the_same_study_again_trains_nothing_and_gives_the_same(
    measured: DifficultyResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    again = measure(measured.path.parents[1])
    printed = capsys.readouterr().out
    assert "runs," not in printed  # the line with which training begins
    assert "rank correlation of difficulty with noise" in printed
    assert str(measured.path) in printed
    assert (again.path, again.file) == (measured.path, measured.file)


def test_only_runs_that_have_not_ended_or_have_failed_are_trained_and_what_went_wrong_is_named(tmp_path: Path) -> None:
    store = RunStore(
        tmp_path,
        cache_dir=tmp_path,
        plugins={},
        tracker=Tracker(tmp_path / "tracking", uri=f"sqlite:///{tmp_path}/mlflow.db", study="study", experiment="test"),
        objective="train_loss",
        direction=Direction.MINIMIZE,
    )
    keys = [experiment.identity() for experiment in EXPERIMENTS]

    def ended(key: str, status: Status) -> None:
        store.folder(key).path.mkdir(parents=True, exist_ok=True)
        result = RunResult(status=status, metrics={}, images=64, seconds=1.0, reason="too wild")
        store.folder(key).write_result(result)

    ended(keys[0], Status.FINISHED)
    ended(keys[1], Status.FAILED)
    runs = IntervalRuns(store, EXPERIMENTS)
    runs.resume()
    handed_out = [runs.next(), runs.next(), runs.next()]
    assert [getattr(job, "key", job) for job in handed_out] == [keys[1], keys[2], Exhausted.DONE]
    ended(keys[2], Status.FINISHED)
    with pytest.raises(UserError, match=r"the model of q 0\.333 to 0\.667 failed .* the same command tries it again"):
        runs.check()
    ended(keys[1], Status.DIVERGED)
    with pytest.raises(
        UserError, match=r"q 0\.333 to 0\.667 diverged after 64 images \(too wild\); a lower training\."
    ):
        runs.check()
    store.tracker.close(30.0)


def test_mistakes_on_the_command_line_end_with_status_2_and_one_message(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "jobs/difficulty.py", ROOT / "search_spaces/quickstart.yaml", "--intervals", "0"]
    done = subprocess.run([*map(str, command), "--results", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: --intervals: num_intervals must be at least 1, not 0\n"
    assert not list(tmp_path.iterdir())
