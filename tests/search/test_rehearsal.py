"""The first thing that a study does with training code of the user's own: what is wrong ends the command at once."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.own_training import NOTHING, OWN_STUDY, write_own
from support.workplace import Workplace

from curriculum_search.diffusion import Flow
from curriculum_search.experiment import Experiment, FunctionTrainer
from curriculum_search.loading import UserError
from curriculum_search.models import DiT
from curriculum_search.search.load import study_of
from curriculum_search.search.space import Space
from curriculum_search.search.study import Study

STATIC = {
    "another key": ("x: 1", "base.trainer.x", "no such field"),
    "a path": ("path: nowhere.py", "base.trainer: path", "{folder}/nowhere.py does not exist"),
    "a function": ("function: fit", "base.trainer: function", "{folder}/my_training.py has no function fit; it has tr"),
    "an objective": (
        "metrics: {loss: minimize}",
        "study.objective",
        "'score' is none of base.trainer.metrics; there are: loss",
    ),
}


def refused(workplace: Workplace, study: Path, *overrides: str) -> str:
    """What the search says to a study that it refuses, having left nothing."""
    status, out, err = workplace.call("search", study, *overrides)
    assert status == 2, out + err
    assert "started again" not in out
    assert err.startswith(f"error: {study}: ")
    assert err.count("\n") == 1
    assert not list(workplace.results.glob("own/runs")) + list(workplace.results.glob(".measure*"))
    return str(err).removeprefix(f"error: {study}: ").strip()


@pytest.mark.parametrize(("field", "path", "message"), STATIC.values(), ids=STATIC)
def test_what_can_be_known_without_running_it_is_known_without_a_cluster(
    workplace: Workplace, no_ray: None, field: str, path: str, message: str
) -> None:
    name, _, value = field.partition(": ")
    study = write_own(workplace.folder, NOTHING)
    said = refused(workplace, study, f"base.trainer.{name}={value}")
    assert said.startswith(f"{path}: {message.format(folder=workplace.folder)}")


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("base.model={kind: unet}", "base.model.kind"),
        ("space.training.learning_rate={kind: float, low: 0.1, high: 0.2}", "space.training.learning_rate"),
        (
            "study.arms={mine: {weighting: {kind: min_snr}}}",
            "study.arms.mine.weighting.kind",
        ),
        ("study.proxy={training.ema_halflife_images: 5}", "study.proxy.training.ema_halflife_images"),
    ],
)
def test_what_only_our_own_loop_reads_is_refused(workplace: Workplace, no_ray: None, override: str, path: str) -> None:
    said = refused(workplace, write_own(workplace.folder, NOTHING), override)
    assert said.startswith(f"{path}: has no effect where code of your own trains; what it is to know is one of its par")


def test_what_is_searched_has_a_value_for_the_baselines_too(workplace: Workplace, no_ray: None) -> None:
    study = write_own(workplace.folder, NOTHING)
    parameter = "space.trainer.params.lr={kind: float, low: 0.1, high: 0.2}"
    assert refused(workplace, study, parameter) == (
        "space.trainer.params.lr: base.trainer.params.lr must be given too, for the baselines are trained with it"
    )


RUN = {
    "raises": (
        NOTHING.replace("run.restore()", "run.params['lr']"),
        "my_training.py: raises KeyError: 'lr' (my_training.py, line 4)",
    ),
    "cannot be imported": (
        "import no_such_module\n" + NOTHING,
        "my_training.py: raises ModuleNotFoundError: No module",
    ),
    "never reports": (
        NOTHING.replace("if run.report_is_due:", "if False:"),
        "my_training.py: returns and has reported nothing: call run.report",
    ),
    "never tells its losses": (
        NOTHING.replace("sampler.observe(q + 1)", "pass"),
        "my_training.py: raises ValueError: ",
    ),
    "exits": (NOTHING.replace("run.restore()", "raise SystemExit(3)"), "my_training.py: raises SystemExit: 3"),
    "hangs": (
        "import time\n" + NOTHING.replace("run.restore()", "time.sleep(600)"),
        "my_training.py: has not reported within 0.1 minutes (base.trainer.rehearsal_minutes), and stood in "
        "my_training.py, line 5: 4 steps and a report must fit",
    ),
    "is not finite": (NOTHING.replace("float(q.mean())", "float('inf')"), "score is inf at 32 images"),
}


@pytest.mark.parametrize(("code", "message"), RUN.values(), ids=RUN)
def test_what_only_running_it_shows_is_told_before_the_first_run(
    workplace: Workplace, two_cpus: None, code: str, message: str
) -> None:
    study = write_own(workplace.folder, code)
    said = refused(workplace, study, "base.trainer.rehearsal_minutes=0.1")
    assert said.startswith(f"base.trainer: {message}")


def test_each_size_of_a_study_with_a_proxy_is_rehearsed(workplace: Workplace, two_cpus: None) -> None:
    code = NOTHING.replace("run.restore()", "assert run.params['depth'] == 1")
    study = write_own(workplace.folder, code, OWN_STUDY.replace("  trials: 2", "  proxy: {trainer.params.depth: 1}"))
    said = refused(workplace, study, "base.trainer.params.depth=2", "base.trainer.rehearsal_minutes=1")
    assert said == "base.trainer: my_training.py: raises AssertionError (my_training.py, line 4)"


def test_a_study_from_python_that_leaves_our_loop_as_it_is_is_taken(tmp_path: Path) -> None:
    write_own(tmp_path, NOTHING)
    trainer = FunctionTrainer(path=str(tmp_path / "my_training.py"), metrics={"score": "minimize"})
    base = Experiment(trainer=trainer, process=Flow())
    assert study_of(Study(name="a", objective="score"), base, Space()).base == base
    with pytest.raises(UserError, match=r"base.model.depth: has no effect where code of your own trains"):
        study_of(Study(name="a", objective="score"), replace(base, model=DiT(depth=7)), Space())
