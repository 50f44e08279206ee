"""Torn and garbled files of a study are named, and made again from what lies beside them; folders that cannot be used
and locks that there are none of are told."""

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tracked import tracked_runs
from support.workplace import Workplace, without_plugins

from curriculum_search.experiment import Experiment
from curriculum_search.export import experiment_yaml
from curriculum_search.loading import UserError
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.workspace import make_tracker, workspace
from curriculum_search.search.driver import check_same_study, open_store
from curriculum_search.search.ledger import Ledger
from curriculum_search.training import Report, StatusReport, checkpoint

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
TORN = ["", "{", '{"status": "fini', "\0\0\0\0", "[]", "7", "{}", '{"status": "unknown"}', "\udcff\udcfe"]


@pytest.fixture
def experiment(workplace: Workplace) -> Path:
    path: Path = workplace.folder / "experiment.yaml"
    path.write_text(experiment_yaml(workplace.load(workplace.watched()).base, "an experiment"))
    return path


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))


def test_a_run_whose_result_is_torn_ends_again_from_its_checkpoint(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    _, first, _ = workplace.call("train", experiment)
    (run,) = (workplace.results / "train" / "runs").iterdir()
    result = RunFolder(run).read_result()
    assert result is not None
    for number, text in enumerate(TORN, 1):
        write(run / "result.json", text)
        status, out, err = workplace.call("train", experiment)
        assert (status, err) == (0, "")
        assert out.splitlines()[0] == (
            f"{run / 'result.json'}: cannot be read; it is now result.json.damaged-{number}, and the run goes on from "
            f"its checkpoint, which ends it again"
        )
        assert out[out.index("finished") :] == first[first.index("finished") :]
        again = RunFolder(run).read_result()
        assert again is not None
        assert (again.metrics, again.exposure, again.images) == (result.metrics, result.exposure, result.images)
    assert len(workplace.witnessed()) == 4


def test_another_studys_torn_result_is_no_result_and_stays_as_it_is(tmp_path: Path) -> None:
    for text in TORN:
        write(tmp_path / "result.json", text)
        assert RunFolder(tmp_path).find_result() is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def report(images: int) -> Report:
    return Report(images=images, metrics={"fd": 1.0 / images}, switches=({"images": images, "stage": 2},))


def status(images: int) -> StatusReport:
    return StatusReport(images=images, train_loss=0.5, images_per_second=9.0, stage=1, unlocked_share=0.5)


def logged(folder: RunFolder, *, ended: bool, saved: bool) -> list[Report]:
    """A run with a log whose third line, a report, is garbled."""
    reports = [report(images) for images in (80, 160, 240)]
    for each in reports:
        folder.write_status(status(each.images - 40))
        folder.write_report(each)
    if ended:
        folder.write_result(RunResult(status=Status.FINISHED, metrics={}, images=240, seconds=1.0))
    if saved:  # with what the run had not said yet when it was killed
        checkpoint.save(folder.checkpoint, {"reports": [asdict(each) for each in [*reports, report(320)]]})
    lines = folder.log.read_text().splitlines()
    lines[3] = lines[3][:20] + lines[3][:30]
    folder.log.write_text("\n".join([*lines, ""]))
    return reports


@pytest.mark.parametrize("ended", [False, True])
def test_a_garbled_line_of_a_log_is_made_again_from_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ended: bool
) -> None:
    folder = RunFolder(tmp_path)
    reports = logged(folder, ended=ended, saved=True)
    reports += [report(320)] if ended else []  # What has not been heard yet is said again, and is news then.
    curve = folder.read_curve()
    assert curve.images == [each.images for each in reports]
    assert curve.metrics == [each.metrics for each in reports]
    assert curve.switches == [switch for each in reports for switch in each.switches]
    assert curve.status_images == 200
    assert capsys.readouterr().out == (
        f"{folder.log}: line 4 cannot be read; it is now log.jsonl.damaged-1, and the log has been written anew from "
        f"its other lines and from its checkpoint\n"
    )
    assert folder.read_curve() == curve
    assert capsys.readouterr().out == ""
    assert all(json.loads(line)["time"] > 0 for line in folder.log.read_text().splitlines())


def test_without_a_checkpoint_a_run_that_goes_on_says_the_rest_of_its_log_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    logged(folder, ended=False, saved=False)
    assert folder.read_curve().images == [80]


def test_without_a_checkpoint_a_run_that_has_ended_keeps_what_can_be_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    logged(folder, ended=True, saved=False)
    assert folder.read_curve().images == [80, 240]


def test_a_run_with_a_garbled_log_comes_to_the_same_curve(workplace: Workplace, experiment: Path, no_ray: None) -> None:
    workplace.call("train", experiment)
    (run,) = (workplace.results / "train" / "runs").iterdir()
    folder = RunFolder(run)
    curve = folder.read_curve()
    lines = folder.log.read_bytes().splitlines()
    folder.log.write_bytes(b"\n".join([lines[0], b'{"kind":"rep', *lines[2:], b""]))
    (run / "result.json").unlink()
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    assert f"{folder.log}: line 2 cannot be read" in out
    assert folder.read_curve() == curve
    assert len(workplace.witnessed()) == 4


def test_a_damaged_checkpoint_is_told_by_the_command_and_in_the_runs_log(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    workplace.call("train", experiment)
    (run,) = (workplace.results / "train" / "runs").iterdir()
    result = RunFolder(run).read_result()
    (run / "result.json").unlink()
    (run / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes()[:5_000])
    assert not (run / "checkpoint.before.pt").exists()  # which is of no use to a run that has ended
    status, out, err = workplace.call("train", experiment)
    assert (status, err) == (0, "")
    words = (
        f"{run / 'checkpoint.pt'} is not a readable checkpoint: it was cut off or changed; it is now "
        f"checkpoint.pt.damaged-1, and the run begins again"
    )
    assert re.fullmatch(rf"{TIME} {run.name}: {re.escape(words)}", out.splitlines()[1])
    remark = json.loads((run / "log.jsonl").read_text().splitlines()[4])
    assert {"kind": "remark", "text": words}.items() <= remark.items()
    (tags,) = (r.data.tags for r in tracked_runs(workplace.store) if r.data.tags["curriculum_search.run"] == run.name)
    assert re.fullmatch(rf"{TIME} {re.escape(words)}", tags["events"])
    again = RunFolder(run).read_result()
    assert result is not None
    assert again is not None
    assert again.metrics["val_loss"] == result.metrics["val_loss"]
    assert RunFolder(run).read_curve().images == [80, 160, 240, 320]


def test_a_damaged_checkpoint_is_not_evaluated(workplace: Workplace, experiment: Path, no_ray: None) -> None:
    workplace.call("train", experiment)
    (run,) = (workplace.results / "train" / "runs").iterdir()
    for content in (b"", b"garbage", (run / "checkpoint.pt").read_bytes()[:-7]):
        (run / "checkpoint.pt").write_bytes(content)
        status, out, err = workplace.call("evaluate", run)
        if content.startswith(b"PK"):  # Only the seal is cut: the tensors' own checksums tell that all is there.
            assert status == 0
        else:
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert f"{run / 'checkpoint.pt'} is not a readable checkpoint: it " in err


@pytest.fixture
def open_ledger(workplace: Workplace) -> Callable[[], Ledger]:
    def make() -> Ledger:
        file, folder = workplace.load("study.max_hours=100"), workplace.results / "tiny"
        tracker = make_tracker(folder, root=workplace.results, name="tiny")
        return Ledger(file, open_store(file, folder, tracker=tracker, cache_dir=workplace.cache))

    return make


@pytest.mark.parametrize("text", ["", '{"seconds": 12', "[]", '{"speed": 1}'])
def test_what_a_study_has_spent_is_told_by_its_runs_where_its_own_account_is_torn(
    workplace: Workplace, open_ledger: Callable[[], Ledger], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    folder = workplace.results / "tiny"
    # Two runs at the same time for an hour and a half in all, an hour's pause, and one that has not ended.
    for key, begin, seconds in (("a", 1_000, 3_600), ("b", 2_800, 3_600), ("c", 10_000, None)):
        run = RunFolder(folder / "runs" / key)
        run.write_experiment(Experiment(), {})
        times = (begin + 60, begin + (seconds or 1_860))
        lines = [{"kind": "report", "time": float(time), **asdict(report(time))} for time in times]
        run.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if seconds is not None:
            run.write_result(RunResult(status=Status.FINISHED, metrics={}, images=times[1], seconds=seconds))
    (folder / "spent.json").write_text(text)
    ledger = open_ledger()
    assert ledger.seconds == 5_400 + 1_800
    out = without_plugins(capsys.readouterr().out)
    assert out.startswith(f"{folder / 'spent.json'}: cannot be read; it is now spent.json.damaged-1.  By its runs the ")
    assert " has taken 2.00 hours " in out
    with ledger.at_work():
        pass
    assert open_ledger().seconds >= 7_200
    assert without_plugins(capsys.readouterr().out) == ""


@pytest.mark.parametrize("text", ["", '{"base": ', "[]", "null", "\udcff"])
def test_what_a_study_was_is_told_by_its_resolved_file(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    folder, file = workplace.results / "tiny", workplace.load("study.proxy={training.total_images: 160}")
    folder.mkdir()
    file.write_resolved(folder)
    write(folder / "study.json", text)
    check_same_study(folder, file)
    assert without_plugins(capsys.readouterr().out) == (
        f"{folder / 'study.json'}: cannot be read; study.yaml tells what the study was, and it is written anew\n"
    )
    mine = json.loads(file.fingerprint())
    assert json.loads(file.fingerprint_of(folder / "study.yaml")) == {
        part: mine[part] for part in mine.keys() - {"data"}
    }
    proxy = "study.proxy={training.total_images: 160}"
    for changed, part in (("base.seed=5", "base"), ("study.seed=9", "study.seed"), ("study.proxy={}", "study.proxy")):
        with pytest.raises(UserError, match=rf"has runs in {folder} with another {part}"):
            check_same_study(folder, workplace.load(*([proxy] if part != "study.proxy" else []), changed))
    (folder / "study.yaml").write_text(yaml.safe_dump(["something else"]))
    with pytest.raises(UserError, match=rf"^{folder / 'study.json'}: cannot be read, and neither can study.yaml\."):
        check_same_study(folder, file)


@pytest.mark.parametrize("text", ["", '{"leaders": [["a', "[]", "{}", '{"leaders": 3, "max_seeds": {}}'])
def test_a_count_of_verdicts_that_is_torn_is_not_begun_anew_unasked(workplace: Workplace, text: str) -> None:
    folder = workplace.results / "tiny"
    folder.mkdir()
    (folder / "confirmation.json").write_text(text)
    with pytest.raises(UserError, match=rf"^{folder / 'confirmation.json'}: cannot be read\. .* put it back from a co"):
        check_same_study(folder, workplace.load())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_worked_on(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def flock(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = workplace.results / "tiny"
    with workspace(folder, root=workplace.results, name="tiny"):
        assert capsys.readouterr().out == (
            f"{folder}: its file system has no locks ({os.strerror(number)}), so a second command cannot be kept out; "
            f"see to it that there is none\n"
        )


def test_only_a_lock_that_is_held_means_another_command(workplace: Workplace) -> None:
    folder = workplace.results / "tiny"
    folder.mkdir()
    with open(folder / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(UserError, match="another command is at work there"),
            workspace(folder, root=workplace.results, name="tiny"),
        ):
            pass


def test_a_results_folder_that_cannot_be_made_is_one_message(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    (workplace.results / "train").write_text("a file")
    status, out, err = workplace.call("train", experiment)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the folder cannot be made (Not a directory); choose another with --results" in err


def test_a_cache_folder_that_cannot_be_made_is_one_message(
    workplace: Workplace, experiment: Path, no_ray: None
) -> None:
    workplace.cache = workplace.folder / "a file" / "cache"
    (workplace.folder / "a file").touch()
    status, out, err = workplace.call("train", experiment)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: CURRICULUM_SEARCH_CACHE: {workplace.cache} cannot be a folder: ")
