"""A study from Python: the public names, and the page of the documentation, executed as it is."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from support.workplace import REPOSITORY, Workplace

import curriculum_search
from curriculum_search import (
    Categorical,
    Curriculum,
    Experiment,
    Space,
    Study,
    StudyResult,
    UserError,
    load_study,
    run_study,
)
from curriculum_search.curriculum import FixedPacing
from curriculum_search.search.load import study_of

PAGE = REPOSITORY / "docs" / "how-to" / "from-python.md"


def snippet() -> str:
    """The first block of Python on the page, with a shorter training that is evaluated once."""
    text = PAGE.read_text()
    block = text[text.index("```python\n") + 10 :].partition("```")[0]
    for shown, short in (("total_images=3200", "total_images=640"), ("num_evaluations=2", "num_evaluations=1")):
        assert shown in block
        block = block.replace(shown, short)
    return block


@pytest.mark.timeout(600)
def test_the_snippet_of_the_documentation_runs_beside_a_running_event_loop_off_the_main_thread(
    workplace: Workplace, two_cpus: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace.folder)
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(workplace.cache))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    names: dict[str, Any] = {}

    async def cell() -> None:
        exec(compile(snippet(), str(PAGE), "exec"), names)

    def kernel() -> None:
        asyncio.run(cell())

    thread = threading.Thread(target=kernel)
    thread.start()
    thread.join()
    result = names["result"]
    assert isinstance(result, StudyResult)
    table = result.table
    assert list(table.columns[:5]) == ["group", "arm", "mean", "sd", "seeds"]
    assert table.attrs["metric"] == "fd_classifier_500"
    assert result.verdict is not None
    assert (main := result.verdict.main) is not None
    reference = table[table.arm == "no curriculum"].iloc[0]
    assert (reference.seeds, reference.images) == (main.against_seeds, 640)
    assert reference["mean"] == pytest.approx(main.against_mean)
    assert isinstance(result.best, Experiment)
    assert result.best_path == workplace.results / "notebook" / "best.yaml"
    assert all(path.suffix == ".png" and path.exists() for path in result.figures.values())
    out = capsys.readouterr().out
    assert f"Verdict: {result.layers.headline}" in " ".join(out.split())
    assert result.layers.plain() in out  # as the cell prints it
    kernel()  # the same cell again
    out = capsys.readouterr().out
    assert "finished at" not in out
    assert names["result"].table.equals(table)


def test_the_public_names_are_those_of_the_page_and_are_documented() -> None:
    page = PAGE.read_text()
    assert set(curriculum_search.__all__) <= set(dir(curriculum_search))
    for name in curriculum_search.__all__:
        assert getattr(curriculum_search, name).__doc__
        assert f"`{name}`" in page
    with pytest.raises(AttributeError, match=r"module 'curriculum_search' has no attribute 'run'; public are: .*Study"):
        _ = curriculum_search.run  # type: ignore[attr-defined]


def test_the_package_imports_nothing_and_the_cores_names_need_no_orchestration() -> None:
    program = """
import sys
before = set(sys.modules)
import curriculum_search
assert not {"torch", "numpy", "ray", "optuna", "mlflow", "pydantic"} & (set(sys.modules) - before)
for name in ("ray", "optuna", "mlflow", "pydantic", "yaml", "rich", "matplotlib", "pandas", "scipy"):
    sys.modules[name] = None  # an import of it fails
from curriculum_search import Curriculum, Experiment, Training
assert Experiment(curriculum=Curriculum(num_clusters=3), training=Training(batch_size=32)).identity()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_study_in_python_is_that_of_a_file(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace.folder)  # where its plug-in is
    file = load_study(workplace.study, {"study.arms": {"slow": {"curriculum.num_clusters": 10}}})
    same = study_of(file.study, file.base, file.space)
    assert (same.study, same.base, same.space, same.small) == (file.study, file.base, file.space, file.small)
    assert same.fingerprint() == file.fingerprint()
    assert [arm.values for arm in same.arms] == [arm.values for arm in file.arms]
    params = {"training.learning_rate": 2e-3, "curriculum.order.kind": "none"}
    assert same.trial(params).key == file.trial(params).key


@dataclass(frozen=True, kw_only=True)
class Sudden(FixedPacing):
    """A pacing that is defined where a notebook would."""

    kind: Literal["sudden_of_api_test"] = "sudden_of_api_test"

    def fraction(self, progress: float) -> float:
        return float(progress > 0.5)


STUDY = Study(name="py", objective="val_loss")
ORDERS = Space(parameters={"curriculum.order.kind": Categorical(choices=("easy_to_hard", "none"))})
MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "an objective that nothing yields": (
        lambda: run_study(replace(STUDY, objective="fid"), Experiment(), ORDERS),
        "study py: study.objective: no evaluator of base.evaluation.evaluators yields 'fid'; they yield: ",
    ),
    "a wrong type": (
        lambda: run_study(replace(STUDY, equal_tries="no"), Experiment(), ORDERS),  # type: ignore[arg-type]
        'study py: study.equal_tries: must be true or false, not "no"',
    ),
    "no plain value": (
        lambda: run_study(replace(STUDY, arms={"a": {"curriculum.num_clusters": {3}}}), Experiment()),
        "study py: study: must hold numbers, words, lists and mappings alone (Object of type set ",
    ),
    "an unknown path": (
        lambda: run_study(replace(STUDY, trials=0, arms={"a": {"curriculum.clusters": 3}}), Experiment()),
        "study py: study.arms.a.curriculum.clusters: no such field",
    ),
    "a kind of the notebook in base": (
        lambda: run_study(STUDY, Experiment(curriculum=Curriculum(pacing=Sudden())), ORDERS),
        "study py: kind sudden_of_api_test (Sudden) is defined in ",
    ),
    "a kind of the notebook in the space": (
        lambda: run_study(
            STUDY,
            Experiment(),
            Space(
                parameters={
                    **ORDERS.parameters,
                    "curriculum.pacing.kind": Categorical(
                        choices=("linear", "sudden_of_api_test"), when={"curriculum.order.kind": "easy_to_hard"}
                    ),
                }
            ),
        ),
        "study py: kind sudden_of_api_test (Sudden) is defined in ",
    ),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_an_error_with_one_line_before_anything_starts(
    no_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_cannot_be_is_told_by_its_name_in_python(no_ray: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^results: .*/file/x cannot be a folder: .*/file is no folder"):
        run_study(STUDY, Experiment(), ORDERS, results=tmp_path / "file" / "x")
