"""A run on disk: what is written is read again, and what a killed command has left half written does no harm."""

from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment, Training
from curriculum_search.loading import validated
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.training import Report, StatusReport

FINISHED = RunResult(status=Status.FINISHED, metrics={"fd": 2.0}, images=320, seconds=1.0)


def report(images: int) -> Report:
    return Report(images=images, metrics={"fd": images / 10}, switches=({"images": images, "stage": 1},))


def status(images: int) -> StatusReport:
    return StatusReport(images=images, train_loss=0.5, images_per_second=9.0, stage=1, unlocked_share=0.5)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).read_result() is None
    result = RunResult(
        status=Status.STOPPED,
        metrics={"fd": 0.1 + 0.2},
        images=640,
        seconds=1.5,
        exposure={"edges": [0.0, 1.0], "mass": [1.0]},
        reason="because",
    )
    RunFolder(tmp_path).write_result(result)
    assert RunFolder(tmp_path).read_result() == result
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_config_is_read_as_it_was_written_with_its_plug_ins_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "key")
    assert folder.read_experiment() == {}
    experiment = Experiment(training=Training(total_images=640, batch_size=16), seed=3)
    folder.write_experiment(experiment, {"mine.py": "x = 1"})
    plain = folder.read_experiment()
    assert plain["plugins"] == ["mine.py"]
    assert (folder.path / "mine.py").read_text() == "x = 1"
    assert validated(Experiment, plain, "x").identity() == experiment.identity()


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_config_that_is_half_written_is_empty_and_is_written_anew(tmp_path: Path, length: int) -> None:
    folder = RunFolder(tmp_path)
    folder.write_experiment(Experiment(), {})
    whole = folder.experiment.read_text()
    folder.experiment.write_text(whole[:length])
    assert folder.read_experiment() == {}
    folder.write_experiment(Experiment(), {})
    assert folder.experiment.read_text() == whole


def test_a_result_that_is_half_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("curriculum_search.atomic.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).write_result(FINISHED)
    assert RunFolder(tmp_path).read_result() is None
    RunFolder(tmp_path).write_result(FINISHED)
    assert RunFolder(tmp_path).read_result() == FINISHED
    RunFolder(tmp_path).remove_result()
    assert RunFolder(tmp_path).read_result() is None


def test_the_log_has_reports_and_statuses_and_the_curve_keeps_them_apart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "key")
    assert folder.read_curve().images == []
    for line in (status(40), report(80), status(120), report(160)):
        folder.write_report(line) if isinstance(line, Report) else folder.write_status(line)
    curve = folder.read_curve()
    assert curve.points("fd") == [(80, 8.0), (160, 16.0)]
    assert curve.status_images == 120
    assert [switch["images"] for switch in curve.switches] == [80, 160]


def test_a_log_whose_last_line_is_torn_has_all_before_it_and_goes_on_after_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_report(report(80))
    folder.write_report(report(160))
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert folder.read_curve().images == [80]
    folder.write_report(report(160))
    assert folder.read_curve().points("fd") == [(80, 8.0), (160, 16.0)]


def test_an_adopted_run_is_the_others_and_the_other_stays_its_own(tmp_path: Path) -> None:
    theirs, ours = RunFolder(tmp_path / "old" / "key"), RunFolder(tmp_path / "new" / "key")
    theirs.write_experiment(Experiment(), {"mine.py": "x = 1"})
    theirs.write_report(report(80))
    theirs.write_result(FINISHED)
    left = tmp_path / "new" / ".key"  # by a command that was killed in the middle of it
    left.mkdir(parents=True)
    ours.adopt(theirs)
    assert (ours.adopted, theirs.adopted) == (True, False)
    assert ours.read_result() == FINISHED
    assert ours.read_curve().images == [80]
    assert ours.read_experiment() == theirs.read_experiment()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]


def test_a_copy_for_reading_tells_all_but_has_no_checkpoint(tmp_path: Path) -> None:
    folder, copy = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "copies" / "run")
    folder.write_experiment(Experiment(), {})
    folder.write_report(report(320))
    folder.write_result(FINISHED)
    folder.checkpoint.write_bytes(b"large")
    folder.grid.write_bytes(b"images")
    (folder.path / "samples").mkdir()
    for name in ("1280.png", "640.png", "640.png.host.17.partial"):
        (folder.path / "samples" / name).write_bytes(name.encode())
    folder.copy_for_reading(copy.path)
    assert copy.read_result() == FINISHED
    assert copy.read_curve() == folder.read_curve()
    assert copy.read_experiment() == folder.read_experiment()
    assert copy.grid.read_bytes() == b"images"
    assert {images: path.read_bytes() for images, path in copy.earlier_grids().items()} == {
        640: b"640.png",
        1280: b"1280.png",
    }
    assert not copy.checkpoint.exists()
    RunFolder(tmp_path / "not there").copy_for_reading(tmp_path / "copies" / "empty")
    assert RunFolder(tmp_path / "copies" / "empty").read_curve().images == []
