"""What MLflow shows of a run beside its curves, against a real SQLite store."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from support.tracked import MakeTracker, RunsOf, experiment_id

from curriculum_search.tracking import STUDY, Tracker
from curriculum_search.tracking.views import VIEW_TAG

DATASET = {"name": "digits 8x8", "digest": "0123456789abcdef", "source": {"kind": "digits"}, "summary": "1,797 images"}
VIEW = {"metric": "fd", "others": ["kid"], "ascending": True, "phase": "confirmation", "arms": ["a", "b"]}


def say_all(tracker: Tracker, grid: Path) -> None:
    """What a study with one confirmed arm says of it."""
    tracker.start_run(STUDY, name="quick")
    tracker.start_run("a1", name="trial 1: easy to hard, seed 1", tags={"arm": "trial 1"})
    tracker.log_dataset("a1", **DATASET)  # type: ignore[arg-type]
    tracker.log_metrics("a1", 64000, {"fd": 2.5})
    for images in (32000, 64000):
        tracker.log_image("a1", grid, "samples", images)
    tracker.log_model(
        "a1",
        arm="trial 1",
        name="trial 1 (2 % of it): easy to hard",
        params={"order": "easy_to_hard"},
        values={"mean_fd": 2.4, "seeds": 4.0, "low": float("-inf")},
        dataset=(str(DATASET["name"]), str(DATASET["digest"])),
    )
    tracker.show_arms(VIEW)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "samples.png"
    Image.new("L", (512, 512), 128).save(path)
    return path


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_has_its_data_its_samples_and_its_model_once_however_often_they_are_said(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, grid: Path, tmp_path: Path, times: int
) -> None:
    for _ in range(times):
        tracker = make_tracker()
        say_all(tracker, grid)
        assert tracker.close(30) == ""
        (tmp_path / "study" / "sent.json").unlink()  # The next process takes nothing for granted.
    client = MlflowClient(tracking_uri=uri)
    runs = runs_of(experiment)
    run, study = runs["trial 1: easy to hard, seed 1"], runs["quick"]
    assert run.inputs is not None
    assert study.outputs is not None
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits 8x8", "0123456789abcdef")
    assert json.loads(given.dataset.source) == {"kind": "digits"}
    names = [Path(artifact.path).name for artifact in client.list_artifacts(run.info.run_id, "images")]
    assert {name.split("+timestamp")[0] for name in names} == {"samples+step+32000", "samples+step+64000"}
    assert len(names) == 2 * 2  # the image, and a small one
    journal = (tmp_path / "study" / "journal.jsonl").read_text()
    assert journal.count('"kind":"image"') == 2
    (model,) = client.search_logged_models([experiment_id(client, experiment)])
    assert model.name == "trial 1 (2 percent of it) easy to hard"
    assert (model.status, model.params) == ("READY", {"order": "easy_to_hard"})
    assert model.source_run_id == run.info.run_id
    values = {metric.key: metric.value for metric in model.metrics or ()}
    assert values == {"mean_fd": 2.4, "seeds": 4.0}
    assert {metric.dataset_name for metric in model.metrics or ()} == {"digits 8x8"}
    assert [output.model_id for output in study.outputs.model_outputs] == [model.model_id]


def test_where_mlflow_was_emptied_the_journal_brings_all_of_it_back(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, grid: Path
) -> None:
    tracker = make_tracker()
    say_all(tracker, grid)
    assert tracker.close(30) == ""
    client = MlflowClient(tracking_uri=uri)
    for run in runs_of(experiment).values():
        client.delete_run(run.info.run_id)
    again = make_tracker(experiment=f"{experiment} anew")
    again.catch_up()
    assert again.close(30) == ""
    run = runs_of(f"{experiment} anew")["trial 1: easy to hard, seed 1"]
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == 1
    (model,) = client.search_logged_models([experiment_id(client, f"{experiment} anew")])
    assert model.source_run_id == run.info.run_id


def test_the_experiment_keeps_the_view_in_which_the_study_opens(
    make_tracker: MakeTracker, uri: str, experiment: str, grid: Path
) -> None:
    tracker = make_tracker()
    say_all(tracker, grid)
    assert tracker.close(30) == ""
    client = MlflowClient(tracking_uri=uri)
    tags = client.get_experiment(experiment_id(client, experiment)).tags
    (key,) = [key for key in tags if key.startswith(VIEW_TAG)]
    assert f"viewStateShareKey={key.removeprefix(VIEW_TAG)}&" in tracker.page(arms=True)
    view = json.loads(tags[key])
    study = client.search_runs([experiment_id(client, experiment)], view["searchFilter"].split(" AND tags.phase")[0])
    assert [run.info.run_name for run in study] == ["trial 1: easy to hard, seed 1"]  # and not the study's own
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_an_image_or_a_file_that_is_gone_is_told_and_keeps_nothing_else_back(
    make_tracker: MakeTracker, runs_of: RunsOf, experiment: str, tmp_path: Path
) -> None:
    tracker = make_tracker()
    tracker.start_run("a1", name="trial")
    tracker.log_image("a1", tmp_path / "gone.png", "samples", 64)
    tracker.log_metrics("a1", 64, {"fd": 2.0})
    assert "gone.png: no such file any more" in tracker.close(30)
    assert runs_of(experiment)["trial"].data.metrics == {"fd": 2.0}


def test_a_run_says_whose_it_is_and_what_made_it(make_tracker: MakeTracker, runs_of: RunsOf, experiment: str) -> None:
    tracker = make_tracker()
    tracker.start_run("a1", name="trial", tags={"arm": "x"})
    assert tracker.close(30) == ""
    tags = runs_of(experiment)["trial"].data.tags
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.name"]
    assert tags["arm"] == "x"
