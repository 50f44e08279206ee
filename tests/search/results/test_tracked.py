"""A study in MLflow, by arm; runs are played, not trained."""

import json
import statistics

import pytest
from mlflow import MlflowClient
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of
from support.tracked import experiment_id
from support.workplace import Workplace

from curriculum_search.search.results.publish import publish
from curriculum_search.search.results.tracked import show_study
from curriculum_search.tracking.views import VIEW_TAG


def test_each_confirmed_arm_is_a_model_with_what_its_seeds_say_together(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load("study.trials=4", "study.confirmation.max_seeds=3")
    search = make_search(file)
    show_study(file, search.store)
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    result = publish(file, search.store, search, confirmation, ablation_of(confirmation))
    assert search.store.tracker.flush(60) == ""
    client = MlflowClient(tracking_uri=workplace.store)
    experiment = client.get_experiment(experiment_id(client, "phases 0"))
    found = client.search_logged_models([experiment.experiment_id])
    models = {model.tags["curriculum_search.arm"]: model.metrics or [] for model in found}
    assert set(models) == set(confirmation.arms)
    for arm, metrics in models.items():
        ends = list(confirmation.values("val_loss")[arm].values())
        values = {metric.key: metric.value for metric in metrics}
        assert values["mean_val_loss"] == pytest.approx(statistics.fmean(ends))
        assert values["sd_val_loss"] == pytest.approx(statistics.stdev(ends))
        assert values["seeds"] == len(ends)
        assert ("difference" in values) == (arm != "no_curriculum")
        assert {metric.dataset_name for metric in metrics} == {"digits 8x8"}
    assert result.verdict is not None
    assert result.verdict.main is not None
    leader = {metric.key: metric.value for metric in models[result.verdict.arm or ""]}
    assert leader["difference"] == pytest.approx(result.verdict.main.difference)
    view = json.loads(experiment.tags[f"{VIEW_TAG}tiny"])
    assert "tags.phase = 'confirmation'" in view["searchFilter"]
    assert {f"tag.arm.{arm}" for arm in confirmation.arms} <= set(view["groupsExpanded"])
    runs = client.search_runs([experiment.experiment_id], view["searchFilter"])
    assert {run.data.tags["arm"] for run in runs} >= set(confirmation.arms) - {"no_curriculum"}
    assert all(run.inputs is not None and len(run.inputs.dataset_inputs) == 1 for run in runs)


def test_without_a_confirmation_the_page_has_all_runs_and_no_models(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load("study.trials=3", "study.confirmation.leaders=0")
    search = make_search(file)
    Theatre(search).play()
    confirmation = confirmation_of(search)
    publish(file, search.store, search, confirmation, ablation_of(confirmation))
    assert search.store.tracker.flush(60) == ""
    client = MlflowClient(tracking_uri=workplace.store)
    experiment = client.get_experiment(experiment_id(client, "phases 0"))
    assert not client.search_logged_models([experiment.experiment_id])
    assert "phase" not in json.loads(experiment.tags[f"{VIEW_TAG}tiny"])["searchFilter"]
