"""The best config, for us (an experiment in YAML) and for other codebases (curriculum.json)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from curriculum_search.atomic import replacing
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import LearnedWeighting
from curriculum_search.experiment import Experiment
from curriculum_search.loading import to_yaml, write_plugins

BEST = "best.yaml"
CURRICULUM = "curriculum.json"
#: The leader's exposure-matched control, where it is not shown to be worse.
DENSITY, DENSITY_CURRICULUM = "best_density.yaml", "curriculum_density.json"

#: The fields of an encoder that the meaning of a noise level depends on.
_OF_LATENTS = ("kind", "path", "scale", "shift")


def experiment_yaml(experiment: Experiment, comment: str) -> str:
    """An experiment file: `comment` as its head, then every field; jobs/train.py takes it as it is."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return f"{head}{to_yaml(experiment.to_dict())}"


def write_best(
    folder: Path,
    experiment: Experiment,
    plugins: Mapping[str, str],
    *,
    comment: str,
    evidence: Mapping[str, Any],
    names: tuple[str, str] = (BEST, CURRICULUM),
) -> tuple[Path, Path]:
    """Write an experiment file, with the plug-ins that it needs beside it, and its curriculum in numbers.

    Args:
        folder: where they go.
        experiment: the config.
        plugins: file name to source text.
        comment: the head of the YAML file: what is known of the config, in words.
        evidence: the same as data, for the curriculum's file.
        names: of the two files.

    Returns:
        The two paths.
    """
    write_plugins(folder, plugins)
    best = folder / names[0]
    with replacing(best) as partial:
        partial.write_text(experiment_yaml(replace(experiment, plugins=tuple(plugins)), comment))
    return best, write_curriculum(folder / names[1], experiment, evidence)


def write_curriculum(path: Path, experiment: Experiment, evidence: Mapping[str, Any]) -> Path:
    """Write the curriculum of `experiment` as a self-contained file for other people's training code."""
    file = curriculum_of(experiment)
    replace(file, evidence=json.loads(json.dumps(evidence))).save(path)
    return path


def curriculum_of(experiment: Experiment) -> CurriculumFile:
    """The curriculum of an experiment in numbers, with what else its noise levels depend on.

    Raises:
        ValueError: it does not fit the experiment's noise process.
    """
    training, weighting = experiment.training, experiment.weighting
    file = experiment.curriculum.resolve(
        experiment.process, experiment.density, training.total_images, training.batch_size
    )
    encoder = {name: value for name, value in experiment.encoder.to_dict().items() if name in _OF_LATENTS}
    return replace(
        file,
        weighting=weighting if isinstance(weighting, LearnedWeighting) else None,
        encoder=None if experiment.encoder.bounded else encoder,
    )
