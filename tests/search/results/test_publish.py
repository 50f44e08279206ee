"""What a finished study says and leaves; runs are played, not trained."""

import re
from collections.abc import Callable
from typing import Protocol

import pytest
import yaml
from support.study import MakeSearch
from support.theatre import FINISHED, Theatre, ablation_of, confirmation_of, finishes
from support.workplace import Workplace

from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.search.results.publish import StudyFailedError, StudyResult, _row, publish

#: The study's result, what was printed, the report, and the tags in MLflow.
Published = tuple[StudyResult, str, str, dict[str, str]]


class Publish(Protocol):
    """Plays a study to its end, and publishes it."""

    def __call__(self, *overrides: str, end: Callable[[Job], Outcome] = finishes) -> Published: ...


@pytest.fixture
def published(
    workplace: Workplace,
    make_search: MakeSearch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Publish:
    def play(*overrides: str, end: Callable[[Job], Outcome] = finishes) -> Published:
        file = workplace.load("study.confirmation.max_seeds=3", *overrides)
        search = make_search(file)
        store = search.store
        tags: dict[str, str] = {}
        Theatre(search, end=end).play()
        confirmation = confirmation_of(search)
        Theatre(confirmation, end=end).play()
        ablation = ablation_of(confirmation)
        Theatre(ablation, end=end).play()
        monkeypatch.setattr(store.tracker, "set_tags", lambda key, new: tags.update(new))
        capsys.readouterr()
        result = publish(file, store, search, confirmation, ablation)
        printed = capsys.readouterr().out
        return result, printed, (store.root / "report.md").read_text(), tags

    return play


def groups(report: str) -> list[str]:
    """The groups of the table of arms, in their order."""
    table = report[report.index("## Arms") :].split("\n\n")[1]
    return list(dict.fromkeys(line.split("|")[1].strip(" *") for line in table.splitlines()[2:]))


def test_a_plain_study_has_its_arms_its_verdict_and_what_it_cannot_say(published: Publish) -> None:
    result, printed, report, tags = published("study.trials=4")
    assert groups(report) == ["baselines, fresh seeds", "leaders, fresh seeds", "search, one seed each"]
    assert re.search(r"^Verdict: Trial \d (beats|is not separable from) ordinary training: ", printed, re.M)
    for label, line in result.layers.lines.items():
        assert f"- **{label}:** " in report
        assert f"- **{label}:** " in tags["mlflow.note.content"]
        assert re.search(f"^{label} +{re.escape(line[:20])}", printed, re.M)
        assert f"# {label}: {line[:20]}" in result.best_path.read_text()
    assert tags["verdict"] == result.layers.headline
    for text in (printed, report):
        assert "too few complete trials (4, stopped ones not counted) to tell; 16 would do (6 for each " in text
        assert "Pareto" not in text
        assert "From ordinary training" not in text
    assert set(tags) == {"verdict", "mlflow.note.content", "best"}
    assert set(result.tracked_metrics("val_loss")) == {"end_val_loss", "difference", "p_value"}
    assert result.tracked_metrics("val_loss")["end_val_loss"] == result.value
    exported = yaml.safe_load(result.best_path.read_text())
    assert exported["seed"] == 1
    assert f"ends at val_loss = {result.value!r}" in result.best_path.read_text()


def test_the_verdict_says_what_the_budget_was_not_enough_for(published: Publish) -> None:
    result, printed, report, tags = published(
        "study.trials=7", "study.confirmation.max_seeds=9", f"study.max_images={(2 + 4 + 12) * 320}"
    )
    remark = "The study's budget was enough for 4 of 7 trials. The study's budget was enough for 2 of 9 seeds."
    assert " ".join(result.layers.fine_print).endswith(f". {remark}")
    texts = (printed, report, tags["mlflow.note.content"], re.sub(r"\n# +", " ", result.best_path.read_text()))
    assert all(remark in " ".join(text.split()) for text in texts)


def test_a_study_of_named_arms_alone_has_their_table_and_exports_the_winner(published: Publish) -> None:
    arms = "study.arms={slow: {curriculum.num_clusters: 10}, mine: {density: {kind: beta, b: 2.0}}}"
    result, printed, report, tags = published("study.trials=0", "space=null", arms)
    assert groups(report) == ["baselines, fresh seeds", "named arms, fresh seeds"]
    table = report[report.index("## Arms") :]
    names = ["slow: easy to hard, 10 clusters, linear", "slow, exposure only", "mine: density beta"]
    assert [line.split("|")[2].strip(" *") for line in table.splitlines() if "named arms" in line] == names
    assert printed.count("Verdict: Slow ") == 1
    assert result.arm == "slow"  # better by a tenth, as it is played
    assert yaml.safe_load(result.best_path.read_text())["curriculum"]["num_clusters"] == 10
    assert tags["best"] == "easy to hard, 10 clusters, linear"
    assert "search" not in report


def test_only_confirmed_arms_can_be_the_best_of_the_table(published: Publish) -> None:
    _, _, report, _ = published("study.trials=4")
    (bold,) = [line for line in report.splitlines() if line.startswith("| **")]
    assert "fresh seeds" in bold
    _, _, report, _ = published("study.trials=4", "study.name=b", "study.confirmation.leaders=0")
    (bold,) = [line for line in report.splitlines() if line.startswith("| **")]
    assert "search, one seed each" in bold


def test_the_table_has_the_time_in_training_without_what_a_run_waited_for() -> None:
    def run(seconds: float, **metrics: float) -> RunResult:
        return RunResult(status=Status.FINISHED, metrics={"fd": 1.0, **metrics}, images=320, seconds=seconds)

    runs = [run(2.0, train_seconds=1.5), run(21.0, train_seconds=1.7), run(9.0)]
    assert _row("leaders", "trial 1", runs, objective="fd", others=[]).train_seconds == 1.6
    assert _row("leaders", "trial 1", runs[2:], objective="fd", others=[]).train_seconds is None


def test_the_path_to_the_winner_is_in_report_terminal_and_mlflow(published: Publish) -> None:
    _, printed, report, tags = published("study.trials=4", "study.ablation_seeds=2")
    section = report[report.index("## From ordinary training to the winner") :]
    rows = [line for line in section.split("## ")[1].splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 5
    assert re.fullmatch(r"\| curriculum.order.kind = easy_to_hard \| 0\.\d+ \| \d\S* \| 2 \| -0\.\d+ ± \S+ \|", rows[3])
    assert "another order would share the same gain out differently" in section
    assert "not corrected" in section
    assert re.search(r"From ordinary training to the winner: val_loss \(lower is better\) changes by -0.\d+ ±", printed)
    assert "curriculum.order.kind = easy_to_hard: -0." in tags["ablation"]


def test_importances_are_in_report_terminal_and_mlflow_where_there_are_enough_trials(published: Publish) -> None:
    _, printed, report, tags = published("study.trials=20", "study.equal_tries=false")
    section = report[report.index("## Importance of each parameter over all trials") :]
    assert re.search(r"^\| training.learning_rate \| \d+ % \|$", section, re.M)
    assert "take it for a hint" in section
    assert "Importance of each parameter over all trials: 20 complete trials; not weighed" in printed
    assert re.fullmatch(
        r"(training.learning_rate|curriculum.order.kind) \d+ %, \S+ \d+ %", tags["importance_all_trials"]
    )


def test_several_objectives_have_a_pareto_set_in_report_figures_terminal_and_mlflow(published: Publish) -> None:
    result, printed, report, tags = published("study.trials=6", "study.secondary_objectives=[images_to_baseline]")
    section = report[report.index("## Pareto set of the search") :].split("\n## ")[0]
    assert "| arm | val_loss | images_to_baseline |" in section
    assert "is as good in all objectives and better in one (lower is better: val_loss, images_to_baseline)" in printed
    assert tags["pareto_set"]
    for name in tags["pareto_set"].split(", "):
        assert f"| {name}" in section
    assert (result.best_path.parent / "figures" / "pareto.png").stat().st_size > 10_000
    assert "(figures/pareto.png)" in report


def test_a_proxys_numbers_stand_under_their_own_heading(published: Publish) -> None:
    result, _, report, _ = published(
        "study.trials=4", "study.proxy={training.batch_size: 32}", "study.seeds_per_trial=2"
    )
    assert groups(report) == [
        "baselines, at full size, fresh seeds",
        "leaders, at full size, fresh seeds",
        "search at the proxy's size, 2 seeds each",
    ]
    assert result.best.training.batch_size == 16
    assert re.search(r"\| search at the proxy's size, 2 seeds each \| [^|]+ \| \S+ ± \S+ \(2\) \|", report)
    assert "Convergence by order, search at the proxy's size" in report


def test_without_a_leader_ordinary_training_is_exported_as_it_was_confirmed(published: Publish) -> None:
    ordinary = ("space.curriculum.order.kind.choices=[none]", "space.curriculum.num_clusters=null")
    result, _, _, _ = published("study.trials=3", "study.proxy={training.batch_size: 32}", *ordinary)
    assert result.arm == "no_curriculum"
    assert (result.best.seed, result.best.training.batch_size) == (1, 16)


def test_a_study_whose_runs_all_diverged_says_why(published: Publish) -> None:
    diverged = Outcome(status=Status.DIVERGED, reason="the loss is nan")
    with pytest.raises(
        StudyFailedError, match=r"no run of study tiny came to its end:\n  no_curriculum: diverged: the loss is nan"
    ):
        published("study.trials=2", end=lambda job: diverged)


def test_a_run_of_the_proxy_is_never_exported_as_the_target(published: Publish) -> None:
    def end(job: Job) -> Outcome:
        small = job.experiment.training.batch_size == 32
        return FINISHED if small else Outcome(status=Status.DIVERGED, reason="the loss is nan")

    with pytest.raises(StudyFailedError, match=r"at full size came to its end:\n  \S+.*: diverged: the loss is nan"):
        published("study.trials=2", "study.proxy={training.batch_size: 32}", end=end)
