"""The study in miniature as its command leaves it, trained by our own loop or by a function of the user's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.result import RunResult
from support.own_training import SAME_AS_NATIVE, write_own
from support.workplace import Workplace

Trainer = Literal["native", "function"]

#: The study in miniature (`workplace.STUDY`), trained by a function that does what the native loop does.
FUNCTION = """
study:
  name: tiny
  objective: val_loss
  trials: 3
  stopping: {kind: none}
  baselines: [no_curriculum, published]
  confirmation: {min_seeds: 2, max_seeds: 2}
base:
  trainer:
    kind: function
    path: my_training.py
    metrics: {val_loss: minimize, fd_pca4_24: minimize}
    params: {learning_rate: 1e-3}
  training: {total_images: 320, batch_size: 16, num_evaluations: 4}
space:
  trainer.params.learning_rate: {kind: float, low: 5e-4, high: 5e-3, log: true}
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
  curriculum.num_clusters: {kind: int, low: 2, high: 4, when: {curriculum.order.kind: easy_to_hard}}
"""
#: Has it leave a line at every evaluation, as the study's witness does, but for the rehearsal's.
WITNESSED = """

def witnessed(run, train=train):
    report = run.report

    def watched(**named):
        if run.total_images == 320:
            with open({log!r}, "a") as file:
                file.write("evaluated\\n")
        report(**named)

    run.report = watched
    train(run)
"""


def command_of(workplace: Workplace, trainer: Trainer) -> tuple[Path, *tuple[str, ...]]:
    """The study in miniature by a trainer: its file, and the overrides that have it watched."""
    if trainer == "native":
        return workplace.study, workplace.watched()
    code = SAME_AS_NATIVE + WITNESSED.format(log=str(workplace.log))
    return write_own(workplace.folder, code, FUNCTION), "base.trainer.function=witnessed"


@dataclass
class Ended:
    """A study whose command has run to its end in a process of its own.

    Attributes:
        workplace: where.
        trainer: by which it trained.
        command: its file and overrides.
        out, err: what it said.
        deserted: whether it left no process behind.
    """

    workplace: Workplace
    trainer: Trainer
    command: tuple[Path, *tuple[str, ...]]
    out: str
    err: str
    deserted: bool

    @property
    def is_native(self) -> bool:
        """Whether our own loop trained it."""
        return self.trainer == "native"

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.workplace.results / "tiny"

    @property
    def table(self) -> str:
        """What the command said at its end."""
        return self.out[self.out.index("tiny: val_loss at the end") :]

    @property
    def code(self) -> str:
        """What the command says before it runs code of the user's own."""
        return f"training code that is run: {self.workplace.folder / 'my_training.py'}"

    def search(self, *overrides: str) -> tuple[int, str, str]:
        """The same command again, with overrides."""
        return self.workplace.call("search", *self.command, *overrides)


def run_study_of(workplace: Workplace, trainer: Trainer) -> Ended:
    """Run the command of the study in miniature to its end."""
    command = command_of(workplace, trainer)
    process = workplace.start("search", *command)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    return Ended(workplace, trainer, command, out, err, workplace.is_deserted())


def results(root: Path) -> dict[str, RunResult]:
    """Every run's end, by key."""
    found = {}
    for folder in (root / "runs").iterdir():
        result = RunFolder(folder).read_result()
        assert result is not None
        found[folder.name] = result
    return found
