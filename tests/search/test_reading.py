"""A study is read from its folder whatever its state, and left as it is; runs are played, not trained."""

import fcntl
import json
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of, finishes
from support.workplace import REPOSITORY, Workplace

from curriculum_search.curriculum import DifficultyCurve, DifficultyFile
from curriculum_search.diffusion import DDPM
from curriculum_search.loading import PluginRunner, UserError
from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.search.phases.confirmation import RECORD
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.reading import read_folder, report_folder
from curriculum_search.search.results.publish import find, publish
from curriculum_search.search.study import RESOLVED

FAILED = Outcome(status=Status.FAILED, reason="RuntimeError: broken on purpose")


@dataclass
class Play:
    """Plays a study as far as it is told, and gives its folder."""

    workplace: Workplace
    make_search: MakeSearch

    def begun(self, *overrides: str) -> SearchPhase:
        search = self.make_search(self.workplace.load(*overrides))
        search.file.write_resolved(search.store.root)
        return search

    def __call__(self, *overrides: str, runs: int = 1000, end: Callable[[Job], Outcome | None] = finishes) -> Path:
        """Play up to so many runs of the search, and if that is all of them the rest of the study."""
        search = self.begun(*overrides)
        if len(Theatre(search, end=end).play(runs)) == runs:
            return search.store.root
        confirmation = confirmation_of(search)
        Theatre(confirmation, end=end).play()
        Theatre(ablation_of(confirmation)).play()
        return search.store.root


@pytest.fixture
def play(workplace: Workplace, make_search: MakeSearch) -> Play:
    return Play(workplace, make_search)


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a folder with its size and when it was last written to."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_read_is_what_the_driver_has(play: Play) -> None:
    search = play.begun("study.trials=4", "study.ablation_seeds=2")
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    ablation = ablation_of(confirmation)
    Theatre(ablation).play()
    own = find(search, confirmation, ablation)
    with read_folder(search.store.root) as study:
        assert study.unfinished is None
        assert study.state() == ""
        assert find(study.search, study.confirmation, study.ablation) == own
        assert study.confirmation.plan == confirmation.plan
        assert list(study.confirmation.arms) == list(confirmation.arms)
        assert study.ablation.path() == ablation.path()
        assert study.search.ledger.images == search.ledger.images


def test_reading_changes_nothing_and_needs_no_lock(play: Play) -> None:
    folder = play("study.trials=3", "study.confirmation.max_seeds=3")
    before = state_of(folder)
    with open(folder / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = report_folder(folder, folder.parent / "elsewhere.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert state_of(folder).items() >= before.items()
    assert set(state_of(folder)) - set(before) == {".lock"}


def test_a_study_under_way_says_how_far_it_is(play: Play) -> None:
    folder = play("study.trials=6", runs=4)
    with read_folder(folder) as study:
        assert study.unfinished is study.search
        assert "the search is under way, or was interrupted. 2 of 6 trials have begun" in study.state()
        assert "less than two minutes before" in study.state()
    with (folder / "study.journal").open("a") as journal:
        journal.write('{"op_code": 4, "half a line')  # as the driver is just writing it
    text = report_folder(folder).read_text()
    assert "Not finished: the search is under way" in text
    assert "nothing has been confirmed on fresh seeds" in text


def test_what_has_failed_is_shown_and_stays_failed(play: Play) -> None:
    def end(job: Job) -> Outcome:
        fresh = job.experiment.seed == 1 and job.experiment.curriculum.canonical().order.all_at_once
        return FAILED if fresh else Outcome(status=Status.FINISHED)

    folder = play("study.trials=3", end=end)
    results = {path: path.read_text() for path in folder.glob("runs/*/result.json")}
    text = report_folder(folder).read_text()
    assert "RuntimeError: broken on purpose" in text
    assert {path: path.read_text() for path in folder.glob("runs/*/result.json")} == results


def test_a_study_of_which_nothing_came_to_its_end_says_why(play: Play) -> None:
    diverged = Outcome(status=Status.DIVERGED, reason="the loss is nan")
    text = report_folder(play("study.trials=2", end=lambda job: diverged)).read_text()
    assert "No run of study tiny came to its end" in text
    assert "the loss is nan" in text


@pytest.mark.parametrize(
    "overrides",
    [
        ("study.trials=0",),
        ("study.trials=3", "study.confirmation.leaders=0"),
        ("study.trials=4", "study.secondary_objectives=[images_to_baseline]"),
        ("study.trials=4", "study.proxy={training.batch_size: 32}", "study.seeds_per_trial=2"),
        ("study.trials=3", "study.baselines=[no_curriculum]"),
        ("study.trials=3", "study.max_images=20000"),
    ],
    ids=["no trials", "no confirmation", "objectives", "proxy", "one baseline", "limit"],
)
def test_a_study_of_any_kind_has_a_page(play: Play, overrides: tuple[str, ...]) -> None:
    folder = play(*overrides)
    with read_folder(folder) as study:
        assert study.unfinished is None
    text = report_folder(folder).read_text()
    assert "<h2>Verdict</h2>" in text
    assert "Not finished" not in text


def test_a_run_whose_config_was_changed_by_a_kind_is_found_again(play: Play) -> None:
    """The base as it was written and as it was resolved make the same runs."""
    folder = play("study.trials=3", "base.curriculum.pacing={kind: root, end_share: 0.4}")
    with read_folder(folder) as study:
        assert all(study.search.result(run) is not None for run in study.search.runs())


def test_the_page_of_publishing_and_the_page_on_demand_say_the_same(play: Play) -> None:
    search = play.begun("study.trials=4")
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    publish(search.file, search.store, search, confirmation, ablation_of(confirmation))
    page = search.store.root / "report.html"
    published = page.read_text()
    report_folder(search.store.root)

    def plots(text: str) -> object:
        return json.loads(text.split("id='plots'>")[1].split("</script>")[0])

    assert plots(page.read_text()) == plots(published)


def test_a_study_of_an_earlier_version_is_read(play: Play) -> None:
    """Fields that were not there yet have their defaults, and runs that had other names are found by their configs."""
    folder = play("study.trials=3")
    with read_folder(folder) as study:
        now = find(study.search, study.confirmation, study.ablation)
    resolved, record = (folder / RESOLVED).read_text(), (folder / RECORD).read_text()
    for field in ("ablation_seeds: 0", "warm_start: []", "equal_tries: true"):
        assert f"  {field}\n" in resolved
        resolved = resolved.replace(f"  {field}\n", "")
    (folder / RESOLVED).write_text(resolved)
    for number, run in enumerate(sorted((folder / "runs").iterdir())):
        record = record.replace(run.name, f"{number:012x}")
        run.rename(run.with_name(f"{number:012x}"))
    (folder / RECORD).write_text(record)
    for log in folder.glob("runs/*/log.jsonl"):  # stages came later
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        kept = [{k: v for k, v in line.items() if k not in ("exposure", "switches")} for line in lines]
        log.write_text("".join(json.dumps(line) + "\n" for line in kept))
    with read_folder(folder) as study:
        assert study.unfinished is None
        assert find(study.search, study.confirmation, study.ablation) == now
    assert "<h2>Verdict</h2>" in report_folder(folder).read_text()


def test_the_published_baselines_of_an_earlier_version_have_the_names_that_they_have_now(play: Play) -> None:
    folder = play("study.trials=2", "study.baselines=[no_curriculum, published_stretched]")
    resolved = (folder / RESOLVED).read_text()
    assert "published_stretched" in resolved
    (folder / RESOLVED).write_text(resolved.replace("published_stretched", "published"))
    with read_folder(folder) as study:
        assert study.unfinished is None
        assert "published_stretched" in study.confirmation.arms


def test_a_folder_that_is_no_studys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no study's folder, it has no study\.yaml$"):
        report_folder(tmp_path)
    with pytest.raises(UserError, match="is no study's folder"):
        report_folder(tmp_path / "nothing")


def test_plug_ins_are_taken_from_the_runs_and_refused_on_demand(play: Play) -> None:
    folder = play("study.trials=2", runs=2)
    assert not (folder / "witness.py").exists()
    assert report_folder(folder).exists()
    with pytest.raises(UserError, match="which --no-plugins forbids"):
        report_folder(folder, runner=PluginRunner(allowed=False))


def test_the_command_writes_the_page_and_names_it(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(play("study.trials=2", runs=3), copy)

    def call(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        runpy.run_path(str(REPOSITORY / "jobs" / "report.py"), run_name="__main__")

    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    call(copy)
    assert capsys.readouterr().out.endswith(f"{copy / 'report.html'}\n")
    call(copy, "--output", tmp_path / "page.html", "--figures")
    assert (tmp_path / "page.html").read_text().count("<section") == 9
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".pdf", ".svg"}
    with pytest.raises(SystemExit, match="2"):
        call("nothing")
    assert capsys.readouterr().err == "error: nothing: is no study's folder, it has no study.yaml\n"


def test_a_page_that_cannot_be_written_is_the_users_to_place(play: Play, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written \(.*\); choose another with --output"):
        report_folder(play("study.trials=2", runs=3), tmp_path / "no folder" / "page.html")


def test_a_damaged_journal_is_named_as_its_user_knows_it(play: Play) -> None:
    folder = play("study.trials=2", runs=3)
    journal = (folder / "study.journal").read_text().splitlines()
    (folder / "study.journal").write_text("\n".join(["no record", *journal]) + "\n")
    with pytest.raises(UserError, match=re.escape(f"{folder / 'study.journal'}: a line cannot be read")):
        report_folder(folder)


def test_a_measurement_that_is_gone_is_asked_for(play: Play, workplace: Workplace) -> None:
    measured = workplace.folder / "difficulty.json"
    curve = DifficultyCurve.normalised(edges=(0.0, 0.5, 1.0), values=(2.0, 1.0))
    DifficultyFile(process=DDPM().to_dict(), convergence=curve, entropy=curve).save(measured)
    folder = play("study.trials=6", f"base.curriculum.partition={{kind: measured, path: '{measured}'}}", runs=6)
    assert report_folder(folder).exists()
    measured.unlink()
    with pytest.raises(
        UserError, match=r"difficulty\.json is missing, by which the study's noise levels were measured"
    ):
        report_folder(folder)
