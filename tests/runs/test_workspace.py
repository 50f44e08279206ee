"""The frame of a command: one command a folder, and MLflow knows how it ended."""

import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.s3_server import S3Server
from support.tracked import tracked_runs
from support.workplace import Workplace, wait_for

from curriculum_search.loading import UserError
from curriculum_search.runs.workspace import Workspace, workspace
from curriculum_search.storage import mirror as mirrors
from curriculum_search.storage import working_copy_of


@pytest.fixture(scope="module")
def results(make_workplace: Callable[[], Workplace]) -> Workplace:
    """One store for all tests."""
    return make_workplace()


#: Opens a command's workspace under a name.
Work = Callable[[str], AbstractContextManager[Workspace]]


@pytest.fixture
def work(results: Workplace, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lambda name: workspace(results.results / name, root=results.results, name=name)


def interrupt(opened: AbstractContextManager[Workspace], error: BaseException, *, name: str) -> None:
    """A command that is ended by an error after it has begun."""
    with opened as space:
        space.begin(name=name)
        raise error


def statuses(results: Workplace, name: str) -> list[str]:
    """What MLflow says of the runs of that name."""
    return [run.info.status for run in tracked_runs(results.store, matching=f"attributes.run_name = '{name}'")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "KILLED"),
        (UserError("wrong"), "FAILED"),
        (RuntimeError("unforeseen"), "FAILED"),
        (SystemExit(3), "FAILED"),
    ],
)
def test_whatever_ends_a_command_its_run_in_mlflow_says_how(
    results: Workplace, work: Work, error: BaseException, status: str
) -> None:
    name = f"ended by {type(error).__name__}"
    with pytest.raises(type(error)):
        interrupt(work(name), error, name=name)
    assert statuses(results, name) == [status]


def test_a_command_that_is_done_closes_its_run_with_its_values(results: Workplace, work: Work) -> None:
    with work("done") as space:
        space.connect()
        space.begin(name="done", params={"seed": "3"}, tags={"kind": "test"})
        space.finish(best={"end_fd": 2.5})
    (run,) = tracked_runs(results.store, matching="attributes.run_name = 'done'")
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"end_fd": 2.5}, {"seed": "3"})
    assert run.data.tags["kind"] == "test"


def test_a_command_that_ends_without_a_word_is_done(results: Workplace, work: Work) -> None:
    with work("quiet") as space:
        space.begin(name="quiet")
    assert statuses(results, "quiet") == ["FINISHED"]


def test_what_happens_after_the_end_takes_nothing_back(results: Workplace, work: Work) -> None:
    def show() -> None:
        with work("shown") as space:
            space.begin(name="shown")
            space.finish("FAILED")  # a run of jobs/train.py that has failed
            space.finish()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show()
    assert statuses(results, "shown") == ["FAILED"]


def test_a_command_that_ends_before_it_begins_has_no_run(
    results: Workplace, work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        with work("refused") as space:
            space.connect()
            raise UserError("wrong")

    with pytest.raises(UserError, match="wrong"):
        refuse()
    assert statuses(results, "refused") == []
    assert capsys.readouterr() == ("", "")


def test_the_same_command_again_goes_on_with_the_same_run(results: Workplace, work: Work) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(work("again"), KeyboardInterrupt(), name="again")
    assert statuses(results, "again") == ["KILLED"]
    with work("again") as space:
        space.begin(name="again")
        space.finish()
    assert statuses(results, "again") == ["FINISHED"]


def test_one_command_at_a_time_works_in_a_folder(results: Workplace, work: Work) -> None:
    folder = results.results / "mine"
    with work("mine"):
        before = sorted(path.name for path in folder.iterdir())
        with (
            pytest.raises(UserError, match=f"{re.escape(str(folder))}: another command is at work there; wait for it"),
            work("mine"),
        ):
            raise AssertionError("it was let in")
        assert sorted(path.name for path in folder.iterdir()) == before
        with work("another"):
            pass
    with work("mine"):  # after the first has ended, whatever it left
        pass


def test_what_is_said_of_the_storage_is_heard_too(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirrors, "_EVERY_SECONDS", 0.1)
    root = working_copy_of(s3.uri("heard"), tmp_path, setting="--results")
    heard: list[str] = []
    with workspace(root / "mine", root=root, name="mine") as space:
        space.listen(heard.append)
        s3.kill()
        (root / "mine" / "file").write_text("1")
        assert wait_for(lambda: len(heard) == 1, 60)
        s3.start()
        assert wait_for(lambda: len(heard) == 2, 60)
    assert "nothing can be copied there" in heard[0]
    assert "answers again" in heard[1]
    said = capsys.readouterr().out.splitlines()
    assert [line[20:] for line in said[:2]] == heard


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that nobody answers at, which commands are told to track to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("curriculum_search.runs.workspace._SEND_SECONDS", 1.0)
    return uri


def test_an_mlflow_that_does_not_answer_is_told_before_anything_begins(
    tmp_path: Path, nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(
            UserError, match=f"^MLflow cannot be used at {nowhere}: .*; start it, or set MLFLOW_TRACKING_URI"
        ),
        workspace(tmp_path / "mine", root=tmp_path, name="mine") as space,
    ):
        space.connect()
    assert capsys.readouterr() == ("", "")


def test_what_mlflow_did_not_get_is_said_and_the_command_ends_all_the_same(
    tmp_path: Path, nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with workspace(tmp_path / "mine", root=tmp_path, name="mine") as space:
        space.begin(name="mine")
        space.finish()
    out, _ = capsys.readouterr()
    assert out.startswith(f"MLflow: 2 records have not reached MLflow at {nowhere} (")
    assert f"they are kept in {tmp_path / 'mine' / 'tracking' / 'journal.jsonl'} and go there when " in out
