"""One experiment on its own: jobs/train.py."""

import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tracked import tracked_runs
from support.workplace import Workplace, wait_for, without_plugins

from curriculum_search.export import experiment_yaml
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.tracking import Tracker
from curriculum_search.training import checkpoint


@pytest.fixture
def experiment(workplace: Workplace) -> Path:
    """The base experiment of the tiny study, as a file; its witness keeps a log."""
    path: Path = workplace.folder / "experiment.yaml"
    path.write_text(experiment_yaml(workplace.load(workplace.watched()).base, "an experiment"))
    return path


def runs(workplace: Workplace) -> dict[str, RunResult | None]:
    return {folder.name: RunFolder(folder).read_result() for folder in (workplace.results / "train" / "runs").iterdir()}


def test_an_experiment_is_trained_tracked_and_then_only_shown(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    ((key, result),) = runs(workplace).items()
    assert result
    assert result.status is Status.FINISHED
    assert [line.split(":")[0] for line in out.splitlines()[1:5]] == [f"{n} images" for n in (80, 160, 240, 320)]
    assert f"  val_loss = {result.metrics['val_loss']!r}\n" in out
    assert f"Run:    {workplace.results / 'train' / 'runs' / key}\n" in out
    found = tracked_runs(workplace.store)
    (child,) = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    assert child.data.metrics["val_loss"] == result.metrics["val_loss"]
    assert {run.info.status for run in found} == {"FINISHED"}

    again = workplace.call("train", experiment)
    assert again[0] == 0
    assert again[1] == out[out.index("finished after 320 images") :]
    assert len(workplace.witnessed()) == 4


def test_an_experiment_of_two_workers_comes_to_the_values_of_one(
    workplace: Workplace, experiment: Path, two_cpus: None
) -> None:
    """The command has its folder, the run's own, locked while workers train there."""
    status, out, err = workplace.call("train", experiment, "resources.workers=2", "training.microbatch_size=4")
    assert (status, err) == (0, "")
    assert "broke off" not in out
    ((_, together),) = runs(workplace).items()
    status, _, err = workplace.call("train", experiment, "seed=0", "training.microbatch_size=8")
    assert (status, err) == (0, "")
    (alone,) = (result for result in runs(workplace).values() if result != together)
    assert together
    assert alone
    assert together.images == alone.images == 320
    assert together.metrics["val_loss"] == pytest.approx(alone.metrics["val_loss"], rel=1e-4)


def test_an_override_trains_another_run_beside_it(workplace: Workplace, experiment: Path, no_ray: None) -> None:
    few = "training.total_images=64", "training.num_evaluations=1"
    assert workplace.call("train", experiment, *few)[0] == 0
    assert workplace.call("train", experiment, *few, "seed=7")[0] == 0
    first, second = runs(workplace).values()
    assert first
    assert second
    assert first.metrics["val_loss"] != second.metrics["val_loss"]


def test_a_run_that_diverges_says_so_and_fails(workplace: Workplace, experiment: Path, no_ray: None) -> None:
    hot = "training.learning_rate=1e30", "training.max_grad_norm=null"
    status, out, err = workplace.call("train", experiment, *hot)
    assert (status, err) == (1, "")
    data, _, said = out.partition("\n")
    assert data == "data: digits 8x8: 1,797 grey images of 8x8 pixels; 10 classes (174 to 183 images each)"
    assert said.startswith("diverged after 0 images: the training loss is ")
    assert workplace.call("train", experiment, *hot)[:2] == (1, said)


def statuses(workplace: Workplace) -> dict[str, str]:
    """What MLflow says of each run, by the name of the run's folder; "study" is their parent."""
    found = tracked_runs(workplace.store)
    return {run.data.tags["curriculum_search.run"]: run.info.status for run in found}


def test_an_error_ends_the_run_as_failed_and_the_same_command_goes_on(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    broken = Path(f"{workplace.log}.raise")
    workplace.folder.joinpath("witness.log").write_text("")
    broken.touch()
    status, out, err = workplace.call("train", experiment)
    ((key, result),) = runs(workplace).items()
    error = workplace.results / "train" / "runs" / key / "error.txt"
    assert (status, err) == (1, "")
    assert out.splitlines()[1] == f"failed after 0 images: RuntimeError: broken on purpose ({error})"
    assert "Traceback" in error.read_text()
    assert result is not None
    assert result.status is Status.FAILED
    assert statuses(workplace) == {"study": "FAILED", key: "FAILED"}

    broken.unlink()
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert "finished after 320 images" in out
    assert statuses(workplace) == {"study": "FINISHED", key: "FINISHED"}


def test_an_error_in_the_middle_costs_no_more_than_the_stretch_that_it_was_in(
    workplace: Workplace, experiment: Path, no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save", fail_at(3, checkpoint.save, full))
    status, out, _ = workplace.call("train", experiment)
    assert status == 1
    assert [line.split(":")[0] for line in out.splitlines()[1:4]] == [
        "80 images",
        "160 images",
        "failed after 160 images",
    ]
    status, out, _ = workplace.call("train", experiment)
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()[1:4]] == [
        "240 images",
        "320 images",
        "finished after 320 images",
    ]
    assert len(workplace.witnessed()) == 4 + 1


def beginnings(out: str) -> list[str]:
    """The first words of the first three lines."""
    return [line.split(":")[0] for line in out.splitlines()[:3]]


def fail_at(number: int, original: Callable[..., Any], failure: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, but for one of its calls, counted from 1."""
    calls = itertools.count(1)
    return lambda *args, **kwargs: (failure if next(calls) == number else original)(*args, **kwargs)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (Tracker, "check"),
        (Tracker, "start_run"),
        (RunStore, "start"),
        (RunStore, "reported"),
        (checkpoint, "save"),
        (RunStore, "ended"),
        (Tracker, "end_run"),
    ],
)
def test_an_interruption_at_any_moment_leaves_what_the_same_command_goes_on_with(
    workplace: Workplace, experiment: Path, no_ray: None, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        original(*arguments, **options)
        raise KeyboardInterrupt

    original = getattr(where, name)
    monkeypatch.setattr(where, name, fail_at(1, original, interrupted))
    status, _, err = workplace.call("train", experiment)
    assert (status, err) == (130, "\ninterrupted; the same command goes on from here\n")
    for state in statuses(workplace).values() if name != "check" else ():
        assert state == ("FINISHED" if name == "ended" else "KILLED")
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert "finished after 320 images" in out
    assert 4 <= len(workplace.witnessed()) <= 4 + (name == "save")
    assert set(statuses(workplace).values()) == {"FINISHED"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batchsize=3", "training.batchsize: no such field (did you mean batch_size?)"),
        ("data={kind: folder, path: /nowhere}", "data: path: /nowhere does not exist"),
        ("resources.workers=3", "training.noise_shards must be a multiple of the number of workers (3), not 8"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    workplace: Workplace, experiment: Path, no_ray: None, override: str, message: str
) -> None:
    status, out, err = workplace.call("train", experiment, override)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {experiment}: {message}")
    assert not (workplace.results / "train").exists()


def test_a_killed_run_goes_on_and_a_second_command_is_kept_out(workplace: Workplace, experiment: Path) -> None:
    workplace.hold_after(2)
    process = workplace.start("train", experiment)
    assert wait_for(lambda: len(workplace.witnessed()) > 2, 60), process.communicate()
    status, _, err = workplace.call("train", experiment)
    assert status == 2
    assert "another command is at work there" in err
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "\ninterrupted; the same command goes on from here\n")
    lines = without_plugins(out).splitlines()
    assert [line.split(":")[0] for line in lines] == ["data", "80 images", "160 images"]
    workplace.hold_after(None)
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()[:3]] == ["data", "240 images", "320 images"]
    assert len(workplace.witnessed()) == 4 + 1
    ((key, _),) = runs(workplace).items()
    log = (workplace.results / "train" / "runs" / key / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["images"] for line in log] == [80, 160, 240, 320]


def test_a_run_that_is_asked_to_stop_is_saved_at_once_and_loses_no_image(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    fields = "training={total_images: 9600, batch_size: 16, num_evaluations: 2}"
    arguments = ("train", experiment, fields, "cadence={status_images: 16, checkpoint_minutes: null}")

    def log() -> list[dict[str, Any]]:
        return [json.loads(line) for path in workplace.results.rglob("log.jsonl") for line in path.open()]

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        before = len(log())
        process = workplace.start(*arguments)
        assert wait_for(lambda before=before: len(log()) > before + 20, 90), process.communicate()  # type: ignore[misc]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "\ninterrupted; the same command goes on from here\n")
        last = [record["images"] for record in log() if record["kind"] == "status"][-1]
        words = f"the command was sent {number.name}; it is saved at {last:,} images"
        assert out.endswith(f": {words}\n")
        assert log()[-1]["text"] == words
    status, _, err = workplace.call(*arguments)
    assert (status, err) == (0, "")
    assert [r["images"] for r in log() if r["kind"] == "status"] == list(range(16, 9601, 16))
    (tags,) = (r.data.tags for r in tracked_runs(workplace.store) if "mlflow.parentRunId" in r.data.tags)
    assert [line.split("sent ")[1].split(";")[0] for line in tags["events"].splitlines()] == [
        "SIGINT",
        "SIGTERM",
        "SIGUSR1",
    ]


def test_whoever_asks_twice_does_not_wait(workplace: Workplace, experiment: Path) -> None:
    workplace.hold_after(1)
    process = workplace.start("train", experiment)
    assert wait_for(lambda: len(workplace.witnessed()) > 1, 60), process.communicate()
    process.send_signal(signal.SIGUSR1)  # after which it would wait for five minutes
    assert not wait_for(lambda: process.poll() is not None, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "\ninterrupted; the same command goes on from here\n")
    workplace.hold_after(None)
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert beginnings(out) == ["data", "160 images", "240 images"]
