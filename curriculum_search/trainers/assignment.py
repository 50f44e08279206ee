"""What a run of the user's own training code is given: an experiment, as far as it concerns that code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curriculum_search.atomic import write_whole
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.experiment import Experiment, OwnTrainer
from curriculum_search.experiment.cadence import STATUS_STEPS


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What is to be trained.

    Attributes:
        title: what messages call the code.
        identity: of the run.
        params: the code's parameters.
        metrics: the names of what it reports.
        seed: of the run.
        total_images: images that it sees, over all workers.
        batch_size: images of an optimiser step, over all workers.
        points: images seen at each evaluation, the last `total_images`.
        status_images: images between two statuses.
        curriculum: what its noise levels follow.
    """

    title: str
    identity: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...]
    seed: int
    total_images: int
    batch_size: int
    points: tuple[int, ...]
    status_images: int
    curriculum: CurriculumFile

    @classmethod
    def of(cls, experiment: Experiment, trainer: OwnTrainer) -> "Assignment":
        """The part of an experiment that concerns its trainer."""
        training = experiment.training
        return cls(
            title=trainer.title,
            identity=experiment.identity(),
            params=json.loads(json.dumps(dict(trainer.params))),
            metrics=tuple(trainer.metrics),
            seed=experiment.seed,
            total_images=training.total_images,
            batch_size=training.batch_size,
            points=training.evaluation_points(),
            status_images=experiment.cadence.status_images or STATUS_STEPS * training.batch_size,
            curriculum=experiment.curriculum.resolve(
                experiment.process, experiment.density, training.total_images, training.batch_size
            ),
        )

    def write(self, path: Path, curriculum: Path) -> None:
        """Write it for another process, with the curriculum in a file of its own."""
        self.curriculum.save(curriculum)
        write_whole(path, json.dumps({**vars(self), "curriculum": curriculum.name}))

    @classmethod
    def read(cls, path: Path) -> "Assignment":
        """What `write` wrote."""
        fields = json.loads(path.read_text())
        curriculum = CurriculumFile.load(path.parent / fields.pop("curriculum"))
        fields |= {name: tuple(fields[name]) for name in ("metrics", "points")}
        return cls(**fields, curriculum=curriculum)
