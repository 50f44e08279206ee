"""A full disk ends a command with one message, leaves no partial file, and the same command goes on."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from support.tracked import tracked_runs
from support.workplace import Workplace

from curriculum_search import atomic
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.export import experiment_yaml
from curriculum_search.loading import UserError
from curriculum_search.runs.job import Outcome, RunError, Status
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.workspace import workspace
from curriculum_search.tracking import RunLog, Tracker

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def experiment(workplace: Workplace) -> Path:
    path: Path = workplace.folder / "experiment.yaml"
    path.write_text(experiment_yaml(workplace.load(workplace.watched()).base, "an experiment"))
    return path


def statuses(workplace: Workplace) -> set[str]:
    return {run.info.status for run in tracked_runs(f"sqlite:///{workplace.results / 'mlflow.db'}")}


def fill_disk(patch: pytest.MonkeyPatch, is_full_for: Callable[[str, int], bool]) -> None:
    """Have the disk refuse a file, by its name and by how often such a name has been written, when it is waited for, as
    file systems over a network do."""
    original, counts = atomic._sync, dict[str, int]()

    def sync(path: Path) -> None:
        name = path.name.partition(".")[0]
        counts[name] = counts.get(name, 0) + 1
        if path.suffix == ".partial" and is_full_for(name, counts[name]):
            raise FULL
        original(path)

    patch.setattr(atomic, "_sync", sync)


def ending(out: str) -> str:
    """The values that a run ended with; no times."""
    lines = out[out.index("finished after") :].splitlines()
    return "\n".join(line for line in lines if "second" not in line)


@pytest.fixture
def undisturbed(make_workplace: Callable[[], Workplace], no_ray: None) -> str:
    other = make_workplace()
    path = other.folder / "experiment.yaml"
    path.write_text(experiment_yaml(other.load(other.watched()).base, "an experiment"))
    return ending(other.call("train", path)[1]).split("Run:")[0]


def test_a_checkpoint_that_finds_no_room_ends_the_command_and_costs_one_stretch(
    workplace: Workplace, experiment: Path, no_ray: None, undisturbed: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, lambda name, count: name == "checkpoint" and count == 3)
        status, out, err = workplace.call("train", experiment)
    (run,) = (workplace.results / "train" / "runs").iterdir()
    assert status == 2
    assert err.count("\n") == 1
    assert f"{run}: No space left on device: checkpoint.pt needs " in err
    assert err.endswith("make room there, and the same command goes on from where it was\n")
    assert not list(run.rglob("*.partial"))
    assert not (run / "error.txt").exists()
    assert statuses(workplace) <= {"FAILED", "KILLED"}

    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert ending(out).startswith(undisturbed)
    assert len(workplace.witnessed()) == 4 + 1
    assert statuses(workplace) == {"FINISHED"}


@pytest.mark.parametrize("name", ["experiment", "checkpoint", "samples", "result"])
def test_where_nothing_can_be_written_any_more_there_is_still_one_message(
    workplace: Workplace, experiment: Path, no_ray: None, undisturbed: str, name: str
) -> None:
    def append(self: RunLog, *records: Any) -> None:
        if is_full:
            raise FULL
        original(self, *records)

    def refuses(of: str, count: int) -> bool:
        if of == name:
            is_full.append(True)
        return bool(is_full)

    is_full, original = list[bool](), RunLog.append
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, refuses)
        patch.setattr(RunLog, "append", append)
        status, out, err = workplace.call("train", experiment)
    assert status == 2
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert "Traceback" not in out + err
    assert not list(workplace.results.rglob("*.partial"))
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert ending(out).startswith(undisturbed)


def test_a_failure_whose_error_file_finds_no_room_is_the_disks(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    broken = Path(f"{workplace.log}.raise")
    broken.touch()
    with pytest.MonkeyPatch.context() as patch:
        fill_disk(patch, lambda name, count: name == "error")
        status, _, err = workplace.call("train", experiment)
    assert (status, err.count("\n")) == (2, 1)
    assert "No space left on device: error.txt cannot be written, and there is room for " in err
    broken.unlink()
    assert workplace.call("train", experiment)[0] == 0


@pytest.mark.parametrize(
    "error", [atomic.DiskFullError(Path("/far/runs/key/checkpoint.pt"), FULL, num_bytes=9_000_000), FULL]
)
def test_a_trial_that_found_a_disk_full_has_not_failed(tmp_path: Path, error: OSError) -> None:
    """What a worker raises comes to the driver as text."""
    tracker = create_autospec(Tracker, instance=True)
    store = RunStore(
        tmp_path, cache_dir=tmp_path, plugins={}, tracker=tracker, objective="fd", direction=Direction.MINIMIZE
    )
    store.start("key", Experiment(), name="trial 3", tags={})
    failure = RunError.of(error)
    with pytest.raises(UserError, match=r"^trial 3: .*No space left on device") as caught:
        store.ended("key", Outcome(status=Status.FAILED, reason=failure.reason, trace=failure.trace))
    assert "\n" not in str(caught.value)
    assert store.result("key") is None
    store.abandon()
    assert tracker.end_run.call_args.kwargs["status"] == "KILLED"


def test_a_command_that_finds_a_disk_full_anywhere_says_which_folder(workplace: Workplace) -> None:
    folder = workplace.results / "tiny"
    with (
        pytest.raises(UserError, match=rf"^{folder}: No space left on device: a file cannot be written, and there is"),
        workspace(folder, root=workplace.results, name="tiny"),
    ):
        raise FULL
