"""What a run of the user's own code is given, and how another process reads it."""

from pathlib import Path

from support.own_training import NOTHING
from trainers.conftest import MakeOwn

from curriculum_search.experiment import Cadence, OwnTrainer
from curriculum_search.trainers.assignment import Assignment


def test_an_assignment_is_read_as_it_was_written(tmp_path: Path, own: MakeOwn) -> None:
    experiment = own(NOTHING, params={"lr": 1e-3, "sizes": [1, 2], "deep": {"kind": "a"}}, seed=5)
    assert isinstance(experiment.trainer, OwnTrainer)
    assignment = Assignment.of(experiment, experiment.trainer)
    assert (assignment.seed, assignment.total_images, assignment.points) == (5, 320, (80, 160, 240, 320))
    assert (assignment.identity, assignment.metrics) == (experiment.identity(), ("score",))
    assignment.write(tmp_path / "run.json", tmp_path / "curriculum.json")
    assert Assignment.read(tmp_path / "run.json") == assignment


def test_statuses_come_as_often_as_the_cadence_says(own: MakeOwn) -> None:
    for cadence, images in ((Cadence(), 200 * 16), (Cadence(status_images=48), 48)):
        experiment = own(NOTHING, cadence=cadence)
        assert isinstance(experiment.trainer, OwnTrainer)
        assert Assignment.of(experiment, experiment.trainer).status_images == images
