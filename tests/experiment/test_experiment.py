"""What makes two runs the same run, and what is found out before training."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.curriculum import Curriculum, EasyToHard, Linear, NoOrder, Plateau
from curriculum_search.data import Array, Digits
from curriculum_search.diffusion import EDM
from curriculum_search.experiment import Cadence, Experiment, Resources, Training

BASE = Experiment()


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"training": Training(learning_rate=2e-3)},
        {"curriculum": Curriculum(num_clusters=19)},
        {"curriculum": Curriculum(pacing=Linear(end_share=0.4))},
        {"data": Digits(resolution=16)},
    ],
)
def test_whatever_changes_what_is_trained_changes_the_identity(fields: dict[str, Any]) -> None:
    assert replace(BASE, **fields).identity() != BASE.identity()


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": Resources(workers=2, cpus_per_worker=2)},
        {"cadence": Cadence(status_images=64, checkpoint_images=64, checkpoint_minutes=None)},
        {"plugins": ("mine.py",)},
        {},
    ],
)
def test_where_and_from_which_file_it_is_trained_and_how_often_it_is_saved_does_not(fields: dict[str, Any]) -> None:
    assert replace(BASE, **fields).identity() == BASE.identity()


def test_ordinary_training_is_one_run_however_it_is_written() -> None:
    ways = [
        Curriculum(order=NoOrder()),
        Curriculum(order=NoOrder(), num_clusters=3, pacing=Plateau()),
        Curriculum(order=EasyToHard(), num_clusters=1),
        Curriculum(order=EasyToHard(), pacing=Linear(start_unlocked=1.0)),
    ]
    assert len({replace(BASE, curriculum=way).identity() for way in ways}) == 1


def test_the_identity_is_the_same_in_every_process() -> None:
    program = "from curriculum_search.experiment import Experiment; print(Experiment().identity())"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert output.stdout.strip() == BASE.identity()


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (replace(BASE, data=Array(path="/nowhere.npz")), r"data: /nowhere\.npz does not exist"),
        (replace(BASE, process=EDM()), "evaluation: sampler ddim needs process ddpm, not edm"),
        (replace(BASE, curriculum=Curriculum(num_clusters=2000)), r"curriculum: num_clusters must be in \[1, 1000\]"),
    ],
)
def test_what_cannot_be_trained_is_found_before(experiment: Experiment, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment.check()


def test_workers_have_to_share_each_batch() -> None:
    with pytest.raises(ValueError, match=r"noise_shards must be a multiple of the number of workers \(3\), not 8"):
        Experiment(resources=Resources(workers=3))


def test_a_check_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    BASE.check()
    assert list(tmp_path.iterdir()) == []
