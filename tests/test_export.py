"""The best config as a file that trains again, and as a curriculum for other code."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from curriculum_search.curriculum import Curriculum, CurriculumFile, EasyToHard, Linear, NoOrder, Plateau
from curriculum_search.diffusion import EDM, HeunSampler, LogNormal, MinSNR, NoWeighting, Uncertainty
from curriculum_search.evaluation import Evaluation
from curriculum_search.experiment import Experiment, Training
from curriculum_search.export import curriculum_of, experiment_yaml, write_best, write_curriculum
from curriculum_search.loading import load_experiment
from curriculum_search.models.encoders import VAE, Encoder, PixelEncoder, Undecoded
from curriculum_search.search.load import load_study

ROOT = Path(__file__).parents[1]

EXPERIMENTS = [
    Experiment(),
    Experiment(
        process=EDM(),
        density=LogNormal(mean=-0.5, std=1.1),
        curriculum=Curriculum(num_clusters=7, order=EasyToHard(), pacing=Plateau(patience_share=0.03)),
        training=Training(learning_rate=1.23456789012345e-4, microbatch_size=16, betas=(0.95, 0.999)),
        evaluation=Evaluation(sampler=HeunSampler(num_steps=4)),
        seed=12,
    ),
]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_is_read_back_as_it_was_written(experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(experiment_yaml(experiment, "Best config.\n\nends at fd = 1.5"))
    assert path.read_text().startswith("# Best config.\n#\n# ends at fd = 1.5\ndata:")
    again, _ = load_experiment(path, {})
    assert again == experiment
    assert again.identity() == experiment.identity()


def test_the_best_config_takes_its_plug_ins_along(tmp_path: Path) -> None:
    source = {"of_export.py": "LOADED = True\n"}
    best, curriculum = write_best(tmp_path, Experiment(seed=3), source, comment="x", evidence={"value": 1.5})
    experiment, plugins = load_experiment(best, {})
    assert plugins == source
    assert replace(experiment, plugins=()) == Experiment(seed=3)
    assert CurriculumFile.load(curriculum).evidence == {"value": 1.5}
    assert not list(tmp_path.glob("*.partial"))
    assert yaml.safe_load(best.read_text())["plugins"] == ["of_export.py"]


def test_the_exported_curriculum_is_the_one_that_was_trained() -> None:
    experiment = Experiment(curriculum=Curriculum(num_clusters=5, pacing=Linear(end_share=0.6)))
    file = curriculum_of(experiment)
    training = experiment.training
    sampler = experiment.curriculum.build(
        experiment.process, experiment.density, training.total_images, training.batch_size, "cpu"
    )
    assert list(file.edges) == sampler.edges.tolist()
    assert list(file.permutation) == sampler.permutation.tolist()
    assert (file.total_images, file.batch_size) == (training.total_images, training.batch_size)


def run_job(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "jobs" / name, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240)


def test_the_curriculum_of_a_study_file_is_that_of_its_base(tmp_path: Path) -> None:
    study, output = ROOT / "search_spaces" / "quickstart.yaml", tmp_path / "curriculum.json"
    done = run_job("export.py", study, output, "curriculum.num_clusters=7", "curriculum.order.kind=hard_to_easy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{study} is a study file: its base is taken\n{output}: read it with")
    values = {"base.curriculum.num_clusters": 7, "base.curriculum.order.kind": "hard_to_easy"}
    file = CurriculumFile.load(output)
    assert replace(file, evidence={}) == curriculum_of(load_study(study, values).base)
    assert len(file.permutation) == 7


def test_a_study_file_trains_its_base(tmp_path: Path) -> None:
    study = ROOT / "search_spaces" / "quickstart.yaml"
    short = "training.total_images=256", "training.num_evaluations=1"
    evaluators = "evaluation.evaluators=[{kind: val_loss}]"
    done = run_job("train.py", study, *short, evaluators, "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{study} is a study file: its base is taken\n")
    assert "finished after 256 images" in done.stdout


def test_ordinary_training_is_exported_as_one_cluster() -> None:
    file = curriculum_of(Experiment(curriculum=Curriculum(order=NoOrder(), num_clusters=12)))
    assert file.edges == (0.0, 1.0)


def test_a_weighting_is_exported_where_it_is_learned() -> None:
    learned = Uncertainty(base=NoWeighting(), learning_rate=0.02)
    assert curriculum_of(Experiment(weighting=learned)).weighting == learned
    assert curriculum_of(Experiment(weighting=MinSNR())).weighting is None


@pytest.mark.parametrize(
    ("encoder", "exported"),
    [
        (PixelEncoder(), None),
        (
            Undecoded(scale=(0.5, 2.0), shift=0.1, sample=False),
            {"kind": "undecoded", "scale": [0.5, 2.0], "shift": 0.1},
        ),
        (
            VAE(path="stabilityai/sd-vae-ft-ema", batch_size=4),
            {"kind": "vae", "path": "stabilityai/sd-vae-ft-ema", "scale": None, "shift": None},
        ),
    ],
)
def test_what_latents_were_made_with_is_exported_with_their_levels(
    encoder: Encoder, exported: dict[str, Any] | None, tmp_path: Path
) -> None:
    path = write_curriculum(tmp_path / "curriculum.json", Experiment(encoder=encoder), {})
    assert CurriculumFile.load(path).encoder == exported
