"""A run small enough for a second: digits, one transformer block, 20 steps, 4 evaluations."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.curriculum import Curriculum, Linear
from curriculum_search.diffusion import DDIMSampler
from curriculum_search.evaluation import Evaluation, Frechet, Pixels, ValidationLoss
from curriculum_search.experiment import Experiment, Training
from curriculum_search.models import DiT
from curriculum_search.training import PlainSession, Report, TrainingResult, train

#: What depends on how fast the machine is.
TIMES = {"images_per_second", "train_seconds"}


class Make(Protocol):
    """Makes a run, as `tiny_experiment` does."""

    def __call__(self, **fields: Any) -> Experiment: ...


def tiny_experiment(**fields: Any) -> Experiment:
    """The run, with some of its fields changed; ``training`` is a mapping of the settings to change."""
    training = Training(**{"total_images": 320, "batch_size": 16, "num_evaluations": 4, **fields.pop("training", {})})
    base = Experiment(
        model=DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2),
        curriculum=Curriculum(num_clusters=4, pacing=Linear(end_share=0.8)),
        training=training,
        evaluation=Evaluation(
            evaluators=(
                ValidationLoss(num_images=8, num_levels=10, num_intervals=5),
                Frechet(extractor=Pixels(num_components=4), num_samples=24),
            ),
            final_evaluators=(),
            sampler=DDIMSampler(num_steps=2),
            batch_size=8,
            grid_images=4,
        ),
    )
    return replace(base, **fields)


@dataclass
class Runner:
    """Trains in folders of its own, with one cache of reference statistics."""

    folder: Path
    count: int = 0
    session: PlainSession = field(init=False)

    def __call__(self, experiment: Experiment, session: PlainSession | None = None) -> TrainingResult:
        self.count += 1
        if session is None:
            run_dir = self.folder / f"run {self.count}"
            run_dir.mkdir()
            session = PlainSession(run_dir=run_dir, device=torch.device("cpu"))
        self.session = session
        return train(experiment, session, self.folder / "cache")

    def curve(self) -> list[tuple[int, dict[str, float]]]:
        """The reports of the last run: images, and every metric that does not depend on the machine's speed."""
        return [(r.images, {k: v for k, v in r.metrics.items() if k not in TIMES}) for r in self.session.reports]


@dataclass
class Step:
    """What one step was trained on."""

    weights: dict[str, Tensor]
    images: Tensor
    q: Tensor
    noise: Tensor
    condition: Condition


def session(folder: Path, name: str = "run") -> PlainSession:
    """The home of a run in a folder of its own, on the CPU."""
    (folder / name).mkdir(exist_ok=True)
    return PlainSession(run_dir=folder / name, device=torch.device("cpu"))


def timeless(reports: list[Report]) -> list[object]:
    """What reports say, times left out."""
    return [
        (r.images, {k: v for k, v in r.metrics.items() if k not in TIMES}, r.switches, r.final, r.exposure)
        for r in reports
    ]
