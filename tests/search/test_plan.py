"""The dry run: what it says, and that it leaves nothing behind."""

import re
from pathlib import Path

import pytest
from support.workplace import Workplace

from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.search import plan
from curriculum_search.search.design import Size
from curriculum_search.search.measure import Measured
from curriculum_search.search.study import StudyFile

ARMS = "1 leader, 1 control, 2 baselines, ordinary training with their settings"


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def lines(out: str) -> list[list[str]]:
    """The rows of the table, without its frame."""
    table = out[: out.index("All of it")].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip()) for line in table if line.strip() and "─" not in line]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which each row has a line."""
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with room for two runs, on which a full run of 320 images takes a second and starting one nothing."""
    measured = Measured(first_start=9.0, start=0.0, per_image=0.9 / 320, evaluation=0.0, final=0.1)
    monkeypatch.setattr(plan, "measure", lambda *_, **__: measured)
    monkeypatch.setattr(
        plan, "find_capacity", lambda *_: (Capacity(trials=2, slots=2, workers=1, nodes=1, cpus=2, gpus=0), 2)
    )


def test_a_plan_is_made_from_a_few_measured_steps_and_leaves_nothing(workplace: Workplace, two_cpus: None) -> None:
    before = files(workplace.results)
    status, out, err = workplace.call("search", "--plan", workplace.study, workplace.watched())
    assert (status, err) == (0, "")
    assert files(workplace.results) == before
    head, search, confirmation = lines(out)
    assert out.startswith("tiny: what this study trains")
    assert head == ["phase", "arms", "runs", "images", "time"]
    assert search[:4] == ["search", "3 trials, 2 baselines", "5", "1,600"]
    assert confirmation[:4] == ["confirmation", ARMS, "12", "3,840"]
    assert re.search(r"^All of it: 17 runs, 5,440 images; about \S+ (s|min) from here$", out, re.M)
    assert "Cluster: 1 node, 2 CPUs, 0 GPUs: 2 runs at once, of 1 worker with 1 CPU each" in out
    found = re.search(
        r"^Measured: a run takes (\S+) s: (\S+) ms an image, 4 evaluations of (\S+) s \(the last (\S+) s\), "
        r"(\S+) s to start \((\S+) s the first time\)$",
        out,
        re.M,
    )
    assert found, out
    run, image, evaluation, final, start, first = map(float, found.groups())
    assert image > 0
    assert evaluation > 0
    assert start < first
    assert run == pytest.approx(start + 0.320 * image + 3 * evaluation + final, rel=0.05)
    processes = {line.split()[0] for line in workplace.witnessed()}
    assert 1 <= len(processes) <= 2
    # Two runs at once of three evaluations each, and as many of one evaluation in the same processes.
    assert len(workplace.witnessed()) == 2 * 3 + 2 * 1


def test_the_proxys_runs_are_measured_beside_the_targets(
    workplace: Workplace, one_second: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Size] = []

    def measure(file: StudyFile, size: Size, **_: object) -> Measured:
        asked.append(size)
        return Measured(first_start=0.0, start=0.0, per_image=0.01, evaluation=0.0, final=0.0)

    monkeypatch.setattr(plan, "measure", measure)
    status, out, _ = workplace.call("search", "--plan", workplace.study, "study.proxy={training.total_images: 160}")
    assert status == 0
    assert asked == ["small", "full"]
    _, search, confirmation = lines(out)
    assert search == ["search", "3 trials, 2 baselines", "5", "800", "4.8 s"]
    assert confirmation == ["confirmation", ARMS, "12", "3,840", "19 s"]
    assert "Measured (search): a run takes 1.6 s: " in out
    assert "Measured (confirmation): a run takes 3.2 s: " in out


def test_what_is_done_is_not_planned_again(workplace: Workplace, one_second: None) -> None:
    file = workplace.load()
    ended = [(file.run(arm, seed), Status.FINISHED) for arm in file.baselines() for seed in (0, 1)]
    rates = [2e-3, 3e-3]
    trials = [file.trial({"training.learning_rate": r, "curriculum.order.kind": "none"}) for r in rates]
    ended += [(trials[0], Status.STOPPED), (trials[1], Status.FAILED)]
    for run, end in ended:
        folder = RunFolder(workplace.results / "tiny" / "runs" / run.key)
        folder.write_experiment(run.experiment, {})
        folder.write_result(RunResult(status=end, metrics={}, images=320, seconds=1.0))
    before = files(workplace.results)
    status, out, err = workplace.call("search", "--plan", workplace.study, "study.confirmation.max_seeds=4")
    assert (status, err) == (0, "")
    assert files(workplace.results) == before
    head, search, confirmation = lines(out)
    assert head == ["phase", "arms", "runs", "done", "images", "time left"]
    assert search == ["search", "3 trials, 2 baselines", "5", "3", "1,600", "10 s"]
    assert confirmation == [
        "confirmation",
        ARMS,
        "12 to 22",
        "2",
        "3,840 to 7,040",
        "14 to 19 s",
    ]
    assert "All of it: 17 to 27 runs, 5,440 to 8,640 images; about 24 to 29 s from here\n" in out


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            "study.max_images=5440",
            "study.max_images: 5,440 (0 spent): enough for all 3 trials, and what comes after",
        ),
        (
            "study.max_images=5439",
            "study.max_images: 5,439 (0 spent): enough for 2 of 3 trials, and what comes after",
        ),
        # With a tenth on top, a round of two runs takes 1.1 s: six for the confirmation, one for the baselines.
        ("study.max_hours=0.0028", "study.max_hours: 0.0028 (0.00 spent): enough for all 3 trials, and"),
        ("study.max_hours=0.0026", "study.max_hours: 0.0026 (0.00 spent): enough for 2 of 3 trials, and"),
        ("study.max_hours=0.001", "study.max_hours: 0.001 (0.00 spent): not enough for one trial, and"),
    ],
)
def test_a_plan_says_how_many_trials_each_limit_is_enough_for(
    workplace: Workplace, one_second: None, limit: str, words: str
) -> None:
    status, out, _ = workplace.call("search", "--plan", workplace.study, limit)
    assert status == 0
    assert words in out


def test_a_study_of_named_arms_is_planned_without_a_search(workplace: Workplace, one_second: None) -> None:
    arms = "study.arms={slow: {curriculum.num_clusters: 10}, mine: {density.kind: beta}}"
    alone = ("study.trials=0", "space=null", "study.stopping=null", "study.max_images=6400")
    status, out, err = workplace.call("search", "--plan", workplace.study, arms, *alone)
    assert (status, err) == (0, "")
    _, confirmation = lines(out)
    assert confirmation == ["confirmation", "2 named arms, 1 control, 2 baselines", "12", "3,840", "15 s"]
    assert "All of it: 12 runs, 3,840 images; about 15 s from here\n" in out
    assert "study.max_images: 6,400 (0 spent): enough for 20 more runs\n" in out
    status, out, err = workplace.call("search", "--plan", workplace.study, arms)
    assert (status, err) == (0, "")
    assert lines(out)[2][1] == f"2 named arms, {ARMS.replace('1 control', '2 controls')}"


def test_early_stopping_is_named_as_what_may_take_less(workplace: Workplace, one_second: None) -> None:
    def planned(*overrides: str) -> str:
        status, out, _ = workplace.call("search", "--plan", workplace.study, *overrides)
        assert status == 0
        return str(out)

    assert "trials that are stopped early take less" in planned("study.stopping=null")  # the default
    assert "stopped early" not in planned("study.stopping=null", "study.secondary_objectives=[images_to_baseline]")
    assert "stopped early" not in planned()


def test_steps_that_fail_are_told_as_a_mistake(workplace: Workplace, two_cpus: None) -> None:
    Path(f"{workplace.log}.raise").touch()
    before = files(workplace.results)
    status, out, err = workplace.call("search", "--plan", workplace.study, workplace.watched())
    assert (status, out) == (2, "")
    assert err == f"error: {workplace.study}: base: the first training steps failed: RuntimeError: broken on purpose\n"
    assert files(workplace.results) == before


def test_a_plan_is_refused_like_the_study(workplace: Workplace, no_ray: None) -> None:
    status, out, err = workplace.call("search", "--plan", workplace.study, "study.max_images=100")
    assert (status, out) == (2, "")
    assert "study.max_images: 100 is not enough for " in err
