"""Metric names are known to be taken before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.tracking import Tracker, check_metric_name

NAMES = (
    *("fd_classifier_250", "val_loss_q0.1-0.2", "status/train loss", "größe", "a:b", "a.b", "x" * 240),
    *("hit@5", "p%", "", ".", "..", "../x", "/x", "a//b", "a/", "a/./b", "a\n", "f1(macro)", "é\u202e"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_exactly_if_mlflow_takes_it(name: str) -> None:
    def takes(check: Callable[[str], Any]) -> bool:
        try:
            check(name)
        except (ValueError, MlflowException):
            return False
        return True

    # MLflow's pattern lets a line's end pass, which no database or page can show.
    assert takes(check_metric_name) == (takes(_validate_metric_name) and name not in ("", "a\n"))


def test_a_name_that_is_too_long_with_what_comes_before_it_is_refused() -> None:
    check_metric_name("x" * 240)
    with pytest.raises(ValueError, match="at most 240 characters, not 246"):
        check_metric_name("x" * 246)


def test_a_study_with_an_evaluator_of_a_bad_name_is_one_message_before_anything_starts(workplace: Workplace) -> None:
    plugin = workplace.folder / "witness.py"
    plugin.write_text(plugin.read_text().replace('"witnessed"', '"hit@5"').replace("class Witness", "class Hit"))
    plugin.write_text(plugin.read_text().replace('"witness"', '"hit"'))
    hits = plugin.rename(plugin.with_name("hits.py"))
    overrides = [
        f"base.plugins=[{hits.name}]",
        "base.evaluation.evaluators=[{kind: val_loss, num_images: 8}, {kind: hit}]",
    ]
    with pytest.raises(UserError, match=r"study\.yaml: base\.evaluation: a metric cannot be named 'hit@5' in MLflow"):
        workplace.load(*overrides)
    status, out, err = workplace.call("search", workplace.study, *overrides)
    assert status == 2
    assert "'hit@5'" in err + out
    assert not (workplace.results / "tiny").exists()


def test_a_name_that_came_through_costs_itself_alone(
    make_tracker: Callable[..., Tracker], runs_of: Callable[[str], dict[str, Any]], experiment: str, tmp_path: Path
) -> None:
    tracker = make_tracker()
    tracker.start_run("a1", name="trial", params={"order": "none", "rate%": "0.1"}, tags={"role": "searched"})
    for images in range(100, 2100, 100):
        tracker.log_metrics("a1", images, {"fd": 1 / images, "hit@5": 0.5, "loss": 2 / images})
    tracker.end_run("a1", status="FINISHED", best={"best_fd": 1 / 2000, "best_hit@5": 0.5})
    problems = tracker.close(60)
    run = runs_of(experiment)["trial"]
    assert run.data.metrics == {"fd": 1 / 2000, "loss": 2 / 2000, "best_fd": 1 / 2000}
    assert run.data.params == {"order": "none"}
    assert run.data.tags["role"] == "searched"
    assert run.info.status == "FINISHED"
    for name in ("hit@5", "best_hit@5", "rate%"):
        assert f"{name}: " in problems
