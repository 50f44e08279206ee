"""A run as its folder has it, and how long it has been silent."""

from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment, Resources, Training
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.record import LiveRun, RunRecord, gpus, read_record, recorded_runs
from curriculum_search.runs.result import RunResult
from curriculum_search.training import Report

SHORT = Experiment(training=Training(total_images=320, batch_size=16, num_evaluations=4))
GPUS = Experiment(training=SHORT.training, resources=Resources(workers=2, gpus_per_worker=0.5), seed=4)


def write(root: Path, key: str, experiment: Experiment, end: Status | None = None) -> RunFolder:
    """A run that has reported at 80 images."""
    folder = RunFolder(root / "runs" / key)
    folder.write_experiment(experiment, {})
    folder.write_report(Report(images=80, metrics={"fd": 3.0}))
    if end is not None:
        folder.write_result(RunResult(status=end, images=160, metrics={"fd": 2.0}, seconds=7.0))
    return folder


def test_every_run_that_has_a_folder_is_known_as_its_folder_has_it(tmp_path: Path) -> None:
    write(tmp_path, "a", SHORT, Status.STOPPED)
    write(tmp_path, "b", GPUS)
    write(tmp_path, "c", SHORT).experiment.write_text('{"seed": 7, "reso')
    write(tmp_path, ".d", SHORT)  # a run that was being adopted
    found = {run.key: (run.seed, run.gpus, run.images, run.status) for run in recorded_runs(tmp_path)}
    assert found == {
        "a": (0, 0.0, 160, Status.STOPPED),
        "b": (4, 1.0, 80, None),
        "c": (None, 0.0, 80, None),
    }
    assert list(recorded_runs(tmp_path / "elsewhere")) == []


@pytest.mark.parametrize(
    ("end", "settled"),
    [(None, False), (Status.FINISHED, True), (Status.STOPPED, True), (Status.FAILED, False), (Status.LOST, False)],
)
def test_a_run_has_ended_for_good_unless_an_error_ended_it(tmp_path: Path, end: Status | None, settled: bool) -> None:
    record = read_record(write(tmp_path, "a", SHORT, end), seed=0, gpus=gpus(GPUS))
    assert record.settled is settled
    assert (record.gpus, record.seconds) == (1.0, 7.0 if end else 0.0)


def test_the_longest_silence_counts_from_the_first_report_on() -> None:
    record = RunRecord(key="a", seed=0, gpus=0.0, adopted=False, images=80, status=None, seconds=0.0)
    run = LiveRun(record=record, name="a", total_images=320, number=1, began=0.0, images_before=0, heard=0.0)
    run.hear(500.0)  # starting up
    run.first_report = (500.0, 80)
    run.called_silent = True
    for now in (510.0, 550.0, 560.0):
        run.hear(now)
    assert (run.longest, run.heard, run.called_silent) == (40.0, 560.0, False)
    assert run.share == 80 / 320
    run.status_images = 240
    assert run.share == 240 / 320
