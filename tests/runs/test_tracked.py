"""What MLflow is told of an experiment."""

from pathlib import Path

import pytest

from curriculum_search.curriculum import Curriculum, NoOrder, Plateau
from curriculum_search.experiment import Experiment, FunctionTrainer
from curriculum_search.runs.tracked import tracked_dataset, tracked_params


@pytest.mark.parametrize("experiment", [Experiment(), Experiment(curriculum=Curriculum(pacing=Plateau()), seed=3)])
def test_a_table_shows_few_and_short_settings(experiment: Experiment) -> None:
    params = tracked_params(experiment)
    assert params["order"] == "easy_to_hard"
    assert params["pacing"] == experiment.curriculum.pacing.to_dict()["kind"]
    assert params["seed"] == str(experiment.seed)
    assert len(params) <= 11
    assert max(map(len, params.values())) < 30


def test_ordinary_training_has_no_settings_of_a_curriculum() -> None:
    params = tracked_params(Experiment(curriculum=Curriculum(order=NoOrder())))
    assert params["order"] == "none"
    assert not {"clusters", "pacing", "partition", "accumulation", "end_share"} & set(params)


def test_mlflow_is_told_of_the_code_that_has_its_own_images_and_not_of_the_default_data(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def train(run): ...\n")
    trainer = FunctionTrainer(path=str(tmp_path / "mine.py"), metrics={"fd": "minimize"})
    own, ours = (tracked_dataset(experiment) for experiment in (Experiment(trainer=trainer), Experiment()))
    assert own["name"] == trainer.title
    assert own["source"]["kind"] == "function"
    assert ours["source"]["kind"] == "digits"
