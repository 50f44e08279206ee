"""A run that a function of the user's own trains: what it comes to, and what it is given."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.own_training import NOTHING, SAME_AS_NATIVE
from support.runner import session, timeless, tiny_experiment
from trainers.conftest import MakeOwn

from curriculum_search import training
from curriculum_search.curriculum import Curriculum, Plateau
from curriculum_search.diffusion import LossSecondMoment
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Cadence, Experiment
from curriculum_search.trainers import TrainerError, train
from curriculum_search.training import CHECKPOINT, Interrupted, PlainSession

METRICS = {"val_loss": "minimize", "fd_pca4_24": "minimize"}


CURRICULA = {
    "fixed": {},
    "plateau": {"curriculum": Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2))},
    "adaptive": {"density": LossSecondMoment()},
}


@pytest.mark.parametrize("fields", CURRICULA.values(), ids=CURRICULA)
def test_the_same_training_as_a_function_ends_at_the_numbers_of_the_native_loop(
    tmp_path: Path, own: MakeOwn, fields: dict[str, object]
) -> None:
    native = tiny_experiment(cadence=Cadence(status_images=64), **fields)
    ours, theirs = session(tmp_path, "native"), session(tmp_path, "own")
    expected = training.train(native, ours, tmp_path / "cache")
    metrics = dict.fromkeys(native.evaluation.metric_names(final=True), "minimize")
    parts = {"curriculum": native.curriculum, "density": native.density, "cadence": native.cadence}
    experiment = own(SAME_AS_NATIVE, metrics=metrics, params={"learning_rate": 1e-3}, **parts)
    result = train(experiment, theirs, tmp_path / "cache")
    assert timeless(theirs.reports) == timeless(ours.reports)
    assert result.exposure == expected.exposure
    assert result.images == expected.images
    assert [(s.images, s.stage, s.unlocked_share) for s in theirs.statuses] == [
        (s.images, s.stage, s.unlocked_share) for s in ours.statuses if s.images < 320
    ]


def test_statuses_tell_the_mean_loss_since_the_one_before(tmp_path: Path, own: MakeOwn) -> None:
    code = NOTHING.replace("sampler.observe(q + 1)", "sampler.observe(torch.full_like(q, run.images_seen))")
    home = session(tmp_path)
    train(own("import torch\n" + code, cadence=Cadence(status_images=64)), home, tmp_path)
    assert [status.images for status in home.statuses] == [64, 128, 192, 256]
    assert [status.train_loss for status in home.statuses] == [40.0, 104.0, 168.0, 232.0]


def test_a_run_that_was_ended_goes_on_to_the_same_numbers(tmp_path: Path, own: MakeOwn) -> None:
    """It is ended at a step between two reports, where the function saves, and once right after a report."""
    plateau = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2))
    experiment = own(SAME_AS_NATIVE, metrics=METRICS, params={"learning_rate": 1e-3}, curriculum=plateau)
    experiment = replace(experiment, cadence=Cadence(status_images=16))
    whole, parts = session(tmp_path, "whole"), session(tmp_path, "parts")
    train(experiment, whole, tmp_path)

    class Ended(PlainSession):
        def status(self, status: object) -> None:
            super().status(status)  # type: ignore[arg-type]
            self.should_stop |= self.statuses[-1].images == at

    for at in (96, 160, 208):
        interrupted = Ended(run_dir=parts.run_dir, device=parts.device)
        with pytest.raises(Interrupted) as caught:
            train(experiment, interrupted, tmp_path)
        assert at <= caught.value.images <= at + 16
    (parts.run_dir / CHECKPOINT).write_bytes(b"")  # As one that is damaged: the one before it takes over.
    with pytest.warns(UserWarning, match=r"checkpoint\.pt\.damaged-1, and the run goes on from the one before, at 1"):
        train(experiment, parts, tmp_path)
    assert timeless(parts.reports) == timeless(whole.reports)


def test_noise_levels_are_the_same_for_all_arms_of_a_seed_and_others_for_another(tmp_path: Path, own: MakeOwn) -> None:
    code = NOTHING.replace("float(q.mean())", "float(q.sum())")
    ends: list[list[float]] = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        home = session(tmp_path, name)
        torch.manual_seed(len(ends))
        train(own(code, seed=seed, curriculum=Curriculum(num_clusters=1)), home, tmp_path)
        ends.append([report.metrics["score"] for report in home.reports])
    assert ends[0] == ends[1] != ends[2]


def test_the_function_finds_all_random_numbers_seeded_and_what_lies_beside_it(tmp_path: Path, own: MakeOwn) -> None:
    (tmp_path / "numbers_of_mine").mkdir()
    (tmp_path / "numbers_of_mine" / "__init__.py").write_text("from .inner import numbers\n")
    (tmp_path / "numbers_of_mine" / "inner.py").write_text(
        "import random\nimport numpy as np\nimport torch\n\n\n"
        "def numbers():\n    return random.random() + np.random.rand() + torch.rand(1).item()\n"
    )
    code = "from numbers_of_mine import numbers\n" + NOTHING.replace("float(q.mean())", "numbers()")
    ends: list[list[float]] = []
    for name in ("a", "b"):
        home = session(tmp_path, name)
        train(own(code), home, tmp_path)
        ends.append([report.metrics["score"] for report in home.reports])
        assert not any(module.startswith(("numbers_of_mine", "my_training")) for module in sys.modules)
        assert str(tmp_path) not in sys.path
    assert ends[0] == ends[1]


WRONG = {
    "raises": (
        "def train(run):\n    1 / 0\n",
        r"raises ZeroDivisionError: division by zero \(my_training.py, line 2\)",
    ),
    "returns at once": (
        "def train(run):\n    pass\n",
        "returns and has drawn no noise levels: draw them from the samp",
    ),
    "has no sampler": (
        "def train(run):\n    run.report(images=80, metrics={'score': 1.0})\n",
        "reports 80 images and has drawn no noise levels: draw them from the sampler that it takes from the run",
    ),
    "never reports": (
        NOTHING.replace("if run.report_is_due:", "if False:"),
        r"returns and has reported nothing: call run.report\(images=..., metrics=...\) when run.report_is_due",
    ),
    "returns early": (
        NOTHING.replace("while not run.should_stop:", "for _ in range(5):"),
        "returns after 80 of 320 images: train until run.should_stop",
    ),
    "goes on": (
        NOTHING.replace("while not run.should_stop:", "while True:"),
        "goes on beyond its budget of 320 images: end the loop when run.should_stop",
    ),
    "counts steps": (
        NOTHING.replace("images=run.images_seen", "images=run.images_seen // 16"),
        "reports 5 images and has drawn noise levels for 80: images are counted over all workers, and are not steps",
    ),
    "goes backwards": (
        NOTHING.replace("images=run.images_seen", "images=run.images_seen if run.images_seen < 240 else 150"),
        "reports 150 images after 160: the number must not go backwards",
    ),
    "reports words": (NOTHING.replace("float(q.mean())", "'good'"), "reports score = 'good', which is no number"),
    "leaves one out": (NOTHING.replace('"score"', '"scores"'), "reports scores, and not score, which trainer.metrics"),
    "misses one": (
        NOTHING.replace("if run.report_is_due:", "if run.images_seen in (80, 240, 320):"),
        "reports at 240 images and has not reported at 160: ask run.report_is_due after each step",
    ),
    "takes two": (
        NOTHING.replace("run.restore()", "run.levels('ddpm')").replace("run.levels('ddpm')", "run.quantiles()"),
        "asks for a second sampler: a run has one",
    ),
    "restores late": (
        NOTHING.replace("    run.restore()\n", "").replace("sampler.observe(q + 1)", "run.restore()"),
        r"calls run.restore\(\) after it has drawn noise levels: call it before the first draw",
    ),
    "saves objects": (
        NOTHING.replace('{"a": 1}', "{'a': run.params}"),
        r"run.report\(checkpoint=...\) must be tensors, numbers, text, and lists and dictionaries of them",
    ),
    "draws for more": (
        NOTHING.replace("run.batch_size // run.world_size", "64"),
        "draws for 64 images at once, and training.batch_size is 16: set it to the images of an optimiser step",
    ),
}


@pytest.mark.parametrize(("code", "message"), WRONG.values(), ids=WRONG)
def test_what_a_function_does_wrong_is_told_with_its_file(
    tmp_path: Path, own: MakeOwn, code: str, message: str
) -> None:
    with pytest.raises(TrainerError, match=rf"^my_training.py: {message}"):
        train(own(code), session(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (NOTHING.replace("float(q.mean())", "float('nan')"), "^score is nan at 80 images$"),
        (NOTHING.replace("q + 1", "q / 0"), "^the training loss is inf at 80 images$"),
    ],
)
def test_what_is_not_finite_is_a_diverged_run(tmp_path: Path, own: MakeOwn, code: str, message: str) -> None:
    with pytest.raises(Diverged, match=message):
        train(own(code), session(tmp_path), tmp_path)


def test_a_home_that_ends_the_run_when_it_is_asked_is_no_mistake_of_the_functions(tmp_path: Path, own: MakeOwn) -> None:
    class Ends(PlainSession):
        @property
        def should_stop(self) -> bool:
            raise SystemExit

        @should_stop.setter
        def should_stop(self, value: bool) -> None: ...

    with pytest.raises(SystemExit):
        train(own(NOTHING), Ends(run_dir=tmp_path, device=torch.device("cpu")), tmp_path)


def test_parameters_that_are_never_read_are_warned_of(tmp_path: Path, own: MakeOwn) -> None:
    code = NOTHING.replace("run.restore()", "run.params['a']")
    with pytest.warns(UserWarning, match=r"^my_training.py never reads b, c of trainer.params$"):
        train(own(code, params={"a": 1, "b": 2, "c": 3}), session(tmp_path), tmp_path)


def test_a_loss_that_the_gate_needs_and_that_is_never_told_is_an_error(tmp_path: Path, own: MakeOwn) -> None:
    experiment: Experiment = own(
        NOTHING.replace("sampler.observe(q + 1)", "pass"), curriculum=Curriculum(num_clusters=4, pacing=Plateau())
    )
    with pytest.raises(TrainerError, match=r"^my_training.py: raises ValueError: .*losses"):
        train(experiment, session(tmp_path), tmp_path)
