"""Who trains a run, as a part of the experiment: its identity, and what is known of it before it is run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.curriculum import Curriculum
from curriculum_search.direction import Direction
from curriculum_search.experiment import CommandTrainer, Experiment, FunctionTrainer, NativeTrainer, Resources, Training
from curriculum_search.models import DiT

CODE = "def train(run):\n    pass\n"


@pytest.fixture
def trainer(tmp_path: Path) -> FunctionTrainer:
    (tmp_path / "mine.py").write_text(CODE)
    return FunctionTrainer(
        path=str(tmp_path / "mine.py"), metrics={"fid": "minimize", "accuracy": "maximize", "kid": "minimize"}
    )


def test_runs_of_our_own_loop_are_called_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[dict[str, Any]] = []

    def dumps(fields: dict[str, Any], **_: Any) -> str:
        hashed.append(fields)
        return ""

    monkeypatch.setattr("json.dumps", dumps)
    Experiment().identity()
    Experiment(trainer=NativeTrainer()).identity()
    assert hashed[0] == hashed[1]
    assert "trainer" not in hashed[0]


def test_code_and_parameters_make_another_run_and_where_the_code_lies_does_not(
    tmp_path: Path, trainer: FunctionTrainer
) -> None:
    experiment = Experiment(trainer=trainer)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "mine.py").write_text(CODE)
    same = replace(experiment, trainer=replace(trainer, path=str(other / "mine.py")))
    assert same.identity() == experiment.identity()
    assert replace(experiment, trainer=replace(trainer, params={"a": 1})).identity() != experiment.identity()
    (other / "mine.py").write_text(CODE + "\n")
    assert same.identity() != experiment.identity()
    assert experiment.identity() != Experiment().identity()


def test_what_only_our_own_loop_reads_makes_no_other_run(trainer: FunctionTrainer) -> None:
    experiment = Experiment(trainer=trainer)
    same: list[dict[str, Any]] = [
        {"model": DiT(depth=7)},
        {"training": Training(learning_rate=0.5)},
        {"resources": Resources(cpus_per_worker=2)},
    ]
    assert {replace(experiment, **change).identity() for change in same} == {experiment.identity()}
    other: list[dict[str, Any]] = [
        {"training": Training(batch_size=32)},
        {"seed": 1},
        {"curriculum": Curriculum(num_clusters=3)},
    ]
    assert experiment.identity() not in {replace(experiment, **change).identity() for change in other}


def test_its_metrics_are_those_that_a_study_can_ask_for(trainer: FunctionTrainer) -> None:
    experiment = Experiment(trainer=trainer)
    assert experiment.metric_names(final=False) == experiment.metric_names(final=True) == ("fid", "accuracy", "kid")
    assert experiment.direction("accuracy") is Direction.MAXIMIZE
    assert experiment.second_opinions("fid") == ("kid",)
    assert experiment.second_opinions("accuracy") == ()
    with pytest.raises(ValueError, match=r"^trainer.metrics has no 'loss'; there are fid, accuracy, kid$"):
        experiment.direction("loss")


FUNCTIONS = {
    "def train():\n    pass\n": r"line 1: train\(\) must take one argument, the run: def train\(run\)",
    "def train(run, lr):\n    pass\n": r"line 1: train\(run, lr\) must take one argument",
    "def train(run, *, lr):\n    pass\n": r"line 1: train\(run, \*, lr\) must take one argument",
    "def fit(run):\n    pass\n": "has no function train; it has fit",
    "x = 1\n": "has no function train; it has no function",
    "def train(run:\n": "line 1: is no Python: ",
}


@pytest.mark.parametrize(("code", "message"), FUNCTIONS.items())
def test_a_function_that_cannot_be_called_is_known_before_it_is(
    trainer: FunctionTrainer, code: str, message: str
) -> None:
    Path(trainer.path).write_text(code)
    with pytest.raises(ValueError, match=rf"^trainer: (function: )?{trainer.path},? {message}"):
        Experiment(trainer=trainer).check()


@pytest.mark.parametrize(
    "code",
    [
        CODE,
        "def train(run, lr=1):\n    pass\n",
        "def train(*args):\n    pass\n",
        "from elsewhere import train\n",
        "train = print\n",
    ],
)
def test_functions_that_can_be_called_pass(trainer: FunctionTrainer, code: str) -> None:
    Path(trainer.path).write_text(code)
    Experiment(trainer=trainer).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "/nowhere/a.py"}, "path: /nowhere/a.py does not exist"),
        ({"path": "/tmp"}, "path: /tmp is no file"),
        ({"sources": ("*.toml",)}, "sources: no file in .* is named "),
    ],
)
def test_files_that_are_not_there_are_named(trainer: FunctionTrainer, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^trainer: {message}"):
        Experiment(trainer=replace(trainer, **fields)).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metrics": {}}, "^metrics must name what is reported, and which way is better"),
        ({"rehearsal_minutes": 0}, "^rehearsal_minutes must be above 0, not 0"),
    ],
)
def test_fields_that_make_no_sense_are_refused(trainer: FunctionTrainer, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(trainer, **fields)


def test_workers_share_a_batch_evenly_and_the_average_is_the_codes_own(trainer: FunctionTrainer) -> None:
    with pytest.raises(ValueError, match=r"^training.batch_size must be a multiple of the number of workers \(3\)"):
        Experiment(trainer=trainer, resources=Resources(workers=3))
    experiment = Experiment(trainer=trainer, curriculum=Curriculum(reset_ema=True))
    with pytest.raises(ValueError, match=r"^curriculum: reset_ema must be false where code of your own trains"):
        experiment.check()


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"workers": 2, "sharding": "full"}, "resources.sharding must be none where trainer is code of your own"),
        ({"activation_checkpointing": True}, "resources.activation_checkpointing must be false where trainer is code"),
    ],
)
def test_how_the_memory_of_its_network_is_saved_is_the_codes_own(
    trainer: FunctionTrainer, resources: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Experiment(trainer=trainer, resources=Resources(**resources))


def program(folder: Path, *command: str, **fields: Any) -> CommandTrainer:
    return CommandTrainer(command=command, folder=str(folder), metrics={"fid": "minimize"}, **fields)


def test_a_program_consists_of_the_files_that_its_command_names(tmp_path: Path) -> None:
    for name, text in {"run.py": "import net\n", "net.py": "", "go.sh": "python run.py\n"}.items():
        (tmp_path / name).write_text(text)

    def files(*command: str, sources: tuple[str, ...] = ()) -> list[str]:
        return [path.name for path in program(tmp_path, *command, sources=sources).files]

    assert files("python", "run.py", "--net", "net") == ["net.py", "run.py"]
    assert files("bash", "go.sh") == ["go.sh"]
    assert files("bash", "go.sh", sources=("*.py",)) == ["go.sh", "net.py", "run.py"]
    assert program(tmp_path, "python", "run.py").title == "run.py"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("python", "nowhere.py"), "command: .*nowhere.py does not exist"),
        (("no-such-program", "run.py"), "command: there is no program no-such-program"),
        (("python", "-m", "run"), "sources: must name the files of the program, for 'python -m run' names none"),
    ],
)
def test_a_program_that_cannot_be_started_is_known_before_it_is(
    tmp_path: Path, command: tuple[str, ...], message: str
) -> None:
    (tmp_path / "run.py").write_text("")
    with pytest.raises(ValueError, match=f"^trainer: {message}"):
        Experiment(trainer=program(tmp_path, *command)).check()
    Experiment(trainer=program(tmp_path, "python", "-m", "run", sources=("run.py",))).check()


def test_a_program_starts_its_own_workers(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text("")
    with pytest.raises(ValueError, match=r"^resources.workers must be 1 where trainer is a command, not 2"):
        Experiment(trainer=program(tmp_path, "torchrun", "run.py"), resources=Resources(workers=2))
