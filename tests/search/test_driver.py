"""A whole study in miniature, by its commands: search, confirmation, what it leaves, and what the same command does
again."""

import gc
import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState
from support.jobs import free_cpus
from support.study import optuna_trials
from support.tracked import tracked_runs
from support.whole_study import Ended, Trainer, command_of, results, run_study_of
from support.workplace import Workplace, wait_for, without_plugins

from curriculum_search.curriculum import CurriculumFile
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.workspace import workspace
from curriculum_search.search import driver
from curriculum_search.search.optuna.searcher import Searcher
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.results import exports, publish
from curriculum_search.tracking import Tracker

POINTS = [80, 160, 240, 320]
REHEARSAL = "tiny: a rehearsal of my_training.py, 4 steps"
TIMES = {"images_per_second", "train_seconds"}


@pytest.fixture(scope="module")
def native(make_workplace: Callable[[], Workplace]) -> Ended:
    return run_study_of(make_workplace(), "native")


@pytest.fixture(scope="module")
def by_function(make_workplace: Callable[[], Workplace]) -> Ended:
    return run_study_of(make_workplace(), "function")


@pytest.fixture(scope="module", params=["native", "by_function"])
def study(request: pytest.FixtureRequest) -> Ended:
    found: Ended = request.getfixturevalue(request.param)
    return found


def stamps(root: Path) -> dict[str, int]:
    """When each file of the study's runs was last written."""
    return {str(path): path.stat().st_mtime_ns for path in (root / "runs").rglob("*") if path.is_file()}


def without_times(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in TIMES}


def test_the_command_says_where_it_is_and_ends_with_table_verdict_and_paths(study: Ended) -> None:
    assert re.search(r"^search: 5 runs, \d+ at a time$", study.out, re.M)
    assert len(re.findall(r"^search: .* finished at 320 images, \d+ s, val_loss [\d.]+", study.out, re.M)) == 5
    assert "(best so far)" in study.out
    assert re.search(r"^confirmation: \d+ runs, \d+ at a time$", study.out, re.M)
    table = study.table
    for words in ("baselines, fresh seeds", "no curriculum", "published", "leaders, fresh seeds", "exposure only"):
        assert words in table
    for words in ("val_loss", "images", "train s", "search, one seed each"):
        assert words in table
    assert re.search(r"^Verdict: \S+", table, re.M)
    assert f"trains with: python jobs/train.py {study.root / 'best.yaml'}" in table
    assert f"mlflow ui --backend-store-uri sqlite:///{study.workplace.results / 'mlflow.db'}" in table


def test_nothing_but_the_study_speaks(study: Ended) -> None:
    assert study.err == ""
    lines = without_plugins(study.out.removesuffix(study.table)).splitlines()
    others = [line for line in lines if not line.startswith(("search: ", "confirmation: "))]
    if study.is_native:
        assert others == []
    else:
        assert others == [study.code, REHEARSAL]


def test_the_command_leaves_no_process_behind(study: Ended) -> None:
    assert study.deserted


def test_a_study_leaves_its_files(study: Ended) -> None:
    names = {path.name for path in study.root.iterdir()}
    assert {
        "best.yaml",
        "curriculum.json",
        "report.html",
        "report.md",
        "study.yaml",
        "study.journal",
        "figures",
    } <= names
    figures = (
        *("convergence_by_order_search", "unlocked_clusters_search"),
        *("convergence_by_arm_fresh_seeds", "unlocked_noise_levels_fresh_seeds"),
    )
    assert {path.name for path in (study.root / "figures").iterdir()} == {f"{figure}.png" for figure in figures}
    assert study.table.count(str(study.root / "best.yaml")) == 2
    resolved = yaml.safe_load((study.root / "study.yaml").read_text())
    settings = resolved["base"]["training" if study.is_native else "trainer"]
    assert (settings if study.is_native else settings["params"])["learning_rate"] == 1e-3
    assert CurriculumFile.load(study.root / "curriculum.json").total_images == 320


def test_each_run_leaves_its_files(study: Ended) -> None:
    written = {"experiment.json", "log.jsonl", "checkpoint.pt", "result.json", ".worker.lock"}
    written |= {"witness.py", "samples.png"} if study.is_native else {"own"}
    sampled = []
    for folder in (study.root / "runs").iterdir():
        files = {path.name for path in folder.iterdir()}
        assert files - {"samples"} == written
        sampled += [json.loads((folder / "experiment.json").read_text())] if "samples" in files else []
        reports = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert [report["images"] for report in reports] == POINTS
        curve = RunFolder(folder).read_curve()
        assert curve.switches[0] == {"images": 0, "stage": 1, "reason": "start"}
        assert sum(curve.exposure["mass"]) == pytest.approx(1)
    seeds = {experiment["seed"] for experiment in sampled}
    assert seeds == ({1} if study.is_native else set())  # the first that the search never saw


def test_every_run_is_trained_once(study: Ended) -> None:
    assert len(study.workplace.witnessed()) == 4 * len(results(study.root))
    assert {result.status for result in results(study.root).values()} == {Status.FINISHED}


def test_confirmation_takes_seeds_that_the_search_never_saw(study: Ended) -> None:
    seeds: dict[str, set[int]] = {"search": set(), "confirmation": set()}
    for folder in (study.root / "runs").iterdir():
        experiment = json.loads((folder / "experiment.json").read_text())
        seeds["search" if experiment["seed"] == 0 else "confirmation"].add(experiment["seed"])
    assert seeds["search"] == {0}
    assert {1, 2} <= seeds["confirmation"]


def test_optuna_has_every_trial_with_its_values(study: Ended) -> None:
    trials = optuna_trials(study.root)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    for trial in trials:
        assert sorted(trial.intermediate_values) == POINTS
        assert trial.value == trial.intermediate_values[320]


@pytest.fixture(scope="module")
def tracked(study: Ended) -> tuple[MlflowClient, Run, dict[str, Run]]:
    """MLflow's client, the study's run and its children by the name of their folder."""
    client, runs = MlflowClient(study.workplace.store), tracked_runs(study.workplace.store)
    children = {r.data.tags["curriculum_search.run"]: r for r in runs if "mlflow.parentRunId" in r.data.tags}
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} == {parent.info.run_id}
    return client, parent, children


def test_mlflow_has_a_child_for_every_run_with_its_curve(
    study: Ended, tracked: tuple[MlflowClient, Run, dict[str, Run]]
) -> None:
    client, _, children = tracked
    assert set(children) == set(results(study.root))
    for key, child in children.items():
        assert child.info.status == "FINISHED"
        history = client.get_metric_history(child.info.run_id, "val_loss")
        assert [point.step for point in history] == POINTS
        assert child.data.metrics["best_val_loss"] == min(point.value for point in history)
        assert history[-1].value == results(study.root)[key].metrics["val_loss"] == child.data.metrics["end_val_loss"]
        assert len(child.data.params) <= 11
        assert all(len(value) < 40 for value in child.data.params.values())
        assert {"arm", "role", "phase", "curriculum", "outcome"} <= set(child.data.tags)
        files = {file.path for file in client.list_artifacts(child.info.run_id)}
        assert files == {"experiment.json"} | ({"samples.png", "images"} if study.is_native else set())


def test_mlflow_has_the_study_with_figures_and_best_config(
    study: Ended, tracked: tuple[MlflowClient, Run, dict[str, Run]]
) -> None:
    client, parent, _ = tracked
    assert (parent.info.run_name, parent.info.status) == ("tiny", "FINISHED")
    claimed = re.search(r"ends at val_loss = (\S+)", (study.root / "best.yaml").read_text())
    assert claimed
    assert set(parent.data.metrics) == {"end_val_loss", "difference", "p_value"}
    assert parent.data.metrics["end_val_loss"] == float(claimed[1])
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"best.yaml", "curriculum.json", "report.html", "report.md", "study.yaml", "figures"}
    figures = client.list_artifacts(parent.info.run_id, "figures")
    pictures = {path.name for path in (study.root / "figures").glob("*.png")}
    assert {Path(file.path).name for file in figures} == pictures


def test_the_same_command_again_asks_for_no_cluster_trains_nothing_and_says_the_same(
    study: Ended, no_ray: None
) -> None:
    before, witnessed = stamps(study.root), study.workplace.witnessed()
    status, out, err = study.search()
    assert (status, err) == (0, "")
    said = "" if study.is_native else f"{study.code}\n"
    assert out == said + study.table
    assert stamps(study.root) == before
    assert study.workplace.witnessed() == witnessed


def test_the_best_config_trains_to_the_same_number_digit_for_digit(study: Ended, no_ray: None) -> None:
    status, out, err = study.workplace.call("train", study.root / "best.yaml")
    assert (status, err) == (0, "")
    claimed = re.search(r"ends at val_loss = (\S+)", (study.root / "best.yaml").read_text())
    assert claimed
    assert f"  val_loss = {claimed[1]}\n" in out
    (folder,) = (study.workplace.results / "train" / "runs").iterdir()
    trained, of_study = RunFolder(folder).read_result(), results(study.root)[folder.name]
    assert trained
    assert without_times(trained.metrics) == without_times(of_study.metrics)
    assert trained.exposure == of_study.exposure


def test_with_more_trials_only_the_new_ones_are_trained(study: Ended, two_cpus: None) -> None:
    before, witnessed, known = stamps(study.root), len(study.workplace.witnessed()), set(results(study.root))
    status, out, err = study.search("study.trials=5")
    assert (status, err) == (0, "")
    now = results(study.root)
    searched = [key for key in set(now) - known if _experiment(study.root, key)["seed"] == 0]
    assert len(searched) == 2
    assert re.search(r"^search: 2 runs, 2 at a time$", out, re.M)
    assert {path: stamp for path, stamp in stamps(study.root).items() if path in before} == before
    assert len(study.workplace.witnessed()) - witnessed == 4 * len(set(now) - known)


def test_the_baselines_of_a_function_end_at_the_numbers_of_the_native_loop(native: Ended, by_function: Ended) -> None:
    def ends(study: Ended) -> dict[tuple[int, str], float]:
        found = {}
        for key, result in results(study.root).items():
            experiment = _experiment(study.root, key)
            settings = experiment["training"] if study.is_native else experiment["trainer"]["params"]
            if settings["learning_rate"] == 1e-3:
                found[experiment["seed"], str(result.exposure)] = result.metrics["val_loss"]
        return found

    ours, theirs = ends(by_function), ends(native)
    assert len({exposure for seed, exposure in theirs if seed == 0}) == 2
    assert theirs.items() <= ours.items()


def test_changed_code_makes_other_runs_and_the_command_says_so(by_function: Ended, no_ray: None) -> None:
    study, *overrides = by_function.command
    code = study.with_name("my_training.py")
    text = code.read_text()
    try:
        code.write_text(text + "# changed\n")
        status, _, err = by_function.search()
        assert status == 2
        assert err.startswith(
            f"error: {study}: base.trainer: the code is not that of the runs in {by_function.root}, and changed code "
            "makes other runs (images of my_training.py's own (code "
        )
    finally:
        code.write_text(text)
    moved = study.parent / "moved"
    moved.mkdir()
    for path in (study, code):
        shutil.copy(path, moved)
    status, out, err = by_function.workplace.call("search", moved / study.name, *overrides, "study.trials=5")
    assert (status, err) == (0, "")
    assert out.count("Verdict") == 1


def _experiment(root: Path, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "runs" / key / "experiment.json").read_text())
    return found


def interrupt_after(patch: pytest.MonkeyPatch, where: object, name: str) -> None:
    """Have the first call of a function followed by Ctrl-C."""
    original, calls = getattr(where, name), itertools.count()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        if next(calls) == 0:
            raise KeyboardInterrupt
        return result

    patch.setattr(where, name, interrupted)


MOMENTS = [
    (driver, "check_same_study"),
    (Tracker, "check"),
    (driver, "open_searcher"),
    (driver, "prepare"),
    (driver, "write_fingerprint"),
    (RunStore, "reported"),
    (Searcher, "tell_complete"),
    (ConfirmationPhase, "settle"),
    (exports, "write_best"),
    (publish, "write_report"),
]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trainer", ["native", "function"])
def test_interrupted_at_one_step_after_the_other_a_study_comes_to_its_end_within_its_budget(
    trainer: Trainer, workplace: Workplace, two_cpus: None
) -> None:
    """Two baselines, two trials and a confirmation of twelve runs are what the budget is exactly enough for."""
    budget = (2 + 2 + 12) * 320
    command = (*command_of(workplace, trainer), "study.trials=9", f"study.max_images={budget}")
    for where, name in MOMENTS:
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(patch, where, name)
            status, _, err = workplace.call("search", *command)
            assert (status, err) == (130, "\ninterrupted; the same command goes on from here\n"), name
        gc.collect()  # Elsewhere the actors of an interrupted command end with its process.
        assert wait_for(lambda: free_cpus() == 2, 60)
    status, out, err = workplace.call("search", *command)
    assert (status, err) == (0, "")
    assert "Verdict: " in out
    found = results(workplace.results / "tiny")
    assert len(found) == 2 + 2 + 12
    assert sum(result.images for result in found.values()) == budget
    # What is trained again is the stretch that a run was in; two runs are under way at each interruption.
    running = sum(where in (RunStore, Searcher, ConfirmationPhase) for where, _ in MOMENTS)
    assert 4 * len(found) <= len(workplace.witnessed()) <= 4 * len(found) + 2 * running
    runs = tracked_runs(workplace.store)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == len(found) + 1


def test_nothing_of_a_study_is_read_or_written_while_another_command_is_at_work(
    workplace: Workplace, no_ray: None
) -> None:
    folder = workplace.results / "tiny"
    with workspace(folder, root=workplace.results, name="tiny"):
        (folder / "study.json").write_text("not written to its end")
        (folder / "spent.json").write_text("nor this")
        before = {path: path.stat().st_mtime_ns for path in workplace.results.rglob("*")}
        status, out, err = workplace.call("search", workplace.study)
        assert (status, out) == (2, "")
        assert err == f"error: {folder}: another command is at work there; wait for it, or stop it\n"
        assert {path: path.stat().st_mtime_ns for path in workplace.results.rglob("*")} == before


def test_a_study_without_enough_time_is_refused_before_its_first_run(workplace: Workplace, two_cpus: None) -> None:
    status, out, err = workplace.call("search", workplace.study, "study.max_hours=0.00001")
    assert status == 2
    assert out == "tiny: a few training steps, to see how long a run lasts\n"
    assert err.startswith(
        f"error: {workplace.study}: study.max_hours: 1e-05 is not enough for 2 baseline runs, one trial"
    )
    assert not (workplace.results / "tiny" / "runs").exists()
    spent = json.loads((workplace.results / "tiny" / "spent.json").read_text())
    assert spent["seconds"] > 0
