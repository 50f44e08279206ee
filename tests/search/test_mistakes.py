"""A user's mistakes by the command: exit status 2, one message that says what to change, and nothing started."""

import socket
from pathlib import Path

import pytest
from support.workplace import Workplace

from curriculum_search.search.driver import check_same_study


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def refused(workplace: Workplace, *arguments: object) -> str:
    """What the search says to a command that it refuses."""
    status, out, err = workplace.call("search", *arguments)
    assert (status, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return str(err).removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.training.batchsize=3", "base.training.batchsize: no such field (did you mean batch_size?); allowed: "),
        ("base.data={kind: folder, path: /nowhere}", "base.data: path: /nowhere does not exist"),
        (
            "space.training.lr={kind: float, low: 0.1, high: 1.0}",
            "space.training.lr = 0.1: base.training.lr: no such field",
        ),
        (
            "study.objective=fid50k",
            "study.objective: no evaluator of base.evaluation.evaluators yields 'fid50k'; they yield: val_loss, ",
        ),
        (
            "study={name: a, objective: val_loss, secondary_objectives: [witnessed], stopping: "
            "{kind: successive_halving}}",
            "study: stopping must be none where there are secondary_objectives: ",
        ),
        ("study.proxy={training.batchsize: 3}", "study.proxy: training.batchsize: no such field (did you mean "),
        (
            "study.algorithm={kind: optuna, name: BruteForceSampler}",
            "study.algorithm: BruteForceSampler cannot search this space: FloatDistribution.step must be given ",
        ),
    ],
)
def test_a_wrong_file_ends_the_command_before_anything_is_written(
    workplace: Workplace, no_ray: None, override: str, message: str
) -> None:
    before = files(workplace.results)
    assert refused(workplace, workplace.study, override).startswith(f"{workplace.study}: {message}")
    assert files(workplace.results) == before


def test_a_file_that_does_not_exist_is_named(workplace: Workplace, no_ray: None) -> None:
    path = workplace.folder / "nowhere.yaml"
    assert refused(workplace, path) == f"{path}: cannot be read (No such file or directory)"


def test_an_unreachable_tracking_server_is_named(workplace: Workplace, no_ray: None) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"  # nobody listens there
        workplace.tracking_uri = uri
        message = refused(workplace, workplace.study)
        assert message.startswith(f"MLflow cannot be used at {uri}: ")
        assert message.endswith(
            "start it, or set MLFLOW_TRACKING_URI to another server or to a database such as sqlite:///mlflow.db"
        )
    assert not (workplace.results / "tiny" / "runs").exists()


@pytest.mark.parametrize(
    ("override", "asked"),
    [
        ("base.resources.gpus_per_worker=0.5", "1 workers with 1 CPUs and 0.5 GPUs each"),
        ("base.resources.cpus_per_worker=64", "1 workers with 64 CPUs each"),
        ("base.resources.workers=8", "8 workers with 1 CPUs each"),
    ],
)
def test_more_than_the_cluster_has_is_refused(workplace: Workplace, two_cpus: None, override: str, asked: str) -> None:
    message = refused(workplace, workplace.study, override)
    assert message.startswith(
        f"base.resources: a trial asks for {asked}, and this cluster (1 node, 2 CPUs, 0 GPUs) has"
    )
    assert not (workplace.results / "tiny" / "runs").exists()


@pytest.mark.parametrize("by_file", [False, True], ids=["RAY_ADDRESS", "a cluster that ray start left"])
def test_a_cluster_that_does_not_answer_is_told_at_once(
    workplace: Workplace, no_ray: None, monkeypatch: pytest.MonkeyPatch, by_file: bool
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "" if by_file else "127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(workplace.folder))
    file = workplace.folder / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text("127.0.0.1:1")
    message = refused(workplace, workplace.study)
    assert message.startswith("no Ray cluster answers at 127.0.0.1:1 (")
    remedy = f"remove {file}" if by_file else "unset RAY_ADDRESS"
    assert message.endswith(f"start it, or {remedy} to have one started on this machine")


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("space.training.learning_rate.high=1e-2", "space"),
        ("base.training.batch_size=32", "base"),
        ("study.seed=7", "study.seed"),
        ("study.objective=val_loss_q0-0.2", "study.objective"),
    ],
)
def test_a_study_of_the_same_name_that_was_another_is_refused(
    workplace: Workplace, no_ray: None, override: str, part: str
) -> None:
    folder = workplace.results / "tiny"
    folder.mkdir()
    (folder / "study.json").write_text(workplace.load().fingerprint())
    same = ("base.resources.cpus_per_worker=2", "base.cadence.checkpoint_minutes=1")
    check_same_study(folder, workplace.load("study.trials=9", *same))
    assert refused(workplace, workplace.study, override) == (
        f"{workplace.study}: study.name: 'tiny' has runs in {folder} with another {part}; "
        f"give the changed study another name, or change it back"
    )


def test_a_journal_that_was_damaged_is_named(workplace: Workplace, two_cpus: None) -> None:
    folder = workplace.results / "tiny"
    folder.mkdir()
    (folder / "study.journal").write_text('{"op_code": 0, "worker_id"\n')
    message = refused(workplace, workplace.study)
    assert message.startswith(f"{folder / 'study.journal'}: a line cannot be read (")
    assert message.endswith(" is there already is not trained again")


def test_a_study_without_one_good_run_says_why(workplace: Workplace, two_cpus: None) -> None:
    status, out, err = workplace.call(
        "search",
        workplace.study,
        "study.trials=0",
        "study.baselines=[no_curriculum]",
        "study.confirmation.leaders=0",
        "base.training.learning_rate=1e30",
        "base.training.max_grad_norm=null",
    )
    assert status == 2
    assert "diverged at 0 images" in out
    assert err.startswith(
        "error: no run of study tiny came to its end:\n  no_curriculum: diverged: the training loss is "
    )
