"""A whole study over a program of the user's own, and code that changes under a study.

That a study over a function says and leaves what any study does, `test_driver` tests.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from support.own_training import NOTHING, OWN_STUDY, PROGRAM, write_own
from support.study import optuna_trials
from support.tracked import tracked_runs
from support.workplace import Workplace

from curriculum_search.curriculum import CurriculumFile
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult

pytestmark = pytest.mark.timeout(600)

POINTS = [80, 160, 240, 320]
TIMES = {"images_per_second", "train_seconds"}

COMMAND = OWN_STUDY.replace("kind: function, path: my_training.py", "kind: command, command: [python, my_training.py]")
COMMAND = COMMAND.replace("[easy_to_hard, none]", "[easy_to_hard]").replace("trials: 2", "trials: 1")


@dataclass
class Ended:
    """A study whose command has run to its end.

    Attributes:
        workplace: where.
        path: its file.
        out: what the command said.
    """

    workplace: Workplace
    path: Path
    out: str

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.workplace.results / "own"

    @property
    def results(self) -> dict[str, RunResult]:
        """Every run's end."""
        found = {}
        for folder in (self.root / "runs").iterdir():
            result = RunFolder(folder).read_result()
            assert result is not None
            found[folder.name] = result
        return found


def run(workplace: Workplace, path: Path, *overrides: str) -> Ended:
    status, out, err = workplace.call("search", path, *overrides)
    assert (status, err) == (0, ""), out
    return Ended(workplace, path, out)


@pytest.fixture(scope="module")
def study(make_workplace: Callable[[], Workplace], connect_two_cpus: Callable[[], None]) -> Ended:
    connect_two_cpus()
    workplace = make_workplace()
    return run(workplace, write_own(workplace.folder, PROGRAM, COMMAND))


@pytest.mark.long
def test_it_is_rehearsed_searched_and_confirmed_beside_two_baselines(study: Ended) -> None:
    assert "own: a rehearsal of my_training.py, 4 steps\n" in study.out
    assert re.search(r"^search: images of my_training.py's own \(code [0-9a-f]{12}, in ", study.out, re.M)
    table = study.out[study.out.index("own: ") :]
    for words in ("baselines, fresh seeds", "no curriculum", "published"):
        assert words in table
    assert re.search(r"^Verdict: \S+", table, re.M)
    assert {result.status for result in study.results.values()} == {Status.FINISHED}
    assert {result.images for result in study.results.values()} == {320}


@pytest.mark.long
def test_each_run_has_its_curve_stages_and_exact_exposure(study: Ended) -> None:
    for key in study.results:
        curve = RunFolder(study.root / "runs" / key).read_curve()
        assert curve.images == POINTS
        assert curve.switches[0] == {"images": 0, "stage": 1, "reason": "start"}
        assert sum(curve.exposure["mass"]) == pytest.approx(1)
    assert CurriculumFile.load(study.root / "curriculum.json").total_images == 320
    assert (study.root / "figures" / "unlocked_clusters_search.png").exists()


@pytest.mark.long
def test_optuna_and_mlflow_have_every_value(study: Ended) -> None:
    for trial in optuna_trials(study.root):
        assert trial.state is TrialState.COMPLETE
        assert sorted(trial.intermediate_values) == POINTS
    client = MlflowClient(study.workplace.store)
    children = [r for r in tracked_runs(study.workplace.store) if "mlflow.parentRunId" in r.data.tags]
    assert len(children) == len(study.results)
    for child in children:
        result = study.results[child.data.tags["curriculum_search.run"]]
        name = next(metric for metric in ("val_loss", "score") if metric in result.metrics)
        history = client.get_metric_history(child.info.run_id, name)
        assert [(point.step, point.value) for point in history][-1] == (320, result.metrics[name])


@pytest.mark.long
def test_the_same_command_again_trains_nothing_and_says_the_same(study: Ended, no_ray: None) -> None:
    before = {path: path.stat().st_mtime_ns for path in (study.root / "runs").rglob("*")}
    again = run(study.workplace, study.path)
    table = study.out[re.search(r"^own: \w+ at the end", study.out, re.M).start() :]  # type: ignore[union-attr]
    assert again.out.endswith(table)
    assert again.out.removesuffix(table).count("\n") == 1  # which code would be run
    assert {path: path.stat().st_mtime_ns for path in (study.root / "runs").rglob("*")} == before


@pytest.mark.long
def test_the_best_config_trains_to_the_same_number_digit_for_digit(study: Ended, no_ray: None) -> None:
    status, out, err = study.workplace.call("train", study.root / "best.yaml")
    assert (status, err) == (0, ""), out
    claimed = re.search(r"ends at (\w+) = (\S+)", (study.root / "best.yaml").read_text())
    assert claimed
    assert f"  {claimed[1]} = {claimed[2]}\n" in out


@pytest.mark.long
def test_a_program_leaves_its_output_and_what_it_was_given(study: Ended) -> None:
    for key in study.results:
        folder = study.root / "runs" / key
        assert {"output.txt", "checkpoint.pt", "program", "own"} <= {path.name for path in folder.iterdir()}


def test_code_that_changes_while_a_study_is_at_work_ends_it(workplace: Workplace, two_cpus: None) -> None:
    code = NOTHING.replace("run.restore()", "run.total_images > 64 and open(__file__, 'a').write('#')")
    status, _, err = workplace.call("search", write_own(workplace.folder, code), "study.max_concurrent_trials=1")
    assert status == 2
    assert re.search(
        r"base.trainer: images of my_training.py's own \(.*\) has changed while the study was at work", err
    )


def test_a_run_on_its_own_says_that_its_code_was_another(workplace: Workplace, no_ray: None) -> None:
    path = write_own(workplace.folder, NOTHING)
    assert workplace.call("train", path)[0] == 0
    (first,) = (workplace.results / "train" / "runs").iterdir()
    assert "this is another run" not in workplace.call("train", path)[1]
    write_own(workplace.folder, NOTHING + "# changed\n")
    status, out, _ = workplace.call("train", path)
    assert status == 0
    assert f"this is another run than {first}, whose code was another\n" in out
    assert len(list((workplace.results / "train" / "runs").iterdir())) == 2
